"""The calls of the API. Whose token it is decides what is seen: see `console.access`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, HTTPException, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, AwareDatetime, BeforeValidator

from bergen_loop.console.access import NOT_FOUND, Holder, Permission, Person, holder_needs
from bergen_loop.console.api.acting import Wanted, on_item, on_return, respond
from bergen_loop.console.api.models import (
    WHOLE,
    Brand,
    Done,
    Item,
    ItemPage,
    MomentReached,
    NoteText,
    PutOff,
    ReturnDetail,
    ReturnPage,
    ReturnSummary,
    StandsAt,
    TakenOn,
    Why,
)
from bergen_loop.console.attention import DOING, assigned, put_off
from bergen_loop.console.forms import CURSOR, read_cursor, write_cursor
from bergen_loop.console.overview import BrandGlance, glances
from bergen_loop.console.problems import MEDIA_TYPE, Code
from bergen_loop.console.state import Console, console_of
from bergen_loop.console.templating import day_end, day_start, today, zone_of
from bergen_loop.domain.returns import Moment, Stage
from bergen_loop.ledger.database import Session
from bergen_loop.ledger.read import changes, listing, search, views
from bergen_loop.ledger.read.changes import Since
from bergen_loop.ledger.read.listing import ReturnFilter, Slice
from bergen_loop.ledger.scope import OutOfScope, Scope
from bergen_loop.ledger.store import returns
from bergen_loop.ledger.tables.core import AttentionRow, ReturnRow
from bergen_loop.people.looking import view_of


def _refusals(*codes: Code) -> dict[int | str, dict[str, Any]]:
    """For the description: which refusals a call may end in."""
    statuses = sorted({code.status for code in codes})
    return {
        status: {
            "description": " / ".join(c.words for c in codes if c.status == status),
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }


_ANY = (Code.TOKEN_NEEDED, Code.ROLE_NOT_ALLOWED, Code.NOT_FOUND, Code.INVALID,
        Code.TOO_MANY_CALLS, Code.INTERNAL, Code.UNAVAILABLE)  # fmt: skip
_ACTING = _refusals(*_ANY, Code.BODY_UNREADABLE, Code.TOO_SLOW, Code.TOO_LARGE,
                    Code.NOT_POSSIBLE, Code.SAME_CALL_RUNNING, Code.KEY_USED_OTHERWISE)  # fmt: skip


def _as_described(request: Request) -> None:
    """A parameter that is not known is refused: it may be a filter that is misspelled, and the
    answer would be taken for what it is not. So is one given more than once: which of its values
    was meant is not ours to guess."""
    given = Counter(name for name, _ in request.query_params.multi_items())
    known = set(_parameters(getattr(request.scope["route"], "dependant", None)))
    wrong = [("unknown_parameter", n, "is not known here") for n in given if n not in known] + [
        ("given_twice", n, "is given more than once")
        for n, times in given.items()
        if times > 1 and n in known
    ]
    if wrong:
        raise RequestValidationError(
            [{"type": kind, "loc": ("query", name), "msg": why} for kind, name, why in wrong]
        )


def _parameters(dependant: Any) -> Iterator[str]:
    if dependant is not None:
        yield from (param.alias for param in dependant.query_params)
        for inner in dependant.dependencies:
            yield from _parameters(inner)


router = APIRouter(
    prefix="/api/v1", responses=_refusals(*_ANY), dependencies=[Depends(_as_described)]
)

Limit = Annotated[int, Query(ge=1, le=500, description="How many a page has at most")]
BrandPath = Annotated[str, Path(max_length=100, examples=["acme"])]
ReturnPath = Annotated[str, Path(max_length=200, description="Loop's id", examples=["8214407"])]
ItemPath = Annotated[int, Path(ge=1, le=WHOLE, examples=[71])]
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[!-~]{1,255}$",
        description="Of your making, new for each thing that is to be done: who repeats the call "
        "with it within 24 hours gets the first answer, and nothing is done twice",
        examples=["5f0e6c1a-retry-71"],
    ),
]


def _written_as_date(value: object) -> object:
    """A number would be taken for seconds since 1970."""
    if isinstance(value, str) and not re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII):
        raise ValueError("write it like 2026-11-24")
    return value


def _written_as_time(value: object) -> object:
    if isinstance(value, str) and not re.match(r"\d{4}-\d\d-\d\d[T ]", value, re.ASCII):
        raise ValueError("write it like 2026-11-24T12:00:00Z")
    return value


_FIRST, _LAST = datetime(1990, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


def _reckonable(value: datetime) -> datetime:
    """Times in which nothing changes are brought nearer: far ones cannot be reckoned with."""
    naive = value.replace(tzinfo=UTC)
    return min(max(naive, _FIRST), _LAST) if not 1990 < naive.year < 2200 else value.astimezone(UTC)


Day = Annotated[date, BeforeValidator(_written_as_date)]
Time = Annotated[AwareDatetime, BeforeValidator(_written_as_time), AfterValidator(_reckonable)]
BrandQuery = Annotated[
    str | None, Query(min_length=1, max_length=100, description="Only this brand")
]
ChangedSince = Annotated[
    Time | None,
    Query(
        description="Those that changed at or after this time, by when they changed: for programs "
        "that follow. The last page says from when to go on, as `changed_until`"
    ),
]
After = Annotated[str | None, Query(pattern=CURSOR, description="`next` of the page before")]


@dataclass(frozen=True, slots=True)
class Paging:
    """Which page of a list."""

    since: Since | None
    """Of what has changed; None: of what there is."""
    after: tuple[datetime, int] | None
    limit: int


def _paging(
    changed_since: ChangedSince = None, after: After = None, limit: Limit = 100
) -> Paging:  # fmt: skip
    key = read_cursor(after)
    return Paging(Since(changed_since, key) if changed_since else None, key, limit)


Which = Annotated[Paging, Depends(_paging)]


def _narrowed(request: Request, person: Holder, brand: BrandQuery = None) -> Scope:
    return narrowed(console_of(request), person, brand)


def narrowed(console: Console, person: Person, brand: str | None) -> Scope:
    """What is asked about. Raises OutOfScope for a brand that is not for them, as for one that
    there is not."""
    if brand is not None and not _exists(console, brand):
        raise OutOfScope(brand)
    return person.scope.narrowed(brand)


def _exists(console: Console, brand: str) -> bool:
    if brand in console.registry:
        return True
    with console.registry.ledger.read() as session:
        return brand.isprintable() and returns.known_brand(session, brand) is not None


Asked = Annotated[Scope, Depends(_narrowed)]


# -- brands -------------------------------------------------------------------------------------


@router.get("/brands", tags=["brands"])
def brands(request: Request, person: Holder) -> list[Brand]:
    """The status of every brand of the token."""
    configured = list(console_of(request).registry.settings.brands)
    return _statuses(request, person.scope.among(configured))


@router.get("/brands/{brand}", tags=["brands"])
def brand_status(request: Request, person: Holder, brand: BrandPath) -> Brand:
    """The status of one brand."""
    if brand not in console_of(request).registry:
        raise HTTPException(404, NOT_FOUND)
    return _statuses(request, person.scope.among([brand]))[0]


def _statuses(request: Request, names: Sequence[str]) -> list[Brand]:
    return brand_statuses(console_of(request), names, today(zone_of(request)))


def brand_statuses(console: Console, names: Sequence[str], day: date) -> list[Brand]:
    """Of brands that are configured; `day` is today in the console's zone."""
    registry = console.registry
    with registry.ledger.read() as session:
        found = glances(session, registry, names, day_start(day, console.zone))
    return [_brand(g) for g in found]


