"""What no rule can override: a doubt never moves money.

These checks stand outside the rules and outside their configuration. `doubt` comes before any
rule; `obstacle` before anything that makes Loop pay out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bergen_loop.domain.comparison import Comparison
from bergen_loop.domain.criteria.model import Irregularity
from bergen_loop.domain.criteria.notes import problem_text
from bergen_loop.domain.criteria.vocabulary import LARGEST
from bergen_loop.domain.decision import Case, Outcome
from bergen_loop.domain.receipt import Receipt
from bergen_loop.domain.returns import LoopState
from bergen_loop.domain.rma import TicketStatus

NOT_OPEN = "safety:not-open"
UNCLEAR = "safety:unclear"
NO_MATCH = "safety:no-match"
TOO_LARGE = "safety:too-large"
UNREADABLE_FACTS = "safety:facts"

MOST_UNITS = 1_000_000
"""Of one SKU in one return; a greater number is a mistake and is never judged."""

_SHOWN = 3
"""Doubts listed in one sentence."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why no rule may decide. `guard` stands in `Decision.rule`."""

    guard: str
    text: str


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a rule that says to pay out is not followed, and what is done instead."""

    text: str
    outcome: Outcome
    """FLAG or ATTENTION."""


def doubt(case: Case) -> Doubt | None:
    """A reason to let no rule decide."""
    if case.return_.state is not LoopState.OPEN:
        return Doubt(NOT_OPEN, f"the return is in state {case.return_.state} in Loop, not open")
    unclear = case.comparison.unclear
    if unclear:
        more = f"; +{len(unclear) - _SHOWN} more" if len(unclear) > _SHOWN else ""
        return Doubt(UNCLEAR, f"the receipt is not clear: {'; '.join(unclear[:_SHOWN])}{more}")
    counted = (*case.comparison.skus, *case.comparison.unexpected)
    counts = (n for s in counted for n in (s.counted, s.damaged))
    too_many = next((n for n in counts if n > MOST_UNITS), None)
    if too_many is not None:
        return Doubt(UNCLEAR, f"{too_many:.3g} units of one SKU are not credible")
    comparison = case.comparison
    lists = (case.return_.lines, comparison.skus, comparison.unexpected, case.receipts)
    entries = max(len(entries) for entries in lists)
    if entries > LARGEST:
        what = f"it has {entries} units, products or tickets"
        return Doubt(TOO_LARGE, f"{what}, more than the {LARGEST} that rules may judge")
    on_return = {line.line_item_id for line in case.return_.lines}
    gone = [i for s in case.comparison.skus for i in s.line_item_ids if i not in on_return]
    if gone:
        return Doubt(UNCLEAR, f"line {gone[0]} was compared but is not on the return any more")
    return None


def obstacle(
    case: Case,
    allow: frozenset[Irregularity],
    removed: Mapping[int, int] | None = None,
    resolved: frozenset[Irregularity] = frozenset(),
) -> Obstacle | None:
    """A reason not to process.

    `removed` has the units taken off the return first, by index in `comparison.skus`;
    `resolved` the irregularities that this settles.
    """
    ticket = next((r for r in case.receipts if not _usable(r)), None)
    if ticket or not case.receipts:
        what = f"ticket {ticket.ticket_id} is {ticket.status_name}" if ticket else "no receipt"
        return Obstacle(f"{what}, so the count is not final", Outcome.ATTENTION)
    if case.comparison.counted <= 0:
        return Obstacle("no unit of the return was counted", Outcome.FLAG)
    left = [i for i in present(case.comparison, resolved) if i not in allow]
    if left:
        return Obstacle(
            f"{problem_text(case.comparison)} ({_words(left)} not allowed by the rule)",
            Outcome.FLAG,
        )
    return _maybe_short(case.comparison, allow, removed or {})


def _usable(receipt: Receipt) -> bool:
    """A ticket that the warehouse finished, or that it cancelled before it counted anything."""
    if receipt.status is TicketStatus.CANCELLED:
        return not any(line.actual or line.damaged for line in receipt.lines)
    return receipt.status is TicketStatus.ADDED_TO_INVENTORY


def present(c: Comparison, resolved: frozenset[Irregularity]) -> Iterator[Irregularity]:
    """The irregularities of a receipt that taking `resolved` units off the return leaves."""
    # Damage to units that are not on the return is not settled by removing lines.
    settled = Irregularity.DAMAGED in resolved
    if sum(s.damaged for s in c.unexpected) if settled else c.damaged:
        yield Irregularity.DAMAGED
    if c.short and Irregularity.SHORT not in resolved:
        yield Irregularity.SHORT
    if c.extra:
        yield Irregularity.EXTRA
    if c.wrong:
        yield Irregularity.WRONG


def _maybe_short(
    c: Comparison, allow: frozenset[Irregularity], removed: Mapping[int, int]
) -> Obstacle | None:
    """Whether ActualQuantity includes damaged units is not documented. Where one reading means
    that a unit which would be paid for never came, that is a doubt."""
    if Irregularity.SHORT in allow:
        return None
    for index, sku in enumerate(c.skus):
        # What certainly is there and may be paid for, in either reading.
        certain = sku.counted - (0 if Irregularity.DAMAGED in allow else sku.damaged)
        if sku.expected - removed.get(index, 0) > certain:
            return Obstacle(
                f"{problem_text(c)}, and {sku.counted} of {sku.expected} counted for SKU "
                f"{sku.name}: a unit may be missing, for the count may include damaged units",
                Outcome.FLAG,
            )
    return None


def _words(irregularities: list[Irregularity]) -> str:
    return " and ".join(str(i) for i in irregularities) + (
        " is" if len(irregularities) == 1 else " are"
    )
