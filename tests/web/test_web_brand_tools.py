"""A brand's tools on its page: its mode, the shadow report, criteria tried on the past."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from test_web_working import confirm, hidden, journaled
from web_support import NOW, Browser, Desk, add_return, plain, row_of

from bergen_loop.console import trial, trying
from bergen_loop.domain.comparison import compare
from bergen_loop.domain.criteria import decide, preset, preset_text
from bergen_loop.domain.decision import Case
from bergen_loop.domain.returns import LoopState, Stage
from bergen_loop.ledger.codec import load_receipt, load_return
from bergen_loop.ledger.read.people import Role
from bergen_loop.ledger.store import modes
from bergen_loop.ledger.tables.core import (
    BrandRow,
    DecisionRow,
    JournalRow,
    ReceiptRow,
    ReturnRow,
    RmaRow,
)
from bergen_loop.ledger.transaction import Transaction

PAYS_ALL = """\
name: pays-all
rules:
  - name: everything
    when: "true"
    then:
      process: {allow: [damaged]}
"""


def judged(
    desk: Desk,
    number: str,
    *,
    brand: str = "acme",
    damaged: int = 0,
    now: LoopState = LoopState.OPEN,
    at: datetime = NOW,
    shadow: bool = True,
) -> None:
    """A received return, judged by `standard` while it was open; Loop shows `now` since."""
    pk = add_return(desk.ledger, brand, number, Stage.RECEIVED, damaged=damaged)
    with desk.ledger.write() as session:
        row = session.get_one(ReturnRow, pk)
        receipt = session.scalars(
            sa.select(ReceiptRow).join(RmaRow).where(RmaRow.return_pk == pk)
        ).one()
        value, counted = load_return(row.content), (load_receipt(receipt.content),)
        decision = decide(
            preset("standard"), Case(value, counted, compare(value.lines, counted), at, at)
        )
        row.loop_state, row.due_at, row.received_at = now, None, at
        session.add(
            DecisionRow(
                brand=brand, return_pk=pk, decided_at=at, outcome=decision.outcome,
                rule=decision.rule, reason=decision.reason, note=decision.note, wait_until=None,
                line_item_ids=[], criteria_version=decision.criteria_version, config_version="x",
                facts=decision.facts, receipt_ids=[receipt.id], shadow=shadow,
            )
        )  # fmt: skip


def set_mode(desk: Desk, mode: str | None) -> None:
    with desk.ledger.write() as session:
        modes.set_mode(Transaction(session, "acme", NOW, "x"), mode, configured="live", why="y")


def mode_of(desk: Desk, brand: str = "acme") -> str | None:
    with desk.ledger.read() as session:
        row = session.get(BrandRow, brand)
        return row.mode if row else None


LIVE = "/brands/acme/mode/live"


def sign(browser: Browser, path: str = LIVE, page: str = "", **form: Any) -> Any:
    """Sign the checklist, every open point meant."""
    page = page or browser.get(path).text
    given = {
        "seen": hidden(page, "seen"),
        "stake": hidden(page, "stake"),
        "meant": re.findall(r'name="meant" value="(\w+)"', page),
        "returns": "20",
        "days": "3",
        "why": "two good weeks",
    }
    return browser.post(path, given | form)


def offered(browser: Browser) -> list[str]:
    return re.findall(r'href="/brands/acme/mode/(\w+)"', browser.get("/brands/acme").text)


# -- mode ---------------------------------------------------------------------------------------


def test_the_page_shows_the_mode_and_what_can_be_set(desk: Desk) -> None:
    browser = desk.signed_in()
    text = browser.text("/brands/acme")
    assert "Mode: live What is decided is done in Loop." in text
    assert "As the configuration says." in text
    assert offered(browser) == ["shadow", "paused"]
    set_mode(desk, "paused")
    text = browser.text("/brands/acme")
    assert "Mode: paused Nothing is done for this brand" in text
    assert "Set by hand; the configuration says live." in text
    assert offered(browser) == ["live", "shadow", "configured"]
    assert offered(desk.signed_in(Role.BRAND_SUPPORT)) == []


def test_a_mode_is_set_with_a_reason_and_journaled_with_the_person(desk: Desk) -> None:
    browser = desk.signed_in(Role.OPERATOR, ["acme"], "mara")
    answer = confirm(browser, "/brands/acme/mode/shadow", why="the counts look wrong")
    assert (answer.status_code, answer.headers["location"]) == (303, "/brands/acme?done=mode")
    assert mode_of(desk) == "shadow"
    assert mode_of(desk, "zebra") is None
    assert journaled(desk, "mara")[-1] == ("mode: shadow", "the counts look wrong")
    assert desk.nudged == ["acme"]
    text = browser.text(answer.headers["location"])
    assert "The mode is set: Acme Clothing is shadow." in text
    assert "the counts look wrong" in text
    answer = sign(browser, "/brands/acme/mode/configured", why="all is well")
    assert answer.status_code == 303, "live by its settings: the same is asked"
    assert mode_of(desk) is None
    assert journaled(desk, "mara")[-1] == ("mode: live", "all is well (as configured)")


def test_a_paused_brand_is_not_asked_to_sync(desk: Desk) -> None:
    assert confirm(desk.signed_in(), "/brands/acme/mode/paused", why="stocktake").status_code == 303
    assert (mode_of(desk), desk.nudged) == ("paused", [])


def test_leaving_live_stops_the_sync_that_is_acting(desk: Desk) -> None:
    page = desk.signed_in().text("/brands/acme/mode/shadow")
    assert "stopped before its next call" in page
    confirm(desk.signed_in(), "/brands/acme/mode/shadow", why="stop")
    with desk.ledger.read() as session:
        assert session.get_one(BrandRow, "acme").epoch == 1


def test_going_live_says_what_it_leads_to(desk: Desk) -> None:
    set_mode(desk, "shadow")
    judged(desk, "1")
    judged(desk, "2", damaged=1)
    judged(desk, "3", now=LoopState.CLOSED)  # people have settled it
    judged(desk, "4", shadow=False)
    judged(desk, "5", brand="zebra")
    browser = desk.signed_in(name="mara")
    text = browser.text(LIVE)
    assert "cannot be undone" in text
    assert "Returns that would be processed 1" in text
    assert "Would be flagged 1" in text
    assert "process 1 1 100.0 % few" in text, "3 was processed by people too"
    answer = sign(browser)
    assert answer.status_code == 303, plain(answer.text)
    assert mode_of(desk) == "live"
    with desk.ledger.read() as session:
        row = session.get_one(BrandRow, "acme")
        entry = session.scalars(
            sa.select(JournalRow).where(JournalRow.happened == "mode_set", JournalRow.who == "mara")
        ).one()
    assert (row.pace_returns, row.pace_amount) == (20, None)
    assert entry.why == "two good weeks"
    assert entry.data["seen"]["paid"].startswith("1 return, ")
    assert "Gradual start: at most 20 returns an hour until" in browser.text("/brands/acme")
    with desk.ledger.write() as session:
        modes.judge_anew(session, NOW, "acme")
    due = [n for n in "12345" if row_of(desk.ledger, "zebra" if n == "5" else "acme", n).due_at]
    assert due == ["1", "2"], "as many as were said"


@pytest.mark.parametrize(
    ("to", "form", "words"),
    [
        ("shadow", {"why": "  "}, "needs a reason"),
        ("shadow", {"why": "x" * 501}, "501 characters, more than 500"),
        ("live", {"why": "x"}, "the brand is live already"),
        ("configured", {"why": "x"}, "the brand is live already"),
        ("shadow", {"why": "x", "seen": "paused/paused"}, "changed since you opened this page"),
        ("shadow", {"why": "x", "seen": ""}, "changed since you opened this page"),
    ],
)
def test_a_mode_that_is_not_set(desk: Desk, to: str, form: dict[str, str], words: str) -> None:
    browser = desk.signed_in()
    answer = confirm(browser, f"/brands/acme/mode/{to}", **form)
    assert answer.status_code == (409 if form["why"] == "x" else 422)
    assert words in plain(answer.text)
    assert mode_of(desk) is None
    with desk.ledger.read() as session:
        assert not session.scalars(sa.select(JournalRow).where(JournalRow.what.like("mode%"))).all()
    assert desk.nudged == []


def test_whoever_does_not_say_that_a_point_is_meant_is_told_at_it(desk: Desk) -> None:
    set_mode(desk, "shadow")
    judged(desk, "1")
    browser = desk.signed_in()
    answer = sign(browser, meant=["compared"], returns="0", why="")
    text = plain(answer.text)
    assert answer.status_code == 422
    assert text.count("Say that this is meant.") == answer.text.count('class="open"') - 1
    assert "&#39;0&#39; is no number of returns: 1 to 100000." in text
    assert "This needs a reason" in text
    assert re.search(r'value="compared" checked', answer.text), "what was ticked stays ticked"
    assert mode_of(desk) == "shadow"


def test_what_is_more_by_now_is_looked_at_again(desk: Desk) -> None:
    set_mode(desk, "shadow")
    judged(desk, "1")
    browser = desk.signed_in()
    page = browser.get(LIVE).text
    judged(desk, "2")
    answer = sign(browser, page=page)
    assert answer.status_code == 409
    assert "more would be paid at once by now" in plain(answer.text)
    assert "two good weeks" in answer.text
    assert mode_of(desk) == "shadow"
    assert sign(browser, page=answer.text).status_code == 303


def test_back_to_shadow_is_one_click(desk: Desk) -> None:
    browser = desk.signed_in(name="mara")
    page = browser.get("/brands/acme").text
    form = {name: hidden(page, name) for name in ("seen", "why")}
    assert browser.post("/brands/acme/mode/shadow", form).status_code == 303
    assert mode_of(desk) == "shadow"
    assert "Back to shadow now" not in browser.get("/brands/acme").text
    second = browser.post("/brands/acme/mode/shadow", form)
    assert second.status_code == 409
    assert "changed since you opened this page, by mara at" in plain(second.text)


def test_a_gradual_start_is_looked_at_and_changed(desk: Desk) -> None:
    set_mode(desk, "shadow")
    browser = desk.signed_in(name="mara")
    assert sign(browser, returns="", amount="500", days="2").status_code == 303
    pk = add_return(desk.ledger, "acme", "7", Stage.SETTLING)
    later = datetime.now(UTC) + timedelta(minutes=30)
    with desk.ledger.write() as session:
        session.get_one(ReturnRow, pk).due_at = later
        session.add(
            DecisionRow(
                brand="acme", return_pk=pk, decided_at=NOW, outcome="process", rule="x",
                reason="x", note=None, wait_until=None, line_item_ids=[], criteria_version="x",
                config_version="x", facts={}, receipt_ids=[], shadow=False,
            )
        )  # fmt: skip
    assert "1 return waits for its turn" in browser.text("/brands/acme")
    page = browser.text("/brands/acme/pace")
    assert "At most 500.00 of each currency an hour until" in page
    assert "1 return waits" in page
    assert 'href="/returns/acme/7/release"' in browser.get("/brands/acme/pace").text
    waits = browser.text("/returns/acme/7")
    assert "Pay before its turn" in waits
    assert "bergen-loop waits with it for its turn in the gradual start" in waits
    confirmed = browser.text("/returns/acme/7/release")
    assert "89.00 USD" in confirmed
    assert "cannot be undone" in confirmed
    answer = confirm(browser, "/returns/acme/7/release", why="")
    assert (answer.status_code, "needs a reason" in answer.text) == (409, True)
    answer = confirm(browser, "/returns/acme/7/release", why="the customer waits")
    assert answer.headers["location"] == "/returns/acme/7?done=release"
    assert "Let go. Loop is asked with the next sync" in browser.text(
        "/returns/acme/7?done=release"
    )
    assert journaled(desk, "mara")[-1] == ("let go before its turn", "the customer waits")
    with desk.ledger.write() as session:
        session.get_one(ReturnRow, pk).due_at = later
    answer = browser.post("/brands/acme/pace", {"returns": "x", "amount": "", "days": "2"})
    assert answer.status_code == 422
    assert "&#39;x&#39; is no number of returns" in plain(answer.text)
    answer = browser.post("/brands/acme/pace", {"how": "at_once", "why": "they are right"})
    assert answer.status_code == 303
    with desk.ledger.read() as session:
        assert session.get_one(BrandRow, "acme").pace_until is None
        due = session.get_one(ReturnRow, pk).due_at
        assert due is not None
        assert due < later
    assert journaled(desk, "mara")[-1][0] == "gradual start changed"
    set_mode(desk, "paused")
    answer = browser.post("/brands/acme/pace", {"how": "at_once", "why": "x"})
    assert answer.status_code == 409


def test_a_refused_form_has_still_seen_no_more(desk: Desk) -> None:
    browser = desk.signed_in()
    seen = hidden(browser.get("/brands/acme/mode/shadow").text, "seen")
    set_mode(desk, "paused")
    for _ in range(2):
        answer = browser.post("/brands/acme/mode/shadow", {"why": "x", "seen": seen})
        assert answer.status_code == 409
        seen = hidden(answer.text, "seen")
    assert mode_of(desk) == "paused"


def test_only_who_may_act_sets_a_mode(desk: Desk) -> None:
    for role in (Role.READ_ONLY, Role.BRAND_SUPPORT):
        browser = desk.signed_in(role)
        assert browser.get("/brands/acme/mode/paused").status_code == 403
        form = {"why": "x", "seen": "/live"}
        assert browser.post("/brands/acme/mode/paused", form).status_code == 403
    other = desk.signed_in(Role.ENGINEER, ["zebra"])
    assert other.post("/brands/acme/mode/paused", {"why": "x", "seen": "/live"}).status_code == 404
    assert mode_of(desk) is None
    engineer = desk.signed_in(Role.ENGINEER)
    assert engineer.get("/brands/acme/mode/fast").status_code == 404
    assert engineer.get("/brands/nope/mode/paused").status_code == 404


# -- shadow report ------------------------------------------------------------------------------


def test_shadow_report(desk: Desk) -> None:
    judged(desk, "1", now=LoopState.CLOSED)
    judged(desk, "2", damaged=1, now=LoopState.REVIEW)
    judged(desk, "3", damaged=1, now=LoopState.CLOSED, at=NOW - timedelta(days=2))
    judged(desk, "4")
    judged(desk, "5", now=LoopState.CANCELLED)
    judged(desk, "6", brand="zebra", damaged=1, now=LoopState.CLOSED)
    browser = desk.signed_in(Role.READ_ONLY, ["acme"])
    page = browser.get("/brands/acme/shadow").text
    text = plain(page)
    assert "66.7 % alike: of 3 returns that can be compared, 2 were decided" in text
    assert "5 returns judged in shadow" in text
    assert "decided otherwise 1 people have not done anything yet 1 cannot be compared 1" in text
    assert "flag processed by hand 1" in text
    assert "We would have flagged it; it was processed by hand." in text
    assert '<a href="/returns/acme/3">#ACME3</a>' in page
    assert '<a href="/returns/acme/1">' not in page
    assert page.count('<svg class="chart"') == 1
    assert "newest 100 % (2 of 2)" in page
    assert "lowest 0 % (0 of 1)" in page
    assert "zebra" not in text.lower()


def test_the_shadow_report_is_sent_to_others_without_anything_of_a_customer(desk: Desk) -> None:
    judged(desk, "1", now=LoopState.CLOSED)
    judged(desk, "2", now=LoopState.REVIEW)  # we would have paid it
    judged(desk, "3", damaged=1, now=LoopState.CLOSED)  # we would not
    judged(desk, "4", damaged=1, now=LoopState.CLOSED)
    browser = desk.signed_in(Role.READ_ONLY, ["acme"], name="mara")
    page = browser.get("/brands/acme/shadow").text
    assert 'href="/brands/acme/shadow/report?since=' in page
    assert "We would have paid, people did not 1 : 89.00 USD" in plain(page)
    answer = browser.get("/brands/acme/shadow/report")
    assert answer.headers["content-disposition"].startswith('attachment; filename="shadow-acme-')
    text = plain(answer.text)
    assert "25.0 % alike: of 4 returns judged, 4 can be compared" in text
    assert "process 2 1 50.0 %" in text
    assert "People paid; it would not have been 2 178.00 USD" in text
    table = browser.get("/brands/acme/shadow.csv").text
    assert table.splitlines()[1:] == [
        "4,flag,damaged,processed by hand,89.00,USD",
        "3,flag,damaged,processed by hand,89.00,USD",
        "2,process,complete,flagged by hand,89.00,USD",
    ]
    for sent in (answer.text, table):
        for private in ("@customers", "#ACME", "1ZACME", "status.example", "shirt", "TEE-S"):
            assert private.lower() not in sent.lower(), private
    assert not re.findall(r"<script|<link|https?:|src=|href=", answer.text), "it stands by itself"
    assert [w for w, _ in journaled(desk, "mara")][-2:] == [
        "exported the shadow report as a page",
        "exported the shadow report as CSV",
    ]


def test_shadow_report_from_a_day_on(desk: Desk) -> None:
    judged(desk, "1", now=LoopState.CLOSED, at=NOW - timedelta(days=40))
    browser = desk.signed_in()
    assert "No return has been judged in shadow since then" in browser.text("/brands/acme/shadow")
    early = f"{NOW - timedelta(days=50):%Y-%m-%d}"
    assert "100.0 % alike" in browser.text(f"/brands/acme/shadow?since={early}")
    for nonsense in ("yesterday", "9999-99-99", ""):
        text = browser.text(f"/brands/acme/shadow?since={nonsense}")
        assert "No return has been judged in shadow since then" in text


def test_shadow_report_with_nothing_to_compare(desk: Desk) -> None:
    judged(desk, "1")
    text = desk.signed_in().text("/brands/acme/shadow")
    assert "Nothing to compare yet: people have not finished any of the 1 return " in text


# -- criteria tried -----------------------------------------------------------------------------

TRY = "/brands/acme/criteria/try"
SINCE = f"{NOW - timedelta(days=5):%Y-%m-%d}"


def tried(browser: Browser, which: str, text: str = "", since: str = SINCE) -> Any:
    return browser.post(TRY, {"which": which, "text": text, "since": since})


def test_the_form(desk: Desk) -> None:
    browser = desk.signed_in(Role.OPERATOR)
    page = browser.get(TRY).text
    assert f"now ({preset('standard').version})" in page
    text = browser.get(f"{TRY}?start=strict").text
    assert preset_text("strict").splitlines()[-1] in text.replace("&#34;", '"').replace(
        "&#39;", "'"
    )
    assert '<option value="pasted" selected>' in text
    assert browser.get(f"{TRY}?start=../../etc/passwd").status_code == 200


def test_the_criteria_of_now_change_nothing(desk: Desk) -> None:
    judged(desk, "1")
    judged(desk, "2", damaged=1)
    answer = tried(desk.signed_in(Role.READ_ONLY), "now")
    assert answer.status_code == 200
    text = plain(answer.text)
    assert f"What {preset('standard').version} would have decided" in text
    assert "0 of 2 returns would have been decided in another way." in text
    assert "No serious warning." in text
    assert "was not tried" not in text
    text = plain(tried(desk.signed_in(Role.READ_ONLY), "now", PAYS_ALL).text)
    assert "The text in the form was not tried" in text


def test_pasted_criteria_are_tried_with_their_warnings_and_differences(desk: Desk) -> None:
    judged(desk, "1")
    judged(desk, "2", damaged=1)
    judged(desk, "3", damaged=1, at=NOW - timedelta(days=9))
    judged(desk, "4", brand="zebra", damaged=1)
    page = tried(desk.signed_in(Role.OPERATOR, ["acme"]), "pasted", PAYS_ALL).text
    text = plain(page)
    assert "What pays-all@" in text
    assert "1 of 2 returns would have been decided in another way." in text
    assert "pays irregular Rule &#39;everything&#39; processes a return although" in text
    assert "flag process 1" in text
    assert "To be paid with these, not as it was decided 1 : " in text
    assert "process 1 2" in text, "outcome, really, with these"
    assert "everything process 2" in text
    assert '<a class="nowrap" href="/returns/acme/2">2</a>' in page
    assert "flag → process It was decided to flag it. Now:" in text
    assert page.count('<svg class="chart"') == 1
    assert "at most 2 on" in page
    assert "when: &#34;true&#34;" in page, "what was pasted stays in the form"
    with desk.ledger.read() as session:
        assert len(session.scalars(sa.select(DecisionRow)).all()) == 4, "nothing is decided by it"


@pytest.mark.parametrize("role", list(Role))
def test_a_text_of_ones_own_is_for_operators_and_engineers(desk: Desk, role: Role) -> None:
    may = role in (Role.OPERATOR, Role.ENGINEER)
    browser = desk.signed_in(role)
    assert ("<textarea" in browser.get(f"{TRY}?start=strict").text) == may
    for text in (PAYS_ALL, "name: ["):
        answer = tried(browser, "pasted", text)
        assert (answer.status_code == 403) == (not may)
    presets = 403 if role is Role.FLOOR else 200
    assert tried(browser, "strict").status_code == presets, "presets are for all who see the brand"


@pytest.mark.parametrize(
    "when",
    [
        "'x'" + ".map(x, x + x)" * 40 + " == []",
        "lines.all(a, lines.all(b, lines.all(c, lines.all(d, a.sku == d.sku))))",
        "lines" + ".map(x, [x, x])" * 30 + ".size() > 0",
        "[1,2,3,4,5,6,7,8].all(a, [1,2,3,4,5,6,7,8].all(b, a != b))",
    ],
)
def test_a_hostile_text_is_refused_at_once_and_the_service_goes_on(desk: Desk, when: str) -> None:
    judged(desk, "1")
    browser = desk.signed_in(Role.OPERATOR)
    rule = f"name: t\nrules:\n  - name: a\n    when: |\n      {when}\n    then: process\n"
    answer = tried(browser, "pasted", rule)
    assert answer.status_code == 422
    assert "1 mistake in the criteria." in plain(answer.text)
    assert "Line 5, column" in plain(answer.text)
    assert tried(browser, "now").status_code == 200


def test_a_trial_that_fails_is_said(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(*_: Any) -> Any:
        raise trial.TrialFailed("trying them took more than 20 seconds")

    monkeypatch.setattr(trying.trial, "apart", ended)
    answer = tried(desk.signed_in(Role.OPERATOR), "pasted", PAYS_ALL)
    assert answer.status_code == 422
    assert "trying them took more than 20 seconds; write fewer rules" in answer.text


def test_mistakes_are_shown_with_line_and_column(desk: Desk) -> None:
    broken = "\r\n" + PAYS_ALL.replace('"true"', '"receipt.damagd > 0"').replace("\n", "\r\n")
    answer = tried(desk.signed_in(), "pasted", broken)
    assert answer.status_code == 422
    text = plain(answer.text)
    assert "1 mistake in the criteria." in text
    assert "Line 5, column 20, rules[1].when :" in text
    assert "receipt.damagd &gt; 0" in text
    empty = tried(desk.signed_in(), "pasted", "")
    assert empty.status_code == 422
    assert "it is empty" in empty.text
    long = tried(desk.signed_in(), "pasted", "# " + "x" * 66_000)
    assert long.status_code == 422
    assert "more than 65536 characters" in long.text


@pytest.mark.parametrize(
    ("which", "since", "words"),
    [
        ("burn", SINCE, "choose the criteria to try"),
        ("now", "", "choose the day"),
        ("now", "31.12.2026", "choose the day"),
    ],
)
def test_a_form_that_cannot_be_tried(desk: Desk, which: str, since: str, words: str) -> None:
    answer = tried(desk.signed_in(), which, since=since)
    assert answer.status_code == 422
    assert words in answer.text
    assert tried(desk.signed_in(), "now").status_code == 200, "the next one may"


def test_no_history(desk: Desk) -> None:
    text = plain(tried(desk.signed_in(), "strict").text)
    assert "No return of this brand has been judged since" in text


def test_the_newest_are_tried_when_there_are_too_many(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(4):
        judged(desk, str(n), damaged=1, at=NOW - timedelta(hours=4 - n))
    monkeypatch.setattr(trying, "MOST", 2)
    page = tried(desk.signed_in(), "pasted", PAYS_ALL).text
    assert "Only the newest 2 of more than 2 were tried." in plain(page)
    assert re.findall(r'href="/returns/acme/(\d)"', page) == ["3", "2"]
    monkeypatch.setattr(trying, "MOST", 100)
    monkeypatch.setattr(trying, "SECONDS", -1.0)
    page = tried(desk.signed_in(), "pasted", PAYS_ALL).text
    assert "Only the newest 1 of 4 were tried." in plain(page)
    assert re.findall(r'href="/returns/acme/(\d)"', page) == ["3"]


def test_a_search_for_warnings_that_takes_too_long_is_said(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trying, "WARNING_SECONDS", -1.0)
    text = plain(tried(desk.signed_in(), "pasted", PAYS_ALL).text)
    assert "The search for warnings took too long and was given up" in text
    assert "No serious warning" not in text


def test_one_at_a_time(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    browser, second = desk.signed_in(), desk.signed_in(name="other")
    answers: list[Any] = []
    real = trying.preset
    monkeypatch.setattr(trying, "PATIENCE", 0)

    def meanwhile(name: str) -> Any:
        answers.append(tried(second, "now"))
        return real(name)

    monkeypatch.setattr(trying, "preset", meanwhile)
    assert tried(browser, "strict").status_code == 200
    assert answers[0].status_code == 503
    assert "try again in some seconds" in answers[0].text
    assert tried(second, "now").status_code == 200


def test_other_brands_cannot_be_tried(desk: Desk) -> None:
    other = desk.signed_in(Role.ENGINEER, ["zebra"])
    assert tried(other, "now").status_code == 404
    assert other.get(TRY).status_code == 404
    assert desk.signed_in().post("/brands/nope/criteria/try", {}).status_code == 404


def test_days_begin_where_the_console_is(desk: Desk) -> None:
    """2026-03-08 begins at 05:00 UTC in New York."""
    start = datetime(2026, 3, 8, 5, 0, tzinfo=UTC)
    judged(desk, "1", at=start - timedelta(seconds=1))
    judged(desk, "2", at=start)
    assert "of 1 return would" in plain(tried(desk.signed_in(), "now", since="2026-03-08").text)
    assert "of 2 returns would" in plain(tried(desk.signed_in(), "now", since="2026-03-07").text)
