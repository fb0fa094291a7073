"""What a program has done, it has done once, however often it asks; whatever is killed when."""

from __future__ import annotations

import os
import signal
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from web_support import Desk, add_return, make_desk

from bergen_loop.console.api import acting
from bergen_loop.console.state import Console
from bergen_loop.domain.words import What
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.read.people import Role
from bergen_loop.ledger.store import answers
from bergen_loop.ledger.store.answers import Keyed
from bergen_loop.ledger.tables.access import AnswerRow
from bergen_loop.ledger.tables.core import EffectRow, JournalRow

NOTES = "/api/v1/returns/acme/{}/notes"
TEXT = {"text": "Called the customer"}


@pytest.fixture
def shop(ledger: Ledger) -> Desk:
    """An app over either database, with three returns."""
    desk = make_desk(ledger)
    for number in ("1", "2", "3"):
        add_return(ledger, "acme", number)
    return desk


def note(api: TestClient, key: str, number: str = "1", text: str = "") -> Any:
    body = {"text": text} if text else TEXT
    return api.post(NOTES.format(number), json=body, headers={"idempotency-key": key})


def effects(desk: Desk) -> tuple[int, int]:
    """Notes that are to be sent, and notes in the journal."""
    with desk.ledger.read() as session:
        count = sa.select(sa.func.count())
        told = JournalRow.happened == What.NOTE
        return (
            session.scalar(count.select_from(EffectRow).where(EffectRow.kind == "note")) or 0,
            session.scalar(count.select_from(JournalRow).where(told)) or 0,
        )


def test_a_repeated_call_gets_the_first_answer_and_does_nothing(shop: Desk) -> None:
    api = shop.token(Role.BRAND_SUPPORT, ["acme"])
    first, again = note(api, "k1"), note(api, "k1")
    assert (first.status_code, first.json()) == (again.status_code, again.json())
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert effects(shop) == (1, 1)
    assert note(api, "k2").status_code == 200
    assert effects(shop) == (2, 2)
    assert api.post(NOTES.format("1"), json=TEXT).status_code == 200  # no key, no promise
    assert effects(shop) == (3, 3)


def test_a_key_stands_for_one_call_of_one_token(shop: Desk) -> None:
    api, other = shop.token(), shop.token(Role.ENGINEER)
    assert note(api, "k").status_code == 200
    told = [
        note(api, "k", text="Another text"),
        note(api, "k", number="2"),
        api.post("/api/v1/returns/acme/1/resync", headers={"idempotency-key": "k"}),
    ]
    for answer in told:
        assert (answer.status_code, answer.json()["code"]) == (422, "key_used_otherwise")
    assert effects(shop) == (1, 1)
    assert "idempotency-replayed" not in note(other, "k").headers
    assert effects(shop) == (2, 2)
    assert note(api, "k" * 256).json()["errors"][0]["where"] == "header.Idempotency-Key"


def test_a_refusal_is_an_answer_too(shop: Desk) -> None:
    api = shop.token()
    refused = note(api, "k", number="4")
    assert refused.status_code == 404
    add_return(shop.ledger, "acme", "4")
    again = note(api, "k", number="4")
    assert (again.status_code, again.headers["idempotency-replayed"]) == (404, "true")
    blank = [note(api, "b", text="  ") for _ in range(2)]
    assert [a.status_code for a in blank] == [409, 409]
    assert blank[0].json()["detail"] == blank[1].json()["detail"]
    assert effects(shop) == (0, 0)


def test_what_fails_here_is_no_answer(shop: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    api = shop.token()

    def broken(*_: Any) -> None:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(acting, "carry_out", broken)
        assert note(api, "k").status_code == 500
    assert note(api, "k").status_code == 200
    assert effects(shop) == (1, 1)


def test_a_call_that_is_under_way_is_not_begun_again(
    shop: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    api, begun, go_on = shop.token(), threading.Event(), threading.Event()
    carry_out, found = acting.carry_out, list[Any]()

    def slow(*given: Any) -> None:
        begun.set()
        assert go_on.wait(20)
        carry_out(*given)

    monkeypatch.setattr(acting, "carry_out", slow)
    first = threading.Thread(target=lambda: found.append(note(api, "k")))
    first.start()
    try:
        assert begun.wait(20)
        meanwhile = note(TestClient(shop.app, headers=dict(api.headers)), "k")
        assert (meanwhile.status_code, meanwhile.json()["code"]) == (409, "same_call_running")
        assert meanwhile.headers["retry-after"] == "1"
    finally:
        go_on.set()
        first.join(20)
    assert found[0].status_code == 200
    assert note(api, "k").headers["idempotency-replayed"] == "true"
    assert effects(shop) == (1, 1)


@pytest.mark.postgres
def test_a_call_under_way_in_another_process_is_not_begun_either(ledger: Ledger) -> None:
    if ledger.is_sqlite:
        pytest.skip("who writes an embedded database is alone")
    keyed, now = Keyed.of(1, "k", ["x"]), datetime.now(UTC)
    with ledger.write() as one, ledger.write() as other:
        assert answers.first(one, now, keyed) is None
        with pytest.raises(answers.Running):
            answers.first(other, now, keyed)


def test_a_key_is_free_again_after_a_day(shop: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    api = shop.token()
    monkeypatch.setattr(answers, "KEPT", timedelta(0))
    assert note(api, "k").status_code == 200
    assert note(api, "k", text="Another text").status_code == 200
    assert note(api, "k2").status_code == 200
    assert effects(shop) == (3, 3)
    with shop.ledger.read() as session:
        assert session.scalars(sa.select(AnswerRow.key)).all() == ["k2"]  # the other was swept


def test_a_program_that_loses_the_answer_repeats_the_call_and_it_is_done_once(shop: Desk) -> None:
    api, died = shop.token(), list[int]()
    shop.ledger.engine.dispose()  # no connection is anybody's but its own process's
    for number, moment in (("1", "done, not committed"), ("2", "committed, not answered")):
        child = os.fork()
        if not child:
            _call_and_die(shop, dict(api.headers), number, moment)
        died.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    assert died == [-signal.SIGKILL] * 2
    assert effects(shop) == (1, 1)  # of the one that was committed
    told = {number: note(api, "k" + number, number) for number in ("1", "2")}
    assert [a.status_code for a in told.values()] == [200, 200]
    assert {n for n, a in told.items() if "idempotency-replayed" in a.headers} == {"2"}
    assert effects(shop) == (2, 2)


def _call_and_die(shop: Desk, headers: dict[str, str], number: str, moment: str) -> None:
    """In a process of its own, that is killed at the moment."""
    signal.alarm(60)

    def die(*_: Any, **__: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    try:
        if moment == "done, not committed":
            answers.keep = die
        else:
            Console.sync_soon = die  # type: ignore[method-assign]
        app = make_desk(Ledger(shop.ledger.url.render_as_string(hide_password=False))).app
        client = TestClient(app, headers=headers)
        client.portal = None  # the loop that tests share has stayed in the other process
        note(client, "k" + number, number)
    finally:
        os._exit(1)
