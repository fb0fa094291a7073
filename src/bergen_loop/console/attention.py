"""The attention list: what needs a person, one by one or many at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import HTMLResponse, StreamingResponse

from bergen_loop.console.access import Form, Permission, Person, Viewer, field, needs
from bergen_loop.console.export import AT_A_TIME, download
from bergen_loop.console.forms import whole
from bergen_loop.console.state import Console, console_of
from bergen_loop.console.templating import page
from bergen_loop.console.words import kind
from bergen_loop.console.working import TEXT_LIMIT
from bergen_loop.domain.words import What
from bergen_loop.ledger.codec import storable
from bergen_loop.ledger.database import Ledger, Session
from bergen_loop.ledger.read import listing
from bergen_loop.ledger.read.listing import Page
from bergen_loop.ledger.scope import Scope
from bergen_loop.ledger.store import journal
from bergen_loop.ledger.tables.core import AttentionRow
from bergen_loop.ledger.transaction import Transaction
from bergen_loop.people import actions
from bergen_loop.people.actions import NotPossible
from bergen_loop.text import shortened

PAGE = 50
MOST_CHOSEN = 200

router = APIRouter()

May = Depends(needs(Permission.ACT))


@dataclass(frozen=True, slots=True)
class Doing:
    """What can be done with items."""

    name: str
    button: str
    heading: str
    does: str
    run: Callable[[Transaction, AttentionRow, str], None]


DOING: dict[str, Doing] = {
    d.name: d
    for d in (
        Doing(
            "retry",
            "Retry",
            "Try again",
            "What each item depends on is looked at again, and what certainly had no effect is "
            "tried again. What Loop has taken is never sent a second time.",
            actions.retry,
        ),
        Doing(
            "ignore",
            "Ignore",
            "Take off the list",
            "The items leave the list. Their returns are left to people: the service does "
            "nothing about them until something new happens to them.",
            actions.ignore,
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one item."""

    item: AttentionRow
    problem: str
    """Empty where it was done."""


@router.get("/attention", response_class=HTMLResponse)
def attention_page(
    request: Request, person: Viewer, brand: str | None = None, kind: str | None = None
) -> HTMLResponse:
    """A page of open items, the longest open first."""
    scope = person.scope.narrowed(brand)
    after = whole(request.query_params.get("after"))
    with console_of(request).registry.ledger.read() as session:
        found = listing.attention(session, scope, kind=kind or None, after=after, limit=PAGE)
        kinds = listing.attention_kinds(session, scope)
        names = listing.return_names(session, [i.return_pk for i in found.rows if i.return_pk])
    return page(
        request,
        "attention.html",
        items=found.rows,
        more=found.more,
        names=names,
        kinds=dict(sorted(kinds.items(), key=lambda k: -k[1])),
        given={k: v for k, v in (("brand", brand), ("kind", kind)) if v},
        brand=brand,
        kind=kind,
        doing=DOING,
        first=after is None,
    )


@router.get("/attention/confirm", response_class=HTMLResponse)
def confirm(request: Request, person: Person = May) -> HTMLResponse:
    """What would be done with the chosen items, and the form that does it."""
    doing = _doing(request.query_params.get("do", ""))
    return _confirmation(request, person, doing, request.query_params.getlist("item"))


@router.post("/attention/act", response_class=HTMLResponse)
def act(request: Request, form: Form, person: Person = May) -> HTMLResponse:
    """Do it, each item for itself: one that cannot be done keeps no other from it."""
    doing, why = _doing(field(form, "do")), field(form, "why")
    chosen = [str(v) for v in form.getlist("item")]
    if not why or len(why) > TEXT_LIMIT:
        problem = f"write a reason of at most {TEXT_LIMIT} characters"
        return _confirmation(request, person, doing, chosen, why, problem)
    numbers = _numbers(chosen)
    console, alone = console_of(request), len(numbers) == 1
    results = [do_one(console, person, doing, number, why, alone=alone) for number in numbers]
    done = [r for r in results if r]
    for brand in {r.item.brand for r in done if not r.problem}:
        console_of(request).sync_soon(brand)
    with console_of(request).registry.ledger.read() as session:
        names = listing.return_names(session, [r.item.return_pk for r in done if r.item.return_pk])
    return page(request, "attention_done.html", doing=doing, results=done, names=names)


