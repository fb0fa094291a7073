"""Outside calls, told by the clients' hooks: counted, traced, and logged.

The counts go with a tick's others into the ledger's counters, so they are the same whichever
process is asked for metrics, and outlive a restart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import structlog

from bergen_loop.outside.loop import CallRecord as LoopCall
from bergen_loop.outside.warehouse.rex11 import CallRecord as Rex11Call
from bergen_loop.tell import tracing

R = TypeVar("R")

Add = Callable[[str, int], None]
"""Adds to a count of the brand."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class CallName:
    """A counter of calls, taken apart."""

    system: str
    """loop or rex11."""
    call: str
    outcome: str
    """`ok`, or the class of the error."""


def loop_observer(add: Add) -> Callable[[LoopCall], None]:
    """The hook for a LoopClient."""

    def observe(record: LoopCall) -> None:
        _observe(
            add,
            record.brand,
            CallName("loop", record.call, record.outcome),
            record.return_id,
            record.started_at,
            record.seconds,
        )

    return observe


def rex11_observer(add: Add) -> Callable[[Rex11Call], None]:
    """The hook for a Rex11Warehouse."""

    def observe(record: Rex11Call) -> None:
        _observe(
            add,
            record.brand,
            CallName("rex11", record.operation, record.outcome),
            record.subject,
            record.started,
            record.seconds,
        )

    return observe


def _observe(
    add: Add, brand: str, name: CallName, subject: str | None, started: datetime, seconds: float
) -> None:
    add(counter(name), 1)
    add(f"ms:{name.system}:{name.call}", round(seconds * 1000))
    failed = None if name.outcome == "ok" else name.outcome
    tracing.past_span(
        f"{name.system} {name.call}",
        started,
        seconds,
        {"brand": brand, "return.id" if name.system == "loop" else "rex11.subject": subject},
        failed,
    )
    tell = log.info if failed else log.debug
    tell(
        "outside call",
        brand=brand,
        system=name.system,
        call=name.call,
        subject=subject,
        outcome=name.outcome,
        seconds=round(seconds, 3),
    )


def counter(name: CallName) -> str:
    """The name of the counter of these calls."""
    return f"call:{name.system}:{name.call}:{name.outcome}"


def call_name(counter: str) -> CallName | None:
    """The inverse of `counter`; None for counters of something else."""
    kind, _, rest = counter.partition(":")
    system, _, rest = rest.partition(":")
    call, _, outcome = rest.rpartition(":")
    return CallName(system, call, outcome) if kind == "call" and outcome else None


def time_name(counter: str) -> tuple[str, str] | None:
    """(system, call) of a counter of milliseconds; None for counters of something else."""
    kind, _, rest = counter.partition(":")
    system, _, call = rest.partition(":")
    return (system, call) if kind == "ms" and call else None


def each(*hooks: Callable[[R], None]) -> Callable[[R], None]:
    """One hook that tells all of these."""

    def observe(record: R) -> None:
        for hook in hooks:
            hook(record)

    return observe
