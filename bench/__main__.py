"""Run every benchmark and write docs/benchmarks.md: `make bench`, or some by name:
`make bench BENCH="calls growth"`."""

from __future__ import annotations

import importlib
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

from bench.report import Section
from bench.rig import machine

PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
ALL = (
    "calls",
    "http_clients",
    "rate",
    "start",
    "growth",
    "backfill",
    "cost",
    "footprint",
    "among",
    "thousand",
    "latency",
    "isolation",
    "pages",
    "under_attack",
)
HEAD = """\
# Benchmarks

Figures are ratios taken in one run on one machine, medians where a figure is taken several
times; they are measured, never asserted by a test. `make bench` makes them all and writes this
page; each section names its own command.
"""


def main() -> None:
    """Each benchmark's section replaces its old one; the others stay."""
    names = [a for a in sys.argv[1:] if a in ALL] or list(ALL)
    for name in names:
        module = importlib.import_module(f"bench.{name}")
        made: Section = module.main()
        stamp = f"Measured {datetime.now(UTC):%Y-%m-%d} on {machine()}."
        sections = _known()  # another may have been written meanwhile
        sections[made.title] = made.markdown() + f"\n{stamp}\n"
        PAGE.write_text("\n".join([HEAD, *sections.values()]), encoding="utf-8")


def _known() -> dict[str, str]:
    if not PAGE.exists():
        return {}
    parts = re.split(r"^(?=## )", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {p.splitlines()[0].removeprefix("## "): p.rstrip() + "\n" for p in parts[1:]}


if __name__ == "__main__":
    main()
