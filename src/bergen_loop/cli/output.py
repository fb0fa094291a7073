"""What commands print: tables for people, JSON for machines.

The one way to a terminal. A text is never read as markup, and nothing in it steers the terminal;
style comes by `line` alone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NoReturn

import typer
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text

from bergen_loop.text import json_escaped, visible, visible_lines


class Terminal(Console):
    """A console for which every text is text."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """As Rich does, with every text made visible on its way out."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control else Segment(visible_lines(text), style)

    def render_str(self, text: str, **how: Any) -> Text:  # pyright: ignore[reportIncompatibleMethodOverride]
        """As Rich does, but measured as it will be shown, and never read as markup."""
        how |= {"markup": False, "emoji": False}
        return super().render_str(visible_lines(text), **how)


console = Terminal()
errors = Terminal(stderr=True)


def line(*parts: str | tuple[str, str | Style]) -> Text:
    """One line of texts, each plain or with a style: `line(("Return 5", "bold"), " of acme")`."""
    return Text.assemble(
        *(visible(p) if isinstance(p, str) else (visible(p[0]), p[1]) for p in parts)
    )


def say(*parts: str | tuple[str, str | Style], whole: bool = False) -> None:
    """Print one line, broken between words where it is too long; `whole`: never, since programs
    or people copy it."""
    console.print(line(*parts), soft_wrap=whole)


def print_json(data: Any) -> None:
    """One JSON document on standard output. What would steer a terminal is escaped in it."""
    text = json.dumps(data, indent=2, default=_default, ensure_ascii=False)
    sys.stdout.write(json_escaped(text) + "\n")


def _default(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


GAP = 2
PROSE = 24
"""A column with a longer text than this may be broken between words; others never are."""


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Listing:
    """A table that fits the terminal; numbers to the right."""
    return Listing(title, columns, rows)


class Listing:
    """Rows under column heads. What is short, such as an id, is never broken and nothing is ever
    cut: sentences are broken between words, and where even so a row is too wide, what does not
    fit stands below it."""

    def __init__(
        self, title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]
    ) -> None:
        given = [list(row) for row in rows]
        self.title, self.columns = visible(title), [visible(column) for column in columns]
        self._right = [
            bool(given) and all(isinstance(row[i], int) for row in given)
            for i in range(len(self.columns))
        ]
        self.rows = [["" if c is None else visible_lines(str(c)) for c in row] for row in given]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.title:
            yield Text(self.title, style="bold")
        if not self.rows:
            yield Text("none", style="dim")
            return
        most, sizes = options.max_width, [self._column(i) for i in range(len(self.columns))]
        beside = list(range(len(sizes)))
        if (widths := _fitted(sizes, most)) is not None:
            yield self._grid(beside, widths, self.rows)
            return
        beside = [i for i in beside if i == 0 or sizes[i][1] < PROSE]
        while beside and (widths := _fitted([sizes[i] for i in beside], most)) is None:
            beside.pop()
        yield from self._lines(beside, widths or [], most)

    def _column(self, index: int) -> tuple[int, int]:
        """What a column would fill, and what it needs at least: a head may be broken between
        words, a short text never."""
        texts, head = [row[index] for row in self.rows], self.columns[index]
        filled = max(cell_len(line) for text in texts for line in text.split("\n"))
        least = max(_longest(head), min(PROSE, filled))
        if filled > PROSE:
            least = max([least, *map(_longest, texts)])
        return max(cell_len(head), filled), least

    def _grid(
        self, which: Sequence[int], widths: Sequence[int], rows: Sequence[Sequence[str]]
    ) -> Table:
        grid = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
        for i, width in zip(which, widths, strict=True):
            justify = "right" if self._right[i] else "left"
            grid.add_column(Text(self.columns[i]), width=width, justify=justify, overflow="fold")
        for row in rows:
            grid.add_row(*(Text(row[i]) for i in which))
        return grid

    def _lines(self, beside: Sequence[int], widths: Sequence[int], most: int) -> RenderResult:
        """Each row: some columns beside each other, and below them the others."""
        below = [i for i in range(len(self.columns)) if i not in beside]
        if beside:
            yield self._grid(beside, widths, [])
        label = max((cell_len(self.columns[i]) for i in below), default=0) + GAP
        for row in self.rows:
            one = self._grid(beside, widths, [row])
            one.show_header = False
            yield one
            under = Table(box=None, show_header=False, pad_edge=False, padding=0)
            under.add_column(width=GAP + label)
            under.add_column(max_width=most - GAP - label, overflow="fold")
            for i in below:
                if row[i]:
                    under.add_row(Text(" " * GAP + self.columns[i], style="dim"), Text(row[i]))
            yield under


def _longest(text: str) -> int:
    """The width of its longest word."""
    return max(map(cell_len, text.split()), default=0)


def _fitted(sizes: Sequence[tuple[int, int]], most: int) -> list[int] | None:
    """The widths of columns of these sizes (as a whole, at least); None where they do not fit
    beside each other."""
    whole, least = zip(*sizes, strict=True)
    room = most - GAP * (len(sizes) - 1)
    if sum(whole) <= room:
        return list(whole)
    if sum(least) > room:
        return None
    spare, wanting = room - sum(least), [w - m for w, m in zip(whole, least, strict=True)]
    return [m + spare * want // sum(wanting) for m, want in zip(least, wanting, strict=True)]


def cells(text: str) -> int:
    """How wide a text is in a terminal."""
    return cell_len(text)


def fail(message: str, code: int = 1) -> NoReturn:
    """End with an error message, of several lines if need be."""
    errors.print(Text("error: ", style="bold red"), end="")
    errors.print(message, soft_wrap=True)
    raise typer.Exit(code)


def warn(message: str) -> None:
    """Tell what should be known, beside what was asked for."""
    errors.print(line(("warning: ", "bold yellow"), message), soft_wrap=True)


def when(value: datetime | None) -> str:
    """A time for people, in UTC."""
    return f"{value:%Y-%m-%d %H:%M:%S}" if value else ""
