"""What commands print: tables for people, JSON for machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

console = Console()
errors = Console(stderr=True)


def print_json(data: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(json.dumps(data, indent=2, default=_default, ensure_ascii=False) + "\n")


def _default(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A table; numbers to the right."""
    result = Table(title=title, title_justify="left", header_style="bold")
    rows = [list(row) for row in rows]
    for index, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[index], int) for row in rows)
        result.add_column(column, justify="right" if numeric else "left")
    for row in rows:
        result.add_row(*("" if cell is None else str(cell) for cell in row))
    return result


def fail(message: str, code: int = 1) -> NoReturn:
    """End with an error message."""
    errors.print("[bold red]error:[/] ", end="")
    errors.print(message, highlight=False, markup=False, soft_wrap=True)  # it may quote a path
    raise typer.Exit(code)


def when(value: datetime | None) -> str:
    """A time for people, in UTC."""
    return f"{value:%Y-%m-%d %H:%M:%S}" if value else ""
