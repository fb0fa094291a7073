"""The attention list: what needs a person, one by one or many at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import HTMLResponse, StreamingResponse
from starlette.datastructures import FormData

from bergen_loop.console.access import Form, Permission, Person, Viewer, field, needs
from bergen_loop.console.export import AT_A_TIME, download
from bergen_loop.console.forms import read_cursor, whole, write_cursor
from bergen_loop.console.state import Console, console_of
from bergen_loop.console.templating import page
from bergen_loop.console.words import kind
from bergen_loop.console.working import TEXT_LIMIT
from bergen_loop.domain.returns import LoopState
from bergen_loop.domain.words import Need, What
from bergen_loop.ledger.codec import storable
from bergen_loop.ledger.database import Ledger, Session
from bergen_loop.ledger.read import listing, why
from bergen_loop.ledger.read.causes import Cause, Sum, Wanted, causes, waiting
from bergen_loop.ledger.read.listing import Page, Slice
from bergen_loop.ledger.scope import Scope
from bergen_loop.ledger.store import journal
from bergen_loop.ledger.tables.core import AttentionRow
from bergen_loop.ledger.transaction import Transaction
from bergen_loop.people import actions
from bergen_loop.people.actions import SETTLES, NotPossible
from bergen_loop.text import shortened

PAGE = 50
MOST_CHOSEN = 200
MOST_CAUSES = 40
"""Causes on a page: the most money first, then the oldest."""
FEW = 8
"""Items of a cause shown beside others; by itself it shows `MOST_CHOSEN`."""
SNOOZES = {"4": "four hours", "24": "a day", "72": "three days", "168": "a week"}
"""For how many hours an item may be put off."""
TABS = {"open": "To do", "snoozed": "Put off", "resolved": "Resolved", "ignored": "Ignored"}

router = APIRouter()

May = Depends(needs(Permission.ACT))


Act = Callable[[Transaction, AttentionRow, str], None]
"""With an item, for a reason."""


@dataclass(frozen=True, slots=True)
class Doing:
    """What can be done with items."""

    name: str
    button: str
    heading: str
    does: str
    run: Act
    needs_why: bool = True


def _to_me(tx: Transaction, item: AttentionRow, why: str) -> None:
    actions.assign(tx, item, tx.who, why)


def _put_off(hours: int) -> Act:
    def run(tx: Transaction, item: AttentionRow, why: str) -> None:
        actions.snooze(tx, item, tx.now + timedelta(hours=hours) if hours else None, why)

    return run


DOING: dict[str, Doing] = {
    d.name: d
    for d in (
        Doing(
            "retry",
            "Retry",
            "Try again",
            "What each item depends on is read again, and what certainly had no effect is "
            "tried again. What Loop has taken is never sent a second time. Where it comes to the "
            "same, the item is back, as old as it is.",
            actions.retry,
        ),
        Doing(
            "ignore",
            "Ignore",
            "Take off the list",
            "The items leave the list. Their returns are left to people: the service does "
            "nothing about them until something new happens to them. It can be taken back.",
            actions.ignore,
        ),
        Doing(
            "assign",
            "Assign",
            "Say who has it",
            "Others see who works on it. It keeps nobody from it.",
            _to_me,
            needs_why=False,
        ),
        Doing(
            "snooze",
            "Put off",
            "Put off",
            "The items leave the list for a while; they hold their returns all the same, and are "
            "back at once when something else is said of them.",
            _put_off(24),
            needs_why=False,
        ),
        Doing(
            "wake",
            "Back on the list",
            "Back on the list",
            "The items are not put off any more.",
            _put_off(0),
            needs_why=False,
        ),
        Doing(
            "undo",
            "Put back",
            "Put back on the list",
            "What was ignored is on the list again and holds its return, as old as it is.",
            actions.undo,
            needs_why=False,
        ),
    )
}


def assigned(to: str | None) -> Doing:
    """To have an item taken on by somebody; None: by nobody."""

    def run(tx: Transaction, item: AttentionRow, why: str) -> None:
        actions.assign(tx, item, to, why)

    return replace(DOING["assign"], run=run)


def put_off(hours: int) -> Doing:
    """To have an item put off for so many hours; 0: no longer."""
    return replace(DOING["snooze"], run=_put_off(hours))


ON_OPEN = ("retry", "assign", "snooze", "ignore")
ON_TAB = {"open": ON_OPEN, "snoozed": ("wake", "retry"), "resolved": (), "ignored": ("undo",)}


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one item."""

    item: AttentionRow
    problem: str
    """Empty where it was done."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What the list is narrowed to, as the address says it."""

    tab: str
    brand: str | None
    kind: str | None
    whose: str
    """`me`, `nobody` or empty."""
    cause: str

    @property
    def given(self) -> dict[str, str]:
        """For links to the same list."""
        tab = self.tab if self.tab != "open" else ""
        all_ = {"tab": tab, "brand": self.brand, "kind": self.kind, "whose": self.whose,
                "cause": self.cause}  # fmt: skip
        return {k: v for k, v in all_.items() if v}

    def wanted(self, person: Person, now: datetime) -> Wanted:
        """As the ledger is asked."""
        whose = {"me": person.name, "nobody": ""}.get(self.whose)
        return Wanted(now, self.kind, whose, self.tab == "snoozed")


