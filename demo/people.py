"""What people do in the demonstration: the brands' support teams, in Loop."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from bergen_loop.domain.decision import Outcome
from bergen_loop.domain.returns import Stage
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.store import returns
from bergen_loop.ledger.tables.core import ReturnRow
from demo.world import SandboxControl


class SupportTeam:
    """Looks at flagged returns of live brands, and does all by hand for a brand in shadow."""

    def __init__(self, ledger: Ledger, sandbox: SandboxControl, shadow: str) -> None:
        self._ledger, self._sandbox, self._shadow = ledger, sandbox, shadow
        self._done: set[str] = set()

    def work(self) -> int:
        """Act on whatever has come up since the last look; how many returns."""
        return self._close_flagged() + self._work_by_hand()

    def _close_flagged(self) -> int:
        """Two of three flagged returns turn out to be fine: closed by hand."""
        return self._each(
            ReturnRow.stage == Stage.FLAGGED,
            lambda row: "close" if int(row.return_id) % 3 else None,
        )

    def _work_by_hand(self) -> int:
        """For the brand in shadow: mostly as bergen-loop would have decided, not always."""
        return self._each(
            sa.and_(ReturnRow.brand == self._shadow, ReturnRow.stage == Stage.RECEIVED),
            self._by_hand,
        )

    def _by_hand(self, row: ReturnRow) -> str | None:
        with self._ledger.read() as session:
            decision = returns.latest_decision(session, row.id)
        if decision is None or decision.outcome not in (Outcome.PROCESS, Outcome.FLAG):
            return None
        if int(row.return_id) % 17 == 0:
            return "close"  # people let one pass that the criteria would have flagged
        return "close" if decision.outcome == Outcome.PROCESS else "flag"

    def _each(
        self, condition: sa.ColumnElement[bool], choose: Callable[[ReturnRow], str | None]
    ) -> int:
        with self._ledger.read() as session:
            rows = list(session.scalars(sa.select(ReturnRow).where(condition)))
        acted = 0
        for row in rows:
            action = choose(row) if f"{row.return_id}{row.stage}" not in self._done else None
            if action:
                self._done.add(f"{row.return_id}{row.stage}")
                self._sandbox.post(f"/control/returns/{row.return_id}/{action}")
                acted += 1
        return acted
