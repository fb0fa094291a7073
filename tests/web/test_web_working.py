"""What people do to returns: asked once more, journaled with their name."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from web_support import NOW, Browser, Desk, add_return, row_of

from bergen_loop.domain.returns import Stage
from bergen_loop.domain.words import Need
from bergen_loop.ledger.codec import document, load_receipt
from bergen_loop.ledger.read.causes import causes
from bergen_loop.ledger.read.people import Role
from bergen_loop.ledger.scope import Scope
from bergen_loop.ledger.store import attention, effects, modes
from bergen_loop.ledger.store.effects import EffectState
from bergen_loop.ledger.tables.core import (
    AttentionRow,
    DecisionRow,
    EffectRow,
    JournalRow,
    ReceiptRow,
    ReturnRow,
    RmaRow,
)
from bergen_loop.ledger.transaction import Transaction
from bergen_loop.outside.loop.models import ParsedReturn
from bergen_loop.people import actions


def hidden(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found, f"no field {name}"
    return found[1]


def confirm(browser: Browser, path: str, **form: Any) -> Any:
    """Open the confirmation, then send it."""
    page = browser.get(path)
    assert page.status_code == 200, page.text
    return browser.post(path, {"seen": hidden(page.text, "seen"), **form})


def journaled(desk: Desk, who: str) -> list[tuple[str, str]]:
    with desk.ledger.read() as session:
        rows = session.scalars(sa.select(JournalRow).where(JournalRow.who == who))
        return [(r.what, r.why) for r in rows]


def test_process_by_hand(desk: Desk) -> None:
    add_return(desk.ledger, "acme", "1", Stage.RECEIVED, held="look")
    browser = desk.signed_in(name="mara")
    answer = confirm(browser, "/returns/acme/1/process", why="photo shows all is well")
    assert (answer.status_code, answer.headers["location"]) == (303, "/returns/acme/1?done=process")
    row = row_of(desk.ledger, "acme", "1")
    assert (row.stage, row.held) == (Stage.SETTLING, False)
    with desk.ledger.read() as session:
        decision = session.scalars(sa.select(DecisionRow)).one()
    assert (decision.outcome, decision.by, decision.rule) == ("process", "mara", "by hand")
    assert ("decided by hand: process", "photo shows all is well") in journaled(desk, "mara")
    assert desk.nudged == ["acme"]
    assert "Decided. Loop is asked" in browser.text("/returns/acme/1?done=process")


def test_flag_by_hand_with_its_note(desk: Desk) -> None:
    add_return(desk.ledger, "acme", "1", Stage.WAITING)
    confirm(desk.signed_in(), "/returns/acme/1/flag", why="empty box", note="The box was empty.")
    with desk.ledger.read() as session:
        decision = session.scalars(sa.select(DecisionRow)).one()
    assert (decision.outcome, decision.note) == ("flag", "The box was empty.")


def test_a_reason_is_needed(desk: Desk) -> None:
    add_return(desk.ledger, "acme", "1", Stage.RECEIVED)
    answer = confirm(desk.signed_in(), "/returns/acme/1/process", why="   ")
    assert answer.status_code == 409
    assert "needs a reason" in answer.text
    assert row_of(desk.ledger, "acme", "1").stage == Stage.RECEIVED


def test_what_has_changed_meanwhile_is_not_decided(desk: Desk) -> None:
    add_return(desk.ledger, "acme", "1", Stage.RECEIVED)
    browser = desk.signed_in()
    seen = hidden(browser.get("/returns/acme/1/process").text, "seen")
    with desk.ledger.write() as session:
        row = session.merge(row_of(desk.ledger, "acme", "1"))
        row.content_hash = "edited in Loop"
    for _ in range(2):  # sending the refused form again has seen no more
        answer = browser.post("/returns/acme/1/process", {"why": "fine", "seen": seen})
        assert answer.status_code == 409
        assert "has changed since you opened this page" in answer.text
        seen = hidden(answer.text, "seen")
    assert confirm(browser, "/returns/acme/1/process", why="fine").status_code == 303


def test_a_decision_without_having_seen_anything_is_refused(desk: Desk) -> None:
    add_return(desk.ledger, "acme", "1", Stage.RECEIVED)
    answer = desk.signed_in().post("/returns/acme/1/process", {"why": "fine"})
    assert answer.status_code == 409


@pytest.mark.parametrize("mode", [modes.SHADOW, modes.PAUSED])
def test_nothing_is_decided_for_a_brand_that_is_not_live(desk: Desk, mode: str) -> None:
    add_return(desk.ledger, "acme", "1", Stage.RECEIVED)
    with desk.ledger.write() as session:
        modes.set_mode(Transaction(session, "acme", NOW, "x"), mode, configured="live", why="y")
    browser = desk.signed_in()
    assert "decide this return in Loop itself" in browser.get("/returns/acme/1/process").text
    assert confirm(browser, "/returns/acme/1/process", why="fine").status_code == 409
    assert row_of(desk.ledger, "acme", "1").stage == Stage.RECEIVED


def test_a_settled_return_is_not_settled_again(full: Desk) -> None:
    browser = full.signed_in()
    assert "Process…" not in browser.get("/returns/acme/109").text
    assert confirm(browser, "/returns/acme/109/process", why="again").status_code == 409


def test_the_confirmation_warns_where_nothing_was_received(full: Desk) -> None:
    assert "has received nothing" in full.signed_in().text("/returns/acme/102/process")
    assert "has received nothing" not in full.signed_in().text("/returns/acme/103/process")


def test_note_and_resync(full: Desk) -> None:
    browser = full.signed_in(Role.BRAND_SUPPORT, ["acme"], "jo")
    assert confirm(browser, "/returns/acme/107/note", note="Called the customer").status_code == 303
    assert confirm(browser, "/returns/acme/102/resync").status_code == 303
    assert ("note", "Called the customer") in journaled(full, "jo")
    assert ("resync", "asked for by hand") in journaled(full, "jo")
    with full.ledger.read() as session:
        effect = session.scalars(sa.select(EffectRow).where(EffectRow.kind == "note")).one()
    assert (effect.state, effect.payload["content"]) == ("planned", "Called the customer")
    assert confirm(browser, "/returns/acme/107/note", note="x" * 255).status_code == 409


def open_items(desk: Desk, brand: str = "acme") -> list[AttentionRow]:
    with desk.ledger.read() as session:
        return attention.open_items(session, brand)


def test_many_items_at_once_each_for_itself(desk: Desk) -> None:
    for n in range(4):
        add_return(desk.ledger, "acme", str(n), Stage.RECEIVED, held=f"reason {n}")
    items = open_items(desk)
    with desk.ledger.write() as session:  # somebody else was faster
        attention.resolve(session, NOW, session.get_one(AttentionRow, items[0].id),
                          attention.Resolution(who="x", words="y"))  # fmt: skip
    browser = desk.signed_in(name="mara")
    chosen = [str(i.id) for i in items[:3]]
    page = browser.get("/attention/confirm", params={"do": "ignore", "item": chosen}).text
    assert "Ignore 3 items" in page
    answer = browser.post("/attention/act", {"do": "ignore", "item": chosen, "why": "known"})
    assert "2 done, 1 not" in answer.text
    assert "resolved already" in answer.text
    assert [i.reason for i in open_items(desk)] == ["acme: reason 3"]
    assert journaled(desk, "mara").count(("attention resolved", "ignored: known")) == 2
    assert desk.nudged == ["acme"]


def test_retry_releases_the_return(desk: Desk) -> None:
    add_return(desk.ledger, "acme", "1", Stage.RECEIVED, held="look")
    number = open_items(desk)[0].id
    answer = desk.signed_in().post("/attention/act", {"do": "retry", "item": number, "why": "now"})
    assert "1 done" in answer.text
    row = row_of(desk.ledger, "acme", "1")
    assert row.held is False
    assert row.due_at is not None


@pytest.mark.parametrize(
    ("path", "typed", "at", "why"),
    [
        ("/returns/acme/103/flag", {"why": "", "note": "kept <1>"}, "why", "needs a reason"),
        ("/returns/acme/103/flag", {"why": "x" * 501, "note": "kept <1>"}, "why", "501 characters"),
        ("/returns/acme/103/note", {"note": "n" * 300}, "note", "this one 300"),
        ("/brands/acme/mode/shadow", {"why": ""}, "why", "needs a reason"),
    ],
)
def test_what_is_wrong_is_said_at_its_field_and_what_was_typed_is_kept(
    full: Desk, path: str, typed: dict[str, str], at: str, why: str
) -> None:
    browser = full.signed_in()
    form = browser.get(path).text
    seen = re.findall(r'name="seen" value="([^"]*)"', form)[0]
    answer = browser.post(path, {**typed, "seen": seen})
    assert answer.status_code in (409, 422)
    said = dict(re.findall(r'class="wrong" id="wrong-(\w+)">([^<]+)', answer.text))
    assert list(said) == [at]
    assert why in said[at]
    for value in typed.values():
        assert f">{html.escape(value)}</textarea>" in answer.text
    assert 'role="alert"><strong>Not done' not in answer.text


def test_bulk_actions_need_a_reason_and_a_choice(full: Desk) -> None:
    browser = full.signed_in()
    answer = browser.post("/attention/act", {"do": "retry", "item": "1", "why": " "})
    assert answer.status_code == 409
    assert 'id="wrong-why">Write a reason of at most' in answer.text
    assert "You have chosen nothing" in browser.text("/attention/confirm?do=retry&item=abc")
    assert (
        browser.post("/attention/act", {"do": "burn", "item": "1", "why": "x"}).status_code == 404
    )


def test_the_inbox_is_by_cause_pages_and_keeps_its_filters(desk: Desk) -> None:
    for n in range(60):
        add_return(desk.ledger, "acme", f"{n:02}", Stage.RECEIVED, held=f"reason {n:02}")
    browser = desk.signed_in()
    page = browser.get("/attention?whose=nobody").text
    assert "reason 00" in page
    assert "reason 50" not in page
    more = page.partition('rel="next" href="')[2].split('"')[0].replace("&amp;", "&")
    assert more == "/attention?whose=nobody&page=2"
    second = browser.text(more)
    assert "reason 50" in second
    assert "reason 39" not in second
    assert "Nothing here" in browser.text("/attention?kind=access")
    assert "Nothing here" in browser.text("/attention?brand=zebra")
    assert "Nothing here" in browser.text("/attention?whose=me")


def the_badge(text: str) -> int:
    return int(text.partition("Returns Attention ")[2].split()[0])


def test_what_one_deed_would_mend_is_one_cause_with_its_worth(desk: Desk) -> None:
    for n in range(3):
        said = f"the receipt of ticket WHRTNacme{n} cannot be read"
        add_return(desk.ledger, "acme", str(n), Stage.RECEIVED, held=said)
    add_return(desk.ledger, "acme", "9", Stage.RECEIVED, held="something else")
    browser = desk.signed_in(name="mara")
    text = browser.text("/attention")
    assert "Decide by hand acme: the receipt of ticket … cannot be read 3 items 3 returns" in text
    assert "267.00 USD" in text
    assert text.index("cannot be read") < text.index("something else"), "the most money first"
    assert the_badge(text) == the_badge(browser.text("/")) == the_badge(browser.text("/audit")) == 4
    cause = browser.get("/attention").text.partition("do=retry&amp;cause=")[2][:12]
    preview = browser.text(f"/attention/confirm?do=ignore&cause={cause}")
    assert "3 of 3 items , returns worth 267.00 USD" in preview
    items = [str(i.id) for i in open_items(desk)]
    done = browser.post("/attention/act", {"do": "snooze", "item": items[0], "hours": "72",
                                           "whose": "nobody"})  # fmt: skip
    assert 'href="/attention?whose=nobody"' in done.text
    assert "1 done" in done.text
    browser.post("/attention/act", {"do": "assign", "item": items[1], "to": "me"})
    text = browser.text("/attention?whose=me")
    assert "#ACME1" in text
    assert "#ACME2" not in text
    assert the_badge(text) == the_badge(browser.text("/")) == 3
    assert "#ACME0" in browser.text("/attention?tab=snoozed")
    browser.post("/attention/act", {"do": "wake", "item": items[0]})
    assert the_badge(browser.text("/")) == 4


def test_what_is_ignored_says_so_wherever_it_shows_and_can_be_put_back(desk: Desk) -> None:
    add_return(desk.ledger, "acme", "1", Stage.RECEIVED, held="look")
    number = str(open_items(desk)[0].id)
    browser = desk.signed_in(name="mara")
    browser.post("/attention/act", {"do": "ignore", "item": number, "why": "the shop knows"})
    assert "mara left it to people" in browser.text("/returns/acme/1")
    assert "left to people" in browser.text("/returns")
    assert "mara : ignored: the shop knows" in browser.text("/attention?tab=ignored")
    assert "Nothing here" in browser.text("/attention?tab=resolved")
    assert "1 done" in browser.post("/attention/act", {"do": "undo", "item": number}).text
    assert [str(i.id) for i in open_items(desk)] == [number]
    assert row_of(desk.ledger, "acme", "1").held
    assert "left to people" not in browser.text("/returns")
    jo = desk.signed_in(name="jo")
    jo.post("/attention/act", {"do": "retry", "item": number, "why": "now"})
    late = browser.post("/attention/act", {"do": "ignore", "item": number, "why": "x"}).text
    assert "already, by jo at" in late


def test_a_nudge_that_fails_loses_nothing(desk: Desk) -> None:
    add_return(desk.ledger, "acme", "1", Stage.RECEIVED)

    def broken(_brand: str) -> None:
        raise RuntimeError("the queue is down")

    desk.app.state.console.nudge = broken
    assert confirm(desk.signed_in(), "/returns/acme/1/process", why="fine").status_code == 303
    assert row_of(desk.ledger, "acme", "1").stage == Stage.SETTLING


@pytest.mark.parametrize("kind", actions.SETTLES)
def test_what_may_move_money_is_retried_one_at_a_time_by_somebody_who_looks(
    desk: Desk, kind: Need
) -> None:
    for number in ("1", "2"):
        pk = add_return(desk.ledger, "acme", number, Stage.CONFIRMING)
        with desk.ledger.write() as session:
            row = session.get_one(ReturnRow, pk)
            effect = effects.settlements_of(session, [pk])[pk]
            Transaction(session, "acme", NOW).outcome(effect, EffectState.FAILED, "Loop: no")
            attention.raise_item(
                session, NOW, attention.Matter(brand="acme", kind=kind, reason="no", about=row)
            )
    items = [str(i.id) for i in open_items(desk)]
    browser, api = desk.signed_in(name="mara"), desk.token(Role.OPERATOR)
    page = browser.post("/attention/act", {"do": "retry", "item": items, "why": "all of them"})
    assert "0 done, 2 not" in page.text
    answer = api.post(f"/api/v1/attention/{items[0]}/retry", json={"why": "by a script"})
    assert answer.status_code == 409
    assert "moves money" in answer.text
    page = browser.post("/attention/act", {"do": "retry", "item": items[:1], "why": "I looked"})
    assert "1 done" in page.text


def an_unclear(desk: Desk, number: str = "1") -> None:
    """A return of which the warehouse gave no readable count."""
    pk = add_return(desk.ledger, "acme", number, Stage.RECEIVED, held="look", skus=("TEE-S",))
    with desk.ledger.write() as session:
        raw = session.scalars(
            sa.select(ReceiptRow).join(RmaRow, RmaRow.id == ReceiptRow.rma_pk)
            .where(RmaRow.return_pk == pk)
        ).one()  # fmt: skip
        read = load_receipt(raw.content)
        told = "ActualQuantity is 'one', not a whole number"
        line = replace(read.lines[0], actual=None, problems=(told,), comments="box was wet")
        raw.content = document(replace(read, lines=(line,)))
        raw.content_hash = f"unclear-{number}"


def the_form(page: str, **typed: str) -> dict[str, str]:
    product = page.partition('name="product-0"')[2].partition('value="0" selected')
    assert product[1], "the product is known by its code"
    fields = {n: hidden(page, n) for n in ("seen", "receipt")}
    return {**fields, "product-0": "0", "counted-0": "1", "damaged-0": "0",
            "evidence": "I opened the box", **typed}  # fmt: skip


def test_an_unclear_receipt_is_understood_and_corrected(desk: Desk) -> None:
    an_unclear(desk)
    browser = desk.signed_in(name="mara")
    text = browser.text("/returns/acme/1")
    assert "Held since" in text
    assert "acme shirt UPC 08500000 89.00 USD" not in text, "the unit's own price is not known"
    assert "UPC 08500000 ? 1 ? 0 not clear Warehouse: “box was wet”" in text
    assert text.count("ActualQuantity is") == 1
    page = browser.get("/returns/acme/1/correct").text
    for typed, told in (
        ({"counted-0": "two"}, "a whole number from 0 to 10000 is needed"),
        ({"evidence": " "}, "say from what you know it"),
        ({"product-0": "7"}, "say which product it is"),
    ):
        answer = browser.post("/returns/acme/1/correct", the_form(page, **typed))
        assert (answer.status_code, told in answer.text) == (422, True), typed
        assert row_of(desk.ledger, "acme", "1").held
    kept = browser.post("/returns/acme/1/correct", the_form(page, **{"counted-0": "two"})).text
    assert 'value="two"' in kept
    assert "I opened the box" in kept
    for name, body, told in (
        ("x.html", b"<script>", "a photo"),
        ("x.png", b"\x89PNG\r\n\x1a\n" * 700_000, "larger"),
    ):
        files = {"file": (name, body)}
        answer = browser.post("/returns/acme/1/correct", the_form(page), files=files)
        assert answer.status_code in (413, 422) and (
            told in answer.text or answer.status_code == 413
        )
    files = {"file": ("box.png", b"\x89PNG\r\n\x1a\nbox")}
    answer = browser.post("/returns/acme/1/correct", the_form(page), files=files)
    assert answer.headers["location"] == "/returns/acme/1?done=correct"
    row = row_of(desk.ledger, "acme", "1")
    assert (row.stage, row.held, desk.nudged) == (Stage.RECEIVED, False, ["acme"])
    text = browser.text("/returns/acme/1")
    assert "Corrected by mara" in text
    assert "1 1 0 as expected" in text
    page = browser.get("/returns/acme/1").text
    where = page.partition('href="/returns/acme/1/files/')[2].partition('"')[0]
    shown = browser.get(f"/returns/acme/1/files/{where}")
    assert (shown.content, shown.headers["content-type"]) == (b"\x89PNG\r\n\x1a\nbox", "image/png")
    assert "sandbox" in shown.headers["content-security-policy"]
    add_return(desk.ledger, "acme", "2", Stage.RECEIVED)
    assert browser.get(f"/returns/acme/2/files/{where}").status_code == 404


def test_the_second_to_correct_is_told_who_was_first(desk: Desk) -> None:
    an_unclear(desk)
    mara, jo = desk.signed_in(name="mara"), desk.signed_in(name="jo")
    form = the_form(jo.get("/returns/acme/1/correct").text)
    assert mara.post("/returns/acme/1/correct", form | {"csrf": mara.csrf}).status_code == 303
    answer = jo.post("/returns/acme/1/correct", form)
    assert answer.status_code == 409
    assert "mara" in answer.text
    assert "count corrected by hand" in answer.text
    refused = desk.signed_in(Role.BRAND_SUPPORT).post("/returns/acme/1/correct", form)
    assert refused.status_code == 403


def test_grades_are_asked_of_loop_once_and_its_silence_is_told(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_return(desk.ledger, "acme", "1", Stage.RECEIVED)
    browser = desk.signed_in(Role.BRAND_SUPPORT, ["acme"])
    assert "/returns/acme/1/grades" in browser.get("/returns/acme/1").text
    told = browser.text("/returns/acme/1/grades")
    assert "Loop was asked, and did not say: not reached" in told
    condition = {"description": "<b>Torn</b>", "images": ["https://cdn.example/1.jpg", "http://x"]}
    raw = {"line_items": [{"line_item_id": 9, "sku": "TEE-S", "condition": condition}]}
    asked = list[bool]()

    def details(return_id: str, *, once: bool) -> ParsedReturn:
        asked.append(once)
        return ParsedReturn(raw, None, None, return_id)

    monkeypatch.setattr(desk.registry.context("acme").loop, "details", details)
    page = browser.get("/returns/acme/1/grades").text
    assert asked == [True]
    assert "&lt;b&gt;Torn" in page
    assert 'href="https://cdn.example/1.jpg" target="_blank" rel="noopener noreferrer"' in page
    assert "http://x" not in page


def test_who_waits_for_a_product_without_a_barcode_is_found_by_its_sku(desk: Desk) -> None:
    add_return(desk.ledger, "acme", "1", Stage.SEEN, skus=("TEE-S",))
    add_return(desk.ledger, "acme", "2", Stage.SEEN, skus=("TEE-M",))
    with desk.ledger.write() as session:
        attention.raise_item(
            session, NOW, attention.Matter(brand="acme", kind=Need.PRODUCT_REFUSED, reason="no UPC",
            about="acme-tee-s"),
        )  # fmt: skip
        (cause,) = causes(session, Scope.of(["acme"]))
    assert [one.return_id for one in cause.returns or ()] == ["1"]
    assert cause.worth.words == "89.00 USD"
