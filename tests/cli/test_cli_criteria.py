"""Criteria on the command line: explained, checked, tried on the past."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
import sqlalchemy as sa
from cli_support import Past, run, text
from sqlalchemy.orm import make_transient

from bergen_loop.domain.criteria import PRESETS, load_criteria
from bergen_loop.domain.returns import LoopState
from bergen_loop.ledger.codec import document, load_return
from bergen_loop.ledger.tables.core import DecisionRow, ReturnRow

FLAG_ALL = """\
name: flag-all
description: Everything to a person.
settings: {wait: 9d}
rules:
  - name: all
    when: "true"
    then:
      flag: {reason: look, note: "Please look."}
"""
LARGE = """\
name: large
rules:
  - name: of-ada
    when: has(ret.customer) && ret.customer == "person1@example.com"
    then:
      flag: {reason: ada}
  - name: small
    when: receipt.complete && ret.total_cents < 10000
    then: process
  - name: rest
    when: "true"
    then:
      flag: {reason: rest}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "flag-all.yaml"
    path.write_text(FLAG_ALL)
    return path


def test_presets_are_listed_and_printed() -> None:
    assert list(json.loads(run("criteria", "presets", "--json").stdout)) == list(PRESETS)
    for name in PRESETS:
        printed = run("criteria", "presets", name).stdout
        assert load_criteria(printed, source=name).name == name
    result = run("criteria", "presets", "nope")
    assert result.exit_code == 2
    assert "there is no preset 'nope'" in text(result)


def test_criteria_are_explained_in_plain_words(file: Path) -> None:
    shown = text(run("criteria", "show", "trusting"))
    assert "1. damaged if receipt.damaged > 0 then flag as “damaged”" in shown
    assert "wait until 5 days after the first parcel; then take units that are missing off" in shown
    assert "Whatever the rules say: a return that is not open in Loop" in shown
    assert "wait 9 days" in text(run("criteria", "show", str(file)))
    rules = json.loads(run("criteria", "show", str(file), "--json").stdout)["rules"]
    then = "flag as “look”, with the note “Please look.”"
    assert rules == [{"rule": "all", "when": "true", "then": then}]


def test_mistakes_are_told_with_their_place(file: Path) -> None:
    file.write_text(FLAG_ALL.replace('"true"', "receipt.damagd > 0"))
    result = run("criteria", "check", str(file))
    assert result.exit_code == 1
    assert f"{file.name}:6:19: rules[1].when: receipt has no fact damagd" in text(result)
    as_json = run("criteria", "check", str(file), "--json")
    assert (as_json.exit_code, json.loads(as_json.stdout)["problems"][0]["line"]) == (1, 6)
    missing = run("criteria", "check", "no-such.yaml")
    assert (missing.exit_code, "or a preset: strict" in text(missing)) == (2, True)


def test_only_what_is_serious_is_warned_of_unless_asked_for() -> None:
    few = text(run("criteria", "check", "trusting"))
    assert "warning: Rule 'all-came' processes a return although" in few
    assert "For example:" in few
    assert "can both be true" not in few
    assert "CriteriaWarning" not in few
    every = text(run("criteria", "check", "trusting", "--all"))
    assert "hint: Rules 'damaged' and" in every
    assert "can both be true" in every


def test_the_configuration_check_warns_as_plainly(past: Past) -> None:
    past.config.write_text(past.config.read_text() + "    criteria: trusting\n")
    few = text(run("brands", "check", str(past.config)))
    assert "warning: acme: Rule 'all-came' processes a return although" in few
    assert "can both be true" not in few
    assert "<WarningKind" not in few
    assert "can both be true" in text(run("brands", "check", str(past.config), "--all"))


def test_the_past_is_tried_against_what_was_decided(past: Past, file: Path) -> None:
    past.judged()
    past.judged(damaged=1, counted=0)
    past.judged(now=LoopState.CLOSED, day=1)
    found = past.json("criteria", "test", str(file), "--since", "2026-11-01")
    report = found["report"]
    assert report["cases"] == 3
    assert report["matrix"] == {"process": {"flag": 2}, "flag": {"flag": 1}}
    assert report["changed_total"] == 2
    assert [c["return_id"] for c in report["changed"]] == ["1001", "1003"]
    told = report["changed"][0]["sentence"]
    assert told.startswith("It was decided to process it. Now: To flag as look")
    assert [d["day"] for d in report["days"]] == ["2026-11-02", "2026-11-03"]
    same = past.json("criteria", "test", "standard", "--since", "2026-11-01")["report"]
    assert same["changed_total"] == 0, "closed by now, but it is judged as it was then: open"


def test_for_people_there_are_counts_a_chart_and_the_changes(past: Past, file: Path) -> None:
    past.judged()
    shown = text(past.run("criteria", "test", str(file), "--since", "2026-11-01"))
    assert "on 1 return(s) of brand(s) acme" in shown
    assert "Each return is judged as it was at its latest decision" in shown
    assert "█" in shown
    assert "1 return(s) decided in another way" in shown
    calm = text(past.run("criteria", "test", "standard", "--since", "2026-11-01"))
    assert "No return would be decided in another way" in calm


