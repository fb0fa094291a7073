"""Circuit breakers: a system that does not answer costs one call now and then, not a whole tick.

One per brand and system. After `THRESHOLD` attempts in a row without an answer calls are
suspended for `FIRST`; then one is let through, and each that fails doubles the wait, up to
`LONGEST`. What is kept in the ledger is read at a tick's start and written at its end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.domain.words import Need, What
from bergen_loop.ledger.store import attention, journal, returns
from bergen_loop.ledger.tables.core import BreakerRow

LOOP, REX11 = "loop", "rex11"
TITLES = {LOOP: "Loop", REX11: "REX11"}
THRESHOLD = 5
FIRST, LONGEST = timedelta(seconds=30), timedelta(minutes=15)
TELL_AFTER = timedelta(minutes=10)
"""A system suspended for so long is put on the attention list."""

FAILED = frozenset({"Unavailable", "OutcomeUnknown"})
"""Outcomes of attempts that say the system is not there; any other answer says it is."""


class Suspended(Exception):
    """No call is made now: the message says why and when the next one is."""


class Breaker:
    """The breaker of one system. Thread-safe."""

    def __init__(self, system: str) -> None:
        self.system = system
        self.now: Callable[[], datetime] = lambda: datetime.now(UTC)
        self._lock = threading.Lock()
        self._failures = 0
        self._probes = 0
        self._opened_at: datetime | None = None
        self._open_until: datetime | None = None
        self._probing_until: datetime | None = None
        self._error: str | None = None

    def admit(self) -> None:
        """Before a call. Raises Suspended."""
        with self._lock:
            if self._open_until is None:
                return
            now = self.now()
            if now < self._open_until:
                raise Suspended(self._words(self._open_until))
            if self._probing_until and now < self._probing_until:
                raise Suspended(self._words(None))
            self._probing_until = now + FIRST  # one at a time; its outcome decides

    def suspended(self) -> str | None:
        """Why calls are not to be made at all now; None where one may try."""
        with self._lock:
            if self._open_until is None or self.now() >= self._open_until:
                return None
            return self._words(self._open_until)

    def attempted(self, outcome: str, error: str | None = None) -> None:
        """An attempt has ended: `outcome` is `ok` or the name of the error's class."""
        if outcome == "crashed":
            return
        with self._lock:
            if outcome not in FAILED:
                self._close()
                return
            self._failures += 1
            self._error = error or outcome
            if self._opened_at is not None:
                self._probes += 1
            elif self._failures < THRESHOLD:
                return
            now = self.now()
            self._opened_at = self._opened_at or now
            self._open_until = now + min(LONGEST, FIRST * 2 ** min(self._probes, 10))
            self._probing_until = None

    def load(self, row: BreakerRow | None) -> None:
        """Be as the ledger has it."""
        with self._lock:
            self._close()
            if row is not None:
                self._failures, self._probes = row.failures, row.probes
                self._opened_at, self._open_until = row.opened_at, row.open_until
                self._error = row.error

    def values(self) -> dict[str, object] | None:
        """What the ledger is to keep; None: nothing, for all is well."""
        with self._lock:
            if not self._failures:
                return None
            return {
                "failures": self._failures,
                "probes": self._probes,
                "opened_at": self._opened_at,
                "open_until": self._open_until,
                "error": self._error,
            }

    def _close(self) -> None:
        self._failures = self._probes = 0
        self._opened_at = self._open_until = self._probing_until = self._error = None

    def _words(self, until: datetime | None) -> str:
        next_try = f"the next try is at {until:%H:%M:%S} UTC" if until else "one is being tried"
        return (
            f"calls to {TITLES[self.system]} are suspended, since {self._failures} in a row got no "
            f"answer ({self._error}); {next_try}"
        )


@dataclass(slots=True, init=False)
class Breakers:
    """A brand's breakers, and what of them the ledger knows."""

    loop: Breaker
    rex11: Breaker
    _known: set[str]

    def __init__(self) -> None:
        self.loop, self.rex11 = Breaker(LOOP), Breaker(REX11)
        self._known = set()

    def of(self, system: str) -> Breaker:
        return self.loop if system == LOOP else self.rex11

    def use_clock(self, now: Callable[[], datetime]) -> None:
        """Have both go by this time."""
        self.loop.now = self.rex11.now = now

    def load(self, session: Session, brand: str) -> None:
        """At a tick's start."""
        rows = {row.system: row for row in of_brand(session, brand)}
        self._known = set(rows)
        for breaker in (self.loop, self.rex11):
            breaker.load(rows.get(breaker.system))

    def save(self, session: Session, now: datetime, brand: str) -> None:
        """At a tick's end. What a person has reset meanwhile stays reset."""
        rows = {row.system: row for row in of_brand(session, brand)}
        for breaker in (self.loop, self.rex11):
            row, system = rows.get(breaker.system), breaker.system
            if row is None and system in self._known:
                continue
            _keep(session, now, brand, breaker, row)


def of_brand(session: Session, brand: str | None = None) -> list[BreakerRow]:
    """The systems with failures, of a brand or of all."""
    query = sa.select(BreakerRow).order_by(BreakerRow.brand, BreakerRow.system)
    return list(session.scalars(query.where(BreakerRow.brand == brand) if brand else query))


def reset(session: Session, now: datetime, brand: str, *, who: str) -> list[str]:
    """Call the brand's systems again at once, for a person says that they are back: the systems
    that were suspended. The next tick, which is asked for, takes it up."""
    rows = of_brand(session, brand)
    for row in rows:
        session.delete(row)
        _tell_closed(session, now, brand, row.system, f"reset by {who}", who)
    returns.brand_row(session, brand).nudged_at = now
    return [row.system for row in rows if row.opened_at]


def _keep(
    session: Session, now: datetime, brand: str, breaker: Breaker, row: BreakerRow | None
) -> None:
    values, system = breaker.values(), breaker.system
    was_open = row is not None and row.opened_at is not None
    if values is None:
        if row is not None:
            session.delete(row)
        if was_open:
            _tell_closed(session, now, brand, system, "it answers again", journal.SERVICE)
        return
    if row is None:
        row = BreakerRow(brand=brand, system=system)
        session.add(row)
    for name, value in values.items():
        setattr(row, name, value)
    if row.opened_at is None:
        return
    why = f"{TITLES[system]} gave no answer {row.failures} times in a row: {row.error}"
    if not was_open:
        journal.record(
            session, now, What.SYSTEM_SUSPENDED, why, brand=brand, data={"system": TITLES[system]}
        )
    if now - row.opened_at >= TELL_AFTER:
        attention.raise_item(
            session,
            now,
            brand=brand,
            kind=Need.UNREACHABLE,
            subject=system,
            reason=f"{why}; it is tried again from time to time. If it is back, "
            f"`bergen-loop breaker reset {brand}` tries at once",
            tried=f"{row.probes} further call(s) since {row.opened_at:%Y-%m-%d %H:%M} UTC",
        )


def _tell_closed(
    session: Session, now: datetime, brand: str, system: str, why: str, who: str
) -> None:
    journal.record(
        session,
        now,
        What.SYSTEM_CALLED_AGAIN,
        why,
        brand=brand,
        who=who,
        data={"system": TITLES[system]},
    )
    attention.resolve_kind(
        session, now, brand=brand, kind=Need.UNREACHABLE, subject=system, resolution=why
    )