def _shown(query: Mapping[str, str]) -> Shown:
    """Nonsense narrows to nothing, and breaks nothing."""
    tab, whose = query.get("tab", ""), query.get("whose", "")
    return Shown(
        tab=tab if tab in TABS else "open",
        brand=query.get("brand") or None,
        kind=query.get("kind") or None,
        whose=whose if whose in ("me", "nobody") else "",
        cause=query.get("cause", "")[:12],
    )


@router.get("/attention", response_class=HTMLResponse)
def attention_page(request: Request, person: Viewer) -> HTMLResponse:
    """The inbox: what waits for people, by cause; or what is put off, resolved, or ignored."""
    shown = _shown(request.query_params)
    scope = person.scope.narrowed(shown.brand)
    if shown.tab in ("resolved", "ignored"):
        return _ended(request, scope, shown)
    now = datetime.now(UTC)
    with console_of(request).registry.ledger.read() as session:
        found = causes(session, scope, shown.wanted(person, now))
        kinds = listing.attention_kinds(session, scope, now)
    if shown.cause:
        found = [c for c in found if c.key == shown.cause]
    number = max(1, whole(request.query_params.get("page")) or 1)
    end = number * MOST_CAUSES
    return page(
        request,
        "attention.html",
        shown=shown,
        tabs=TABS,
        causes=found[end - MOST_CAUSES : end],
        behind=number + 1 if len(found) > end else None,
        first=number == 1,
        number=sum(len(c.items) for c in found),
        few=MOST_CHOSEN if shown.cause else FEW,
        kinds=dict(sorted(kinds.items(), key=lambda k: -k[1])),
        doing=[DOING[name] for name in ON_TAB[shown.tab]],
        settles=SETTLES,
        advice=_advice,
    )


def _advice(cause: Cause) -> str:
    first, known = cause.items[0], {need.value: need for need in Need}
    of = cause.by_item.get(first.id)
    there = of is None or of.loop_state == LoopState.OPEN
    return why.advice(known[first.kind], open_in_loop=there) if first.kind in known else ""


def _ended(request: Request, scope: Scope, shown: Shown) -> HTMLResponse:
    after = read_cursor(request.query_params.get("after"))
    with console_of(request).registry.ledger.read() as session:
        found = listing.attention_ended(
            session, scope, ignored=shown.tab == "ignored", after=after, limit=PAGE
        )
        pks = [i.return_pk for i in found.rows if i.return_pk is not None]
        rows = {row.id: row for row in listing.return_rows(session, pks)}
    last = found.rows[-1] if found.more else None
    return page(
        request,
        "attention_ended.html",
        shown=shown,
        tabs=TABS,
        items=found.rows,
        rows=rows,
        first=after is None,
        behind=write_cursor((last.resolved_at, last.id)) if last and last.resolved_at else "",
    )


@router.get("/attention/confirm", response_class=HTMLResponse)
def confirm(request: Request, person: Person = May) -> HTMLResponse:
    """What would be done with the chosen items, or all of a cause, and the form that does it."""
    doing, shown = _doing(request.query_params.get("do", "")), _shown(request.query_params)
    chosen = _numbers(request.query_params.getlist("item"))
    if shown.cause and not chosen:
        scope, now = person.scope.narrowed(shown.brand), datetime.now(UTC)
        with console_of(request).registry.ledger.read() as session:
            found = causes(session, scope, shown.wanted(person, now))
        chosen = [i.id for c in found if c.key == shown.cause for i in c.items][:MOST_CHOSEN]
    return _confirmation(request, person, doing, _Asked(chosen, shown))