def _brand(glance: BrandGlance) -> Brand:
    row = glance.row
    return Brand.model_validate(
        {
            "brand": glance.brand,
            "name": glance.name,
            "mode": glance.mode,
            "attention": glance.attention,
            "open_by_stage": {s.value: n for s, n in glance.stages.items()},
            "reached_today": {m.name.lower(): n for m, n in glance.today.items()},
            "last_sync_at": row.last_sync_finished_at if row else None,
            "last_sync_ok": row.last_sync_ok if row else None,
            "last_sync_error": row.last_sync_error if row else None,
            "history": glance.history.as_json() if glance.history else None,
        }
    )


# -- returns ------------------------------------------------------------------------------------


def _filter(
    request: Request,
    stage: Stage | None = None,
    moment: Annotated[Moment | None, Query(description="Where they stand now, 1 to 7")] = None,
    held: Annotated[bool, Query(description="Only those that need attention")] = False,
    since: Annotated[Day | None, Query(description="Submitted on or after this day")] = None,
    until: Annotated[Day | None, Query(description="Submitted on or before this day")] = None,
) -> ReturnFilter:
    zone = zone_of(request)
    return ReturnFilter(
        stage=stage,
        moment=moment,
        held=held,
        since=day_start(since, zone) if since else None,
        until=day_end(until, zone) if until else None,
    )


