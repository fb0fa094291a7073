"""Alerts: when people are called, once, and when they are told that it is over."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from bergen_loop.config import Settings
from bergen_loop.domain.words import Need
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.store import attention
from bergen_loop.ledger.tables.core import BrandRow, BreakerRow, BudgetLeaseRow, DecisionRow
from bergen_loop.ledger.tables.operations import EndpointRow
from bergen_loop.tell import alerts
from bergen_loop.tell.rates import DayCount, flag_band
from bergen_loop.tell.rules import KINDS
from support.brands import settings
from support.rows import NOW, a_return

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
GUIDE = Path(__file__).parents[2] / "docs" / "operations.md"


class People:
    """Those who are called."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, str]] = []
        self.asleep = False

    def __call__(self, title: str, text: str) -> bool:
        if not self.asleep:
            self.messages.append((title, text))
        return not self.asleep

    def titles(self) -> list[str]:
        return [title for title, _ in self.messages]


@pytest.fixture
def people() -> People:
    return People()


def good_sync(ledger: Ledger, brand: str = "acme", at: Any = NOW) -> None:
    with ledger.write() as session:
        session.merge(BrandRow(brand=brand, last_sync_started_at=at, last_good_sync_at=at, epoch=0))


def wait(ledger: Ledger, age: timedelta) -> None:
    with ledger.write() as session:
        attention.raise_item(
            session, NOW - age, attention.Matter(brand="acme", kind=Need.ACCESS, reason="r")
        )


def test_attention_that_waits_too_long_is_told_once_and_then_that_it_is_over(
    ledger: Ledger, people: People
) -> None:
    good_sync(ledger)
    wait(ledger, 5 * HOUR)
    for _ in range(3):
        assert alerts.evaluate(ledger, settings(), NOW, people) == 1
    ((title, text),) = people.messages
    assert title == "bergen-loop: Attention items wait too long (acme)"
    assert text == (
        "acme: 1 open item(s), the oldest 5 h old\n\n"
        "Severity: warning\n"
        "What to do: docs/operations.md#attention-waiting"
    )
    with ledger.write() as session:
        about = [(Need.ACCESS, "")]
        attention.resolve_kinds(session, NOW, brand="acme", about=about, resolution="done")
    for _ in range(2):
        assert alerts.evaluate(ledger, settings(), NOW + MINUTE, people) == 0
    assert people.titles()[1:] == ["bergen-loop: recovered: Attention items wait too long (acme)"]


def test_what_comes_back_is_told_again(ledger: Ledger, people: People) -> None:
    for at in (NOW, NOW + HOUR, NOW + HOUR, NOW + 2 * HOUR):
        good_sync(ledger, at=at)
        alerts.evaluate(ledger, settings(), at if at != NOW + HOUR else at + HOUR, people)
    assert [t.startswith("bergen-loop: recovered") for t in people.titles()] == [False, True]


def test_while_nobody_can_be_reached_it_is_tried_again(ledger: Ledger, people: People) -> None:
    good_sync(ledger)
    wait(ledger, 5 * HOUR)
    people.asleep = True
    alerts.evaluate(ledger, settings(), NOW, people)
    people.asleep = False
    alerts.evaluate(ledger, settings(), NOW + MINUTE, people)
    alerts.evaluate(ledger, settings(), NOW + 2 * MINUTE, people)
    assert len(people.messages) == 1


def test_what_nobody_heard_of_is_not_taken_back(ledger: Ledger, people: People) -> None:
    good_sync(ledger, at=NOW - HOUR)
    people.asleep = True
    alerts.evaluate(ledger, settings(), NOW, people)
    people.asleep = False
    good_sync(ledger)
    alerts.evaluate(ledger, settings(), NOW, people)
    assert people.messages == []


def test_a_cause_common_to_many_brands_is_one_message(ledger: Ledger, people: People) -> None:
    brands = [f"b{n}" for n in range(30)]
    for brand in brands:
        good_sync(ledger, brand, NOW - HOUR)
    alerts.evaluate(ledger, settings(*brands), NOW, people)
    ((title, text),) = people.messages
    assert title == "bergen-loop: A brand is not synced (30 brands)"
    assert all(f"{brand}: no sync without error for 60 min" in text for brand in brands)


