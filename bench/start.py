"""How long until the command line has answered, and a service with two hundred brands.

python -m bench.start [--brands 200] [--runs 5]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from demo.results import ALL_SEVEN

from bench.fleet import Fleet, fleet
from bench.latency import known_for_long
from bench.report import Section, median, section
from bench.rig import quiet


def ready(made: Fleet) -> tuple[float, float]:
    """Seconds from the service's start until it answers, and its processor's."""
    began = time.perf_counter()
    made.start()
    taken = time.perf_counter() - began, made.cpu()
    made.end()
    return taken


def command(*arguments: str) -> float:
    """Seconds that a command takes."""
    began = time.perf_counter()
    asked = [sys.executable, "-m", "bergen_loop", *arguments]
    subprocess.run(asked, check=True, capture_output=True)  # noqa: S603 - our own program
    return time.perf_counter() - began


def first_through(folder: Path) -> tuple[float, float]:
    """Seconds until the demonstration's first return has come through all seven moments, and
    until it has shown all it has to show."""
    kept = folder / "demo.json"
    began = time.perf_counter()
    asked = [sys.executable, "-m", "demo", "--json", str(kept)]
    subprocess.run(asked, check=True, capture_output=True)  # noqa: S603 - our own program
    told = json.loads(kept.read_text())
    assert all(counts[ALL_SEVEN] for counts in told["brands"].values())
    return told["first_through"], time.perf_counter() - began


def main() -> Section:
    """Measure, print, and return the section for docs/benchmarks.md."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--brands", type=int, default=200)
    parser.add_argument("--runs", type=int, default=5)
    options, _ = parser.parse_known_args()
    quiet()
    helps = [command("--help") for _ in range(options.runs)]
    with tempfile.TemporaryDirectory(prefix="bergen-loop-bench-") as name:
        folder = Path(name)
        first, whole = first_through(folder)
        slugs = [f"brand-{n:03d}" for n in range(options.brands)]
        with fleet(folder, slugs, brand={"poll": "60s", "poll_max": "60s"}) as made:
            known_for_long(made)
            ready(made)  # the engine's tables are made at the first start
            starts = [ready(made) for _ in range(options.runs)]
    rows = [
        ("bergen-loop --help", f"{median(helps):.2f}", "-"),
        (
            f"serve, {options.brands} brands in its file, until it answers",
            f"{median([s for s, _ in starts]):.2f}",
            f"{median([c for _, c in starts]):.2f}",
        ),
        ("demo, its first return through all seven moments", f"{first:.1f}", "-"),
        ("demo, all 360 returns at rest", f"{whole:.1f}", "-"),
    ]
    return section(
        "Start",
        "python -m bench.start",
        [
            f"Seconds, medians of {options.runs} (the demonstration: one run), on SQLite, with "
            "what Python has compiled kept. The demonstration's are from its own begin, sandbox "
            "and service started in it; in its sandbox an import of products takes a second, a "
            "label three."
        ],
        ["", "seconds", "of the processor"],
        rows,
    )


if __name__ == "__main__":
    main()
