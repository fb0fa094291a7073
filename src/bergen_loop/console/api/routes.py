"""The calls of the API. Whose token it is decides what is seen: see `web.access`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BeforeValidator

from bergen_loop.console.access import NOT_FOUND, Holder, Permission, Person, holder_needs
from bergen_loop.console.api.models import (
    WHOLE,
    Brand,
    Done,
    Item,
    ItemPage,
    MomentReached,
    NoteText,
    Problem,
    ReturnDetail,
    ReturnPage,
    ReturnSummary,
    StandsAt,
    Why,
)
from bergen_loop.console.attention import DOING, do_one
from bergen_loop.console.forms import CURSOR, read_cursor, write_cursor
from bergen_loop.console.overview import BrandGlance, glances
from bergen_loop.console.state import console_of
from bergen_loop.console.templating import day_end, day_start, today, zone_of
from bergen_loop.console.working import WORK, Asked, carry_out
from bergen_loop.domain.lifecycle import Moment, Stage
from bergen_loop.ledger.database import Session
from bergen_loop.ledger.read import listing, search, views
from bergen_loop.ledger.read.listing import ReturnFilter
from bergen_loop.ledger.scope import Scope
from bergen_loop.ledger.tables.core import AttentionRow, ReturnRow
from bergen_loop.ledger.transaction import transaction
from bergen_loop.people.actions import NotPossible
from bergen_loop.people.looking import view_of

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "The body cannot be read"},
    401: {"model": Problem, "description": "No valid token"},
    404: {"model": Problem, "description": "Not there, or not for this token"},
}
_ACTING: dict[int | str, dict[str, Any]] = {
    403: {"model": Problem, "description": "The token's role does not allow it"},
    409: {"model": Problem, "description": "It does not fit where the return stands"},
}


def _once(request: Request) -> None:
    """No parameter takes several values: which of them was meant is not ours to guess."""
    given = Counter(name for name, _ in request.query_params.multi_items())
    if twice := sorted(name for name, times in given.items() if times > 1):
        raise RequestValidationError(
            [
                {"type": "given_twice", "loc": ("query", name), "msg": "given more than once"}
                for name in twice
            ]
        )


router = APIRouter(prefix="/api/v1", responses=_PROBLEMS, dependencies=[Depends(_once)])

Limit = Annotated[int, Query(ge=1, le=500)]
BrandPath = Annotated[str, Path(max_length=100)]
ReturnPath = Annotated[str, Path(max_length=200)]


def _written_as_date(value: object) -> object:
    """A number would be taken for seconds since 1970."""
    if isinstance(value, str) and not re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII):
        raise ValueError("write it like 2026-11-24")
    return value


Day = Annotated[date, BeforeValidator(_written_as_date)]
BrandQuery = Annotated[str | None, Query(max_length=100, description="Only this brand")]


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
    registry, zone = console_of(request).registry, zone_of(request)
    with registry.ledger.read() as session:
        found = glances(session, registry, names, day_start(today(zone), zone))
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


@router.get("/returns", tags=["returns"])
def list_returns(
    request: Request,
    person: Holder,
    brand: BrandQuery = None,
    stage: Stage | None = None,
    moment: Annotated[Moment | None, Query(description="Where they stand now, 1 to 7")] = None,
    held: Annotated[bool, Query(description="Only those that need attention")] = False,
    since: Annotated[Day | None, Query(description="Submitted on or after this day")] = None,
    until: Annotated[Day | None, Query(description="Submitted on or before this day")] = None,
    after: Annotated[str | None, Query(pattern=CURSOR, description="`next` of a page")] = None,
    limit: Limit = 100,
) -> ReturnPage:
    """Returns by when they were submitted, the newest first."""
    zone = zone_of(request)
    wanted = ReturnFilter(
        stage=stage,
        moment=moment,
        held=held,
        since=day_start(since, zone) if since else None,
        until=day_end(until, zone) if until else None,
    )
    scope, key = person.scope.narrowed(brand), read_cursor(after)
    with console_of(request).registry.ledger.read() as session:
        found = listing.returns(session, scope, wanted, after=key, limit=limit)
    end = write_cursor(listing.key_of(found.rows[-1], wanted)) if found.more else None
    return ReturnPage(returns=_summaries(found.rows), next=end)


@router.get("/returns/search", tags=["returns"])
def search_returns(
    request: Request,
    person: Holder,
    q: Annotated[str, Query(min_length=1, max_length=search.LONGEST)],
    brand: BrandQuery = None,
) -> ReturnPage:
    """Returns by Loop's id, order, RMA (PO), ticket, tracking number, SKU or e-mail: exactly so,
    else what begins with it. At most a hundred; `next` is always null."""
    with console_of(request).registry.ledger.read() as session:
        found = search.find(session, person.scope.narrowed(brand), q, limit=search.PREFIX_LIMIT)
    return ReturnPage(returns=_summaries(found.rows), next=None)


@router.get("/returns/{brand}/{return_id}", tags=["returns"])
def one_return(
    request: Request, person: Holder, brand: BrandPath, return_id: ReturnPath
) -> ReturnDetail:
    """Everything about one return."""
    with console_of(request).registry.ledger.read() as session:
        row = _row(session, person.scope, brand, return_id)
        view = view_of(session, console_of(request).registry.settings, row)
        plain = views.as_json(view)
        return ReturnDetail(
            summary=ReturnSummary.model_validate(row),
            moments=[
                MomentReached(moment=m.moment.value, title=m.moment.title, at=m.at, text=m.text)
                for m in view.moments
            ],
            why=StandsAt(**views.why_as_json(view, zone_of(request))),
            **{k: v for k, v in plain.items() if k not in ("return", "moments", "why")},
        )


@router.post("/returns/{brand}/{return_id}/resync", tags=["returns"], responses=_ACTING)
def resync(
    request: Request,
    brand: BrandPath,
    return_id: ReturnPath,
    person: Annotated[Person, Depends(holder_needs(Permission.NOTE))],
) -> Done:
    """Have the return's tickets read again, and the return looked at."""
    return _do(request, person, (brand, return_id), "resync", Asked())


