"""Sections of docs/benchmarks.md."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console

from bergen_loop.cli.output import table


@dataclass(frozen=True)
class Section:
    """One benchmark's part of the page."""

    title: str
    command: str
    text: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]

    def markdown(self) -> str:
        """As it stands in docs/benchmarks.md."""
        head = "| " + " | ".join(self.columns) + " |"
        line = "|" + "|".join("---" for _ in self.columns) + "|"
        body = ["| " + " | ".join(str(c) for c in row) + " |" for row in self.rows]
        parts = [
            f"## {self.title}",
            *self.text,
            "\n".join([head, line, *body]),
            f"`{self.command}`",
        ]
        return "\n\n".join(parts) + "\n"


def section(
    title: str,
    command: str,
    text: Sequence[str],
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
) -> Section:
    """Print a section, and return it."""
    made = Section(title, command, tuple(text), tuple(columns), tuple(tuple(r) for r in rows))
    console = Console()
    console.print(table(title, columns, rows))
    return made


def median(values: Sequence[float]) -> float:
    """The median; benchmarks run several times and tell this."""
    return statistics.median(values)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of all lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