@router.get("/returns", tags=["returns"])
def list_returns(
    request: Request,
    scope: Asked,
    wanted: Annotated[ReturnFilter, Depends(_filter)],
    page: Which,
) -> ReturnPage:
    """Returns by when they were submitted, the newest first; or what has changed."""
    with console_of(request).registry.ledger.read() as session:
        if page.since:
            changed = changes.returns(session, scope, wanted, page.since, page.limit)
            rows, more, until = changed.rows, changed.more, changed.until
            end = changes.key_of(rows[-1]) if more else None
        else:
            found = listing.returns(
                session, scope, wanted, after=page.after, limit=page.limit
            )  # fmt: skip
            rows, more, until = found.rows, found.more, None
            end = listing.key_of(rows[-1], wanted) if more else None
        return ReturnPage(
            returns=summaries(rows),
            next=write_cursor(end) if end else None,
            changed_until=None if more else until,
        )


@router.get("/returns/search", tags=["returns"])
def search_returns(
    request: Request,
    scope: Asked,
    q: Annotated[str, Query(min_length=1, max_length=search.LONGEST, examples=["#1042"])],
) -> ReturnPage:
    """Returns by Loop's id, order, RMA (PO), ticket, tracking number, SKU or e-mail: exactly so,
    else what begins with it. At most a hundred; `next` is always null."""
    with console_of(request).registry.ledger.read() as session:
        found = search.find(session, scope, q, part=Slice(search.PREFIX_LIMIT))
        return ReturnPage(returns=summaries(found.rows), next=None, changed_until=None)


@router.get("/returns/{brand}/{return_id}", tags=["returns"])
def one_return(
    request: Request, person: Holder, brand: BrandPath, return_id: ReturnPath
) -> ReturnDetail:
    """Everything about one return."""
    console = console_of(request)
    with console.registry.ledger.read() as session:
        found = detail(session, console, person.scope, (brand, return_id))
    if found is None:
        raise HTTPException(404, NOT_FOUND)
    return found


def detail(
    session: Session, console: Console, scope: Scope, which: tuple[str, str]
) -> ReturnDetail | None:
    """Everything about one return (brand, id); None where it is not there, or not in scope."""
    row = listing.one_return(session, scope, *which)
    if row is None:
        return None
    view = view_of(session, console.registry.settings, row)
    plain = views.as_json(view)
    return ReturnDetail(
        summary=ReturnSummary.model_validate(row),
        moments=[
            MomentReached(moment=m.moment.value, title=m.moment.title, at=m.at, text=m.text)
            for m in view.moments
        ],
        why=StandsAt(**views.why_as_json(view, console.zone)),
        **{k: v for k, v in plain.items() if k not in ("return", "moments", "why")},
    )


def summaries(rows: Sequence[ReturnRow]) -> list[ReturnSummary]:
    """Returns as lists have them."""
    return [ReturnSummary.model_validate(row) for row in rows]


def _which(brand: BrandPath, return_id: ReturnPath) -> tuple[str, str]:
    return brand, return_id


ReturnAsked = Annotated[tuple[str, str], Depends(_which)]
Noting = Annotated[Person, Depends(holder_needs(Permission.NOTE))]
Acting = Annotated[Person, Depends(holder_needs(Permission.ACT))]


@router.post(
    "/returns/{brand}/{return_id}/resync",
    tags=["returns"],
    responses=_ACTING,
    response_model=Done,
)
def resync(request: Request, which: ReturnAsked, person: Noting, key: Key = None) -> JSONResponse:
    """Have the return's tickets read again, and the return looked at."""
    return _do(request, person, on_return("resync", which), key)


