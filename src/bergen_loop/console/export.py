"""Lists as CSV, written as they are read."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from starlette.responses import StreamingResponse

AT_A_TIME = 500
"""Rows read, and written, at a time."""

_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)*\Z")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def cell(value: object) -> str:
    """A value as a spreadsheet may have it. What would be taken for a formula gets a `'` in
    front: a customer's text must not run in our people's spreadsheets."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    text = str(value)
    if text.lstrip(" ").startswith(_FORMULA) and not _NUMBER.match(text):
        return "'" + text
    return text


def lines(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """The file, piece by piece. Begins with a byte order mark: spreadsheets know UTF-8 by it."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    buffer.write("\N{ZERO WIDTH NO-BREAK SPACE}")
    writer.writerow(head)
    for number, row in enumerate(rows, 1):
        writer.writerow([cell(v) for v in row])
        if number % AT_A_TIME == 0:
            yield _taken(buffer)
    yield _taken(buffer)


def download(
    name: str, head: Sequence[str], rows: Iterable[Sequence[object]]
) -> StreamingResponse:  # fmt: skip
    """The answer that a browser saves as `name`-DATE.csv."""
    filename = f"{name}-{datetime.now(UTC):%Y-%m-%d}.csv"
    return StreamingResponse(
        lines(head, rows),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{filename}"'},
    )


def _taken(buffer: io.StringIO) -> str:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text
