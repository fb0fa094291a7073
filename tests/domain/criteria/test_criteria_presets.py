"""The presets by example: what each says about the same parcels."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from criteria_cases import PAIR, RECEIVED, TWINS, case, got, ticket, unit

from bergen_loop.domain.criteria import PRESETS, decide, preset, preset_text
from bergen_loop.domain.criteria.facts import facts_of
from bergen_loop.domain.decision import Case, Decision, Outcome
from bergen_loop.domain.returns import LoopState, ReturnTotals
from bergen_loop.domain.rma import TicketStatus

P, F, W, R, A = (
    Outcome.PROCESS,
    Outcome.FLAG,
    Outcome.WAIT,
    Outcome.REMOVE_LINES,
    Outcome.ATTENTION,
)

COMPLETE = case(PAIR, ticket(got("A", 1), got("B", 1)))
COMPLETE_OPEN = case(PAIR, ticket(got("A", 1), got("B", 1)), open_tickets=1)
DAMAGED = case(TWINS, ticket(got("A", 2, 1)))
SHORT = case(PAIR, ticket(got("A", 1), got("B", 0)))
SHORT_LATE = case(PAIR, ticket(got("A", 1), got("B", 0)), waited=timedelta(days=8))
SWAPPED = case(PAIR, ticket(got("A", 1), got("B", 0), got("Z", 1)))
EXTRA = case(PAIR, ticket(got("A", 1), got("B", 1), got("Z", 2)))
NOTHING = case(PAIR, ticket(got("A", 0), got("B", 0)))
CLOSED = case(PAIR, ticket(got("A", 1), got("B", 1)), state=LoopState.CLOSED)
UNCLEAR = case(PAIR, ticket(got("A", 1), got("B", None)))
COUNTING = case(
    PAIR,
    ticket(
        got("A", 1),
        got("B", 1),
        status=TicketStatus.COUNTING_IN_PROGRESS,
        status_name="CountingInProgress",
    ),
)
EXCHANGE_SHORT = case(
    [unit(1, "A"), unit(2, "B", outcome="exchange")],
    ticket(got("A", 1), got("B", 0)),
    waited=timedelta(days=8),
)
RICH = case(
    PAIR,
    ticket(got("A", 1), got("B", 1)),
    totals=ReturnTotals(return_total=Decimal("500.00")),
)
UNPRICED = case(PAIR, ticket(got("A", 1), got("B", 1)), totals=ReturnTotals())

DAYS_7, DAYS_5, DAYS_3 = (RECEIVED + timedelta(days=d) for d in (7, 5, 3))
CLOSED_DECISION = Decision(
    A, "safety:not-open", "Needs attention: the return is in state closed in Loop, not open."
)
UNCLEAR_DECISION = Decision(
    A,
    "safety:unclear",
    "Needs attention: the receipt is not clear: ticket WHRTN1, item B: ActualQuantity is missing.",
)
FOUND_DAMAGE = "Warehouse found damage. SKU A: 1 of 2 damaged"
DAMAGED_DECISION = Decision(
    F, "damaged", "To flag as damaged: SKU A: 1 of 2 damaged (rule 'damaged').", FOUND_DAMAGE
)
OTHERS = "Warehouse found other items than announced. "
SWAPPED_DECISION = Decision(
    F,
    "not-as-announced",
    "To flag as unexpected items: SKU B: 1 of 1 missing; SKU Z: 1 not on the return "
    "(rule 'not-as-announced').",
    OTHERS + "SKU B: 1 of 1 missing; SKU Z: 1 not on the return",
)
COMPLETE_DECISION = Decision(
    P,
    "complete",
    "To process: 2 of 2 units counted, none damaged, nothing extra (rule 'complete').",
)
COUNTING_DECISION = Decision(
    A,
    "complete",
    "Needs attention: rule 'complete' may not process this: ticket WHRTN1 is "
    "CountingInProgress, so the count is not final.",
)
OVERDUE_7 = Decision(
    W,
    "parcel-on-its-way",
    "Waiting until 2026-03-09 12:00 UTC: all 2 units are there, open tickets in the warehouse: 1 "
    "(rule 'parcel-on-its-way').",
    wait_until=DAYS_7,
)
SHORT_WAITS_7 = Decision(
    W,
    "short",
    "Waiting until 2026-03-09 12:00 UTC: SKU B: 1 of 1 missing (rule 'short').",
    wait_until=DAYS_7,
)
SHORT_FLAGGED = Decision(
    F,
    "short",
    "To flag as items missing: SKU B: 1 of 1 missing (rule 'short').",
    "Not received after 8 days. SKU B: 1 of 1 missing",
)

TABLE: list[tuple[str, Case, Decision]] = [
    ("standard", COMPLETE, COMPLETE_DECISION),
    ("standard", COMPLETE_OPEN, OVERDUE_7),
    ("standard", DAMAGED, DAMAGED_DECISION),
    ("standard", SHORT, SHORT_WAITS_7),
    ("standard", SHORT_LATE, SHORT_FLAGGED),
    ("standard", SWAPPED, SWAPPED_DECISION),
    ("standard", CLOSED, CLOSED_DECISION),
    ("standard", UNCLEAR, UNCLEAR_DECISION),
    ("standard", COUNTING, COUNTING_DECISION),
    (
        "standard",
        EXTRA,
        Decision(
            F,
            "not-as-announced",
            "To flag as unexpected items: SKU Z: 2 not on the return (rule 'not-as-announced').",
            OTHERS + "SKU Z: 2 not on the return",
        ),
    ),
    (
        "standard",
        NOTHING,
        Decision(
            W,
            "short",
            "Waiting until 2026-03-09 12:00 UTC: SKU A: 1 of 1 missing; SKU B: 1 of 1 missing "
            "(rule 'short').",
            wait_until=DAYS_7,
        ),
    ),
    ("strict", COMPLETE, COMPLETE_DECISION),
    (
        "strict",
        COMPLETE_OPEN,
        replace(OVERDUE_7, reason=OVERDUE_7.reason.replace("03-09", "03-05"), wait_until=DAYS_3),
    ),
    ("strict", DAMAGED, DAMAGED_DECISION),
    ("strict", SWAPPED, SWAPPED_DECISION),
    ("strict", UNCLEAR, UNCLEAR_DECISION),
    (
        "strict",
        SHORT,
        replace(SHORT_FLAGGED, note="Not in the parcel. SKU B: 1 of 1 missing"),
    ),
    (
        "trusting",
        COMPLETE,
        replace(
            COMPLETE_DECISION,
            rule="all-came",
            reason=COMPLETE_DECISION.reason.replace("'complete'", "'all-came'"),
        ),
    ),
    (
        "trusting",
        COMPLETE_OPEN,
        Decision(
            W,
            "more-may-come",
            "Waiting until 2026-03-07 12:00 UTC: all 2 units are there, open tickets in the "
            "warehouse: 1 (rule 'more-may-come').",
            wait_until=DAYS_5,
        ),
    ),
    (
        "trusting",
        EXTRA,
        Decision(
            P,
            "all-came",
            "To process: 2 of 2 units counted, and rule 'all-came' allows: "
            "SKU Z: 2 not on the return.",
        ),
    ),
    ("trusting", DAMAGED, DAMAGED_DECISION),
    (
        "trusting",
        SHORT_LATE,
        Decision(
            R,
            "short",
            "To take 1 unit off and process 1 unit: SKU B: 1 of 1 missing (rule 'short').",
            line_item_ids=("2",),
        ),
    ),
    (
        "trusting",
        EXCHANGE_SHORT,
        Decision(
            F,
            "short",
            "To flag, for rule 'short' may not process this: SKU B has outcome exchange, "
            "not refund or credit.",
            "Needs a person (short): SKU B: 1 of 1 missing. SKU B has outcome exchange, not refund "
            "or credit",
        ),
    ),
    (
        "trusting",
        NOTHING,
        Decision(
            F,
            "nothing-came",
            "To flag as nothing received: SKU A: 1 of 1 missing; SKU B: 1 of 1 missing "
            "(rule 'nothing-came').",
            "The parcel had none of the units. SKU A: 1 of 1 missing; SKU B: 1 of 1 missing",
        ),
    ),
    ("high-value-review", COMPLETE, COMPLETE_DECISION),
    ("high-value-review", SHORT, SHORT_WAITS_7),
    ("high-value-review", DAMAGED, DAMAGED_DECISION),
    (
        "high-value-review",
        RICH,
        Decision(
            F,
            "high-value",
            "To flag as high value: all 2 units are there (rule 'high-value').",
            "Complete and undamaged, 2 of 2. Worth 500.00 USD: please approve.",
        ),
    ),
    (
        "high-value-review",
        UNPRICED,
        Decision(
            A,
            "high-value",
            "Needs attention: the condition of rule 'high-value' cannot be decided: "
            "the fact 'return_total_cents' is missing in this case.",
        ),
    ),
]


@pytest.mark.parametrize(("name", "judged", "expected"), TABLE)
def test_preset_decides(name: str, judged: Case, expected: Decision) -> None:
    criteria = preset(name)
    facts = facts_of(judged, criteria.settings)
    assert decide(criteria, judged) == replace(
        expected, criteria_version=criteria.version, facts=facts
    )


def test_every_preset_is_in_the_table_and_has_its_own_name() -> None:
    assert {name for name, _, _ in TABLE} == set(PRESETS)
    assert [preset(name).name for name in PRESETS] == list(PRESETS)
    assert preset_text("strict").startswith("name: strict\n")


def test_unknown_preset_names_those_there_are() -> None:
    with pytest.raises(ValueError, match="'lax'; use one of strict, standard, trusting, high"):
        preset("lax")


def test_facts_of_a_return_in_full() -> None:
    assert facts_of(EXTRA, preset("high-value-review").settings) == {
        "ret": {
            "id": "1001",
            "state": "open",
            "outcome": "refund",
            "order": "#1001",
            "customer": "customer@example.com",
            "country": "US",
            "currency": "USD",
            "label_status": "delivered",
            "age_days": 10,
            "units": 2,
            "reasons": ["Too small"],
            "outcomes": ["refund"],
            "return_total_cents": 5000,
            "refund_cents": 5000,
        },
        "receipt": {
            "expected": 2,
            "counted": 2,
            "damaged": 0,
            "short": 0,
            "extra": 2,
            "wrong": 0,
            "complete": False,
            "skus": [
                {"sku": s, "expected": 1, "counted": 1, "damaged": 0, "short": 0, "extra": 0}
                for s in ("A", "B")
            ],
            "unexpected": [
                {"sku": "Z", "expected": 0, "counted": 2, "damaged": 0, "short": 0, "extra": 2}
            ],
            "unclear": [],
            "tickets": ["WHRTN1"],
            "warehouses": ["BERGEN LOGISTICS NJ"],
            "open_tickets": 0,
            "waited_hours": 1,
            "waited_days": 0,
            "first_received_at": "2026-03-02T12:00:00Z",
            "arrived_at": "2026-03-01T12:00:00Z",
            "finished_at": "2026-03-02T12:00:00Z",
        },
        "lines": [
            {
                "id": number,
                "sku": sku,
                "reason": "Too small",
                "outcome": "refund",
                "price_cents": 2500,
                "refund_cents": 2500,
                "in_parcel": True,
                "expected": 1,
                "counted": 1,
                "damaged": 0,
                "short": 0,
                "extra": 0,
            }
            for number, sku in (("1", "A"), ("2", "B"))
        ],
        "settings": {"wait": 168, "high_value_cents": 50000},
    }
