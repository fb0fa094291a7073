"""What a brand's going live would lead to, and whether its time has come: the checklist of the
person who is about to let it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.domain.decision import Outcome
from bergen_loop.domain.returns import Stage
from bergen_loop.ledger.read import figures, shadow
from bergen_loop.ledger.read.causes import Sum
from bergen_loop.ledger.read.shadow import ShadowReport, Verdict
from bergen_loop.ledger.store import modes, returns
from bergen_loop.ledger.store.modes import PAYS
from bergen_loop.ledger.store.statements import chunks
from bergen_loop.ledger.tables.core import DecisionRow, ReturnRow

ENOUGH = 20
"""So many compared decisions are called a sample; fewer are told as too few."""
RECENT = timedelta(hours=1)


class Name(StrEnum):
    """The points of the checklist, in their order."""

    COMPARED = "compared"
    ALIKE = "alike"
    CRITERIA = "criteria"
    PAID = "paid"
    ATTENTION = "attention"
    SYNC = "sync"
    AUTOMATIC = "automatic"

    @property
    def words(self) -> str:
        """For people."""
        return _TITLES[self]


_TITLES = {
    Name.COMPARED: "Compared with what people did",
    Name.ALIKE: "Decided alike",
    Name.CRITERIA: "By the criteria that hold",
    Name.PAID: "Paid at once",
    Name.ATTENTION: "Waits for a person",
    Name.SYNC: "Syncs",
    Name.AUTOMATIC: "Automatic processing in Loop",
}


@dataclass(frozen=True, slots=True)
class Point:
    """One point of the checklist."""

    name: Name
    found: str
    """A sentence, without its full stop."""
    open: bool
    """Not in order by itself: who signs says that it is meant."""


@dataclass(slots=True)
class GoLive:
    """What waits. The decisions are those of shadow, or such as were not sent yet: each return is
    judged once more before anything is done."""

    report: ShadowReport
    """Shadow decisions against what people did in Loop."""
    paid: int = 0
    """Returns that would be processed."""
    worth: Sum = field(default_factory=Sum)
    """What these are worth in all, as Loop's totals say."""
    flagged: int = 0
    others: int = 0
    """Received, and to be judged, asked about or waited for."""
    attention: int = 0
    last_good_sync_at: datetime | None = None

    @property
    def _worth(self) -> str:
        return f", {words}" if (words := self.worth.words) else ""

    @property
    def alike(self) -> int:
        """Of those compared, those decided as people did."""
        return self.report.verdicts[Verdict.AGREE]

    @property
    def compared(self) -> int:
        """Shadow decisions that could be compared with what people did in Loop."""
        return self.alike + self.report.verdicts[Verdict.DISAGREE]

    @property
    def stake(self) -> str:
        """What would be paid at once, so that it can be held against what was seen before:
        `2;USD 50.00`."""
        sums = [f"{currency} {value}" for currency, value in sorted(self.worth.by_currency.items())]
        unknown = [f"? {self.worth.unknown}"] if self.worth.unknown else []
        return ";".join([str(self.paid), *sums, *unknown])

    def points(self, criteria_version: str, now: datetime) -> list[Point]:
        """The checklist."""
        compared, alike = self.compared, self.alike
        by_these = self.report.compared_by[criteria_version]
        sample = {outcome: number for outcome, number, _ in self.report.samples()}
        processed = sample.get(Outcome.PROCESS, 0)
        synced = self.last_good_sync_at
        ago = f"{synced:%Y-%m-%d %H:%M} UTC" if synced else "never"
        return [
            Point(
                Name.COMPARED,
                f"{_many(compared, 'decision')} compared, {processed} of them to process"
                if compared
                else "none yet: nobody knows how good the decisions are",
                processed < ENOUGH,
            ),
            Point(
                Name.ALIKE,
                f"{alike} of {compared} ({alike / compared:.1%})"
                if compared
                else "nothing to compare yet",
                alike < compared or not compared,
            ),
            Point(
                Name.CRITERIA,
                f"{by_these} of {compared} compared were judged by {criteria_version}, which holds",
                by_these < min(ENOUGH, compared) or not compared,
            ),
            Point(
                Name.PAID,
                f"{_many(self.paid, 'return')}{self._worth}; flagged: {self.flagged}; "
                f"judged, asked about or waited for: {self.others}",
                self.paid > 0,
            ),
            Point(
                Name.ATTENTION,
                f"{_many(self.attention, 'item')} on the attention list",
                self.attention > 0,
            ),
            Point(
                Name.SYNC,
                f"the last one without an error: {ago}",
                synced is None or now - synced > RECENT,
            ),
            Point(
                Name.AUTOMATIC,
                "must be off, or Loop pays before the parcel has come; the API does not show it",
                True,
            ),
        ]


def _many(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def look(session: Session, brand: str) -> GoLive:
    """What the brand's going live would lead to now."""
    waiting = set(session.scalars(modes.waiting_for_live(brand).with_only_columns(ReturnRow.id)))
    stages = (Stage.RECEIVED, Stage.WAITING, Stage.SETTLING)
    query = sa.select(ReturnRow.id, ReturnRow.stage, ReturnRow.total, ReturnRow.currency)
    rows = session.execute(
        query.where(
            ReturnRow.brand == brand, ReturnRow.stage.in_(stages), ReturnRow.held.is_(False)
        )
    ).all()
    decided = _latest(session, [pk for pk, *_ in rows])
    known = returns.known_brand(session, brand)
    found = GoLive(
        shadow.report(session, brand),
        attention=figures.attention_by_brand(session, [brand]).get(brand, 0),
        last_good_sync_at=known.last_good_sync_at if known else None,
    )
    for pk, stage, total, currency in rows:
        outcome = decided.get(pk) if pk in waiting or stage == Stage.SETTLING else None
        if outcome in PAYS:
            found.paid += 1
            found.worth.add(total, currency)
        elif outcome == Outcome.FLAG:
            found.flagged += 1
        else:
            found.others += 1
    return found


def _latest(session: Session, pks: Sequence[int]) -> dict[int, str]:
    """The outcome of each return's latest decision."""
    found: dict[int, str] = {}
    for chunk in chunks(pks):
        query = sa.select(DecisionRow.return_pk, DecisionRow.outcome)
        query = query.where(DecisionRow.return_pk.in_(chunk)).order_by(DecisionRow.id)
        found.update((pk, outcome) for pk, outcome in session.execute(query))
    return found