def hold_back(ledger: Ledger, brand: str, system: str, since: Any) -> None:
    with ledger.write() as session:
        session.merge(
            BreakerRow(brand=brand, system=system, failures=5, probes=1, opened_at=since,
                       open_until=since + HOUR, error="details after 30 s: Unavailable")
        )  # fmt: skip


def test_an_incident_is_one_alert_with_severity_and_link_and_one_when_it_is_over(
    ledger: Ledger, people: People
) -> None:
    brands = [f"b{n}" for n in range(12)]
    given = settings(*brands, "fine", service={"public_url": "https://loop.example"})
    for brand in brands:
        good_sync(ledger, brand, NOW - HOUR)
        hold_back(ledger, brand, "rex11", NOW - HOUR)
    good_sync(ledger, "fine")
    hold_back(ledger, "fine", "loop:process", NOW - MINUTE)  # too short to call anybody
    for minutes in range(3):
        assert alerts.evaluate(ledger, given, NOW + minutes * MINUTE, people) == 1
    ((title, text),) = people.messages
    assert title == "bergen-loop: A system does not answer (REX11)"
    assert text == (
        f"REX11 unreachable for 12 of 13 brands since {NOW - HOUR:%H:%M}; next try now\n\n"
        "Severity: critical\nWhere: https://loop.example/incidents\n"
        "What to do: docs/operations.md#system-unreachable"
    )
    with ledger.write() as session:
        session.execute(sa.delete(BreakerRow))
    for brand in brands:
        good_sync(ledger, brand, NOW)
    assert alerts.evaluate(ledger, given, NOW + 3 * MINUTE, people) == 0
    assert people.messages[1:] == [
        (
            "bergen-loop: recovered: A system does not answer (REX11)",
            f"REX11: over; it began {NOW:%Y-%m-%d %H:%M} UTC",
        )
    ]


def test_a_brand_that_was_never_synced_is_told_after_the_usual_time(
    ledger: Ledger, people: People
) -> None:
    alerts.evaluate(ledger, settings(), NOW, people)
    assert people.messages == []
    alerts.evaluate(ledger, settings(), NOW + 16 * MINUTE, people)
    assert people.messages[0][1].startswith("acme: never synced\n")


def test_a_paused_brand_calls_nobody(ledger: Ledger, people: People) -> None:
    good_sync(ledger, at=NOW - HOUR)
    with ledger.write() as session:
        session.get_one(BrandRow, "acme").mode = "paused"
    assert alerts.evaluate(ledger, settings(), NOW, people) == 0


def test_a_brand_that_never_worked_is_told_too(ledger: Ledger, people: People) -> None:
    with ledger.write() as session:
        session.add(BrandRow(brand="acme", last_sync_started_at=NOW - HOUR))
    alerts.evaluate(ledger, settings(), NOW, people)
    assert "not one sync without error" in people.messages[0][1]


def test_the_budget_has_to_be_short_for_a_while(ledger: Ledger, people: People) -> None:
    import hashlib

    good_sync(ledger)
    key = hashlib.sha256(b"key").hexdigest()
    until = round((NOW + DAY).timestamp() * 1000)
    with ledger.write() as session:
        session.add(BudgetLeaseRow(key_hash=key, permits=290, counts_until_ms=until))
    for minutes in (0, 5, 9):
        good_sync(ledger, at=NOW + minutes * MINUTE)
        alerts.evaluate(ledger, settings(), NOW + minutes * MINUTE, people)
    assert people.messages == []
    alerts.evaluate(ledger, settings(), NOW + 10 * MINUTE, people)
    assert "290 of 300 calls a minute" in people.messages[0][1]


def test_an_endpoint_that_takes_nothing_is_told(ledger: Ledger, people: People) -> None:
    good_sync(ledger)
    with ledger.write() as session:
        session.add(
            EndpointRow(
                brand="acme", failures=9, failing_since=NOW - 2 * HOUR, last_error="HTTP 503"
            )
        )
    one = settings()
    events = {"url": "https://x.example", "secret": SecretStr("c2VjcmV0" * 5)}
    brand = one.brands["acme"].model_validate(
        dict(one.brands["acme"]) | {"events": events}, from_attributes=True
    )
    with_events = one.model_copy(update={"brands": {"acme": brand}})
    alerts.evaluate(ledger, with_events, NOW, people)
    assert "for 2 h; 0 event(s) wait; last: HTTP 503" in people.messages[0][1]