@router.post("/returns/{brand}/{return_id}/notes", tags=["returns"], responses=_ACTING)
def add_note(
    request: Request,
    brand: BrandPath,
    return_id: ReturnPath,
    body: NoteText,
    person: Annotated[Person, Depends(holder_needs(Permission.NOTE))],
) -> Done:
    """Have a note added to the return in Loop."""
    return _do(request, person, (brand, return_id), "note", Asked(note=body.text))


def _do(request: Request, person: Person, which: tuple[str, str], name: str, asked: Asked) -> Done:
    """To which return (brand, id)."""
    console, (brand, return_id), now = console_of(request), which, datetime.now(UTC)
    try:
        with transaction(console.registry.ledger, brand, now, person.name) as tx:
            row = _row(tx.session, person.scope, brand, return_id, lock=True)
            carry_out(tx, console.registry, WORK[name], row, asked)
    except NotPossible as error:
        raise HTTPException(409, str(error)) from None
    console.sync_soon(brand)
    return Done()


def _row(
    session: Session, scope: Scope, brand: str, return_id: str, *, lock: bool = False
) -> ReturnRow:  # fmt: skip
    row = listing.one_return(session, scope, brand, return_id, lock=lock)
    if row is None:
        raise HTTPException(404, NOT_FOUND)
    return row


def _summaries(rows: Sequence[ReturnRow]) -> list[ReturnSummary]:
    return [ReturnSummary.model_validate(row) for row in rows]


# -- attention ----------------------------------------------------------------------------------


@router.get("/attention", tags=["attention"])
def attention(
    request: Request,
    person: Holder,
    brand: BrandQuery = None,
    kind: Annotated[str | None, Query(pattern="^[a-z_]{1,40}$")] = None,
    after: Annotated[int | None, Query(ge=0, le=WHOLE, description="`next` of a page")] = None,
    limit: Limit = 100,
) -> ItemPage:
    """Open items, the longest open first."""
    scope = person.scope.narrowed(brand)
    with console_of(request).registry.ledger.read() as session:
        found = listing.attention(session, scope, kind=kind, after=after, limit=limit)
        names = listing.return_names(session, [i.return_pk for i in found.rows if i.return_pk])
    items = [_item(row, names) for row in found.rows]
    return ItemPage(items=items, next=items[-1].id if found.more else None)


@router.post("/attention/{item_id}/retry", tags=["attention"], responses=_ACTING)
def retry(
    request: Request,
    item_id: Annotated[int, Path(ge=1, le=WHOLE)],
    body: Why,
    person: Annotated[Person, Depends(holder_needs(Permission.ACT))],
) -> Done:
    """Have the service try again what led to the item."""
    return _work(request, person, "retry", item_id, body.why)


@router.post("/attention/{item_id}/ignore", tags=["attention"], responses=_ACTING)
def ignore(
    request: Request,
    item_id: Annotated[int, Path(ge=1, le=WHOLE)],
    body: Why,
    person: Annotated[Person, Depends(holder_needs(Permission.ACT))],
) -> Done:
    """Take the item off the list; its return is left to people."""
    return _work(request, person, "ignore", item_id, body.why)


def _work(request: Request, person: Person, name: str, item_id: int, why: str) -> Done:
    console = console_of(request)
    result = do_one(console, person, DOING[name], item_id, why, alone=False)
    if result is None:
        raise HTTPException(404, NOT_FOUND)
    if result.problem:
        raise HTTPException(409, result.problem)
    console.sync_soon(result.item.brand)
    return Done()


def _item(row: AttentionRow, names: dict[int, tuple[str, str | None]]) -> Item:
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
    )
