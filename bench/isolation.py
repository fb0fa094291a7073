"""Does one brand's trouble slow another? Fifty brands, five of them in trouble for half the time.

python -m bench.isolation [--seconds 60] [--brands 50] [--database URL]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from bench.fleet import CallFeed, Fleet, fleet, seconds_of
from bench.report import Section, percentile, section
from bench.rig import ANNOUNCE, machine, quiet
from bergen_loop.ledger.store import modes
from bergen_loop.ledger.transaction import transaction

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


class Bench:
    """The service with its brands, and the customers."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet, self.control = fleet, fleet.control
        self.good = [slug for slug in fleet.slugs if slug not in BAD]
        self.told = set(self.good[::2])
        """Brands with webhooks; the others are only polled."""

    def trouble(self, begins: bool) -> None:
        """Have the bad brands synced, or not."""
        mode = "live" if begins else "paused"
        for brand in BAD:
            with transaction(self.fleet.ledger, brand, datetime.now(UTC), "bench") as tx:
                modes.set_mode(tx, mode, configured="live", why="bench")
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
        for call in CallFeed(self.control, operation="ReceivingTicketAdd").news():
            found.setdefault(str(call["subject"]), seconds_of(call))
        return found


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
    names = [*BAD, *(f"brand-{n:02d}" for n in range(brands - len(BAD)))]
    with fleet(
        folder,
        names,
        database=database,
        sandbox={"hang_seconds": 3600.0, "late_label_share": 0.0},
        service={"schedule": "1s"},
        brand={
            "poll": f"{POLL}s",
            "poll_max": f"{POLL}s",
            "announce": ANNOUNCE,
        },
        keys={"dead-key": "key-that-was-revoked"},
    ) as made:
        bench = Bench(made)
        bench.trouble(begins=False)
        made.control.post("/control/faults", [
            {"system": "loop", "kind": "status_429", "brand": "storm"},
            {"system": "rex11", "kind": "timeout_before", "brand": "hanging"},
            {"system": "rex11", "kind": "truncated", "brand": "poison",
             "operation": "ReceivingTicketAdd"},
        ])  # fmt: skip
        made.start()
        made.subscribe(bench.told, [("return", "return.created")])
        yield bench


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
    main()
