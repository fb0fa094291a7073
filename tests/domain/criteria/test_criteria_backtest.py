"""Criteria tried on history."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta

from criteria_cases import PAIR, case, got, ticket

from bergen_loop.domain.criteria import BacktestReport, ChangedReturn, Day, preset, replay
from bergen_loop.domain.criteria.backtest import MAX_CHANGED, Moved
from bergen_loop.domain.decision import Case, Outcome

GOOD = case(PAIR, ticket(got("A", 1), got("B", 1)))
DAMAGED = case(PAIR, ticket(got("A", 1, 1), got("B", 1)))
SHORT = case(PAIR, ticket(got("A", 1), got("B", 0)))
PROCESS = "It was decided to process it. Now: "
DAMAGED_REASON = "To flag as damaged: SKU A: 1 of 1 damaged (rule 'damaged')."


def on(day: int, judged: Case) -> Case:
    moved = timedelta(days=day)
    return replace(
        judged, first_received_at=judged.first_received_at + moved, now=judged.now + moved
    )


def test_replays_history() -> None:
    report = replay(
        preset("standard"),
        [
            ("1", GOOD, "process"),
            ("2", on(1, DAMAGED), "process"),
            ("3", on(1, SHORT), None),
            ("4", on(1, DAMAGED), "flag"),
            ("5", on(0, SHORT), "flag"),
            ("6", on(0, GOOD), "closed by hand"),
        ],
    )
    assert report == BacktestReport(
        criteria_version=preset("standard").version,
        cases=6,
        undecided=1,
        by_outcome={"flag": 2, "process": 2, "wait": 2},
        by_rule={"complete": {"process": 2}, "damaged": {"flag": 2}, "short": {"wait": 2}},
        matrix={
            "closed by hand": {"process": 1},
            "flag": {"flag": 1, "wait": 1},
            "process": {"flag": 1, "process": 1},
        },
        changed_total=3,
        changed=(
            ChangedReturn("2", "process", Outcome.FLAG, PROCESS + DAMAGED_REASON),
            ChangedReturn(
                "5",
                "flag",
                Outcome.WAIT,
                "It was decided to flag it. Now: Waiting until 2026-03-09 12:00 UTC: SKU B: "
                "1 of 1 missing (rule 'short').",
            ),
            ChangedReturn(
                "6",
                "closed by hand",
                Outcome.PROCESS,
                "It was closed by hand. Now: To process: 2 of 2 units counted, none damaged, "
                "nothing extra (rule 'complete').",
            ),
        ),
        days=(
            Day(date(2026, 3, 2), Counter({"process": 2, "wait": 1}), 2),
            Day(date(2026, 3, 3), Counter({"flag": 2, "wait": 1}), 1),
        ),
        paid_now=Moved(1, unknown=1),
        paid_before=Moved(1, unknown=1),
    )


def test_streams_and_bounds_what_it_keeps() -> None:
    def history(number: int) -> Iterator[tuple[str, Case, str | None]]:
        for n in range(number):
            yield str(n), DAMAGED, "process"

    tracemalloc.start()
    report = replay(preset("standard"), history(800))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (report.cases, report.changed_total, len(report.changed)) == (800, 800, MAX_CHANGED)
    assert [c.return_id for c in report.changed] == [str(n) for n in range(MAX_CHANGED)]
    assert peak < 1_000_000


def test_no_history_is_an_empty_report() -> None:
    assert replay(preset("strict"), []).cases == 0
    assert replay(preset("strict"), []).days == ()