@router.post("/attention/act", response_class=HTMLResponse)
def act(request: Request, form: Form, person: Person = May) -> HTMLResponse:
    """Do it, each item for itself: one that cannot be done keeps no other from it."""
    doing, said = _doing(field(form, "do")), field(form, "why")
    shown = _shown({k: v for k, v in form.multi_items() if isinstance(v, str)})
    numbers = _numbers([str(v) for v in form.getlist("item")])
    if (doing.needs_why and not said) or len(said) > TEXT_LIMIT:
        problem = f"write a reason of at most {TEXT_LIMIT} characters"
        return _confirmation(request, person, doing, _Asked(numbers, shown, said, problem))
    doing = _with(form, doing)
    console, alone = console_of(request), len(numbers) == 1
    results = [do_one(console, person, doing, number, said, alone=alone) for number in numbers]
    done = [r for r in results if r]
    for brand in {r.item.brand for r in done if not r.problem}:
        console.sync_soon(brand)
    with console.registry.ledger.read() as session:
        names = listing.return_names(session, [r.item.return_pk for r in done if r.item.return_pk])
    return page(
        request, "attention_done.html", doing=doing, results=done, names=names, given=shown.given
    )


def _with(form: FormData, doing: Doing) -> Doing:
    """With what its own fields say."""
    to, hours = field(form, "to"), field(form, "hours")
    if doing.name == "assign" and to == "nobody":
        return assigned(None)
    if doing.name == "snooze" and hours in SNOOZES:
        return put_off(int(hours))
    return doing


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
    if doing.name == "retry" and item.kind in SETTLES and not alone:
        raise NotPossible(
            "a retry of it may end in a call that moves money: look at the return, then retry this "
            "item by itself, in the console"
        )
    doing.run(Transaction(session, item.brand, now, person.name), item, storable(why))
    return item


def _doing(name: str) -> Doing:
    if name not in DOING:
        raise HTTPException(404, f"choose what to do: {', '.join(DOING)}")
    return DOING[name]


def _numbers(chosen: list[str]) -> list[int]:
    found = {n for n in map(whole, chosen) if n is not None}
    return sorted(found)[:MOST_CHOSEN]


@dataclass(frozen=True, slots=True)
class _Asked:
    """Which items, from which list; and what was wrong with the form."""

    numbers: list[int]
    shown: Shown
    why: str = ""
    problem: str = ""


def _confirmation(
    request: Request, person: Person, doing: Doing, asked: _Asked
) -> HTMLResponse:  # fmt: skip
    with console_of(request).registry.ledger.read() as session:
        items = listing.attention_items(session, person.scope, asked.numbers)
        returns = waiting(session, [i.return_pk for i in items if i.return_pk])
    bulk = doing.name == "retry" and len(items) > 1
    left_out = {i.id for i in items if bulk and i.kind in SETTLES}
    worth = Sum()
    for item in items:
        one = returns.get(item.return_pk or 0)
        if one is not None and item.id not in left_out:
            worth.add(one.total, one.currency)
    return page(
        request,
        "attention_confirm.html",
        409 if asked.problem else 200,
        doing=doing,
        items=items,
        returns=returns,
        left_out=left_out,
        worth=worth.words,
        why=asked.why,
        problem=asked.problem,
        given=asked.shown.given,
        snoozes=SNOOZES,
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
            session, datetime.now(UTC), journal.Entry(What.EXPORTED, asked, brand=brand or None,
            who=person.name, data={"what": "the attention list"}),
        )  # fmt: skip
    head = ["item", "brand", "return", "order", "kind", "reason", "tried", "open since (UTC)"]
    return download("attention", head, _cells(ledger, scope, kind or None))


def _cells(ledger: Ledger, scope: Scope, wanted: str | None) -> Iterator[list[object]]:
    def items(last: AttentionRow | None) -> Page[AttentionRow]:
        after = last.id if last else None
        with ledger.read() as session:
            return listing.attention(session, scope, kind=wanted, part=Slice(AT_A_TIME, after))

    for item in listing.walk(items):
        name = (None, None)
        if item.return_pk:
            with ledger.read() as session:
                name = listing.return_names(session, [item.return_pk]).get(item.return_pk, name)
        yield [
            item.id, item.brand, *name, kind(item.kind), item.reason, item.tried, item.opened_at
        ]  # fmt: skip
