"""Brands for which nothing waits: all of them that are due are asked about, and written down, at
once. So a look that finds nothing costs the ledger a share of two statements, and no lock. A tick
asks the same of its one brand at its beginning (`at_hand`).

What a look writes holds only where nobody else has written meanwhile: a time is moved on from the
very value that the look began with.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.domain.returns import WORKING, Stage
from bergen_loop.domain.shipment import ShipmentStage
from bergen_loop.domain.words import OF_PRODUCTS, EffectKind
from bergen_loop.ledger.store import effects, journal, modes
from bergen_loop.ledger.store.statements import BRAND, chunks
from bergen_loop.ledger.tables.core import (
    AttentionRow,
    BrandRow,
    BreakerRow,
    CursorRow,
    EffectRow,
    ReturnRow,
    RmaRow,
    WebhookRow,
)
from bergen_loop.ledger.tables.shipments import ShipmentRmaRow, ShipmentRow


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is known of a brand's work, beside its row."""

    marks: Mapping[str, datetime]
    """How far its recurring reads have come, by name."""
    earliest: datetime | None
    """When the next of its returns is due."""
    awaited: bool
    """Whether parcels are to come."""
    restless: bool
    """Something waits that every tick looks at: a system that does not answer, a webhook, a
    ticket to be read by now, a call that has no outcome, is to be sent or to be looked after."""


@dataclass(frozen=True, slots=True)
class Looked:
    """A look that found nothing."""

    brand: str
    at: datetime
    """When it began: all lists are known up to then."""
    ended: datetime
    claimed: datetime
    """The brand's `next_due_at` while it was looked at."""
    quiet: int
    """Looks in a row that found nothing."""
    next_due: datetime
    moved: Mapping[str, datetime]
    """Cursors that are moved on to `at`: name and the time the look began with."""
    counts: Mapping[str, int]


_BRANDS: sa.BindParameter[Sequence[str]] = sa.bindparam("brands", expanding=True)
_NOW = sa.bindparam("now", type_=EffectRow.try_at.type)
BREAKERS, JUDGED = "breakers", "judged in shadow"
SHIPMENTS, SHARES = "shipments", "shares to read again"
BOXES = "tickets of shipments"
PRODUCTS = "products that people are told of"


def _to_read(table: type[RmaRow | ShipmentRmaRow]) -> tuple[sa.ColumnElement[bool], ...]:
    due = sa.or_(table.read_due_at.is_(None), table.read_due_at <= _NOW)
    return table.to_read.is_(True), due


_SIGNS: dict[str, tuple[Any, tuple[sa.ColumnElement[bool], ...]]] = {
    BREAKERS: (BreakerRow, ()),
    "webhooks": (WebhookRow, (WebhookRow.handled_at.is_(None),)),
    "tickets": (RmaRow, _to_read(RmaRow)),
    BOXES: (ShipmentRmaRow, _to_read(ShipmentRmaRow)),
    "calls": (
        EffectRow,
        (
            EffectRow.kind.in_(list(EffectKind)),
            EffectRow.state.in_([*effects.OPEN, *effects.SENDABLE]),
        ),
    ),
    "late tickets": (
        EffectRow,
        (
            EffectRow.kind == EffectKind.TICKET,
            EffectRow.state == effects.EffectState.DONE,
            EffectRow.try_at <= _NOW,
        ),
    ),
}
"""What makes a brand restless, and where it stands."""
_OF_A_TICK: dict[str, tuple[Any, tuple[sa.ColumnElement[bool], ...]]] = {
    **_SIGNS,
    "returns": (
        ReturnRow,
        (ReturnRow.stage.in_(WORKING), ReturnRow.held.is_(False), ReturnRow.due_at <= _NOW),
    ),
    JUDGED: (ReturnRow, modes.WAITS_FOR_LIVE),
    PRODUCTS: (
        AttentionRow,
        (AttentionRow.resolved_at.is_(None), AttentionRow.kind.in_(OF_PRODUCTS)),
    ),
    SHIPMENTS: (ShipmentRow, (ShipmentRow.stage != ShipmentStage.DONE,)),
    SHARES: (RmaRow, (RmaRow.to_read.is_(True), RmaRow.shipment_pk.is_not(None))),
}
_RESTLESS = sa.union(
    *(sa.select(t.brand).where(t.brand.in_(_BRANDS), *wanted) for t, wanted in _SIGNS.values())
)
_FOUND = sa.union_all(
    *(
        sa.select(sa.literal(sign)).where(sa.exists().where(table.brand == BRAND, *wanted))
        for sign, (table, wanted) in _OF_A_TICK.items()
    )
)
_EARLIEST = (
    sa.select(ReturnRow.brand, sa.func.min(ReturnRow.due_at))
    .where(ReturnRow.brand.in_(_BRANDS), ReturnRow.stage.in_(WORKING), ReturnRow.held.is_(False))
    .group_by(ReturnRow.brand)
)
_AWAITED = sa.select(BrandRow.brand).where(
    BrandRow.brand.in_(_BRANDS),
    sa.exists().where(ReturnRow.brand == BrandRow.brand, ReturnRow.stage == Stage.ANNOUNCED),
)
_MARKS = sa.select(CursorRow.brand, CursorRow.name, CursorRow.value).where(
    CursorRow.brand.in_(_BRANDS)
)


