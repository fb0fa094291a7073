"""What an event says. No customer's name or address is in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bergen_loop.config.operations import EventType
from bergen_loop.ledger.tables.core import DecisionRow, JournalRow, ReturnRow, RmaRow
from bergen_loop.tell.events.catalogue import MOMENTS

TEST = "test"
"""The type of an event that somebody sends to try an endpoint."""


@dataclass(frozen=True, slots=True)
class About:
    """A return, as far as an event tells of it."""

    row: ReturnRow
    rmas: Sequence[RmaRow]
    decision: DecisionRow | None


def event_id(entry: JournalRow, type_: EventType) -> str:
    """The same for every attempt, whoever makes it."""
    return f"evt_{entry.id}_{type_.partition('.')[2]}"


def body(entry: JournalRow, type_: EventType, about: About | None) -> str:
    """The JSON text: `type`, `timestamp` (when it happened) and `data`.

    `data.sequence` orders the events of a brand: deliveries may come in another order.
    """
    at = entry.at
    if type_ == "return.submitted" and about:
        at = about.row.submitted_at
    data: dict[str, Any] = {"brand": entry.brand, "sequence": entry.id, "reason": entry.why}
    moment = MOMENTS.get(type_)
    if moment:
        data["moment"] = {"number": int(moment), "title": moment.title}
    if about:
        data |= _return(about)
        if type_ in ("return.processed", "return.flagged"):
            data["decision"] = _decision(about.decision)
    if type_ == "return.attention":
        data["attention"] = {"kind": entry.data.get("kind"), "tried": entry.data.get("tried")}
    for name in ("shipment", "claim"):
        if name in entry.data:
            data[name] = entry.data[name]
    content = {"type": type_, "timestamp": _time(at), "data": data}
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def test(brand: str, now: datetime) -> str:
    """The JSON text of an event that says nothing but that events arrive."""
    data = {"brand": brand, "reason": "A test: nothing has happened"}
    return json.dumps({"type": TEST, "timestamp": _time(now), "data": data}, separators=(",", ":"))


def _return(about: About) -> dict[str, Any]:
    row = about.row
    return {
        "return_id": row.return_id,
        "order_name": row.order_name,
        "tracking_number": row.tracking_number,
        "loop_state": row.loop_state,
        "rmas": [
            {"po": r.customer_po, "ticket": r.ticket_id, "status": r.ticket_status}
            for r in about.rmas
        ],
    }


def _decision(decision: DecisionRow | None) -> dict[str, Any] | None:
    if decision is None:
        return None  # someone else settled it in Loop
    return {
        "outcome": decision.outcome,
        "rule": decision.rule,
        "reason": decision.reason,
        "note": decision.note,
        "by": decision.by,
        "shadow": decision.shadow,
    }


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
