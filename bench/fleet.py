"""A fleet: many brands of one sandbox process, and one service process that syncs them all.

Run as a module it is that sandbox: python -m bench.fleet PORT BRANDS SETTINGS, the last two in
JSON (a list of brands, an object of sandbox settings).
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import sys
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx2
import uvicorn
from demo.processes import Process, free_port
from demo.world import SandboxControl

from bergen_loop.ledger.database import Ledger
from bergen_loop.people.subscriptions import webhook_url
from loop_sandbox import SandboxWorld, Settings, catalogue, create_app
from loop_sandbox.calls import Call
from loop_sandbox.model import Brand, RexProduct
from loop_sandbox.webhooks import Delivery
from loop_sandbox.world import rex_values

PAGE = 5000
"""Calls of the sandbox's log read at once."""

# -- the service ------------------------------------------------------------------------------


class Fleet:
    """The brands, the sandbox they are customers of, and the service that syncs them.

    The sandbox runs; the service does as soon as `start` has been called.
    """

    def __init__(
        self,
        folder: Path,
        control: SandboxControl,
        *,
        database: str | None,
        service: Mapping[str, Any],
        brand: Mapping[str, Any],
        keys: Mapping[str, str],
    ) -> None:
        """`service` and `brand` are settings beside those that everyone needs; `keys` are Loop
        keys that some brands are configured with instead of their own."""
        self.control, self.known = control, control.config()
        self.slugs = [str(b["slug"]) for b in self.known["brands"]]
        self.database = database or f"sqlite:///{folder}/ledger.db"
        self.url = f"http://127.0.0.1:{free_port()}"
        self.config = folder / "bergen-loop.yaml"
        brands = {b["slug"]: self._brand(folder, b, brand, keys) for b in self.known["brands"]}
        text = {"service": {"database": self.database, **service}, "brands": brands}
        self.config.write_text(json.dumps(text, indent=1))  # which is YAML as well
        self.ledger = Ledger(self.database)
        self.ledger.migrate()
        port = self.url.rpartition(":")[2]
        self._service = Process(
            ["bergen_loop", "--log-level", "WARNING", "serve", "--no-auth",
             "-c", str(self.config), "--port", port],
            folder / "service.log",
            {},
        )  # fmt: skip

    def _brand(
        self, folder: Path, known: dict[str, Any], more: Mapping[str, Any], keys: Mapping[str, str]
    ) -> dict[str, Any]:
        slug = str(known["slug"])
        return {
            "name": slug,
            "mode": "live",
            "loop": {
                "api_key": _secret(folder / f"{slug}-key", keys.get(slug, known["loop_api_key"])),
                "webhook_secret": _secret(folder / f"{slug}-hook", known["loop_webhook_secret"]),
                "base_url": self.known["loop_base_url"],
            },
            "rex11": {
                "endpoint": self.known["rex11_endpoint"],
                "web_address": known["rex11_web_address"],
                "user_name": known["rex11_user_name"],
                "password": _secret(folder / f"{slug}-password", known["rex11_password"]),
            },
            **more,
        }

    def start(self) -> None:
        """Start the service, and wait until it answers."""
        self._service.start(lambda: _answers(f"{self.url}/health"))

    @property
    def pid(self) -> int:
        """Of the service's process."""
        return self._service.pid

    def subscribe(self, slugs: Collection[str], wanted: Sequence[tuple[str, str]]) -> None:
        """Have Loop send these brands' webhooks, each a (topic, trigger), to the service."""
        address = f"{self.known['loop_base_url']}/2026-10/webhooks"
        with httpx2.Client() as http:
            for brand in self.known["brands"]:
                for topic, trigger in wanted if brand["slug"] in slugs else ():
                    answer = http.post(
                        address,
                        headers={"X-Authorization": brand["loop_api_key"]},
                        json={
                            "topic": topic,
                            "trigger": trigger,
                            "status": "active",
                            "url": webhook_url(self.url, brand["slug"]),
                        },
                    )
                    answer.raise_for_status()

    def cpu(self) -> float:
        """Seconds of the processor that the service has taken since its start."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> float:
        """MiB of the service's process that are resident."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]

    def end(self) -> None:
        """End the service; it may be started again."""
        self._service.stop()

    def stop(self) -> None:
        """End the service for good."""
        self.end()
        self.ledger.close()


class CallFeed:
    """The sandbox's calls of one kind, read on from where it was left."""

    def __init__(self, control: SandboxControl, **query: str) -> None:
        """`query` may have operation, system, brand."""
        self._control, self._query, self._after = control, query, 0

    def news(self) -> list[dict[str, Any]]:
        """Calls made since the last time, oldest first."""
        found: list[dict[str, Any]] = []
        while True:
            answer = self._control.get(
                "/control/calls", after=self._after, limit=PAGE, **self._query
            )
            page = answer["calls"]
            found += page
            if len(page) < PAGE:
                self._after = int(answer["total"])
                return found
            self._after = int(page[-1]["seq"])


