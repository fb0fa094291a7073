"""The sandbox's own log of every call, against which the service's own account is checked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(slots=True)
class Call:
    """One call. `effect` says what changed in the outside world, None when nothing did."""

    system: str
    operation: str
    brand: str | None = None
    subject: str | None = None
    """The return, ticket, PO or UPC it was about."""
    outcome: str = ""
    fault: str | None = None
    effect: str | None = None
    seq: int = 0
    time: datetime | None = None
    products: frozenset[str] = frozenset()
    """Lower-cased Sku, UPC and Style of the products it names."""

    def as_dict(self) -> dict[str, Any]:
        return {
            "seq": self.seq,
            "time": self.time.isoformat() if self.time else None,
            "system": self.system,
            "brand": self.brand,
            "operation": self.operation,
            "subject": self.subject,
            "outcome": self.outcome,
            "fault": self.fault,
            "effect": self.effect,
        }


class CallLog:
    """All calls, in order."""

    def __init__(self) -> None:
        self._calls: list[Call] = []

    def add(self, call: Call, time: datetime) -> None:
        call.seq = len(self._calls) + 1
        call.time = time
        self._calls.append(call)

    def __len__(self) -> int:
        return len(self._calls)

    def find(
        self,
        *,
        brand: str | None = None,
        system: str | None = None,
        operation: str | None = None,
        subject: str | None = None,
        effects_only: bool = False,
        after: int = 0,
        limit: int = 1000,
    ) -> list[Call]:
        """Calls with seq over `after` that match all that is given, oldest first."""
        found: list[Call] = []
        for call in self._calls[after:]:
            if (
                (brand is None or call.brand == brand)
                and (system is None or call.system == system)
                and (operation is None or call.operation == operation)
                and (subject is None or call.subject == subject)
                and not (effects_only and call.effect is None)
            ):
                found.append(call)
                if len(found) >= limit:
                    break
        return found
