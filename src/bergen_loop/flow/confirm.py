"""What Loop shows about a return tells whether our settling call took effect (I4)."""

from __future__ import annotations

from sqlalchemy.orm import Session

from bergen_loop.domain.decision import Outcome
from bergen_loop.domain.returns import LoopState
from bergen_loop.flow import notes
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.store import effects
from bergen_loop.ledger.store.effects import EffectState
from bergen_loop.ledger.tables.core import EffectRow, ReturnRow

_UNCONFIRMED = (*effects.OPEN, EffectState.ACCEPTED)


def by_state(ctx: BrandContext, session: Session, row: ReturnRow, effect: EffectRow | None) -> None:
    """Give a return's settling effect the outcome that Loop's state proves, if it has none yet."""
    if effect is None or effect.state not in _UNCONFIRMED:
        return
    state, now = LoopState(row.loop_state), ctx.now()
    if effect.kind == Outcome.FLAG:
        if state is LoopState.REVIEW:
            effects.finish(
                session, effect, now, EffectState.DONE, "Loop shows the return in review"
            )
            notes.plan(ctx, session, effect, row)
        elif state in (LoopState.CLOSED, LoopState.CANCELLED):
            effects.finish(
                session, effect, now, EffectState.FAILED, f"Loop shows the return {state} instead"
            )
    elif state is LoopState.CLOSED:
        effects.finish(session, effect, now, EffectState.DONE, "Loop shows the return closed")
    elif state is LoopState.CANCELLED:
        effects.finish(
            session, effect, now, EffectState.FAILED, "Loop shows the return cancelled instead"
        )
