"""The guide for managers says what the product does."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from criteria_cases import PAIR, TWINS, case, got, ticket, unit

from bergen_loop.domain.criteria import PRESETS, Criteria, decide, load_criteria
from bergen_loop.domain.criteria.notes import VARIABLES
from bergen_loop.domain.criteria.vocabulary import LINE, RECEIPT, RETURN, SKU
from bergen_loop.domain.decision import Case, Outcome
from bergen_loop.domain.returns import ReturnTotals

GUIDE = (Path(__file__).parents[3] / "docs" / "criteria.md").read_text(encoding="utf-8")
EXAMPLES: dict[str, Criteria] = {
    criteria.name: criteria
    for criteria in (
        load_criteria(block, source="docs/criteria.md")
        for block in re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    )
}


def test_it_names_every_fact_variable_and_preset() -> None:
    names = {*RETURN, *RECEIPT, *LINE, *SKU, *PRESETS, *(f"{{{v}}}" for v in VARIABLES)}
    assert {name for name in names if f"`{name}`" not in GUIDE} == set()


GOOD = ticket(got("A", 1), got("B", 1))
SHORT = ticket(got("A", 1), got("B", 0))
SWAP = ticket(got("A", 1), got("B", 0), got("Z", 1))
HALF_DAMAGED = ticket(got("A", 2, 1))
LATE = timedelta(days=11)
CHEAP = [unit(1, "A", price="15.00"), unit(2, "A", price="15.00")]
DEAR = [unit(1, "A", price="40.00"), unit(2, "A", price="40.00")]
ABROAD = case(PAIR, GOOD, country_code="CA", totals=ReturnTotals(return_total=Decimal("250.00")))
EXCHANGED = [unit(1, "A"), unit(2, "B", outcome="exchange")]
WATCH = [replace(PAIR[0], title="Dive Watch"), PAIR[1]]
P, F, W, A, R = (
    Outcome.PROCESS,
    Outcome.FLAG,
    Outcome.WAIT,
    Outcome.ATTENTION,
    Outcome.REMOVE_LINES,
)


@pytest.mark.parametrize(
    ("name", "judged", "outcome", "note"),
    [
        ("my-brand", case(PAIR, GOOD), P, None),
        ("my-brand", case(TWINS, HALF_DAMAGED), F, "Warehouse found damage. SKU A: 1 of 2 damaged"),
        (
            "my-brand",
            case(PAIR, SWAP),
            F,
            "unexpected items: SKU B: 1 of 1 missing; SKU Z: 1 not on the return",
        ),
        ("my-brand", case(PAIR, SHORT), W, None),
        (
            "my-brand",
            case(PAIR, SHORT, waited=LATE),
            F,
            "Not here after 11 days. SKU B: 1 of 1 missing",
        ),
        ("my-brand", case(PAIR, ticket(got("A", 1), got("B", None))), A, None),
        (
            "my-brand",
            case([unit(1, "FS-1")], ticket(got("FS-1", 1))),
            F,
            "Final-sale item in the parcel: FS-1.",
        ),
        ("abroad", ABROAD, F, "250.00 USD from abroad, 2 of 2 came."),
        ("abroad", case(PAIR, GOOD), P, None),
        ("abroad", replace(ABROAD, return_=replace(ABROAD.return_, country_code=None)), A, None),
        ("abroad", case(PAIR, GOOD, country_code=None), P, None),
        ("cheap-things", case(CHEAP, HALF_DAMAGED), P, None),
        ("cheap-things", case(DEAR, HALF_DAMAGED), R, None),
        ("cheap-things", case(PAIR, SHORT), W, None),
        ("cheap-things", case(PAIR, SHORT, waited=LATE), R, None),
        (
            "cheap-things",
            case(EXCHANGED, SHORT, waited=LATE),
            F,
            "Needs a person (missing): SKU B: 1 of 1 missing. SKU B has outcome exchange, not "
            "refund or credit",
        ),
        (
            "cheap-things",
            case(PAIR, ticket(got("A", 1), got("B", 1), got("Z", 1))),
            F,
            "Needs a person (rest): SKU Z: 1 not on the return",
        ),
        ("careful", case(WATCH, GOOD), A, None),
        ("careful", case(PAIR, GOOD), P, None),
        ("careful", case(PAIR, GOOD, open_tickets=1), W, None),
    ],
)
def test_its_examples_decide_as_it_says(
    name: str, judged: Case, outcome: Outcome, note: str | None
) -> None:
    decision = decide(EXAMPLES[name], judged)
    assert (decision.outcome, decision.note) == (outcome, note)
