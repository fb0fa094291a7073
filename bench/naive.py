"""The connector many a brand runs today, as the yardstick: it asks for each return and each
ticket by itself, again and again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from bergen_loop.domain.announce import AnnounceRules, parcels, physical_lines, rma_request
from bergen_loop.domain.returns import LoopState, Return
from bergen_loop.domain.rma import Receipt, TicketStatus
from bergen_loop.flow.context import BrandContext
from bergen_loop.outside.errors import OutsideError

POLLS = 56
"""A parcel is under way for a week: so often is each ticket read, every three hours, before it
is there."""


class Naive:
    """Details per return, a ticket per item, a read of each open ticket at every poll."""

    def __init__(self, ctx: BrandContext) -> None:
        self._ctx = ctx
        self._rules = AnnounceRules(label_wait=timedelta(0))
        self._tickets: dict[str, list[str]] = {}
        self.processed = 0
        self.flagged = 0

    def announce(self, limit: int) -> int:
        """Read the list, each return's details, and make one ticket per unit."""
        ctx = self._ctx
        now = ctx.now()
        for page in ctx.loop.list_returns(now - timedelta(days=30), now, page_size=100):
            for parsed in page.returns:
                if len(self._tickets) >= limit:
                    return len(self._tickets)
                if parsed.value is None or parsed.value.state is not LoopState.OPEN:
                    continue
                seen = ctx.loop.details(return_id=parsed.value.id).value
                if seen is not None and physical_lines(seen, self._rules):
                    self._announce_one(seen)
        return len(self._tickets)

    def _announce_one(self, return_: Return) -> None:
        made: list[str] = []
        for number, line in enumerate(physical_lines(return_, self._rules)):
            one = replace(return_, lines=(line,))
            request = rma_request(
                parcels(one, self._rules)[0],
                self._rules,
                f"N-{return_.id}-{number}",
                self._ctx.now(),
            )
            try:
                made.append(self._ctx.warehouse.create_rma(request))
            except OutsideError:
                return
        self._tickets[return_.id] = made

    def poll(self) -> None:
        """Read every open ticket; process or flag what has come."""
        for return_id, tickets in list(self._tickets.items()):
            receipts = [self._ctx.warehouse.receipt(t) for t in tickets]
            if all(r.status is TicketStatus.ADDED_TO_INVENTORY for r in receipts):
                self._settle(return_id, receipts)
                del self._tickets[return_id]

    def _settle(self, return_id: str, receipts: list[Receipt]) -> None:
        lines = [x for r in receipts for x in r.lines]
        good = all(not x.damaged and x.actual == x.expected for x in lines)
        try:
            if good:
                self._ctx.loop.process(return_id)
                self.processed += 1
            else:
                self._ctx.loop.flag(return_id)
                self._ctx.loop.add_note(return_id, "not as announced")
                self.flagged += 1
        except OutsideError:
            return
