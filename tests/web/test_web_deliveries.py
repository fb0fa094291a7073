"""What came in and went out, for whose brands it did; and how calls come into the log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from web_support import Desk, add_return, make_desk

from bergen_loop.config.operations import CallSettings
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.read.people import Role
from bergen_loop.ledger.store import calls, retention, returns
from bergen_loop.ledger.tables.core import JournalRow, WebhookRow
from bergen_loop.ledger.tables.operations import AttemptRow, CallRow, OutboxRow
from bergen_loop.outside.http import CallRecord
from bergen_loop.tell.calls import Calls

NOW = datetime.now(UTC)


def a_call(**changes: Any) -> CallRecord:
    given: dict[str, Any] = {
        "system": "Loop", "brand": "acme", "call": "process", "subject": "7", "started_at": NOW,
        "seconds": 0.25, "outcome": "ok", "status": 200, "changes": True, "sent": None,
        "received": '{"errors": "ask Ada@customers.example\\u0000 <b>"}',
    }  # fmt: skip
    return CallRecord(**given | changes)


@pytest.fixture
def told(sqlite_ledger: Ledger) -> Desk:
    """A call, an event and a webhook of each of two brands."""
    desk = make_desk(sqlite_ledger)
    for brand in ("acme", "zebra"):
        pk = add_return(sqlite_ledger, brand, "7")
        log = Calls()
        log.add(a_call(brand=brand))
        log.add(a_call(brand=brand, subject=f"LR-{brand}-7", call="ReceivingTicketAdd",
                       system="REX11", outcome="OutcomeUnknown"))  # fmt: skip
        with sqlite_ledger.write() as session:
            calls.add(session, log.take()[0])
            session.add(
                WebhookRow(brand=brand, digest="d", received_at=NOW, topic="return",
                           trigger="return.updated", return_id="7", body='{"x": "a@b.example"}')
            )  # fmt: skip
            event = OutboxRow(brand=brand, event_id="evt_1", type="return.received", return_pk=pk,
                              body="{}", state="given_up", attempts=1, created_at=NOW,
                              next_at=NOW)  # fmt: skip
            session.add(event)
            session.flush()
            session.add(AttemptRow(event_pk=event.id, at=NOW, milliseconds=9, error="HTTP 503"))
    return desk


def test_each_list_shows_ones_own_brands_and_is_narrowed(told: Desk) -> None:
    everyone, mine = told.signed_in(), told.signed_in(Role.READ_ONLY, ["acme"])
    for kind, what in (
        ("calls", "REX11 ReceivingTicketAdd"),
        ("events", "return.received"),
        ("webhooks", "return.updated"),
    ):
        assert everyone.text(f"/deliveries?kind={kind}").count(what) == 2, kind
        assert mine.text(f"/deliveries?kind={kind}").count(what) == 1
        assert everyone.text(f"/deliveries?kind={kind}&brand=acme").count(what) == 1
    assert "HTTP 503 9 ms" in mine.text("/deliveries?kind=events")
    failed = mine.text("/deliveries?kind=calls&failed=1")
    assert "OutcomeUnknown" in failed and "Loop process" not in failed
    about = mine.text("/deliveries?kind=calls&q=LR-acme-7")
    assert "ReceivingTicketAdd" in about and "Loop process" not in about
    page = mine.text("/returns/acme/7")
    assert "2 calls, 1 webhook from Loop, 1 event to the brand" in page
    assert "LR-acme-7: OutcomeUnknown" in page


def test_what_was_said_is_shown_as_text_without_addresses_and_to_nobody_else(told: Desk) -> None:
    with told.ledger.read() as session:
        said = sa.select(CallRow).order_by(CallRow.id.desc())
        pks = {r.brand: r.id for r in session.scalars(said)}
    mine = told.signed_in(Role.READ_ONLY, ["acme"])
    page = mine.get(f"/deliveries/calls/{pks['acme']}").text
    assert "ask [address]" in page and "&lt;b&gt;" in page and "Ada@" not in page
    assert "[address]" in mine.text("/deliveries/webhooks/1")
    for path in (f"/deliveries/calls/{pks['zebra']}", "/deliveries/webhooks/2",
                 "/deliveries/events/2", "/deliveries/nonsense/1"):  # fmt: skip
        assert mine.get(path).status_code == 404, path


def test_an_event_is_sent_again_by_who_may_act(told: Desk) -> None:
    path = "/deliveries/events/1/resend"
    assert told.signed_in(Role.BRAND_SUPPORT, ["acme"]).post(path).status_code == 403
    assert told.signed_in(Role.OPERATOR, ["zebra"]).post(path).status_code == 404
    answer = told.signed_in(Role.OPERATOR, ["acme"], name="olga").post(path)
    assert answer.headers["location"] == "/deliveries/events/1?done=resend"
    with told.ledger.read() as session:
        assert session.get_one(OutboxRow, 1).state == "pending"
        entries = session.scalars(sa.select(JournalRow).where(JournalRow.who == "olga")).all()
    assert ("event sent again", "evt_1") in {(e.what, e.why) for e in entries}


def test_only_what_people_look_for_is_kept_and_no_more_than_asked_for() -> None:
    look = a_call(subject=None, changes=False, call="list_returns", received=None)
    by_date = a_call(subject="11/26 - 11/27", changes=False, routine=True, call="list_returns")
    for settings, kept in (
        (CallSettings(), ["process", "list_returns"]),
        (CallSettings(routine=True), ["process", *["list_returns"] * 3]),
        (CallSettings(keep=timedelta(0)), []),
    ):
        log = Calls(settings)
        log.add(a_call())
        log.add(look)
        log.add(by_date)
        log.add(a_call(subject=None, changes=False, call="list_returns", outcome="Unavailable"))
        assert [r["call"] for r in log.take()[0]] == kept
        assert log.take() == ([], 0)
    silent = Calls(CallSettings(bodies=False))
    silent.add(a_call())
    assert silent.take()[0][0]["received"] is None
    flood = Calls()
    for _ in range(Calls.MOST + 3):
        flood.add(a_call())
    rows, over = flood.take()
    assert (len(rows), over) == (Calls.MOST, 3)


def test_calls_are_forgotten_after_their_time_and_unsaid_with_their_customer(told: Desk) -> None:
    with told.ledger.write() as session:
        old = {"at": NOW - timedelta(days=15)}
        session.execute(sa.update(CallRow).where(CallRow.subject == "7").values(old))
        assert calls.forget(session, "acme", NOW - timedelta(days=14)) == 1
        row = returns.by_id(session, "acme", "7")
        assert row is not None
        row.stage = "complete"
        retention.erase_return(session, NOW, row, who="ann")
        left = {(r.brand, r.subject, r.received) for r in session.scalars(sa.select(CallRow))}
    assert {x for x in left if x[0] == "acme"} == {("acme", "LR-acme-7", None)}
    assert all(x[2] for x in left if x[0] == "zebra")
