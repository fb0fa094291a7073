"""A brand's week, told once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from pydantic import SecretStr
from web_support import add_return

from bergen_loop.config import Settings
from bergen_loop.config.operations import WeeklySettings
from bergen_loop.domain.returns import Stage
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.tables.core import DecisionRow, ReturnRow
from bergen_loop.tell import weekly
from support.brands import settings

NOW = datetime.now(UTC)


def told_on(day: datetime, **changes: Any) -> Settings:
    given = settings("acme", "quiet", service={"public_url": "https://loop.example"})
    week = WeeklySettings(urls=[SecretStr("mailto://x")], weekday=day.weekday(), hour=0, **changes)
    given.brands["acme"] = given.brands["acme"].model_copy(update={"weekly": week})
    return given


def test_a_week_says_what_was_paid_held_and_flagged_and_why(ledger: Ledger) -> None:
    add_return(ledger, "acme", "1", Stage.COMPLETE)
    add_return(ledger, "acme", "2", Stage.COMPLETE)
    add_return(ledger, "acme", "3", Stage.FLAGGED)
    add_return(ledger, "acme", "4", Stage.RECEIVED, held="look")
    add_return(ledger, "quiet", "5", Stage.COMPLETE)
    facts = {"receipt": {"skus": [{"sku": "TEE\u202eS", "short": 1, "damaged": 2}]}}
    with ledger.write() as session:
        session.execute(
            sa.update(DecisionRow).where(DecisionRow.outcome == "flag").values(facts=facts)
        )
        session.execute(
            sa.update(ReturnRow).where(ReturnRow.return_id == "2").values(total="no number")
        )
    given = told_on(NOW)
    with ledger.read() as session:
        text = weekly.words(session, "acme", given.brands["acme"], NOW, "https://loop.example")
    assert text.splitlines() == [
        "4 received by the warehouse.",
        "2 processed in Loop (89.00 USD, 1 of unknown value).",
        "1 flagged in Loop (89.00 USD).",
        "1 held until a person has decided (89.00 USD).",
        "Half were settled within 0.0 hours of the receipt.",
        "",
        "Flagged by:",
        "- damaged: 1",
        "",
        "Short or damaged:",
        "- TEE\ufffdS: 1 short, 2 damaged",
        "",
        "https://loop.example/trends?brand=acme",
    ]


def test_it_is_told_once_on_its_day_and_tried_again_while_nobody_took_it(ledger: Ledger) -> None:
    sent: list[str] = []
    answers = [False, True, True]

    def send(title: str, _text: str) -> bool:
        sent.append(title)
        return answers.pop(0)

    given, day = told_on(NOW), NOW.replace(hour=12)
    assert weekly.tell_due(ledger, given, day - timedelta(days=1), send) == 0
    assert [weekly.tell_due(ledger, given, day, send) for _ in range(3)] == [0, 1, 0]
    assert weekly.tell_due(ledger, given, day + timedelta(days=7), send) == 1
    assert sent[0] == f"Acme Clothing: returns in the week to {day:%B} {day.day}"
    assert len(sent) == 3
