"""A sandbox whose returns are of these days, served so that it can refuse and mis-date, and the
command run against it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from ruamel.yaml import YAML
from typer.testing import CliRunner, Result

from bergen_loop.cli.main import app
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.tables.core import JournalRow
from loop_sandbox import ManualClock, SandboxWorld, Settings, create_app, parcels
from loop_sandbox.catalogue import unknown_to_rex11
from support.brands import SUPPLIER


class Place:
    """A sandbox on a socket, and a folder with the configuration of the service to come."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "bergen-loop.yaml"
        self.database = f"sqlite:///{folder}/ledger.db"
        self.refuse: dict[str, int] = {}
        """End of a path -> the status it is answered with."""
        self.date: str | None = None
        """The Date header of every answer."""
        self.clock = ManualClock(datetime.now(UTC))
        self.world = SandboxWorld(7, 0, clock=self.clock, settings=Settings())
        self.brand = self.world.brand("northpine")
        self._sandbox = create_app(self.world)
        self.url = ""

    @property
    def secrets(self) -> tuple[str, str, str]:
        return self.brand.loop_key, self.brand.webhook_secret, self.brand.password

    def new_return(self, *, known: bool = True, destination: int | None = None) -> str:
        made = self.world.new_return("northpine", units=1, late_label=False, held=False)
        unknown = unknown_to_rex11(self.brand.catalogue)
        sold = [p for p in self.brand.catalogue if p.shop_barcode and p not in unknown]
        made.lines[0].product = sold[0] if known else unknown[0]
        made.destination_id = destination
        return str(made.id)

    def answers(self, **changes: Any) -> Path:
        """An answers file for the brand; `changes` are merged part by part."""
        block: dict[str, Any] = {
            "brand": "northpine",
            "store": "file",
            "name": "Northpine Apparel",
            "loop": {
                "api_key": self.brand.loop_key,
                "webhook_secret": self.brand.webhook_secret,
                "base_url": f"{self.url}/loop/api",
            },
            "rex11": {
                "endpoint": f"{self.url}/rex11/ws/v3prod/publicapiws.asmx",
                "web_address": self.brand.web_address,
                "user_name": self.brand.user_name,
                "password": self.brand.password,
            },
            "announce": {"warehouse": "NJ", "supplier": SUPPLIER},
        }
        for name, value in changes.items():
            part = {**block.get(name, {}), **value} if isinstance(value, dict) else value
            block[name] = part
        path = self.folder / "answers.yaml"
        path.write_text(json.dumps(block))  # JSON is YAML
        return path

    def connect(
        self, *arguments: str, to: str = "file", **changes: Any
    ) -> tuple[Result, dict[str, dict[str, Any]]]:
        """Run it with answers from a file; the result, and its checks by name."""
        path = str(self.answers(**changes))
        result = self.run("connect", "--from", path, "--json", "--to", to, *arguments)
        return result, checks(result)

    def run(self, *arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(app, [*arguments, "-c", str(self.config)], input=stdin)

    def written(self) -> dict[str, Any]:
        """The brand's block in the configuration."""
        return YAML(typ="safe").load(self.config.read_text())["brands"]["northpine"]

    def ledger(self) -> Ledger:
        return Ledger(self.database)

    def journal(self) -> list[JournalRow]:
        with self.ledger().read() as session:
            return list(session.scalars(sa.select(JournalRow).order_by(JournalRow.id)))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        for end, status in self.refuse.items():
            if scope["type"] == "http" and scope["path"].endswith(end):
                headers = [(b"content-type", b"application/json")]
                await send({"type": "http.response.start", "status": status, "headers": headers})
                await send({"type": "http.response.body", "body": b'{"error": {}}'})
                return

        async def dated(message: Any) -> None:
            if message["type"] == "http.response.start" and self.date:
                message["headers"] = [*message["headers"], (b"date", self.date.encode())]
            await send(message)

        await self._sandbox(scope, receive, dated)

    def catch_up(self) -> None:
        """Let the sandbox's clock be that of the service, and what is due by it be done."""
        with self.world.lock:
            behind = (datetime.now(UTC) - self.clock.now()).total_seconds()
            self.clock.advance(max(0.0, behind))
            self.world.run_due()

    def receive(self, return_id: str, kind: str = "complete") -> None:
        """The warehouse counts a return's parcel."""
        with self.world.lock:
            for ticket in self.brand.tickets.values():
                if return_id in (ticket.po or ""):
                    parcels.receive(self.world, ticket, kind, None)

    def close(self) -> None:
        self.world.close()


def checks(result: Result) -> dict[str, dict[str, Any]]:
    """The checks that --json printed, by name."""
    assert result.stdout.startswith("{"), result.output
    return {c["name"]: c for c in json.loads(result.stdout)["checks"]}
