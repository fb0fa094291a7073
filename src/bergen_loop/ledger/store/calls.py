"""Calls to Loop and REX11, as far as they outlive a tick: their log, written at its end and
forgotten after a time; the systems that do not answer a brand, with the calls that they refuse it;
and the calls a minute that a key of Loop's allows, dealt out in small leases to all processes.

A call made under a lease counts for `PERIOD` from the time it is made. Nobody but the process
knows that time, so a lease counts in full from the grant until `PERIOD` after the last moment at
which it may be used; as soon as the process tells how many calls it made and when the last one
was, only those count. In any period the calls then stay within the limit whatever the processes
do: all leases with a call in it count together at the grant of the latest of them.

The leases' times are the database's; a process tells ages, not times, so its own clock does not
matter.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.ledger import database
from bergen_loop.ledger.store.statements import chunks, insert
from bergen_loop.ledger.tables.core import BreakerRow, BudgetLeaseRow, BudgetRow
from bergen_loop.ledger.tables.operations import CallRow

AT_A_TIME = 1000


def add(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write them, in one statement."""
    if rows:
        session.execute(sa.insert(CallRow), list(rows))


def forget(session: Session, brand: str, before: datetime) -> int:
    """Delete those of before; some at a time. How many."""
    oldest = sa.select(CallRow.id).where(CallRow.brand == brand).order_by(CallRow.id)
    ids = list(session.scalars(oldest.limit(AT_A_TIME)))
    gone = 0
    for some in chunks(ids):
        done = session.execute(
            sa.delete(CallRow)
            .where(CallRow.id.in_(some), CallRow.at < before)
            .returning(CallRow.id)
        )
        gone += len(done.all())
    return gone


def unsay(session: Session, brand: str, subjects: Collection[str]) -> None:
    """Delete what was said in calls about these returns, POs and tickets."""
    for some in chunks([s for s in subjects if s]):
        session.execute(
            sa.update(CallRow)
            .where(CallRow.brand == brand, CallRow.subject.in_(some))
            .values(sent=None, received=None)
        )


# -- breakers ---------------------------------------------------------------------------------


def breakers_of(session: Session, brand: str | None = None) -> list[BreakerRow]:
    """The systems with failures and the calls refused, of a brand or of all."""
    query = sa.select(BreakerRow).order_by(BreakerRow.brand, BreakerRow.system)
    return list(session.scalars(query.where(BreakerRow.brand == brand) if brand else query))


def keep_breaker(
    session: Session, brand: str, system: str, values: Mapping[str, object]
) -> BreakerRow:
    """Bring a system's row to these values, made where there is none."""
    row = session.get(BreakerRow, (brand, system))
    if row is None:
        row = BreakerRow(brand=brand, system=system)
        session.add(row)
    for name, value in values.items():
        setattr(row, name, value)
    return row


def drop_breaker(session: Session, row: BreakerRow) -> None:
    """All is well again."""
    session.delete(row)


# -- leases -------------------------------------------------------------------------------------


PERIOD = 60.5
"""Seconds: Loop's minute, and a little for calls that take longer to reach Loop than those of a
minute later."""
USABLE = 5.0
"""Seconds after the grant within which the calls of a lease may be made."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A lease that will not be used any more."""

    lease: int
    counts_until_ms: int
    """As granted. A number alone names no lease for ever: SQLite gives that of a row that is gone
    to the next one."""
    used: int
    age: float
    """Seconds since its last call."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a process asks for: `least` to `wanted` calls are granted, or none."""

    least: int
    wanted: int
    finished: Sequence[Finished] = ()


@dataclass(frozen=True, slots=True)
class Granted:
    """What a process got. Without a lease: after how many seconds to ask again."""

    lease: int | None = None
    permits: int = 0
    counts_until_ms: int = 0
    """Until when the lease counts in full: told again when it is finished."""
    wait: float = 0.0
    paused: bool = False
    """The wait is because Loop said 429."""


def key_hash(api_key: str) -> str:
    """How a key is named here; the key itself is not kept."""
    return hashlib.sha256(api_key.encode()).hexdigest()


