"""The webhook endpoint, which anyone in the world may call."""

from __future__ import annotations

import hmac
import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from bergen_loop.config import Settings
from bergen_loop.console import webhooks as endpoint
from bergen_loop.console.app import create_app
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.store import journal
from bergen_loop.ledger.tables.core import BrandRow, RawRow, WebhookRow
from bergen_loop.outside.loop import webhooks as signing
from bergen_loop.service.registry import Registry
from support import worlds

PATH = "/webhooks/loop/northpine"


class Door:
    """The endpoint, and what came of a call."""

    def __init__(self, ledger: Ledger, secret: str, other: str, settings: Settings) -> None:
        self.ledger, self.secret, self.other = ledger, secret, other
        self.nudged: list[str] = []
        registry = Registry(settings, ledger, Path())
        app = create_app(registry, self.nudged.append, signing_in=False)
        self.client = TestClient(app, base_url="http://127.0.0.1")

    def send(self, body: bytes, secret: str | None = None, **headers: str) -> int:
        if secret is not None:
            headers["x-loop-signature"] = signing.sign(secret, body).decode()
        return self.client.post(PATH, content=body, headers=headers).status_code

    def kept(self) -> int:
        with self.ledger.read() as session:
            return sum(
                session.scalar(sa.select(sa.func.count()).select_from(t)) or 0
                for t in (WebhookRow, RawRow)
            )


@pytest.fixture
def door(sqlite_ledger: Ledger) -> Generator[Door]:
    with worlds.serving() as world:
        brands = {b: worlds.brand_settings(world, b) for b in ("northpine", "lumen")}
        secrets = {b: world.sandbox.brand(b).webhook_secret for b in brands}
        yield Door(sqlite_ledger, secrets["northpine"], secrets["lumen"], Settings(brands=brands))


def event(**values: Any) -> bytes:
    told = {"topic": "return", "trigger": "return.created", "id": 40000001, "state": "open"}
    return json.dumps(told | values).encode()


def test_a_repeated_delivery_changes_nothing_more(door: Door) -> None:
    assert [door.send(event(), door.secret) for _ in range(5)] == [204] * 5
    assert door.kept() == 1


@pytest.mark.parametrize("signature", ["", "AAAA", "é", "x" * 10_000, "null", "\t"])
def test_a_forged_delivery_is_refused_and_not_kept(door: Door, signature: str) -> None:
    header = [(b"x-loop-signature", signature.encode())]
    assert door.client.post(PATH, content=event(), headers=header).status_code == 401
    assert door.send(event()) == 401
    assert door.kept() == 0 and door.nudged == []
    with door.ledger.read() as session:
        assert journal.counters(session, "northpine")["webhooks.refused"] == 2
        assert session.get(BrandRow, "northpine") is None


def test_one_brands_secret_does_not_open_anothers(door: Door) -> None:
    assert door.send(event(), door.other) == 401


def test_a_signature_does_not_fit_another_body(door: Door) -> None:
    header = {"x-loop-signature": signing.sign(door.secret, event()).decode()}
    answer = door.client.post(PATH, content=event(id=40000002), headers=header)
    assert answer.status_code == 401


def test_the_comparison_takes_the_same_time_however_much_is_right(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def recorded(a: Any, b: Any) -> bool:
        compared.append((a, b))
        return False

    monkeypatch.setattr(hmac, "compare_digest", recorded)
    assert door.send(event(), door.secret) == 401, "nothing else than this function decides"
    assert len(compared) == 2, "both forms are compared, also when the first does not fit"


def test_a_huge_body_is_cut_off(door: Door) -> None:
    assert door.send(b"x" * (endpoint.MAX_BODY + 1), door.secret) == 413
    assert door.kept() == 0


def test_a_body_of_deep_nesting_does_no_harm(door: Door) -> None:
    """It is kept, and taken: Loop switches off whom it is refused by some times."""
    assert door.send(b"[" * 100_000 + b"]" * 100_000, door.secret) == 204
    assert door.send(b'{"id":' * 50_000 + b"1" + b"}" * 50_000, door.secret) == 204
    assert door.kept() == 2


def test_an_unknown_brand_is_not_told_apart_from_a_wrong_signature(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither by the answer, nor by the work that it takes."""
    verified: list[str] = []

    def seen(secret: str, body: bytes, signature: str | None) -> bool:
        verified.append(secret)
        return signing.verify(secret, body, signature)

    monkeypatch.setattr(endpoint, "verify", seen)
    known = door.client.post(PATH, content=event())
    for path in ("/webhooks/loop/nobody", "/webhooks/loop/%00", "/webhooks/loop/%ED%A0%80"):
        answer = door.client.post(path, content=event())
        assert (answer.status_code, answer.text) == (known.status_code, known.text) == (
            401, "wrong signature",
        )  # fmt: skip
        assert _apart_from_its_id(answer) == _apart_from_its_id(known)
    assert len(verified) == 4
    with door.ledger.read() as session:
        assert journal.counters(session, endpoint.UNKNOWN) == {"webhooks.refused": 3}
    assert door.client.post("/webhooks/loop/..%2f..%2fetc", content=event()).status_code == 404


def _apart_from_its_id(answer: Any) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name != "x-request-id"}


@pytest.mark.parametrize("name", ["id", "topic", "trigger"])
def test_a_lone_surrogate_in_a_signed_webhook_is_kept_and_not_understood(
    door: Door, name: str
) -> None:
    body = event(**{name: "x"}).replace(b'"x"', b'"\\ud800"')
    assert b"ud800" in body
    assert door.send(body, door.secret) == 204
    assert door.kept() == 1


def test_what_a_signed_webhook_says_moves_no_return(door: Door) -> None:
    """It says "look": what a return is, is read from Loop."""
    assert door.send(event(state="closed", trigger="return.created"), door.secret) == 204
    with door.ledger.read() as session:
        assert session.scalar(sa.text("SELECT count(*) FROM returns")) == 0
    assert door.nudged == ["northpine"]
