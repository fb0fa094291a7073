"""The outcome of one check."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How a check went."""

    OK = "ok"
    WARNING = "warning"
    """It works, but a person should know or do something."""
    FAILED = "failed"
    """The brand cannot be synced like this."""
    UNKNOWN = "unknown"
    """It could not be found out."""
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Check:
    """What was checked, what was found, and what to ask of whom about it."""

    name: str
    status: Status
    found: str
    ask: str = ""
    details: tuple[str, ...] = ()
    """Every single finding, where `found` only counts them."""

    @property
    def failed(self) -> bool:
        return self.status is Status.FAILED


def skipped(name: str, why: str) -> Check:
    """A check that makes no sense after another one failed."""
    return Check(name, Status.SKIPPED, why)
