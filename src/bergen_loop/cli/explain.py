"""Receipt criteria in plain sentences."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from bergen_loop.domain.criteria import Criteria
from bergen_loop.domain.criteria.model import (
    Action,
    Attention,
    Flag,
    Irregularity,
    Process,
    RemoveLines,
    SettingValue,
    Wait,
)

_IRREGULAR = {
    Irregularity.DAMAGED: "damaged",
    Irregularity.SHORT: "missing",
    Irregularity.EXTRA: "too many",
    Irregularity.WRONG: "others than announced",
}
ALWAYS = (
    "Whatever the rules say: a return that is not open in Loop, a receipt that is not clear, and "
    "a return no rule matches go to a person; nothing is paid on a ticket the warehouse has not "
    "finished, nor for a parcel without a single counted unit."
)


def sentences(criteria: Criteria) -> list[tuple[str, str, str]]:
    """(rule, its condition, what then happens) in the order the rules are tried."""
    return [(r.name, " ".join(r.when.text.split()), action(r.then)) for r in criteria.rules]


def action(then: Action) -> str:
    """What an outcome does, in words."""
    match then:
        case Process(allow):
            return f"process: Loop pays out{_even_if(allow)}"
        case Flag(reason, note):
            return f"flag as “{reason}”, with the note “{note}”"
        case Attention(reason):
            return f"do nothing in Loop; ask a person: {reason}"
        case RemoveLines(select, allow):
            what = _either(select)
            return f"take units that are {what} off the return, and process the rest" + _even_if(
                allow
            )
        case Wait(for_, final):
            return f"wait until {span(for_)} after the first parcel; then {action(final)}"


def setting(value: SettingValue) -> str:
    """A setting's value in words."""
    if isinstance(value, timedelta):
        return span(value)
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def span(value: timedelta) -> str:
    """A duration in its largest whole unit."""
    seconds = int(value.total_seconds())
    for size, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size and seconds % size == 0:
            count = seconds // size
            return f"{count} {name}" + ("" if count == 1 else "s")
    return f"{seconds} seconds"


def _even_if(allow: frozenset[Irregularity]) -> str:
    return f", even where units are {_either(allow)}" if allow else ""


def _either(kinds: Iterable[Irregularity]) -> str:
    return " or ".join(_IRREGULAR[k] for k in Irregularity if k in set(kinds))
