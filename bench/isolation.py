"""Does one brand's trouble slow another? Fifty brands, five of them in trouble for half the time.

python -m bench.isolation [--seconds 60] [--brands 50] [--database URL]
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import uvicorn

from bench.report import Section, percentile, section
from bench.rig import machine, quiet
from bergen_loop.demo.processes import Process, free_port
from bergen_loop.demo.world import SandboxControl
from bergen_loop.ledger import modes
from bergen_loop.ledger.database import Ledger
from bergen_loop.sandbox import SandboxWorld, Settings, catalogue, create_app
from bergen_loop.sandbox.model import RexProduct
from bergen_loop.sandbox.world import rex_values

BAD = {
    "dead-key": "its key is refused",
    "storm": "every Loop call is answered 429",
    "hanging": "REX11 takes its calls and never answers",
    "poison": "answers about its tickets are cut off after they took effect",
    "flood": "400 returns at once",
}
PER_SECOND = 1.0
"""New returns, over all brands that are well."""
SETTLING_IN = 15.0
POLL = 30


def serve_sandbox(port: int, brands: int) -> None:
    """A sandbox of many brands; runs until it is ended."""
    world = SandboxWorld(7, 0, settings=Settings(hang_seconds=3600.0, late_label_share=0.0))
    models = catalogue.make_brands(7, world.settings.default_warehouse)
    world.brands.clear()
    names = [*BAD, *(f"brand-{n:02d}" for n in range(brands - len(BAD)))]
    for number, slug in enumerate(names):
        model = models[number % len(models)]
        brand = dataclasses.replace(
            model,
            slug=slug,
            shop_id=4100 + number,
            loop_key=f"key-{slug}",
            web_address=f"{slug}.example.com",
            user_name=f"{slug}-api",
            password=f"pw-{slug}",
            webhook_secret=f"whsec-{slug}",
            **{f.name: f.default_factory() for f in dataclasses.fields(model)
               if f.default_factory is not dataclasses.MISSING},
        )  # fmt: skip
        world.brands[slug] = brand
        for product in brand.catalogue:  # an import would be waited for, in the first half only
            brand.rex_products[product.upc] = RexProduct(product.sku, rex_values(product))
    uvicorn.run(create_app(world), port=port, log_level="error", access_log=False)


class Bench:
    """The service with its brands, and the customers."""

    def __init__(self, folder: Path, database: str | None, control: SandboxControl) -> None:
        self.control = control
        self.known = control.config()
        self.port = free_port()
        self.database = database or f"sqlite:///{folder}/ledger.db"
        self.config = folder / "bergen-loop.yaml"
        self.config.write_text(self._settings(folder))
        self.ledger = Ledger(self.database)
        self.ledger.migrate()
        self.good = [b["slug"] for b in self.known["brands"] if b["slug"] not in BAD]
        self.told = set(self.good[::2])
        """Brands with webhooks; the others are only polled."""

    def _settings(self, folder: Path) -> str:
        text = f"""
service:
  database: {self.database}
  schedule: 1s
brands:
"""
        for brand in self.known["brands"]:
            slug = brand["slug"]
            key = "key-that-was-revoked" if slug == "dead-key" else brand["loop_api_key"]
            names = {"key": key, "hook": brand["loop_webhook_secret"]}
            names["password"] = brand["rex11_password"]
            for name, value in names.items():
                secret = folder / f"{slug}-{name}"
                secret.touch(mode=0o600)
                secret.write_text(value)
            text += f"""
  {slug}:
    name: {slug}
    mode: live
    poll: {POLL}s
    poll_max: {POLL}s
    loop:
      api_key: file:{folder}/{slug}-key
      webhook_secret: file:{folder}/{slug}-hook
      base_url: {self.known["loop_base_url"]}
    rex11:
      endpoint: {self.known["rex11_endpoint"]}
      web_address: {brand["rex11_web_address"]}
      user_name: {brand["rex11_user_name"]}
      password: file:{folder}/{slug}-password
    announce: {{label_wait: 0s, add_products: true, product_poll: 1s}}
