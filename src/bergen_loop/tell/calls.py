"""Outside calls, told by the clients' hooks: counted, traced, and logged.

The counts go with a tick's others into the ledger's counters, so they are the same whichever
process is asked for metrics, and outlive a restart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from bergen_loop.outside.http import CallRecord, OnCall
from bergen_loop.tell import tracing

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


def observer(add: Add) -> OnCall:
    """The hook for a connection to any system."""

    def observe(record: CallRecord) -> None:
        name = CallName(record.system.casefold(), record.call, record.outcome)
        add(counter(name), 1)
        add(f"ms:{name.system}:{name.call}", round(record.seconds * 1000))
        failed = None if record.outcome == "ok" else record.outcome
        about = "return.id" if name.system == "loop" else "rex11.subject"
        tracing.past_span(
            f"{name.system} {name.call}",
            record.started_at,
            record.seconds,
            {"brand": record.brand, about: record.subject},
            failed,
        )
        tell = log.info if failed else log.debug
        tell(
            "outside call",
            brand=record.brand,
            system=name.system,
            call=name.call,
            subject=record.subject,
            outcome=name.outcome,
            effect=record.effect.value if record.effect else None,
            attempt=record.attempt,
            seconds=round(record.seconds, 3),
        )

    return observe


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
