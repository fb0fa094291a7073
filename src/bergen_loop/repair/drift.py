"""What a reconcile or a rebuild found and did, in words a person understands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from bergen_loop.domain.words import What
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.store import journal
from bergen_loop.ledger.tables.core import ReturnRow
from bergen_loop.ledger.transaction import Transaction


class Done(StrEnum):
    """What was done about a finding."""

    REPAIRED = "repaired"
    ATTENTION = "attention"
    """On the attention list, for a person."""
    TOLD = "told"
    """Only reported: nothing is wrong yet, or nothing can be done."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference between the ledger, Loop and REX11."""

    kind: str
    text: str
    done: Done
    return_id: str | None = None


@dataclass(slots=True)
class Summary:
    """A whole reconcile or rebuild of one brand. Times are UTC."""

    brand: str
    what: str
    since: datetime
    until: datetime
    returns: int = 0
    """Returns that Loop showed."""
    tickets: int = 0
    """Tickets read or looked for in REX11."""
    findings: list[Finding] = field(default_factory=list[Finding])

    def counts(self) -> dict[str, int]:
        """Findings by what was done about them."""
        found = Counter(f.done.value for f in self.findings)
        return {done.value: found[done.value] for done in Done}

    def as_json(self) -> dict[str, Any]:
        """The summary as plain data."""
        return {**asdict(self), "counts": self.counts()}


def tell(tx: Transaction, summary: Summary, finding: Finding, row: ReturnRow | None = None) -> None:
    """Add a finding, and journal it."""
    summary.findings.append(finding)
    what = What.REBUILD_FINDING if summary.what == "rebuild" else What.RECONCILE_FINDING
    data = {"done": finding.done.value, "kind": finding.kind, "return": finding.return_id}
    tx.journal(what, finding.text, row, data)


def close(ctx: BrandContext, summary: Summary) -> Summary:
    """Journal and count the whole."""
    counts = summary.counts()
    with ctx.write() as tx:
        tx.journal(
            What.REBUILT if summary.what == "rebuild" else What.RECONCILED,
            f"compared {summary.returns} returns and {summary.tickets} tickets, of "
            f"{summary.since:%Y-%m-%d %H:%M} to {summary.until:%Y-%m-%d %H:%M} UTC: "
            f"{words(counts)}",
            data=counts,
        )
        journal.count(
            tx.session,
            ctx.brand,
            {f"{summary.what}.{k}": v for k, v in counts.items() if v}
            | {f"{summary.what}.runs": 1},
        )
    return summary


def words(counts: dict[str, int]) -> str:
    """`2 repaired, 1 attention`, or that nothing was found."""
    return ", ".join(f"{n} {name}" for name, n in counts.items() if n) or "no difference"


def ids(values: Sequence[str], most: int = 5) -> str:
    """A few ids, and how many more there are."""
    more = f" and {len(values) - most} more" if len(values) > most else ""
    return ", ".join(values[:most]) + more
