"""Loop's side: a client for the Loop Returns API and its webhooks."""

from bergen_loop.outside.http import (
    CallRecord,
    RateLimiter,
    Retries,
    SlidingWindowLimiter,
    Timeouts,
    limiter_for,
)
from bergen_loop.outside.loop.client import ALL_STATES_PASSES, LoopClient, ReturnsPage
from bergen_loop.outside.loop.models import (
    AsnRow,
    Note,
    ParsedReturn,
    Subscription,
    merge,
    parse_return,
    same_note,
)
from bergen_loop.outside.loop.requests import AssessItem, Condition, DispositionOutcome, GradeItem

__all__ = [
    "ALL_STATES_PASSES",
    "AsnRow",
    "AssessItem",
    "CallRecord",
    "Condition",
    "DispositionOutcome",
    "GradeItem",
    "LoopClient",
    "Note",
    "ParsedReturn",
    "RateLimiter",
    "Retries",
    "ReturnsPage",
    "SlidingWindowLimiter",
    "Subscription",
    "Timeouts",
    "limiter_for",
    "merge",
    "parse_return",
    "same_note",
]
