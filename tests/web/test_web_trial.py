"""Pasted criteria are tried in a process of their own, which cannot hurt this one."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from bergen_loop.console import trial
from bergen_loop.console.trial import Limits, TrialFailed, apart, here
from bergen_loop.domain.comparison import compare
from bergen_loop.domain.criteria import CriteriaError, load_criteria, preset_text
from bergen_loop.domain.decision import Case, Outcome
from bergen_loop.domain.returns import LoopState, Return, ReturnLine
from bergen_loop.domain.rma import Receipt, ReceiptLine, TicketStatus

AT = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
LINES = (ReturnLine("1", sku="A", outcome="refund"),)
RECEIPT = Receipt(
    "WHRTN1",
    TicketStatus.ADDED_TO_INVENTORY,
    "AddedToInventory",
    (ReceiptLine(sku="A", actual=1, damaged=0),),
)
CASE = Case(
    Return("7", LoopState.OPEN, AT, AT, lines=LINES),
    (RECEIPT,),
    compare(LINES, [RECEIPT]),
    AT,
    AT,
)
STANDARD = preset_text("standard")


def test_it_finds_apart_what_it_finds_here() -> None:
    cases: list[trial.PastCase] = [("7", CASE, "flag"), ("8", CASE, "process"), ("9", CASE, None)]
    trusting = preset_text("trusting")
    found = apart(trusting, cases, 30.0)
    assert found == here(load_criteria(trusting, source="t"), cases, 30.0)
    assert (found.report.cases, found.report.changed_total) == (3, 1)
    assert found.report.changed[0].after is Outcome.PROCESS
    assert found.warnings
    assert apart(STANDARD, [], -1.0).warnings is None


def test_mistakes_come_back_with_their_places_however_many_cases_there_are() -> None:
    text = "name: t\nrules:\n  - {name: a, when: 'lines.map(l, l.sku) == []', then: process}\n"
    with pytest.raises(CriteriaError) as caught:
        apart(text, itertools.repeat(("7", CASE, None), 20_000), 1.0)
    (problem,) = caught.value.problems
    assert (problem.line, problem.column, problem.source) == (3, 28, trial.SOURCE)
    assert problem.message.startswith("map is not allowed")


def test_it_is_killed_when_its_time_is_over() -> None:
    begin = time.monotonic()
    with pytest.raises(TrialFailed, match=r"^trying them took more than 1\.5 seconds$"):
        apart(STANDARD, itertools.repeat(("7", CASE, None)), 1.0, Limits(wall=1.5))
    assert time.monotonic() - begin < 15


def test_it_is_ended_when_its_processor_time_is_used_up() -> None:
    with pytest.raises(TrialFailed, match=r"more than 1 seconds of processor time$"):
        apart(STANDARD, itertools.repeat(("7", CASE, None)), 1.0, Limits(processor=1, wall=120.0))


def test_it_is_ended_when_it_wants_too_much_memory() -> None:
    limits = Limits(memory=64 * 1024**2)
    text = "# " + "x" * 80_000_000
    with pytest.raises(TrialFailed, match=r"more than 64 MB of memory$"):
        apart(text, [], 1.0, limits)
    assert apart(STANDARD, [("7", CASE, None)], 1.0).report.cases == 1, "the next one may"


def confined(code: str) -> subprocess.CompletedProcess[str]:
    begin = "from bergen_loop.console.trial import *; confine(Limits(processor=1))\n"
    env = {"PYTHONPATH": os.pathsep.join(sys.path)}
    run = [sys.executable, "-c", begin + code]
    return subprocess.run(run, env=env, capture_output=True, text=True, timeout=60, check=False)


def test_a_confined_process_has_no_processor_memory_or_files_to_waste(tmp_path: Any) -> None:
    assert confined("while True: pass").returncode == -signal.SIGXCPU
    assert "MemoryError" in confined("x = bytearray(1 << 30)").stderr
    target = tmp_path / "file"
    assert "File too large" in confined(f"open({str(target)!r}, 'wb', 0).write(b'x')").stderr


def test_the_child_is_given_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []
    real = subprocess.Popen

    def watched(command: Any, **options: Any) -> Any:
        seen.append({"command": command, **options})
        return real(command, **options)

    monkeypatch.setenv("LOOP_KEY", "very-secret")
    monkeypatch.setattr(trial.subprocess, "Popen", watched)
    apart(STANDARD, [], 0.0)
    assert set(seen[0]["env"]) == {"PATH", "PYTHONPATH", "LC_ALL"}
    assert "very-secret" not in json.dumps(seen[0]["env"]) + " ".join(seen[0]["command"])


def test_an_answer_that_is_none_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial.sys, "executable", "/bin/true")
    with pytest.raises(TrialFailed, match="gave no answer"):
        apart(STANDARD, [], 0.0)
    monkeypatch.setattr(trial.sys, "executable", "/bin/false")
    with pytest.raises(TrialFailed, match="the process that tried them failed"):
        apart(STANDARD, [], 0.0)
