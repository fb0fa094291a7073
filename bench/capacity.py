"""How many machines, connections and terabytes so many brands and returns need, from the figures
in docs/benchmarks.md; writes the tables of docs/capacity.md.

python -m bench.capacity [--brands 1000] [--returns 100000000] [--write]
"""

from __future__ import annotations

import argparse
import math
import re
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"
BEGIN, END = "<!-- model: begin -->", "<!-- model: end -->"
LOOP_LIMIT = 300
"""Calls a minute and key."""


@dataclass(frozen=True)
class Load:
    """What is to be carried. The peak is what has to be carried without falling behind."""

    brands: int = 1000
    returns: int = 100_000_000
    """In a year."""
    season: float = 3.0
    """The busiest day against the average one: January."""
    busiest_hour: float = 1 / 8
    """Share of a day's returns in its busiest hour."""
    poll: float = 60.0
    """Seconds between two ticks of a brand in which something happens."""
    utilisation: float = 0.6
    """How full a core may be at the peak."""

    @property
    def a_second(self) -> float:
        """Returns a second at the peak."""
        return self.returns / 365 * self.season * self.busiest_hour / 3600

    @property
    def ticks(self) -> float:
        """Ticks a second at the peak, when every brand has something to do."""
        return self.brands / self.poll


@dataclass(frozen=True)
class Figures:
    """Measured: which section of docs/benchmarks.md each is from is said where it is read."""

    cpu_return: float
    """Seconds of processor time of a return's whole life."""
    cpu_tick: float
    """Seconds of processor time of a tick in which nothing happens."""
    cpu_engine: float
    """Seconds a durable workflow takes in the engine: an upper bound of a tick's bookkeeping."""
    transactions: float
    bytes_packed: float
    bytes_loose: float
    commits: float
    """Bare commits a second of the same database."""
    calls_processed: float
    idle_growth: float

    CROWD = 4.0
    """A tick in a service of 200 brands takes about 0.1 s of processor time all included (threads
    that take turns, the engine's polling, webhooks), four times what it takes alone; seen on the
    service as a whole (`python -m bench.latency`), not broken down."""
    TICK_COMMITS = 16
    """Transactions of a tick by itself, the engine's steps included."""

    @classmethod
    def measured(cls) -> Figures:
        page = Page((DOCS / "benchmarks.md").read_text(encoding="utf-8"))
        cost = page.row("What a return costs the service", "PostgreSQL")
        growth = page.last_row("Growth")
        dbos = page.row("Sustained rate", "one DBOS workflow per return, PostgreSQL")
        commits = page.row("Sustained rate", "bare commits, PostgreSQL")
        calls = page.row("Calls per return", "at the limit: all at once")
        return cls(
            cpu_return=number(cost["CPU ms a return"]) / 1000,
            cpu_tick=number(growth["CPU milliseconds"]) / 1000,
            cpu_engine=1 / number(dbos["a second (least to most)"]),
            transactions=number(cost["transactions a return"]),
            bytes_packed=number(cost["bytes a return, packed"]),
            bytes_loose=number(cost["bytes a return"]),
            commits=number(commits["a second (least to most)"]),
            calls_processed=number(calls["Loop calls per processed"]),
            idle_growth=number(growth["ratio"]),
        )


class Page:
    """The tables of docs/benchmarks.md."""

    def __init__(self, text: str) -> None:
        parts = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
        self._tables = {part.splitlines()[0]: self._table(part) for part in parts}

    def row(self, title: str, name: str) -> dict[str, str]:
        """The row that begins with `name`. KeyError names what is missing."""
        for row in self._tables[title]:
            if next(iter(row.values())) == name:
                return row
        raise KeyError(f"docs/benchmarks.md, {title}: no row {name!r}; run its benchmark first")

    def last_row(self, title: str) -> dict[str, str]:
        return self._tables[title][-1]

    @staticmethod
    def _table(part: str) -> list[dict[str, str]]:
        lines = [x for x in part.splitlines() if x.startswith("|")]
        cells = [[c.strip() for c in line.strip("|").split("|")] for line in lines]
        return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]


