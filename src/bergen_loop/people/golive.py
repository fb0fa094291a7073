"""Letting a brand go live: the one door, for the console and the command line.

Who opens it has seen the checklist, says of every open point that it is meant, signs with a
reason, and says how gradually it is to begin.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation

from bergen_loop.domain.pace import Pace
from bergen_loop.domain.words import What
from bergen_loop.ledger.codec import storable
from bergen_loop.ledger.database import Session
from bergen_loop.ledger.read import golive
from bergen_loop.ledger.read.golive import GoLive, Name, Point
from bergen_loop.ledger.store import modes, returns
from bergen_loop.ledger.store.modes import SignOff
from bergen_loop.ledger.tables.core import ReturnRow
from bergen_loop.ledger.transaction import Transaction
from bergen_loop.people.actions import NotPossible

RETURNS, DAYS = 20, 3
"""How gradually a brand begins where nobody says otherwise: so many returns an hour, so long."""
MOST_RETURNS, MOST_DAYS = 100_000, 90
MOST_AMOUNT = Decimal(10) ** 9


class NotSigned(NotPossible):
    """What was typed is not enough: by field (returns, amount, days, why, or a point of the
    checklist), what is wrong and what is right."""

    def __init__(self, problems: dict[str, str]) -> None:
        super().__init__("; ".join(problems.values()))
        self.problems = problems


def beginning(returns_: str, amount: str, days: str, now: datetime) -> Pace:
    """A gradual start as it was typed; blank: no limit of that kind. Raises NotSigned."""
    problems: dict[str, str] = {}
    number, money, length = returns_.strip(), amount.strip().replace(",", ""), days.strip()
    if number and not (re.fullmatch(r"\d{1,9}", number) and 0 < int(number) <= MOST_RETURNS):
        problems["returns"] = f"{number!r} is no number of returns: 1 to {MOST_RETURNS}"
    value: Decimal | None = None
    if money:
        try:
            value = Decimal(money)
        except InvalidOperation:
            value = None
        if value is None or not value.is_finite() or not 0 < value <= MOST_AMOUNT:
            problems["amount"] = f"{money!r} is no amount of money: such as 500 or 499.50"
    if not number and not money:
        problems["returns"] = "say how many returns, or how much money, may be paid an hour"
    if not (re.fullmatch(r"\d{1,4}", length) and 0 < int(length) <= MOST_DAYS):
        problems["days"] = f"{length!r} is no number of days: 1 to {MOST_DAYS}"
    if problems:
        raise NotSigned(problems)
    return Pace(now + timedelta(days=int(length)), int(number) if number else None, value)


@dataclass(frozen=True, slots=True)
class Door:
    """Of which brand it is, as it is set up."""

    brand: str
    configured: str
    """The mode that its settings say."""
    criteria_version: str

    def leads_live(self, session: Session, mode: str | None) -> bool:
        """Whether setting this mode (None: the configured one) lets the brand go live."""
        row = returns.known_brand(session, self.brand)
        now = modes.effective(row, self.configured)
        return modes.after(row, mode, self.configured) == modes.LIVE and now != modes.LIVE

    def look(self, session: Session, now: datetime) -> tuple[GoLive, list[Point]]:
        """What there is to be seen before, and the checklist."""
        found = golive.look(session, self.brand)
        return found, found.points(self.criteria_version, now)

    def open(self, tx: Transaction, mode: str | None, why: str, signed: Signed) -> tuple[str, str]:
        """Let the brand go live, by this mode (None: the configured one): the mode before and
        after. Raises NotPossible; nothing is changed then."""
        returns.known_brand(tx.session, self.brand, lock=True)
        found, points = self.look(tx.session, tx.now)
        if problems := unsigned(points, why, signed):
            raise NotSigned(problems)
        if signed.stake is not None and _more(found.stake, signed.stake):
            raise NotPossible(
                "more would be paid at once by now than when you looked: look at it again"
            )
        seen = {p.name.value: p.found + (" - meant" if p.open else "") for p in points}
        sign = SignOff(seen, signed.pace)
        return modes.set_mode(tx, mode, configured=self.configured, why=storable(why), signed=sign)


@dataclass(frozen=True, slots=True)
class Signed:
    """What somebody who has looked says."""

    pace: Pace | None
    """None: without a gradual start."""
    accepted: Collection[Name] = ()
    """Open points that are meant ..."""
    all: bool = False
    """... or all of them."""
    stake: str | None = None
    """What would have been paid at once when they looked: `GoLive.stake`. None: looked just now."""


def unsigned(points: Collection[Point], why: str, signed: Signed) -> dict[str, str]:
    """What is missing of a signature, by field."""
    problems: dict[str, str] = {}
    if not signed.all:
        missing = [p for p in points if p.open and p.name not in signed.accepted]
        problems |= dict.fromkeys((p.name.value for p in missing), "say that this is meant")
    if not why.strip():
        problems["why"] = "this needs a reason: write one, for the journal"
    return problems


def _more(now: str, seen: str) -> bool:
    """Whether anything of a stake is more than it was, or cannot be compared."""
    before = _amounts(seen)
    return any(value > before.get(name, Decimal(0)) for name, value in _amounts(now).items())


def _amounts(stake: str) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for part in stake.split(";"):
        name, _, value = part.rpartition(" ")
        try:
            found[name] = Decimal(value)
        except InvalidOperation:
            return {}
    return found


def release(tx: Transaction, row: ReturnRow, why: str) -> None:
    """Let one return go before its turn in the gradual start: it is paid at the next tick, and
    counted. Raises NotPossible."""
    if not why.strip():
        told = "letting a return go before its turn needs a reason, for the journal"
        raise NotPossible(told, "why")
    tx.session.refresh(row, with_for_update=True)
    decision = modes.turn_of(tx.session, row, tx.now)
    if decision is None:
        raise NotPossible("it does not wait for its turn in a gradual start (any more)")
    row.due_at = tx.now
    returns.brand_row(tx.session, tx.brand).nudged_at = tx.now
    data = {"decision": decision.id, "outcome": decision.outcome}
    tx.journal(What.RELEASED, storable(why).strip(), row, data)


def change_pace(tx: Transaction, configured: str, pace_: Pace | None, why: str) -> None:
    """Another gradual start for a live brand, or none: whoever waits is looked at anew at the
    next tick. Raises NotPossible."""
    if not why.strip():
        raise NotPossible("a change of the gradual start needs a reason, for the journal")
    row = returns.known_brand(tx.session, tx.brand, lock=True)
    if modes.effective(row, configured) != modes.LIVE:
        raise NotPossible("the brand is not live: nothing is paid at all")
    row = returns.brand_row(tx.session, tx.brand)
    before = modes.pace_of(row, tx.now)
    modes.keep_pace(row, pace_)
    modes.let_go(tx)
    row.nudged_at = tx.now
    data = {"before": str(before) if before else None, "after": str(pace_) if pace_ else None}
    tx.journal(What.PACE_SET, f"{storable(why).strip()} ({pace_ or 'without a limit'})", data=data)
