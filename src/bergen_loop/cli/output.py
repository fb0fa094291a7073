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
from rich.console import Console, ConsoleOptions, RenderableType
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


def say(*parts: str | tuple[str, str | Style], end: str = "\n") -> None:
    """Print one line, broken by the terminal alone."""
    console.print(line(*parts), end=end, soft_wrap=True)


def print_json(data: Any) -> None:
    """One JSON document on standard output. What would steer a terminal is escaped in it."""
    text = json.dumps(data, indent=2, default=_default, ensure_ascii=False)
    sys.stdout.write(json_escaped(text) + "\n")


def _default(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A table; numbers to the right."""
    result = Table(title=title, title_justify="left", header_style="bold")
    rows = [list(row) for row in rows]
    for index, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[index], int) for row in rows)
        result.add_column(visible(column), justify="right" if numeric else "left")
    for row in rows:
        result.add_row(*("" if cell is None else visible(str(cell)) for cell in row))
    return result


def fail(message: str, code: int = 1) -> NoReturn:
    """End with an error message, of several lines if need be."""
    errors.print(Text("error: ", style="bold red"), end="")
    errors.print(message, soft_wrap=True)
    raise typer.Exit(code)


def warn(message: str) -> None:
    """Tell what should be known, beside what was asked for."""
    errors.print(line(("warning: ", "yellow"), message), soft_wrap=True)


def when(value: datetime | None) -> str:
    """A time for people, in UTC."""
    return f"{value:%Y-%m-%d %H:%M:%S}" if value else ""