def number(cell: str) -> float:
    """The first number of a cell: `1,260 (1,100 to 1,300)` is 1260."""
    found = re.search(r"[\d,]+(?:\.\d+)?", cell)
    if found is None:
        raise ValueError(f"no number in {cell!r}")
    return float(found.group().replace(",", ""))


@dataclass(frozen=True)
class Need:
    """One resource: what the peak takes of it, and how much there is."""

    name: str
    need: float
    have: float
    unit: str
    remedy: str

    @property
    def headroom(self) -> float:
        return self.have / self.need


def cores(load: Load, figures: Figures) -> float:
    """Cores busy at the peak."""
    ticks = load.ticks * (figures.cpu_tick + figures.cpu_engine) * figures.CROWD
    return ticks + load.a_second * figures.cpu_return


def processes(load: Load, figures: Figures) -> int:
    """Worker processes, each good for one core (Python's lock), and one to spare."""
    return math.ceil(cores(load, figures) / load.utilisation) + 1


def needs(load: Load, figures: Figures) -> list[Need]:
    """Every resource at the peak, that which is nearest to its end first."""
    commits = load.a_second * figures.transactions + load.ticks * figures.TICK_COMMITS
    a_brand = load.a_second / load.brands * 60
    biggest = 20 * a_brand
    found = [
        Need(
            "one PostgreSQL's commits",
            commits,
            figures.commits,
            "a second",
            "a faster disk for the write-ahead log; a longer `poll`; then two installations",
        ),
        Need(
            "the engine's workflows (one a tick)",
            load.ticks,
            2 / figures.cpu_engine / figures.CROWD,
            "a second, two processes",
            "a longer `poll`, more worker processes",
        ),
        Need(
            "Loop's limit of the average brand",
            a_brand * figures.calls_processed + 60 / load.poll * 3,
            LOOP_LIMIT,
            "calls a minute",
            "nothing: it is Loop's",
        ),
        Need(
            "Loop's limit of a brand twenty times the average",
            biggest * figures.calls_processed + 60 / load.poll * 3,
            LOOP_LIMIT,
            "calls a minute",
            "ask Loop for a second key or a higher limit",
        ),
    ]
    return sorted(found, key=lambda n: n.headroom)


def tables(load: Load, figures: Figures) -> str:
    """The model's answer as Markdown."""
    year = load.returns
    count = processes(load, figures)
    rows = [
        ("returns a second at the peak", f"{load.a_second:.0f}"),
        ("ticks a second at the peak", f"{load.ticks:.0f}"),
        ("cores busy at the peak, all workers", f"{cores(load, figures):.1f}"),
        ("worker processes, one to spare", f"{count}"),
        ("machines of 2 cores and 4 GiB for them", f"{max(2, math.ceil(count / 2))}"),
        ("database connections (pool of 40 and 20 a process)", f"up to {count * 60}"),
        ("database, packed", f"{year * figures.bytes_packed / 1e12:.1f} TB a year"),
        ("database, never vacuumed", f"{year * figures.bytes_loose / 1e12:.1f} TB a year"),
    ]
    parts = [
        f"For {load.brands:,} brands and {year:,} returns a year:",
        "\n".join(["| | |", "|---|---|", *(f"| {a} | {b} |" for a, b in rows)]),
        "What the peak takes of each resource, that with the least room first:",
        "\n".join(
            [
                "| resource | at the peak | there is | room | when it is short |",
                "|---|---|---|---|---|",
                *(
                    f"| {n.name} | {n.need:.1f} | {n.have:,.0f} {n.unit} | {n.headroom:.1f}x "
                    f"| {n.remedy} |"
                    for n in needs(load, figures)
                ),
            ]
        ),
    ]
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--brands", type=int, default=Load.brands)
    parser.add_argument("--returns", type=int, default=Load.returns)
    parser.add_argument("--write", action="store_true", help="into docs/capacity.md")
    options = parser.parse_args()
    text = tables(Load(options.brands, options.returns), Figures.measured())
    print(text)  # noqa: T201
    if options.write:
        page = DOCS / "capacity.md"
        old = page.read_text(encoding="utf-8")
        head, rest = old.split(BEGIN)
        _, tail = rest.split(END)
        page.write_text(f"{head}{BEGIN}\n\n{text}\n\n{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
