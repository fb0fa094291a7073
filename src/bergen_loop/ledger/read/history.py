"""Past decisions as cases, to try other criteria on them.

A case is the latest judgement of a return as it was made: at its time, on the receipts it had,
with the state Loop showed then. The rest of the return is as it is now; where its units have
changed since, the case says so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.domain.announce import AnnounceRules, physical_lines
from bergen_loop.domain.comparison import Comparison, compare
from bergen_loop.domain.criteria import BacktestReport, Criteria, replay
from bergen_loop.domain.decision import Case, Outcome
from bergen_loop.domain.returns import Label, LoopState, Return
from bergen_loop.domain.rma import Receipt, RmaItem
from bergen_loop.ledger.codec import (
    document,
    dump_item,
    load_items,
    load_receipt,
    load_return,
)
from bergen_loop.ledger.store import journal
from bergen_loop.ledger.store.statements import chunks
from bergen_loop.ledger.tables.core import DecisionRow, ReceiptRow, ReturnRow, RmaRow

NOT_COMPARED = Comparison((), (), ("not compared",))
FORMAT = "bergen-loop-case/1"
BASIS = (
    "Each return is judged as it was at its latest decision: at that time, on the receipts it had "
    "then, as open as Loop showed it then. The rest of the return is as it is now."
)
"""What a case is, for people."""


Announced: TypeAlias = tuple[tuple[RmaItem, ...], ...]
"""The items of each RMA of a return, oldest first."""


@dataclass(frozen=True, slots=True)
class PastCase:
    """A return as it was judged, and what was decided about it in the end."""

    return_id: str
    case: Case
    decided: str
    """Outcome of its latest decision, by the service or by hand."""
    in_parcel: frozenset[str]
    """Line items that were to come in the parcel."""
    announced: Announced = ()
    edited: bool = False
    """Its units are not those of the time of the decision."""


def try_on(
    criteria: Criteria,
    cases: Iterable[PastCase],
    seen: Callable[[PastCase], None] = lambda _past: None,
) -> tuple[BacktestReport, int]:
    """What the criteria would have decided, and of how many cases the units have been edited
    since. `seen` is told of each case before it is judged."""
    edited = 0

    def fed() -> Iterator[tuple[str, Case, str | None]]:
        nonlocal edited
        for past in cases:
            edited += past.edited
            seen(past)
            yield past.return_id, past.case, past.decided

    report = replay(criteria, fed())
    return report, edited


def past_cases(
    session: Session, brand: str, rules: AnnounceRules, since: datetime
) -> Iterator[PastCase]:
    """Every return judged since, in the order they were first seen; only their keys are held in
    memory. Without a receipt to judge (decided by hand before it came) there is no case."""
    judged = session.scalars(_judged(DecisionRow.return_pk, brand, since))
    yield from cases_of(session, sorted(set(judged)), rules)


def newest_judged(session: Session, brand: str, since: datetime, limit: int) -> list[int]:
    """The row ids of the returns judged since, the latest judged first, at most `limit`."""
    last = sa.func.max(DecisionRow.id)
    query = _judged(DecisionRow.return_pk, brand, since).group_by(DecisionRow.return_pk)
    return list(session.scalars(query.order_by(last.desc()).limit(limit)))


def _judged(column: Any, brand: str, since: datetime) -> Any:
    return sa.select(column).where(
        DecisionRow.brand == brand,
        # Every outcome there is: with it the index of decisions by day serves the question.
        DecisionRow.outcome.in_([outcome.value for outcome in Outcome]),
        DecisionRow.decided_at >= since,
        DecisionRow.by == journal.SERVICE,
    )


def cases_of(session: Session, wanted: Sequence[int], rules: AnnounceRules) -> Iterator[PastCase]:
    """The cases of these returns (row ids, each judged by the service), in the order given."""
    for pks in chunks(wanted):
        rows = session.execute(
            sa.select(
                ReturnRow.id, ReturnRow.return_id, ReturnRow.content, ReturnRow.received_at
            ).where(ReturnRow.id.in_(pks))
        ).all()
        decisions = _decisions(session, pks)
        had = {i for _, made in decisions.values() for i in made.receipt_ids}
        receipts = _receipts(session, sorted(had))
        announced = _announced(session, pks)
        place = {pk: n for n, pk in enumerate(pks)}
        for row in sorted(rows, key=lambda row: place[row.id]):
            past = _past(row, *decisions[row.id], receipts, rules)
            yield _compared(past, announced.get(row.id, ()), rules)


def _decisions(session: Session, pks: Sequence[int]) -> dict[int, tuple[str, Any]]:
    """By return: the outcome in the end, and the latest judgement of the criteria."""
    latest: dict[int, Any] = {}
    judged: dict[int, Any] = {}
    columns = (
        DecisionRow.id,
        DecisionRow.return_pk,
        DecisionRow.outcome,
        DecisionRow.by,
        DecisionRow.decided_at,
        DecisionRow.receipt_ids,
        DecisionRow.facts,
    )
    # Put in order here: asked to, SQLite would walk the whole table in the order of ids.
    query = sa.select(*columns).where(DecisionRow.return_pk.in_(pks))
    for row in sorted(session.execute(query), key=lambda row: row.id):
        latest[row.return_pk] = row
        if row.by == journal.SERVICE:
            judged[row.return_pk] = row
    return {pk: (latest[pk].outcome, row) for pk, row in judged.items()}


def _receipts(session: Session, ids: Sequence[int]) -> dict[int, Receipt]:
    found: dict[int, Receipt] = {}
    for chunk in chunks(ids):
        rows = session.execute(
            sa.select(ReceiptRow.id, ReceiptRow.content).where(ReceiptRow.id.in_(chunk))
        )
        found.update((pk, load_receipt(content)) for pk, content in rows)
    return found


def _announced(session: Session, pks: Sequence[int]) -> dict[int, Announced]:
    query = sa.select(RmaRow.return_pk, RmaRow.items).where(RmaRow.return_pk.in_(pks))
    found: dict[int, Announced] = {}
    for pk, items in session.execute(query.order_by(RmaRow.id)):
        found[pk] = (*found.get(pk, ()), tuple(load_items(items)))
    return found


def _compared(past: PastCase, announced: Announced, rules: AnnounceRules) -> PastCase:
    """With the comparison of what was announced against what came."""
    lines = [x for x in past.case.return_.lines if x.line_item_id in past.in_parcel]
    receipts = past.case.receipts
    comparison = compare(lines, receipts, announced, rules.kits, rules.remarks)
    return replace(past, announced=announced, case=replace(past.case, comparison=comparison))


def _past(
    row: Any, decided: str, made: Any, receipts: dict[int, Receipt], rules: AnnounceRules
) -> PastCase:
    ret: dict[str, Any] = made.facts.get("ret") or {}
    receipt: dict[str, Any] = made.facts.get("receipt") or {}
    then: list[dict[str, Any]] = made.facts.get("lines") or []
    return_ = load_return(row.content)
    lines = {line.line_item_id for line in return_.lines}
    return_ = replace(return_, state=LoopState(ret["state"])) if ret.get("state") else return_
    parcel = physical_lines(return_, rules)
    had = tuple(receipts[i] for i in made.receipt_ids)
    case = Case(
        return_=return_,
        receipts=had,
        comparison=NOT_COMPARED,
        now=made.decided_at,
        first_received_at=row.received_at or made.decided_at,
        open_tickets=receipt.get("open_tickets") or 0,
    )
    return PastCase(
        return_id=row.return_id,
        case=case,
        decided=decided,
        in_parcel=frozenset(line.line_item_id for line in parcel),
        edited=lines != {str(line.get("id")) for line in then},
    )


# -- export -----------------------------------------------------------------------------------


def export_line(past: PastCase) -> str:
    """A case as one line of JSON, without personal data: no customer, order, tracking, free
    text or status page. Criteria that ask for those cannot be tried on it."""
    return json.dumps(
        {
            "format": FORMAT,
            "return": document(_anonymous(past.case.return_)).data,
            "receipts": [document(_plain(r)).data for r in past.case.receipts],
            "in_parcel": sorted(past.in_parcel),
            "announced": [[dump_item(i) for i in items] for items in past.announced],
            "now": past.case.now.isoformat(),
            "first_received_at": past.case.first_received_at.isoformat(),
            "open_tickets": past.case.open_tickets,
            "decided": past.decided,
            "edited": past.edited,
        },
        separators=(",", ":"),
    )


def read_export(path: Path) -> Iterator[PastCase]:
    """The cases of an exported file. ValueError with file and line for what is no case."""
    with path.open(encoding="utf-8") as lines:
        yield from _cases(lines, path)


def _cases(lines: Iterable[str], path: Path) -> Iterator[PastCase]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield _load(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            why = f"{type(error).__name__}: {error}".splitlines()[0]
            raise ValueError(
                f"{path}:{number}: no case as `criteria test --export` writes it ({why})"
            ) from None


def _load(data: dict[str, Any]) -> PastCase:
    if data.get("format") != FORMAT:
        raise ValueError(f"format is {data.get('format')!r}, not {FORMAT!r}")
    return_ = load_return(data["return"])
    receipts = tuple(load_receipt(r) for r in data["receipts"])
    in_parcel = frozenset(str(i) for i in data["in_parcel"])
    case = Case(
        return_=return_,
        receipts=receipts,
        comparison=NOT_COMPARED,
        now=datetime.fromisoformat(data["now"]),
        first_received_at=datetime.fromisoformat(data["first_received_at"]),
        open_tickets=int(data["open_tickets"]),
    )
    past = PastCase(return_.id, case, str(data["decided"]), in_parcel, edited=bool(data["edited"]))
    announced = tuple(tuple(load_items(i)) for i in data.get("announced", []))
    return _compared(past, announced, AnnounceRules())


PERSONAL = {"ret": frozenset({"customer", "order"})}
"""The facts that an export leaves out."""


def _anonymous(return_: Return) -> Return:
    return replace(
        return_,
        customer_email=None,
        order_id=None,
        order_name=None,
        order_number=None,
        package_reference=None,
        status_page_url=None,
        label=Label(status=return_.label.status),
        labels=tuple(
            Label(status=label.status, line_item_ids=label.line_item_ids)
            for label in return_.labels
        ),
        lines=tuple(replace(line, comment=None) for line in return_.lines),
    )


def _plain(receipt: Receipt) -> Receipt:
    return replace(
        receipt,
        customer_po=None,
        memo=None,
        tracking_numbers=(),
        lines=tuple(replace(line, comments=None) for line in receipt.lines),
    )
