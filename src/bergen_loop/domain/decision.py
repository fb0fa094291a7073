"""What can be decided about a received return, and the case it is decided on."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from bergen_loop.domain.comparison import Comparison
from bergen_loop.domain.returns import Return
from bergen_loop.domain.rma import Receipt

NOTE_LIMIT = 254
"""Loop refuses notes of 255 characters and more."""


class Outcome(StrEnum):
    """The five outcomes a receipt criterion may have."""

    PROCESS = "process"
    FLAG = "flag"
    WAIT = "wait"
    REMOVE_LINES = "remove_lines"
    ATTENTION = "attention"


SETTLING_OUTCOMES = (Outcome.PROCESS, Outcome.REMOVE_LINES, Outcome.FLAG)
"""Decisions that end the judging."""


@dataclass(frozen=True, slots=True)
class Case:
    """Everything a decision may look at. Pure data: the same case gives the same decision."""

    return_: Return
    receipts: tuple[Receipt, ...]
    comparison: Comparison
    now: datetime
    first_received_at: datetime
    """When the first parcel was finished; waits are measured from here."""
    open_tickets: int = 0
    """Tickets of this return that the warehouse has not finished yet."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, and why in words, with all that is needed to explain it later."""

    outcome: Outcome
    rule: str
    """Name of the criterion that decided."""
    reason: str
    """One sentence for a person."""
    note: str | None = None
    """For a flag: the note for Loop, at most NOTE_LIMIT characters."""
    wait_until: datetime | None = None
    line_item_ids: tuple[str, ...] = ()
    """For remove_lines: the units to remove."""
    criteria_version: str = ""
    """Name and content hash of the criteria, such as `standard@1f3a9c0d`."""
    facts: dict[str, Any] = field(default_factory=dict[str, Any])
    """JSON-able snapshot of the facts the rules saw."""
