"""The console of a service that began without a brand, beside the sandbox of `Place`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from connect_support import Place
from fastapi.testclient import TestClient

from bergen_loop.config.roster import Roster
from bergen_loop.console.access import COOKIE
from bergen_loop.console.app import create_app
from bergen_loop.ledger.read import people
from bergen_loop.ledger.read.people import Account, Deed, Grant, Role
from bergen_loop.service.registry import Registry


@dataclass
class Service:
    """Console and registry, without the engine."""

    place: Place
    registry: Registry
    client: TestClient
    csrf: str

    def get(self, path: str) -> str:
        answer = self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.text

    def post(self, path: str, **fields: str) -> Any:
        """The answer; names with dots are given with two underscores."""
        data = {k.replace("__", "."): v for k, v in fields.items()}
        return self.client.post(path, data={"csrf": self.csrf, **data})

    def step(self, step: str, **fields: str) -> Any:
        """Save a step of northpine's draft, as its form was shown last."""
        path = f"/brands/new/northpine/{step}"
        return self.post(path, seen=hidden(self.get(path), "seen"), **fields)


def hidden(text: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', text)
    assert found, text
    return found[1]


def service(place: Place, role: Role = Role.ENGINEER, brands: list[str] | None = None) -> Service:
    """A service over the place's configuration and ledger; somebody signed in to it."""
    roster, ledger = Roster(place.config), place.ledger()
    ledger.migrate()
    found = roster.load(ledger)
    registry = Registry(found.settings, ledger, roster.folder, roster)
    registry.take(found)
    client = TestClient(
        create_app(registry, lambda _brand: None),
        follow_redirects=False,
        headers={"accept": "text/html,*/*"},
    )
    now = datetime.now(UTC)
    with ledger.write() as session:
        name = f"{role.value} {brands}"
        deed = Deed(session, now, "test")
        user = people.user_named(session, name) or people.add_user(
            deed, Account(name, Grant(role, brands))
        )
        token = people.start_session(deed, user, lasts=timedelta(hours=1), how="by a test")
        signed = people.session_of(session, now, token, timedelta(hours=1))
        assert signed is not None
        csrf = signed[0].csrf
    client.cookies.set(COOKIE, token)
    return Service(place, registry, client, csrf)
