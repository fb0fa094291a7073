"""Outside calls, told by the clients' hooks: counted, traced, logged, and kept for people.

The counts go with a tick's others into the ledger's counters, so they are the same whichever
process is asked for metrics, and outlive a restart.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

from bergen_loop.config.operations import CallSettings
from bergen_loop.ledger.codec import storable
from bergen_loop.outside.http import CallRecord, OnCall
from bergen_loop.tell import tracing
from bergen_loop.text import shortened, without_addresses

Add = Callable[[str, int], None]
"""Adds to a count of the brand."""

MASKED = "[address]"
"""In the place of an e-mail address."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class CallName:
    """A counter of calls, taken apart."""

    system: str
    """loop or rex11."""
    call: str
    outcome: str
    """`ok`, or the class of the error."""


class Calls:
    """The calls of a tick that people may want to look at, until they are written: with the
    outcome of what they were to change, others with the tick's counts. Thread-safe, and bounded:
    what is over is counted."""

    MOST = 5000

    def __init__(self, settings: CallSettings | None = None) -> None:
        self._settings = settings or CallSettings()
        self._lock = threading.Lock()
        self._rows: list[dict[str, Any]] = []
        self._over = 0

    def add(self, record: CallRecord) -> None:
        """Keep it, if it is one of those that are kept: a look that every tick takes and that
        found an answer is in the counters only."""
        settings = self._settings
        look = record.routine or (record.subject is None and not record.changes)
        routine = look and record.outcome == "ok"
        if not settings.keep or (routine and not settings.routine):
            return
        with self._lock:
            if len(self._rows) >= self.MOST:
                self._over += 1
                return
            self._rows.append(_row(record, bodies=settings.bodies))

    def take(self) -> tuple[list[dict[str, Any]], int]:
        """All so far, and how many more there were; starts again from nothing."""
        with self._lock:
            taken, self._rows, self._over = (self._rows, self._over), [], 0
        return taken


def _row(record: CallRecord, *, bodies: bool) -> dict[str, Any]:
    sent, received = (
        storable(without_addresses(body, MASKED)) if bodies and body else None
        for body in (record.sent, record.received)
    )
    return {
        "brand": record.brand,
        "at": record.started_at,
        "system": record.system.casefold(),
        "call": record.call,
        "subject": shortened(storable(record.subject), 200) if record.subject else None,
        "milliseconds": round(record.seconds * 1000),
        "waited": round(record.waited * 1000),
        "outcome": record.outcome,
        "effect": record.effect.value if record.effect else None,
        "status": record.status,
        "attempt": record.attempt,
        "changes": record.changes,
        "sent": sent,
        "received": received,
    }


def observer(add: Add, keep: Callable[[CallRecord], None] | None = None) -> OnCall:
    """The hook for a connection to any system."""

    def observe(record: CallRecord) -> None:
        name = CallName(record.system.casefold(), record.call, record.outcome)
        add(counter(name), 1)
        add(f"ms:{name.system}:{name.call}", round(record.seconds * 1000))
        if keep is not None:
            keep(record)
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