def decide(ledger: Ledger, pk: int, day: float, flags: int, processed: int) -> None:
    with ledger.write() as session:
        for outcome, number in (("flag", flags), ("process", processed)):
            session.add_all(
                DecisionRow(
                    brand="acme", return_pk=pk, decided_at=NOW - day * DAY, outcome=outcome,
                    rule="r", reason="r", line_item_ids=[], criteria_version="v",
                    config_version="v", facts={}, receipt_ids=[],
                )
                for _ in range(number)
            )  # fmt: skip


def test_an_unusual_share_of_flags_is_told_and_looked_at_hourly(
    ledger: Ledger, people: People
) -> None:
    good_sync(ledger)
    pk = a_return(ledger, "1")
    for day in range(1, 29):
        decide(ledger, pk, day + 0.5, flags=2 + day % 2, processed=38 - day % 2)
    decide(ledger, pk, 0.5, flags=16, processed=24)
    alerts.evaluate(ledger, settings(), NOW, people)
    ((title, text),) = people.messages
    assert title == "bergen-loop: An unusual share of returns is flagged (acme)"
    assert "16 of 40 returns (40%) were flagged in the last day; usual is 6%" in text
    decide(ledger, pk, 0.4, flags=0, processed=300)
    good_sync(ledger, at=NOW + HOUR)
    alerts.evaluate(ledger, settings(), NOW + 30 * MINUTE, people)
    assert len(people.messages) == 1, "still open until the next hourly look"
    alerts.evaluate(ledger, settings(), NOW + HOUR, people)
    assert people.titles()[1].startswith("bergen-loop: recovered")


STEADY = [DayCount(100, 5)] * 14


@pytest.mark.parametrize(
    ("last", "before", "outside"),
    [
        (DayCount(100, 6), STEADY, False),
        (DayCount(100, 20), STEADY, True),
        (DayCount(100, 0), [DayCount(100, 30)] * 14, True),  # too few is odd as well
        (DayCount(20, 4), STEADY, False),  # 20 %, but of twenty: chance
        (DayCount(100, 20), [*STEADY, *[DayCount(100, 60)] * 6], True),  # six odd days move nothing
        (DayCount(100, 25), [DayCount(100, n) for n in (5, 20, 10, 25, 8, 22, 15)], False),
        (DayCount(20, 2), [DayCount(50, 0)] * 14, False),  # the first two flags
        (DayCount(100, 5), [DayCount(1000, 5)] * 14, False),  # within the least width
    ],
)
def test_the_band(last: DayCount, before: list[DayCount], outside: bool) -> None:
    band = flag_band(last, before)
    assert band is not None
    assert band.outside is outside


def test_too_little_to_judge_by_says_nothing() -> None:
    assert flag_band(DayCount(19, 19), STEADY) is None
    assert flag_band(DayCount(100, 90), STEADY[:6]) is None
    assert flag_band(DayCount(100, 90), [DayCount(0, 0)] * 28) is None


def test_every_kind_of_alert_has_its_section_in_the_guide() -> None:
    lines = GUIDE.read_text(encoding="utf-8").splitlines()
    for kind in KINDS:
        assert f"### {kind.name}" in lines


@contextmanager
def _hook() -> Iterator[tuple[str, list[Any]]]:
    taken: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"json://127.0.0.1:{server.server_address[1]}/alert", taken
    finally:
        server.shutdown()
        server.server_close()


def with_urls(*urls: str) -> Settings:
    return settings(service={"alerts": {"urls": [SecretStr(u) for u in urls]}})


def test_apprise_sends_it_and_one_working_address_is_enough(ledger: Ledger) -> None:
    good_sync(ledger)
    wait(ledger, 5 * HOUR)
    with _hook() as (url, taken):
        for _ in range(2):
            alerts.evaluate(ledger, with_urls("nonsense://", url), NOW)
    assert [m["title"] for m in taken] == ["bergen-loop: Attention items wait too long (acme)"]
    assert "docs/operations.md#attention-waiting" in taken[0]["message"]
