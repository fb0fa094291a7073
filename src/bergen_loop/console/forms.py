"""Reading what lists are asked for out of the URL: nonsense narrows to nothing, and breaks
nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from typing import Annotated, TypeVar
from zoneinfo import ZoneInfo

from fastapi import Path, Request

from bergen_loop.console.templating import day_end, day_start, zone_of
from bergen_loop.domain.returns import Moment, Stage
from bergen_loop.ledger.read.listing import ReturnFilter, ReturnKey
from bergen_loop.ledger.read.search import cleaned

E = TypeVar("E", bound=Enum)

RowId = Annotated[int, Path(ge=1, le=2**63 - 1)]
"""A row's id as part of a path: what no row can have is 422, not a question to the database."""
CURSOR = r"^\d{1,16}-\d{1,18}$"
"""Where a page of returns ends: microseconds since 1970, and the row's id."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ListQuery:
    """What the list of returns is asked for."""

    brand: str | None
    text: str
    wanted: ReturnFilter
    after: ReturnKey | None
    given: dict[str, str]
    """The parameters as they came, without the page: for links to the same list."""


def list_query(request: Request) -> ListQuery:
    """The list that the URL asks for."""
    q, zone = request.query_params, zone_of(request)
    names = ("brand", "q", "stage", "moment", "reached", "held", "since", "until")
    return ListQuery(
        brand=q.get("brand") or None,
        text=cleaned(q.get("q", "")),
        wanted=ReturnFilter(
            stage=_one(Stage, q.get("stage")),
            moment=_moment(q.get("moment")),
            reached=_moment(q.get("reached")),
            held=q.get("held") == "1",
            since=_start(q.get("since"), zone),
            until=_end(q.get("until"), zone),
        ),
        after=read_cursor(q.get("after")),
        given={n: q[n] for n in names if q.get(n)},
    )


def write_cursor(key: ReturnKey) -> str:
    """A key for a URL."""
    return f"{(key[0] - _EPOCH) // timedelta(microseconds=1)}-{key[1]}"


def read_cursor(text: str | None) -> ReturnKey | None:
    """A key from a URL; None for none, or for what is none."""
    if not text or not re.match(CURSOR, text, re.ASCII):
        return None
    micros, _, pk = text.partition("-")
    return _EPOCH + timedelta(microseconds=int(micros)), int(pk)


def whole(text: str | None) -> int | None:
    """A row's id from a URL or form; None for what is none."""
    if text and re.fullmatch(r"\d{1,18}", text, re.ASCII):
        return int(text)
    return None


def _one(kinds: type[E], text: str | None) -> E | None:
    return next((k for k in kinds if str(k.value) == text), None)


def _moment(text: str | None) -> Moment | None:
    return _one(Moment, text)


def day_of(text: str | None) -> date | None:
    """A day from a URL or form; None for none, or for what is none."""
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        return None


def _start(text: str | None, zone: ZoneInfo) -> datetime | None:
    day = day_of(text)
    return day_start(day, zone) if day else None


def _end(text: str | None, zone: ZoneInfo) -> datetime | None:
    day = day_of(text)
    return day_end(day, zone) if day else None