def test_only_decisions_since_the_day_count(past: Past, file: Path) -> None:
    past.judged()
    past.judged(day=5)
    found = past.json("criteria", "test", str(file), "--since", "2026-11-05")
    assert found["report"]["cases"] == 1
    empty = past.run("criteria", "test", str(file), "--since", "2026-12-01")
    assert (empty.exit_code, "on 0 return(s)" in text(empty)) == (0, True)


def test_a_decision_by_hand_is_what_was_really_decided(past: Past) -> None:
    past.judged()
    with past.ledger.write() as session:
        made = session.scalars(sa.select(DecisionRow)).one()
        session.expunge(made)
        make_transient(made)
        made.id, made.by, made.outcome = None, "ada", "flag"  # pyright: ignore[reportAttributeAccessIssue]
        made.facts, made.receipt_ids = {}, []
        session.add(made)
    report = past.json("criteria", "test", "standard", "--since", "2026-11-01")["report"]
    assert report["matrix"] == {"flag": {"process": 1}}


def test_returns_edited_since_are_counted(past: Past) -> None:
    past.judged()
    with past.ledger.write() as session:
        row = session.scalars(sa.select(ReturnRow)).one()
        lines = document(load_return(row.content))["lines"]
        new = {**lines[0], "line_item_id": "L-new", "sku": "NEW"}
        row.content = {**row.content, "lines": [*lines, new]}
    assert past.json("criteria", "test", "standard", "--since", "2026-11-01")["edited"] == 1
    result = past.run("criteria", "test", "standard", "--since", "2026-11-01")
    assert "The units of 1 have been edited since" in text(result)


def test_an_export_gives_the_same_elsewhere_without_personal_data(
    past: Past, tmp_path: Path
) -> None:
    for damaged in (0, 1, 0):
        past.judged(damaged=damaged, total="150.00" if damaged else "20.00")
    cases = tmp_path / "cases.jsonl"
    criteria = tmp_path / "large.yaml"
    criteria.write_text(LARGE.replace("has(ret.customer) && ret.customer ==", "ret.id =="))
    here = past.json(
        "criteria", "test", str(criteria), "--since", "2026-11-01", "--export", str(cases)
    )
    exported = cases.read_text()
    for personal in ("@", "ORDER", "777", "888", "words", "1Z-", "status.test", "labels.test"):
        assert personal not in exported, personal
    there = json.loads(
        run("criteria", "test", str(criteria), "--from-export", str(cases), "--json").stdout
    )
    assert there["report"] == here["report"]
    assert there["missing"] == []


def test_criteria_that_need_what_an_export_leaves_out_are_told(past: Past, tmp_path: Path) -> None:
    past.judged()
    cases, criteria = tmp_path / "cases.jsonl", tmp_path / "large.yaml"
    criteria.write_text(LARGE)
    since = ("--since", "2026-11-01")
    past.run("criteria", "test", str(criteria), *since, "--export", str(cases))
    result = run("criteria", "test", str(criteria), "--from-export", str(cases))
    assert "The criteria ask for ret.customer, which an export leaves out" in text(result)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "no case"),
        ("[]", "no case"),
        ('{"format": "other/9"}', "format is 'other/9'"),
        ('{"format": "bergen-loop-case/1"}', "KeyError"),
    ],
)
def test_a_file_that_is_no_export(tmp_path: Path, line: str, words: str) -> None:
    cases = tmp_path / "cases.jsonl"
    cases.write_text(f"\n{line}\n")
    result = run("criteria", "test", "standard", "--from-export", str(cases))
    assert result.exit_code == 1
    assert f"{cases.name}:2" in text(result)
    assert words in text(result)


class Page(HTMLParser):
    """Tags, and what the page would load from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [v for n, v in attrs if n in ("src", "href", "data") and v]


def test_the_page_stands_alone_and_has_a_chart(past: Past, file: Path, tmp_path: Path) -> None:
    file.write_text(FLAG_ALL.replace("reason: look", "reason: <b>look</b>"))
    past.judged()
    past.judged(damaged=1, day=2)
    target = tmp_path / "report.html"
    result = past.run("criteria", "test", str(file), "--since", "2026-11-01", "--html", str(target))
    assert result.exit_code == 0, result.output
    page = Page()
    page.feed(target.read_text())
    assert page.loads == []
    assert page.tags.count("svg") == 1
    assert page.tags.count("rect") == 2
    assert "1001" in target.read_text()
    assert "<b>look</b>" not in target.read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "give either --since DATE"),
        (("--since", "2026-11-01", "--from-export", "x"), "give either --since DATE"),
        (("--since", "2026-11-01", "--brand", "nope"), "unknown brand(s) nope; configured: acme"),
        (("--since", "yesterday"), "does not match the format"),
    ],
)
def test_wrong_usage(past: Past, arguments: tuple[str, ...], words: str) -> None:
    result = past.run("criteria", "test", "standard", *arguments)
    assert result.exit_code == 2
    assert words in text(result)


def test_a_place_that_cannot_be_written(past: Past) -> None:
    past.judged()
    for option in ("--html", "--export"):
        result = past.run(
            "criteria", "test", "standard", "--since", "2026-11-01", option, "/no/such/place"
        )
        assert result.exit_code == 1
        assert "/no/such/place cannot be written" in text(result)