@router.post(
    "/returns/{brand}/{return_id}/notes",
    tags=["returns"],
    responses=_ACTING,
    response_model=Done,
)
def add_note(
    request: Request, which: ReturnAsked, body: NoteText, person: Noting, key: Key = None
) -> JSONResponse:
    """Have a note added to the return in Loop."""
    return _do(request, person, on_return("note", which, body.text), key)


def _do(request: Request, person: Person, wanted: Wanted, key: str | None) -> JSONResponse:
    return respond(console_of(request), person, wanted.under(key))


# -- attention ----------------------------------------------------------------------------------


@router.get("/attention", tags=["attention"])
def attention(
    request: Request,
    scope: Asked,
    page: Which,
    kind: Annotated[str | None, Query(pattern="^[a-z_]{1,40}$")] = None,
) -> ItemPage:
    """Open items, the longest open first; or what has changed, resolved items among it."""
    with console_of(request).registry.ledger.read() as session:
        if page.since:
            changed = changes.attention(session, scope, kind, page.since, page.limit)
            rows, more, until = changed.rows, changed.more, changed.until
            end = changes.key_of(rows[-1]) if more else None
        else:
            last = page.after[1] if page.after else None
            found = listing.attention(session, scope, kind=kind, part=Slice(page.limit, last))
            rows, more, until = found.rows, found.more, None
            end = (rows[-1].opened_at, rows[-1].id) if more else None
        names = listing.return_names(session, [i.return_pk for i in rows if i.return_pk])
        return ItemPage(
            items=[item_of(row, names) for row in rows],
            next=write_cursor(end) if end else None,
            changed_until=None if more else until,
        )


@router.post(
    "/attention/{item_id}/assign", tags=["attention"], responses=_ACTING, response_model=Done
)
def assign(
    request: Request, item_id: ItemPath, body: TakenOn, person: Acting, key: Key = None
) -> JSONResponse:
    """Say who has taken the item on. It keeps nobody else from it."""
    return _do(request, person, on_item(assigned(body.to), item_id, body.why, body.to), key)


@router.post(
    "/attention/{item_id}/snooze", tags=["attention"], responses=_ACTING, response_model=Done
)
def snooze(
    request: Request, item_id: ItemPath, body: PutOff, person: Acting, key: Key = None
) -> JSONResponse:
    """Put the item off. It holds its return all the same, and is back at once when something else
    is said of it."""
    return _do(request, person, on_item(put_off(body.hours), item_id, body.why, body.hours), key)


@router.post(
    "/attention/{item_id}/retry", tags=["attention"], responses=_ACTING, response_model=Done
)
def retry(
    request: Request, item_id: ItemPath, body: Why, person: Acting, key: Key = None
) -> JSONResponse:
    """Have the service try again what led to the item."""
    return _do(request, person, on_item(DOING["retry"], item_id, body.why), key)


@router.post(
    "/attention/{item_id}/ignore", tags=["attention"], responses=_ACTING, response_model=Done
)
def ignore(
    request: Request, item_id: ItemPath, body: Why, person: Acting, key: Key = None
) -> JSONResponse:
    """Take the item off the list; its return is left to people."""
    return _do(request, person, on_item(DOING["ignore"], item_id, body.why), key)


@router.post(
    "/attention/{item_id}/undo", tags=["attention"], responses=_ACTING, response_model=Done
)
def undo(
    request: Request, item_id: ItemPath, body: Why, person: Acting, key: Key = None
) -> JSONResponse:
    """Put an ignored item back on the list: it holds its return again, as old as it is."""
    return _do(request, person, on_item(DOING["undo"], item_id, body.why), key)


def item_of(row: AttentionRow, names: dict[int, tuple[str, str | None]]) -> Item:
    """An item as the API gives it; `names` of its return by the row's id."""
    return_id, order = names.get(row.return_pk or 0, (None, None))
    return Item(
        id=row.id,
        brand=row.brand,
        return_id=return_id,
        order_name=order,
        kind=row.kind,
        reason=row.reason,
        tried=row.tried,
        blocking=row.blocking,
        opened_at=row.opened_at,
        assignee=row.assignee,
        snoozed_until=row.snoozed_until,
        resolved_at=row.resolved_at,
        resolved_by=row.resolved_by,
        resolution=row.resolution,
        changed_at=row.changed_at,
    )
