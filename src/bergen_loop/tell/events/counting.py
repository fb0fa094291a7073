"""Counters that grow with the journal, for metrics: nobody has to count returns for them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from bergen_loop.domain.returns import Moment
from bergen_loop.domain.words import What
from bergen_loop.ledger.tables.core import JournalRow, ReturnRow
from bergen_loop.tell.events.catalogue import MOMENTS, events_of

_SAME = timedelta(seconds=2)
"""An entry and the time of its moment are written with two looks at the clock."""


def count(
    entries: Sequence[JournalRow], rows: Mapping[int, ReturnRow]
) -> dict[str, dict[str, int]]:
    """Increments of the counters by brand. `rows`: the entries' returns by key."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for entry in entries:
        if entry.brand is None:
            continue
        counts[entry.brand].update(_names(entry, rows.get(entry.return_pk or 0)))
    return {brand: dict(found) for brand, found in counts.items() if found}


def _names(entry: JournalRow, row: ReturnRow | None) -> list[str]:
    names = [
        f"moment:{moment.value}"
        for moment in dict.fromkeys(MOMENTS[e] for e in events_of(entry) if e in MOMENTS)
        if row is not None and _first(moment, entry.at, row)
    ]
    if entry.happened == What.DECIDED:
        how = "shadow" if entry.data.get("shadow") else "live"
        names.append(f"decision:{how}:{entry.data.get('outcome', '?')}")
    elif entry.happened == What.DECIDED_BY_HAND:
        names.append(f"decision:hand:{entry.data.get('outcome', '?')}")
    elif entry.happened == What.NEEDS_PERSON:
        names.append(f"attention:{entry.data.get('kind', '?')}")
    return names


def _first(moment: Moment, at: datetime, row: ReturnRow) -> bool:
    """Whether the return reached the moment with this entry: a second parcel is no second
    return."""
    reached = {
        Moment.ANNOUNCED: row.announced_at,
        Moment.RECEIVED: row.received_at,
        Moment.DECIDED: row.settled_at,
        Moment.RMA_CLOSED: row.rma_closed_at,
    }
    if moment not in reached:
        return True
    when = reached[moment]
    return when is not None and abs(when - at) <= _SAME