def waiting(session: Session, brands: Collection[str], now: datetime) -> dict[str, Waiting]:
    """What waits for these brands, in four questions."""
    restless, awaited = set[str](), set[str]()
    earliest: dict[str, datetime] = {}
    marks: dict[str, dict[str, datetime]] = defaultdict(dict)
    for some in chunks(brands):
        values = {"brands": some}
        restless.update(session.scalars(_RESTLESS, {**values, "now": now}))
        awaited.update(session.scalars(_AWAITED, values))
        earliest.update((b, at) for b, at in session.execute(_EARLIEST, values) if at is not None)
        for brand, name, value in session.execute(_MARKS, values):
            marks[brand][name] = value
    return {b: Waiting(marks[b], earliest.get(b), b in awaited, b in restless) for b in brands}


def at_hand(session: Session, brand: str, now: datetime) -> frozenset[str]:
    """What of a brand's a tick has to look at, in one question: without any of it, there is
    nothing to do but to see what is new outside."""
    return frozenset(session.scalars(_FOUND, {"brand": brand, "now": now}))


def claim(session: Session, brands: Sequence[str], now: datetime, until: datetime) -> set[str]:
    """Have these brands be looked at by this process alone until then, where no other one does
    and nobody has asked for a tick meanwhile; those that are."""
    free = (
        sa.select(BrandRow.brand)
        .where(
            BrandRow.brand.in_(brands),
            BrandRow.next_due_at <= now,
            sa.or_(BrandRow.nudged_at.is_(None), BrandRow.nudged_at > now),
        )
        .with_for_update(skip_locked=True)
    )
    taken = sa.update(BrandRow).where(BrandRow.brand.in_(free)).values(next_due_at=until)
    return set(
        session.scalars(
            taken.returning(BrandRow.brand), execution_options={"synchronize_session": False}
        )
    )


_LOOKED = (
    sa.update(BrandRow)
    .where(
        BrandRow.brand == sa.bindparam("of_brand"),
        BrandRow.next_due_at == sa.bindparam("claimed", type_=BrandRow.next_due_at.type),
    )
    .values(
        last_sync_started_at=sa.bindparam("started"),
        last_sync_finished_at=sa.bindparam("ended"),
        last_good_sync_at=sa.bindparam("ended"),
        last_pull_at=sa.bindparam("started"),
        quiet_looks=sa.bindparam("quiet"),
        next_due_at=sa.bindparam("next_due"),
    )
)
_MOVED = (
    sa.update(CursorRow)
    .where(
        CursorRow.brand == sa.bindparam("of_brand"),
        CursorRow.name == sa.bindparam("of_name"),
        CursorRow.value == sa.bindparam("before", type_=CursorRow.value.type),
    )
    .values(value=sa.bindparam("after"))
)


def looked(session: Session, looks: Sequence[Looked]) -> None:
    """Write down looks that found nothing: what each saw holds unless a tick has come between."""
    if not looks:
        return
    ordered = sorted(looks, key=lambda look: look.brand)
    connection = session.connection()
    connection.execute(
        _LOOKED,
        [
            {
                "of_brand": x.brand, "claimed": x.claimed, "started": x.at, "ended": x.ended,
                "quiet": x.quiet, "next_due": x.next_due,
            }
            for x in ordered
        ],
    )  # fmt: skip
    connection.execute(
        _MOVED,
        [
            {"of_brand": x.brand, "of_name": name, "before": before, "after": x.at}
            for x in ordered
            for name, before in sorted(x.moved.items())
        ],
    )
    journal.count_all(session, {x.brand: x.counts for x in ordered})