def do_one(
    console: Console, person: Person, doing: Doing, number: int, why: str, *, alone: bool
) -> Result | None:
    """Do it with one item, in a transaction of its own; None where it is not in scope. `alone`: a
    person looks at this item only; what may end in moving money is retried only so."""
    ledger = console.registry.ledger
    try:
        with ledger.write() as session:
            item = do_in(session, person, (doing, number, why), datetime.now(UTC), alone=alone)
        return None if item is None else Result(item, "")
    except NotPossible as error:
        with ledger.read() as session:
            (item,) = listing.attention_items(session, person.scope, [number])
        return Result(item, str(error))


def do_in(
    session: Session, person: Person, what: tuple[Doing, int, str], now: datetime, *, alone: bool
) -> AttentionRow | None:
    """The same in a transaction that is open already: what to do, with which item, and why.
    Raises NotPossible."""
    doing, number, why = what
    item = listing.attention_item_to_change(session, person.scope, number)
    if item is None:
        return None
    if doing.name == "retry" and item.kind in actions.SETTLES and not alone:
        raise NotPossible(
            "a retry of it may end in a call that moves money: look at the return, then retry this "
            "item by itself, in the console"
        )
    doing.run(Transaction(session, item.brand, now, person.name), item, storable(why))
    return item


def _doing(name: str) -> Doing:
    if name not in DOING:
        raise HTTPException(404, "choose what to do: retry or ignore")
    return DOING[name]


def _numbers(chosen: list[str]) -> list[int]:
    found = {n for n in map(whole, chosen) if n is not None}
    return sorted(found)[:MOST_CHOSEN]


def _confirmation(
    request: Request,
    person: Person,
    doing: Doing,
    chosen: list[str],
    why: str = "",
    problem: str = "",
) -> HTMLResponse:
    with console_of(request).registry.ledger.read() as session:
        items = listing.attention_items(session, person.scope, _numbers(chosen))
        names = listing.return_names(session, [i.return_pk for i in items if i.return_pk])
    return page(
        request,
        "attention_confirm.html",
        409 if problem else 200,
        doing=doing,
        items=items,
        names=names,
        why=why,
        problem=problem,
        most=MOST_CHOSEN,
    )


@router.get("/attention.csv")
def attention_csv(
    request: Request, person: Viewer, brand: str | None = None, kind: str | None = None
) -> StreamingResponse:
    """Every open item as a file."""
    scope, ledger = person.scope.narrowed(brand), console_of(request).registry.ledger
    with ledger.write() as session:
        asked = shortened(", ".join(v for v in (brand, kind) if v) or "all", 200)
        journal.record(
            session, datetime.now(UTC), What.EXPORTED, asked, brand=brand or None,
            who=person.name, data={"what": "the attention list"},
        )  # fmt: skip
    head = ["item", "brand", "return", "order", "kind", "reason", "tried", "open since (UTC)"]
    return download("attention", head, _cells(ledger, scope, kind or None))


def _cells(ledger: Ledger, scope: Scope, wanted: str | None) -> Iterator[list[object]]:
    def items(last: AttentionRow | None) -> Page[AttentionRow]:
        after = last.id if last else None
        with ledger.read() as session:
            return listing.attention(session, scope, kind=wanted, after=after, limit=AT_A_TIME)

    for item in listing.walk(items):
        name = (None, None)
        if item.return_pk:
            with ledger.read() as session:
                name = listing.return_names(session, [item.return_pk]).get(item.return_pk, name)
        yield [
            item.id, item.brand, *name, kind(item.kind), item.reason, item.tried, item.opened_at
        ]  # fmt: skip