"""
        return text

    def subscribe(self) -> None:
        """Have Loop send webhooks of half of the brands that are well."""
        for brand in self.known["brands"]:
            if brand["slug"] in self.told:
                answer = httpx2.post(
                    f"{self.known['loop_base_url']}/2026-10/webhooks",
                    headers={"X-Authorization": brand["loop_api_key"]},
                    json={
                        "topic": "return",
                        "trigger": "return.created",
                        "status": "active",
                        "url": f"http://127.0.0.1:{self.port}/webhooks/loop/{brand['slug']}",
                    },
                )
                answer.raise_for_status()

    def trouble(self, begins: bool) -> None:
        """Have the bad brands synced, or not."""
        with self.ledger.write() as session:
            for brand in BAD:
                modes.set_mode(
                    session, datetime.now(UTC), brand, "live" if begins else "paused",
                    configured="live", who="bench", why="bench",
                )  # fmt: skip
        if begins:
            self.control.post("/control/returns", {"brand": "flood", "count": 400})
            for brand in ("hanging", "poison", "storm", "dead-key"):
                self.control.post("/control/returns", {"brand": brand, "count": 20})

    def customers(self, seconds: float) -> dict[str, tuple[str, float]]:
        """Returns are submitted for so long: brand and time of each."""
        made: dict[str, tuple[str, float]] = {}
        started, number = time.monotonic(), 0
        while time.monotonic() - started < seconds:
            brand = self.good[number % len(self.good)]
            at = time.time()
            answer = self.control.post("/control/returns", {"brand": brand, "late_label": False})
            made[str(answer["returns"][0]["id"])] = (brand, at)
            number += 1
            time.sleep(max(0.0, started + number / PER_SECOND - time.monotonic()))
        until = time.monotonic() + 3 * POLL
        while time.monotonic() < until and {f"LR-{i}" for i in made} - set(self.tickets()):
            time.sleep(1)
        return made

    def tickets(self) -> dict[str, float]:
        """When each PO's ticket was made."""
        found: dict[str, float] = {}
        after = 0
        while True:
            page = self.control.get("/control/calls", operation="ReceivingTicketAdd", after=after)
            if not page["calls"]:
                return found
            for call in page["calls"]:
                at = datetime.fromisoformat(call["time"]).timestamp()
                found.setdefault(str(call["subject"]), at)
            after = page["calls"][-1]["seq"]


def latencies(bench: Bench, made: dict[str, tuple[str, float]]) -> dict[str, list[float]]:
    """Seconds from submitting to the ticket, by how the brand learns of it."""
    tickets = bench.tickets()
    result: dict[str, list[float]] = {"webhook": [], "poll": []}
    for return_id, (brand, at) in made.items():
        made_at = tickets.get(f"LR-{return_id}")
        seconds = made_at - at if made_at else float("inf")
        result["webhook" if brand in bench.told else "poll"].append(seconds)
    return result


@contextmanager
def running(folder: Path, database: str | None, brands: int) -> Generator[Bench]:
    """Sandbox and service as processes."""
    port = free_port()
    control = SandboxControl(f"http://127.0.0.1:{port}")
    arguments = ["bench.isolation", "--sandbox", str(port), "--brands", str(brands)]
    sandbox = Process(arguments, folder / "sandbox.log", {})
    sandbox.start(control.healthy)
    bench = Bench(folder, database, control)
    service = Process(
        ["bergen_loop", "--log-level", "WARNING", "serve", "--no-auth", "-c", str(bench.config),
         "--port", str(bench.port)],
        folder / "service.log",
        {},
    )  # fmt: skip
    try:
        bench.trouble(begins=False)
        control.post("/control/faults", [
            {"system": "loop", "kind": "status_429", "brand": "storm"},
            {"system": "rex11", "kind": "timeout_before", "brand": "hanging"},
            {"system": "rex11", "kind": "truncated", "brand": "poison",
             "operation": "ReceivingTicketAdd"},
        ])  # fmt: skip
        service.start(lambda: _answers(f"http://127.0.0.1:{bench.port}/health"))
        bench.subscribe()
        yield bench
    finally:
        service.stop()
        sandbox.stop()
        bench.ledger.close()
        control.close()


def _answers(url: str) -> bool:
    try:
        return httpx2.get(url).status_code == 200
    except httpx2.HTTPError:
        return False


def main() -> Section:
    """Measure, print, and return the section for docs/benchmarks.md."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--brands", type=int, default=50)
    parser.add_argument("--database")
    options, _ = parser.parse_known_args()
    quiet()
    with (
        tempfile.TemporaryDirectory(prefix="bergen-loop-bench-") as name,
        running(Path(name), options.database, options.brands) as bench,
    ):
        time.sleep(SETTLING_IN)
        alone = bench.customers(options.seconds)
        bench.trouble(begins=True)
        time.sleep(SETTLING_IN)
        together = bench.customers(options.seconds)
        before, with_bad = latencies(bench, alone), latencies(bench, together)
    rows: list[tuple[object, ...]] = []
    for way in ("webhook", "poll"):
        for share in (0.5, 0.95):
            a, b = percentile(before[way], share), percentile(with_bad[way], share)
            rows.append((way, f"p{share * 100:.0f}", f"{a:.2f}", f"{b:.2f}", f"{b / a:.2f}"))
    return section(
        "One brand's trouble and the others' time",
        "python -m bench.isolation",
        [
            f"{options.brands} brands in one service ({machine()}, sandbox on the same machine): "
            f"seconds from a customer's return to its RMA, {len(alone)} and {len(together)} "
            f"returns, half of the brands with webhooks, half polled every {POLL} s. First alone, "
            "then, in the same run, with five brands in trouble: "
            + "; ".join(f"{k}: {v}" for k, v in BAD.items()) + ".",
        ],
        ["brand learns by", "", "alone (s)", "with the five (s)", "ratio"],
        rows,
    )  # fmt: skip


if __name__ == "__main__":
    if "--sandbox" in sys.argv:
        at = sys.argv.index("--sandbox")
        serve_sandbox(int(sys.argv[at + 1]), int(sys.argv[sys.argv.index("--brands") + 1]))
    else:
        main()
