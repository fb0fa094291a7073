"""A brand's criteria in the console: put together, tried, published, compared, rolled back."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from connect_support import Place
from console_place import Service, hidden, service
from test_connect_console import connect, words

from bergen_loop.console import trial
from bergen_loop.domain.criteria import preset_text
from bergen_loop.ledger.read.people import Role
from bergen_loop.ledger.store import brands as kept

AT = "/brands/northpine/criteria"
OWN = """\
name: mine
rules:
  - name: complete
    when: receipt.complete
    then: process
"""


@pytest.fixture
def running(place: Place) -> Service:
    made = service(place)
    connect(made)
    return made


def publish(running: Service, text: str = OWN, **form: str) -> Any:
    given = {
        "which": "pasted",
        "text": text,
        "why": "we agreed so",
        "seen": hidden(running.get(AT), "seen"),
    }
    return running.post(AT, **(given | form))


def versions(running: Service) -> list[tuple[str, str]]:
    with running.registry.ledger.read() as session:
        found = kept.history(session, "northpine")
    return [(str(v.content["criteria"]), v.reason) for v in found]


def text_in(page: str) -> str:
    found = re.search(r'<textarea id="criteria-text"[^>]*>\n(.*?)</textarea>', page, re.DOTALL)
    assert found
    return html.unescape(found[1])


def test_what_holds_stands_in_the_editor_and_what_is_published_holds(running: Service) -> None:
    assert text_in(running.get(AT)) == preset_text("strict")
    assert publish(running).headers["location"] == f"{AT}?done=published"
    assert running.registry.context("northpine").criteria.name == "mine"
    assert versions(running)[0] == (OWN, "we agreed so")
    page = running.get(AT)
    assert text_in(page) == OWN
    assert "holds: running workers take it up" in words(running.get(f"{AT}?done=published"))
    assert f'href="{AT}/1"' in page
    # A preset's text, unchanged, is published by its name.
    assert publish(running, preset_text("standard")).status_code == 303
    assert versions(running)[0][0] == "standard"
    assert publish(running, which="standard").status_code == 409, "these hold already"


def test_rolled_back_the_other_settings_stay(running: Service) -> None:
    assert publish(running).status_code == 303
    seen = hidden(running.get("/brands/northpine/settings"), "seen")
    block = html.unescape(
        running.get("/brands/northpine/settings").split("required>\n")[1].split("</textarea>")[0]
    )
    changed = block.replace("poll: 30s", "poll: 45s")
    answer = running.post("/brands/northpine/settings", text=changed, why="slower", seen=seen)
    assert answer.status_code == 303, words(answer.text)
    page = running.get(f"{AT}/1")
    assert '<span class="gone">-name: mine</span>' in page
    assert '<span class="added">+name: strict</span>' in page
    seen = hidden(page, "seen")
    assert running.post(f"{AT}/1", why="", seen=seen).status_code == 422
    assert running.post(f"{AT}/1", why="it flags too little", seen=seen).status_code == 303
    assert versions(running)[0] == ("strict", "it flags too little")
    with running.registry.ledger.read() as session:
        assert kept.history(session, "northpine")[0].content["poll"] == "45s"


@pytest.mark.parametrize(
    ("text", "words_"),
    [
        (OWN.replace("receipt.complete", "receipt.complet"), "Line 4, column 19"),
        ("", "it is empty"),
        ("name: [", "mistake in the criteria"),
    ],
)
def test_what_cannot_be_used_is_refused_at_its_line_and_stays_in_the_editor(
    running: Service, text: str, words_: str
) -> None:
    answer = publish(running, text)
    assert answer.status_code == 422
    assert words_ in words(answer.text)
    assert text_in(answer.text) == text
    assert "we agreed so" in answer.text
    assert [named for named, _ in versions(running)] == ["strict"]
    # The same text cannot come in by the settings either.
    block = f"name: Northpine\ncriteria: {text!r}\n"
    if text:
        answer = running.post("/brands/northpine/settings", text=block, why="x", seen="1")
        assert answer.status_code == 422
    assert [named for named, _ in versions(running)] == ["strict"]


def test_a_text_from_outside_is_read_in_a_child_first(
    running: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(*_: Any) -> Any:
        raise trial.TrialFailed("trying them took more than 512 MB of memory")

    monkeypatch.setattr(trial, "apart", ended)
    monkeypatch.setattr("bergen_loop.people.brands.criteria", lambda *_: pytest.fail("read here"))
    answer = publish(running)
    assert "more than 512 MB of memory" in words(answer.text)
    block = f"name: Northpine\ncriteria: |\n  {OWN.replace(chr(10), chr(10) + '  ')}\n"
    answer = running.post("/brands/northpine/settings", text=block, why="x", seen="1")
    assert "more than 512 MB of memory" in words(answer.text)


def test_the_second_of_two_people_is_told_what_the_first_has_done(running: Service) -> None:
    seen = hidden(running.get(AT), "seen")
    assert publish(running).status_code == 303
    answer = publish(running, OWN.replace("mine", "theirs"), seen=seen)
    assert answer.status_code == 409
    told = words(answer.text)
    assert "has been changed meanwhile: version 2 was made by engineer None" in told
    assert "(we agreed so): criteria: strict →" in told
    assert "theirs" in text_in(answer.text)


def test_without_a_reason_nothing_is_published(running: Service) -> None:
    answer = publish(running, why=" ")
    assert answer.status_code == 422
    assert "Publishing needs a reason" in words(answer.text)
    assert text_in(answer.text) == OWN
    assert len(versions(running)) == 1


def test_common_rules_are_written_into_the_editor(running: Service) -> None:
    form = {"damaged": "ask", "other": "flag", "short": "wait_remove", "days": "10", "above": "500"}
    page = running.post(f"{AT}/compose", since="2026-11-01", **form).text
    text = text_in(page)
    assert "wait: 10d" in text
    assert "high_value_cents: 50000" in text
    assert "attention: {reason: damaged}" in text
    assert "written by hand" in words(running.get(AT)), "a preset holds"
    assert publish(running, text).status_code == 303
    page = running.get(AT)
    assert "These fields show the rules that are in the editor" in words(page)
    for value in ("ask", "wait_remove"):
        assert f'<option value="{value}" selected>' in page
    assert 'name="days" value="10"' in page
    assert 'name="above" value="500"' in page
    answer = running.post(f"{AT}/compose", text=OWN, **(form | {"days": "ten"}))
    assert answer.status_code == 422
    assert "'ten' is no number of days: 1 to 365." in words(answer.text)
    assert text_in(answer.text) == OWN, "what stood in the editor stays"
    assert '<option value="ask" selected>' in answer.text, "and what was chosen"


def test_a_brand_of_the_file_is_only_looked_at(place: Place) -> None:
    assert place.connect(to="file")[0].exit_code in (0, 1)
    running = service(place)
    page = running.get(AT)
    assert "for those who keep configuration in a repository" in words(page)
    assert "formaction" not in page
    answer = running.post(AT, which="strict", why="x", seen="0")
    assert answer.status_code == 409
    assert "stands in the configuration file" in words(answer.text)


def test_who_may_not_change_brands_sees_and_tries_only(running: Service) -> None:
    looking = service(running.place, Role.OPERATOR)
    assert "Publish" not in looking.get(AT)
    assert looking.post(AT, which="strict", why="x", seen="1").status_code == 403
