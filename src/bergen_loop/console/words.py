"""Plain words for what the service calls by short names."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, cast

from pydantic import BaseModel, SecretStr

from bergen_loop.connect.check import Status
from bergen_loop.domain.criteria.model import (
    Action,
    Attention,
    Criteria,
    Flag,
    Process,
    RemoveLines,
    Rule,
    Wait,
)
from bergen_loop.domain.returns import Moment, Stage
from bergen_loop.domain.words import NEEDS
from bergen_loop.flow.intake import ASIDE
from bergen_loop.ledger.store.cursors import Backfill

STAGES: dict[Stage, str] = {
    Stage.SEEN: "RMA to be made",
    Stage.NO_PARCEL: "no parcel to come",
    Stage.ANNOUNCED: "awaiting parcel",
    Stage.RECEIVED: "received, to be judged",
    Stage.WAITING: "waiting for the rest",
    Stage.SETTLING: "being settled in Loop",
    Stage.CONFIRMING: "awaiting Loop's closing",
    Stage.FLAGGED: "flagged in Loop",
    Stage.CLOSING: "RMA being closed",
    Stage.COMPLETE: "complete",
    Stage.CANCELLED: "cancelled",
    Stage.EXPIRED: "expired",
    Stage.IGNORED: "not ours",
}

MOMENTS: dict[Moment, str] = {
    Moment.SUBMITTED: "Submitted",
    Moment.SEEN: "Seen",
    Moment.ANNOUNCED: "RMA made",
    Moment.RECEIVED: "Received",
    Moment.DECIDED: "Decided",
    Moment.RMA_CLOSED: "RMA closed",
    Moment.COMPLETE: "Complete",
}
"""Short forms of `Moment.title`, for column heads."""


def stage(value: str) -> str:
    """A stage in words."""
    return STAGES[Stage(value)]


def kind(value: str) -> str:
    """The kind of an item of the attention list, in words."""
    words = NEEDS.get(value)  # pyright: ignore[reportArgumentType, reportCallIssue]
    return words.title if words else plain(value)


def plain(value: str) -> str:
    """A short name as words."""
    return value.replace("_", " ")


def span(value: timedelta) -> str:
    """A duration: `90 seconds`, `10 minutes`, `2 days`."""
    seconds = value.total_seconds()
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size and seconds % size == 0:
            number = int(seconds // size)
            return f"{number} {unit}{'s' if number != 1 else ''}"
    return f"{seconds:g} seconds"


def ago(value: datetime, now: datetime) -> str:
    """How long ago: `just now`, `5 min ago`, `3 h ago`, `12 d ago`."""
    seconds = (now - value).total_seconds()
    if seconds < 60:
        return "just now" if seconds > -60 else "soon"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    raise AssertionError(seconds)


def left(value: timedelta | None) -> str:
    """A time left: `less than a minute left`, `about 3 min left`, `about 2 h 10 min left`."""
    if value is None:
        return "time left not known yet"
    minutes = round(value.total_seconds() / 60)
    if minutes < 1:
        return "less than a minute left"
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return f"about {round(hours / 24)} d left"
    parts = (f"{hours} h" if hours else "", f"{minutes} min" if minutes else "")
    return f"about {' '.join(p for p in parts if p)} left"


def history(pull: Backfill) -> str:
    """A long pull: `taking in history: 43 %, about 3 min left`."""
    what = "cancelled returns and those in review" if pull.walk == ASIDE else "history"
    return f"taking in {what}: {int(100 * pull.share)} %, {left(pull.left)}"


# -- settings -----------------------------------------------------------------------------------


def setting(value: Any) -> str:
    """A setting's value. A secret is only said to be there."""
    if isinstance(value, SecretStr):
        return "set (not shown)"
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, timedelta):
        return span(value)
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M} UTC"
    if isinstance(value, dict):
        items = cast("dict[Any, Any]", value)
        return ", ".join(f"{k}: {setting(v)}" for k, v in items.items()) or "none"
    if isinstance(value, (list, tuple, set, frozenset)):
        return ", ".join(setting(v) for v in cast("Iterable[Any]", value)) or "none"
    return str(value)


def settings(block: BaseModel, prefix: str = "") -> list[tuple[str, str]]:
    """A block of settings as (name in words, value in words), blocks within it included."""
    found: list[tuple[str, str]] = []
    for name in type(block).model_fields:
        value = getattr(block, name)
        words = f"{prefix}{plain(name)}"
        if isinstance(value, BaseModel):
            found += settings(value, f"{words}: ")
        else:
            found.append((words, setting(value)))
    return found


# -- criteria -----------------------------------------------------------------------------------


def action(value: Action) -> str:
    """What a criterion does, in a sentence."""
    match value:
        case Process(allow=allow):
            extra = f", also when {_either(allow)}" if allow else ""
            return f"Process the return{extra}."
        case Flag(reason=reason, note=note):
            return f"Flag it ({reason}) with the note: “{note}”"
        case RemoveLines(select=select, allow=allow):
            extra = f", also when {_either(allow)}" if allow else ""
            return f"Take the units that are {_either(select)} off and process the rest{extra}."
        case Attention(reason=reason):
            return f"Leave it to a person: {reason}"
        case Wait(for_=length, then=then):
            return f"Wait {span(length)} from the first receipt; after that: {action(then)}"


def rules(criteria: Criteria) -> list[tuple[Rule, str]]:
    """The rules in their order, each with what it does in a sentence."""
    return [(rule, action(rule.then)) for rule in criteria.rules]


def _either(values: frozenset[Any]) -> str:
    return " or ".join(sorted(str(v) for v in values))


STATUSES = {
    Status.OK: "In order:",
    Status.WARNING: "Works, but:",
    Status.FAILED: "Does not work:",
    Status.UNKNOWN: "Not known:",
    Status.SKIPPED: "Left out:",
}
"""How a check went."""
