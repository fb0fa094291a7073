"""A sandbox as a process of its own, and one brand connected to it without a limit of calls."""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import structlog
from demo.processes import Process, free_port
from demo.world import SandboxControl
from pydantic import SecretStr

from bergen_loop.config import BrandSettings
from bergen_loop.domain.criteria import preset
from bergen_loop.flow import tick
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.tables.core import ReturnRow
from bergen_loop.outside.http import Around, RateLimiter, SlidingWindowLimiter
from bergen_loop.outside.loop.client import LoopClient, LoopConfig
from bergen_loop.outside.warehouse.rex11 import Rex11Config, Rex11Warehouse

BRAND = "northpine"
SUPPLIER = {"company_name": "Northpine Apparel", "state": "NJ", "country": "United States"}
"""What REX11 asks of every ticket."""
ANNOUNCE = {
    "label_wait": "0s",
    "add_products": True,
    "product_poll": "1s",
    "supplier": SUPPLIER,
}
NO_LIMIT = 10**9
PROCESSED = "processed"
"""In the sandbox's log: not a call, but a processing that has come to its end."""


@dataclass
class Rig:
    """What a benchmark works with."""

    sandbox: SandboxControl
    ledger: Ledger
    ctx: BrandContext
    config: dict[str, Any]

    def calls(self) -> Counter[tuple[str, str]]:
        """All calls the sandbox has seen, by system and operation."""
        counts: Counter[tuple[str, str]] = Counter()
        after = 0
        while True:
            page = self.sandbox.get("/control/calls", after=after, limit=20000)["calls"]
            if not page:
                return counts
            counts.update(
                (c["system"], c["operation"]) for c in page if c["operation"] != PROCESSED
            )
            after = page[-1]["seq"]

    def submit(self, number: int) -> None:
        """Customers submit so many returns."""
        for start in range(0, number, 1000):
            values = {"brand": BRAND, "count": min(1000, number - start), "late_label": False}
            self.sandbox.post("/control/returns", values)

    def receive(self, mix: dict[str, int]) -> dict[str, int]:
        """Let a parcel arrive for every ticket that waits for one."""
        return self.sandbox.post("/control/parcels/auto", {"mix": mix})["kinds"]

    def moving(self, *stages: str) -> int:
        """Number of returns in these stages that no person has to look at."""
        query = sa.select(sa.func.count()).select_from(ReturnRow)
        with self.ledger.read() as session:
            return (
                session.scalar(query.where(ReturnRow.stage.in_(stages), ReturnRow.held.is_(False)))
                or 0
            )

    def until_none(self, *stages: str, seconds: float = 900.0) -> int:
        """Ticks, a breath between them, until no return is in one of these stages; how many."""
        until, ticks, left = time.monotonic() + seconds, 0, 0
        while time.monotonic() < until:
            tick.run(self.ctx)
            ticks += 1
            left = self.moving(*stages)
            if not left:
                return ticks
            time.sleep(0.5)
        raise TimeoutError(f"still {left} returns in {', '.join(stages)} after {seconds} s")


def quiet() -> None:
    """No logging: it is not what is measured."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        cache_logger_on_first_use=True,
    )


@contextmanager
def rig(
    returns: int,
    *,
    database: str | None = None,
    limiter: RateLimiter | None = None,
    sandbox_limit: int = NO_LIMIT,
    concurrency: int = 8,
    mix_settings: tuple[str, ...] = (),
) -> Generator[Rig]:
    """A rig over `returns` returns of one brand. `database` None: an embedded ledger."""
    quiet()
    with tempfile.TemporaryDirectory(prefix="bergen-loop-bench-") as name:
        folder = Path(name)
        port = free_port()
        sandbox = SandboxControl(f"http://127.0.0.1:{port}")
        options = (
            f"rate_limit_per_minute={sandbox_limit}",
            "processing_min_seconds=0.2",
            "processing_max_seconds=0.5",
            "late_label_share=0",
            "unkind=false",  # what an unkind system leaves to people would never end
            *mix_settings,
        )
        process = Process(
            [
                "loop_sandbox",
                *("--port", str(port), "--returns", str(returns), "--log-level", "error"),
                *(part for option in options for part in ("--set", option)),
            ],
            folder / "sandbox.log",
            {},
        )
        process.start(sandbox.healthy)
        ledger = Ledger(database or f"sqlite:///{folder}/ledger.db")
        ledger.migrate()
        try:
            config = sandbox.config()
            ctx = connect(
                ledger, config, limiter or SlidingWindowLimiter(limit=NO_LIMIT), concurrency
            )
            yield Rig(sandbox, ledger, ctx, config)
        finally:
            ledger.close()
            process.stop()
            sandbox.close()


def connect(
    ledger: Ledger, config: dict[str, Any], limiter: RateLimiter, concurrency: int
) -> BrandContext:
    """The brand, connected, live, by the standard criteria."""
    known = next(b for b in config["brands"] if b["slug"] == BRAND)
    settings = BrandSettings.model_validate(
        {
            "name": known["name"],
            "mode": "live",
            "loop": {
                "api_key": SecretStr(known["loop_api_key"]),
                "base_url": config["loop_base_url"],
            },
            "rex11": {
                "endpoint": config["rex11_endpoint"],
                "web_address": known["rex11_web_address"],
                "user_name": known["rex11_user_name"],
                "password": SecretStr(known["rex11_password"]),
            },
            "announce": ANNOUNCE,
            "settle": {"concurrency": concurrency},
        }
    )
    loop = LoopClient(
        brand=BRAND,
        api_key=settings.loop.api_key.get_secret_value(),
        config=LoopConfig(base_url=settings.loop.base_url),
        around=Around(limiter=limiter),
    )
    rex11 = Rex11Config(
        endpoint=settings.rex11.endpoint,
        web_address=settings.rex11.web_address,
        user_name=settings.rex11.user_name,
        password=settings.rex11.password.get_secret_value(),
    )
    return BrandContext(
        brand=BRAND,
        settings=settings,
        ledger=ledger,
        loop=loop,
        warehouse=Rex11Warehouse(BRAND, rex11),
        criteria=preset("standard"),
    )


def machine() -> str:
    """What this was measured on."""
    model = "unknown CPU"
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            x.split(":", 1)[1].strip() for x in info.read_text().splitlines() if "model name" in x
        ]
        model = names[0] if names else model
    return f"{os.cpu_count()} cores, {model}"
