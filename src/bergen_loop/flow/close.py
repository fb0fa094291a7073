"""Moments 6 and 7: the RMA is closed in Bergen, and the return is complete.

A close may be made again for the same ticket (`CloseStrategy`), so one that fails is tried again by
itself, ever more rarely. One item tells of all that fail for one cause, and is lifted when none
does; what is refused for one RMA alone is its return's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bergen_loop.domain.returns import Stage
from bergen_loop.domain.rma import CloseEvidence, TicketStatus
from bergen_loop.domain.words import Need, What
from bergen_loop.flow import receive
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.store import cursors, effects, returns
from bergen_loop.ledger.store.statements import chunks
from bergen_loop.ledger.tables.core import ReturnRow, RmaRow
from bergen_loop.ledger.transaction import Transaction
from bergen_loop.outside.errors import Effect, OutsideError

PER_TICK = 1000
PER_WRITE = 50
"""Returns in one transaction, so that others' turn comes."""
AGAIN, RARELY = timedelta(minutes=5), timedelta(hours=1)
"""After how long a close that failed is tried again: at first, and at the longest."""
TELL_AFTER = timedelta(hours=1)
"""How long closes may fail before a person is told."""
FAILING = "failing.closes"
"""The mark of since when."""
CLOSES = "closes"
"""What the item about all of them is about."""


@dataclass(slots=True)
class Closed:
    """What a close step did."""

    rmas: int = 0
    complete: int = 0
    waiting: int = 0


Evidence = dict[int, CloseEvidence | OutsideError]
"""By RMA."""


def run(ctx: BrandContext) -> Closed:
    """Close the RMAs of returns that Loop shows closed."""
    result = Closed()
    if ctx.tick.calm:
        return result
    with ctx.ledger.read() as session:
        due = returns.due_pks(session, ctx.brand, [Stage.CLOSING], ctx.now(), PER_TICK)
        rmas = returns.rmas_of(session, due)
    if not due:
        return result
    todo = [rma for pk in due for rma in rmas.get(pk, []) if not rma.closed_at]
    found = ctx.in_parallel(lambda rma: _close(ctx, rma), todo)
    evidence = dict(zip((rma.id for rma in todo), found, strict=True))
    ctx.boundary("closed in Bergen")
    trouble = _Trouble.of(ctx, evidence)
    for pks in chunks(due, PER_WRITE):
        with ctx.write() as tx:
            fresh, made = returns.by_pks(tx.session, pks), returns.rmas_of(tx.session, pks)
            ours = effects.settlements_of(tx.session, pks)
            for pk in pks:
                receive.mind_closing(ctx, tx, fresh[pk], ours.get(pk))
                _record(tx, fresh[pk], made.get(pk, []), trouble, result)
    _tell(ctx, trouble)
    return result


@dataclass(frozen=True, slots=True)
class _Trouble:
    """How closing fares as a whole."""

    found: Evidence
    since: datetime | None
    """Since when closes fail."""
    some: bool
    """Whether some RMA was closed now: what fails beside it is its own."""
    failed: list[OutsideError]

    @classmethod
    def of(cls, ctx: BrandContext, found: Evidence) -> _Trouble:
        failed = [one for one in found.values() if isinstance(one, OutsideError)]
        some = any(isinstance(one, CloseEvidence) and one.closed for one in found.values())
        return cls(found, ctx.marks(FAILING).get(FAILING), some, failed)

    def is_own(self, error: OutsideError, closing: timedelta) -> bool:
        """Whether an error is one RMA's own, which has been closing for so long."""
        if self.some:
            return error.effect is Effect.REFUSED or closing >= TELL_AFTER
        alone = self.since is None and len(self.failed) == 1
        return error.effect is Effect.REFUSED and alone

    def pause(self, now: datetime) -> timedelta:
        return min(RARELY, max(AGAIN, (now - (self.since or now)) / 2))


def _tell(ctx: BrandContext, trouble: _Trouble) -> None:
    """One item for all closes that fail, until none does."""
    if not trouble.failed and trouble.since is None:
        return
    with ctx.write() as tx:
        if not returns.any_closing_again(tx.session, tx.brand, tx.now):
            cursors.drop(tx.session, tx.brand, FAILING)
            tx.resolve(Need.CLOSE_REFUSED, CLOSES, "all that could not be closed are")
            return
        since = trouble.since or tx.now
        cursors.set(tx.session, tx.brand, FAILING, since)
        if trouble.failed and tx.now - since >= TELL_AFTER:
            tx.needs_person(
                Need.CLOSE_REFUSED,
                f"RMAs of returns that Loop shows closed could not be closed in Bergen since "
                f"{since:%Y-%m-%d %H:%M} UTC: {trouble.failed[0]}. Put the cause right "
                "(rex11.close), or ask Bergen",
                CLOSES,
                "each is tried again every hour, and this is lifted when all are closed",
            )


def _close(ctx: BrandContext, rma: RmaRow) -> CloseEvidence | OutsideError:
    if rma.ticket_id is None:
        return CloseEvidence(closed=True, evidence="no ticket was ever made")
    status = TicketStatus.read(rma.ticket_status)
    try:
        return ctx.warehouse.close_rma(rma.ticket_id, status, rma.status_seen_at)
    except OutsideError as error:
        return error  # one RMA that cannot be closed must not keep the others open


def _record(
    tx: Transaction,
    row: ReturnRow,
    rmas: Sequence[RmaRow],
    trouble: _Trouble,
    result: Closed,
) -> None:
    if row.stage != Stage.CLOSING:
        return
    failed: OutsideError | None = None
    for rma in rmas:
        found = trouble.found.get(rma.id)
        if rma.closed_at or found is None:
            continue
        if isinstance(found, OutsideError):
            failed, rma.close_evidence = found, f"not closed: {found.message}"
            continue
        rma.close_evidence = found.evidence
        if found.closed:
            rma.closed_at = tx.now
            result.rmas += 1
            tx.journal(What.RMA_CLOSED, found.evidence, row, {"ticket": rma.ticket_id})
    if all(rma.closed_at for rma in rmas):
        row.rma_closed_at = tx.now
        tx.move(row, Stage.COMPLETE, "closed in Loop and in Bergen")
        result.complete += 1
        return
    result.waiting += 1
    row.due_at = None  # the ticket's next change makes it due
    if failed is not None:
        row.due_at = tx.now + trouble.pause(tx.now)
        if trouble.is_own(failed, tx.now - (row.settled_at or tx.now)):
            tx.needs_person(
                Need.CLOSE_REFUSED,
                f"the return is closed in Loop, but its RMA could not be closed: {failed.message}; "
                "close it in Bergen by hand, or put the cause right and retry",
                row,
            )