def lease(
    session: Session, key_hash: str, limit: int, asked: Asked, *, at_ms: int | None = None
) -> Granted:
    """Tell of finished leases and get a new one, in one short transaction. `at_ms` is the time
    for tests."""
    budget = _lock(session, key_hash)
    now = database.now_ms(session) if at_ms is None else at_ms
    _settle(session, key_hash, asked.finished, now)
    session.execute(
        sa.delete(BudgetLeaseRow).where(
            BudgetLeaseRow.key_hash == key_hash, BudgetLeaseRow.counts_until_ms <= now
        )
    )
    if budget.paused_until_ms > now:
        return Granted(wait=(budget.paused_until_ms - now) / 1000, paused=True)
    rows = _counting(session, key_hash)
    room = limit - sum(permits for permits, _ in rows)
    if room < asked.least:
        return Granted(wait=_until_room(rows, asked.least - room, now))
    permits = min(asked.wanted, room)
    lease = BudgetLeaseRow(
        key_hash=key_hash,
        permits=permits,
        counts_until_ms=now + _ms(USABLE + PERIOD),
    )
    session.add(lease)
    session.flush()
    return Granted(lease.id, permits, lease.counts_until_ms)


def pause(session: Session, key_hash: str, seconds: float, *, at_ms: int | None = None) -> None:
    """Grant nothing to anybody for so long."""
    budget = _lock(session, key_hash)
    now = database.now_ms(session) if at_ms is None else at_ms
    budget.paused_until_ms = max(budget.paused_until_ms, now + round(seconds * 1000))


def counted_by_key(session: Session) -> dict[str, int]:
    """The same of every key, in one question."""
    query = (
        sa.select(BudgetLeaseRow.key_hash, sa.func.sum(BudgetLeaseRow.permits))
        .where(BudgetLeaseRow.counts_until_ms > database.now_ms(session))
        .group_by(BudgetLeaseRow.key_hash)
    )
    return {key: int(number) for key, number in session.execute(query)}


def counted(session: Session, key_hash: str) -> int:
    """How many calls of the key count against its limit now, in all processes."""
    now = database.now_ms(session)
    query = sa.select(sa.func.coalesce(sa.func.sum(BudgetLeaseRow.permits), 0)).where(
        BudgetLeaseRow.key_hash == key_hash, BudgetLeaseRow.counts_until_ms > now
    )
    return int(session.scalar(query) or 0)


def _lock(session: Session, key_hash: str) -> BudgetRow:
    """The budget's row, locked until the transaction ends: one process deals at a time."""
    query = sa.select(BudgetRow).where(BudgetRow.key_hash == key_hash).with_for_update()
    found = session.scalar(query)
    if found is None:
        values = {"key_hash": key_hash, "paused_until_ms": 0}
        session.execute(insert(session, BudgetRow).values(**values).on_conflict_do_nothing())
        found = session.scalars(query).one()
    return found


def _settle(session: Session, key_hash: str, finished: Sequence[Finished], now: int) -> None:
    for lease in finished:
        row = sa.and_(
            BudgetLeaseRow.id == lease.lease,
            BudgetLeaseRow.key_hash == key_hash,
            BudgetLeaseRow.counts_until_ms == lease.counts_until_ms,
        )
        if lease.used == 0:
            session.execute(sa.delete(BudgetLeaseRow).where(row))
            continue
        until = now + _ms(PERIOD - lease.age)
        session.execute(
            sa.update(BudgetLeaseRow).where(row).values(permits=lease.used, counts_until_ms=until)
        )


def _counting(session: Session, key_hash: str) -> list[tuple[int, int]]:
    """(calls, until when they count), the first to end first."""
    query = (
        sa.select(BudgetLeaseRow.permits, BudgetLeaseRow.counts_until_ms)
        .where(BudgetLeaseRow.key_hash == key_hash)
        .order_by(BudgetLeaseRow.counts_until_ms)
    )
    return [(permits, until) for permits, until in session.execute(query)]


def _ms(seconds: float) -> int:
    """Rounded up, and one more: the time it is added to was rounded down."""
    return math.ceil(seconds * 1000) + 1


def _until_room(rows: Sequence[tuple[int, int]], short: int, now: int) -> float:
    """Seconds until so many calls have stopped counting, as far as is known."""
    freed = 0
    for permits, until in rows:
        freed += permits
        if freed >= short:
            return max(0.001, (until - now) / 1000)
    return PERIOD