def seconds_of(call: Mapping[str, Any]) -> float:
    """When a call was made, in seconds since the epoch."""
    return datetime.fromisoformat(call["time"]).timestamp()


@contextmanager
def fleet(
    folder: Path,
    slugs: Sequence[str],
    *,
    database: str | None = None,
    sandbox: Mapping[str, Any] | None = None,
    service: Mapping[str, Any] | None = None,
    brand: Mapping[str, Any] | None = None,
    keys: Mapping[str, str] | None = None,
) -> Generator[Fleet]:
    """A sandbox with these brands, and a service for them that is not started yet. `sandbox`,
    `service` and `brand` are settings that are not to be the default."""
    port = free_port()
    control = SandboxControl(f"http://127.0.0.1:{port}")
    arguments = ["bench.fleet", str(port), json.dumps(list(slugs)), json.dumps(dict(sandbox or {}))]
    process = Process(arguments, folder / "sandbox.log", {})
    made: Fleet | None = None
    try:
        process.start(control.healthy)
        made = Fleet(
            folder,
            control,
            database=database,
            service=service or {},
            brand=brand or {},
            keys=keys or {},
        )
        yield made
    finally:
        if made is not None:
            made.stop()
        process.stop()
        control.close()


def _secret(path: Path, value: str) -> str:
    """Keep a secret in a file, as the settings want it; the reference to it."""
    path.touch(mode=0o600)
    path.write_text(value)
    return f"file:{path}"


def _answers(url: str) -> bool:
    try:
        return httpx2.get(url).status_code == 200
    except httpx2.HTTPError:
        return False


# -- the sandbox ------------------------------------------------------------------------------


def serve_sandbox(port: int, slugs: Sequence[str], settings: Mapping[str, Any]) -> None:
    """A sandbox of these brands, without a return; runs until it is ended."""
    chosen = Settings()
    chosen.update(dict(settings))
    deliveries = Deliveries()
    world = SandboxWorld(7, 0, settings=chosen, sender=deliveries.send)
    deliveries.log = world.log
    models = catalogue.make_brands(7, world.settings.default_warehouse)
    world.brands.clear()
    for number, slug in enumerate(slugs):
        world.brands[slug] = _like(models[number % len(models)], slug, number)
    uvicorn.run(create_app(world), port=port, log_level="error", access_log=False)


def _like(model: Brand, slug: str, number: int) -> Brand:
    """A brand with a model's catalogue, all of it known to REX11: an import would be waited for
    by the first returns only."""
    fresh = {
        f.name: f.default_factory()
        for f in dataclasses.fields(model)
        if f.default_factory is not dataclasses.MISSING
    }
    brand = dataclasses.replace(
        model,
        slug=slug,
        shop_id=4100 + number,
        loop_key=f"key-{slug}",
        web_address=f"{slug}.example.com",
        user_name=f"{slug}-api",
        password=f"pw-{slug}",
        webhook_secret=f"whsec-{slug}",
        **fresh,
    )
    for product in brand.catalogue:
        brand.rex_products[product.upc] = RexProduct(product.sku, rex_values(product))
    return brand


class Deliveries:
    """Sends webhooks in order within a shop, and no shop's wait for another's: else the flood of
    one would hold up the others before the service has seen anything of it.

    In the sandbox's log a webhook stands at the time it was handed over to be sent, and once more
    as system `delivery` with its answer.
    """

    def __init__(self) -> None:
        self.log: Callable[[Call], None] = lambda call: None
        # Connections are given up well before the service does, or one could be used too late.
        limits = httpx2.Limits(max_connections=None, keepalive_expiry=2.0)
        self._http = httpx2.Client(timeout=30.0, limits=limits)
        self._shops: dict[str, ThreadPoolExecutor] = {}

    def send(self, item: Delivery) -> str:
        """Hand one over; called by the sandbox's one webhook thread."""
        if item.brand not in self._shops:
            self._shops[item.brand] = ThreadPoolExecutor(1, f"webhooks-{item.brand}")
        self._shops[item.brand].submit(self._deliver, item)
        return "handed over"

    def _deliver(self, item: Delivery) -> None:
        headers = {"Content-Type": "application/json", "X-Loop-Signature": item.signature}
        try:
            answer = self._http.post(item.url, content=item.body, headers=headers)
            outcome = str(answer.status_code)
        except httpx2.HTTPError as error:
            outcome = type(error).__name__
        self.log(Call("delivery", item.trigger, item.brand, item.subject, outcome))


if __name__ == "__main__":
    serve_sandbox(int(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3]))
