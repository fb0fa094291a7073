"""Deliveries: repeats, rests, what may be called, and that nobody waits for a dead endpoint."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from pydantic import SecretStr, ValidationError

from bergen_loop.config.operations import EventSettings
from bergen_loop.domain.words import What
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.locks import brand_lock, endpoint_lock
from bergen_loop.ledger.store import journal, outbox
from bergen_loop.ledger.tables.operations import AttemptRow, EndpointRow, OutboxRow
from bergen_loop.tell.events import addresses, dispatch
from bergen_loop.tell.events.addresses import Forbidden
from bergen_loop.tell.events.dispatch import Dispatcher
from support.receivers import SECRET, Receiver, receiving

START = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(autouse=True)
def starts_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signature is good for five minutes, and the tests of all folders take about as long."""
    monkeypatch.setattr(f"{__name__}.START", datetime.now(UTC).replace(microsecond=0))


class Clock:
    """Advances by hand."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def put(ledger: Ledger, brand: str = "acme", number: int = 1) -> None:
    with ledger.write() as session:
        session.add(
            OutboxRow(
                brand=brand,
                event_id=f"evt_{number}_seen",
                type="return.seen",
                return_pk=None,
                body=f'{{"type":"return.seen","data":{{"sequence":{number}}}}}',
                state="pending",
                attempts=0,
                created_at=START,
                next_at=START,
            )
        )


def deliver(
    ledger: Ledger, receiver: Receiver, clock: Callable[[], datetime], **how: object
) -> int:
    return dispatch.deliver(ledger, "acme", receiver.settings(**how), dispatch.Around(clock))


def event(ledger: Ledger) -> OutboxRow:
    with ledger.read() as session:
        return session.scalars(sa.select(OutboxRow)).one()


def test_a_failed_delivery_comes_again_later_each_time_until_a_day_has_passed(
    ledger: Ledger, receiver: Receiver, clock: Clock
) -> None:
    put(ledger)
    receiver.status = 422
    waits: list[timedelta] = []
    while event(ledger).state == outbox.PENDING:
        assert deliver(ledger, receiver, clock) == 1
        waits.append(event(ledger).next_at - clock.now)
        # Its signature carries the receiver's time, so the clock must not go for it.
        with ledger.write() as session:
            row = session.scalars(sa.select(OutboxRow)).one()
            row.created_at -= waits[-1]
            row.next_at = clock.now
    assert waits[:4] == [timedelta(seconds=s) for s in (5, 30, 120, 600)]
    assert waits[:-1] == sorted(waits[:-1])
    assert event(ledger).state == outbox.GIVEN_UP
    assert len({event_id for event_id, _ in receiver.events}) == 1, "always the same id"
    with ledger.read() as session:
        log = session.scalars(sa.select(AttemptRow).order_by(AttemptRow.id)).all()
    assert [a.status for a in log] == [422] * len(waits)
    assert log[0].error == "HTTP 422: it did not take the event"


def test_an_event_that_is_refused_does_not_hold_up_the_others(
    ledger: Ledger, receiver: Receiver, clock: Clock
) -> None:
    put(ledger, number=1)
    put(ledger, number=2)
    receiver.status = 400
    assert deliver(ledger, receiver, clock) == 2


def test_an_endpoint_that_is_down_rests_and_is_then_tried_by_one_event(
    ledger: Ledger, receiver: Receiver, clock: Clock
) -> None:
    put(ledger, number=1)
    put(ledger, number=2)
    receiver.status = 503
    assert deliver(ledger, receiver, clock) == 1, "the second would fare no better"
    with ledger.read() as session:
        assert outbox.brands_due(session, ["acme"], clock.now) == []
        later = clock.now + timedelta(seconds=6)
        assert outbox.brands_due(session, ["acme"], later) == ["acme"]
        row = session.get_one(EndpointRow, "acme")
        assert (row.failures, row.failing_since) == (1, START)
    receiver.status, clock.now = 204, later
    assert deliver(ledger, receiver, clock) == 2
    with ledger.read() as session:
        row = session.get_one(EndpointRow, "acme")
        assert (row.failures, row.failing_since, row.last_error) == (0, None, None)


def test_a_redirect_is_not_followed(ledger: Ledger, receiver: Receiver, clock: Clock) -> None:
    put(ledger)
    with receiving() as other:
        receiver.status, receiver.headers = 307, {"location": other.url}
        deliver(ledger, receiver, clock)
        assert other.events == []
    with ledger.read() as session:
        attempt = session.scalars(sa.select(AttemptRow)).one()
    assert (attempt.status, attempt.error) == (307, "HTTP 307: redirects are not followed")


def test_a_slow_endpoint_is_given_up_after_its_time(
    ledger: Ledger, receiver: Receiver, clock: Clock
) -> None:
    put(ledger)
    receiver.delay = 1.0
    started = time.monotonic()
    deliver(ledger, receiver, clock, timeout="0.2s")
    assert time.monotonic() - started < 0.9
    assert event(ledger).attempts == 1
    assert event(ledger).state == outbox.PENDING


def test_only_one_process_delivers_to_an_endpoint(
    ledger: Ledger, receiver: Receiver, clock: Clock
) -> None:
    put(ledger)
    with endpoint_lock(ledger, "acme"):
        assert deliver(ledger, receiver, clock) == 0
    assert deliver(ledger, receiver, clock) == 1, "the other one has ended, or died"


def test_a_sync_of_the_brand_does_not_keep_its_events_waiting(
    ledger: Ledger, receiver: Receiver, clock: Clock
) -> None:
    put(ledger)
    with brand_lock(ledger, "acme"):
        assert deliver(ledger, receiver, clock) == 1


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "0.0.0.0", "224.0.0.1", "::1", "::", "fe80::1", "fd00::1", "::ffff:10.0.0.1",
        "64:ff9b::a00:1", "2002:a00:1::", "2001:0:1:2:3:4:5:6",
    ],
)  # fmt: skip
def test_an_address_inside_is_never_called(address: str) -> None:
    with pytest.raises(Forbidden, match="not a public address"):
        addresses.choose("hooks.example", ["93.184.215.14", address], loopback=False)


def test_a_public_address_is_called() -> None:
    public = ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"]
    assert addresses.choose("hooks.example", public, loopback=False) == public[0]
    with pytest.raises(Forbidden, match="has no address"):
        addresses.choose("hooks.example", [], loopback=False)


def test_a_name_that_leads_inside_is_refused_before_anything_is_sent(
    ledger: Ledger, receiver: Receiver, clock: Clock
) -> None:
    put(ledger)
    endpoint = receiver.settings(url="https://hooks.example/x", allow_loopback=False)
    asked: list[tuple[str, int]] = []

    def inside(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return ["127.0.0.1"]

    dispatch.deliver(ledger, "acme", endpoint, dispatch.Around(clock, inside))
    assert asked == [("hooks.example", 443)]
    with ledger.read() as session:
        error = session.scalars(sa.select(AttemptRow.error)).one()
    assert error == "hooks.example leads to 127.0.0.1, which is not a public address"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"url": "http://hooks.example/x"}, "full https:// address"),
        ({"url": "http://127.0.0.1/x"}, "full https:// address"),
        ({"url": "https://me:pw@hooks.example/x"}, "without a user name"),
        ({"url": "hooks.example"}, "full https:// address"),
        ({"secret": SecretStr("whsec_c2hvcnQ=")}, "base64 of 24 to 64 bytes"),
        ({"secret": SecretStr("whsec_*" * 8)}, "must be base64"),
        ({"moments": ["return.lost"]}, "return.submitted"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, object], words: str) -> None:
    values = {"url": "https://hooks.example/x", "secret": SecretStr(SECRET)} | changes
    with pytest.raises(ValidationError, match=words) as caught:
        EventSettings.model_validate(values)
    assert "c2hvcnQ" not in str(caught.value)


def test_a_dead_endpoint_never_delays_another(sqlite_ledger: Ledger) -> None:
    """Forty endpoints that answer no one, more than there are threads; the last one does."""
    with receiving() as good, receiving() as dead:
        dead.delay = 2.0
        endpoints = {f"dead{n}": dead.settings(timeout="0.5s") for n in range(40)}
        endpoints["good"] = good.settings()
        for brand in endpoints:
            for number in range(3):
                put(sqlite_ledger, brand, number)
        dispatcher = Dispatcher(sqlite_ledger, lambda: endpoints, every=0.05)
        dispatcher.start()
        started = time.monotonic()
        try:
            while len(good.events) < 3 and time.monotonic() - started < 4:
                time.sleep(0.02)
            took = time.monotonic() - started
        finally:
            dispatcher.stop()
        assert len(good.events) == 3
        assert took < 4


def test_the_log_forgets_what_is_old_and_finished(ledger: Ledger, clock: Clock) -> None:
    for number in (1, 2, 3):
        put(ledger, number=number)
    old = START - outbox.KEEP - timedelta(days=1)
    with ledger.write() as session:
        for row in session.scalars(sa.select(OutboxRow).where(OutboxRow.event_id != "evt_3_seen")):
            row.created_at = old
            row.state = outbox.DELIVERED if row.event_id == "evt_1_seen" else outbox.PENDING
    with ledger.write() as session:
        assert outbox.forget_old(session, clock.now) == 1
    with ledger.read() as session:
        left = set(session.scalars(sa.select(OutboxRow.event_id)))
    assert left == {"evt_2_seen", "evt_3_seen"}


def test_the_dispatcher_tells_what_is_journaled(sqlite_ledger: Ledger, receiver: Receiver) -> None:
    dispatcher = Dispatcher(sqlite_ledger, lambda: {"acme": receiver.settings()}, every=0.02)
    dispatcher.start()
    try:
        with sqlite_ledger.write() as session:
            journal.record(
                session,
                START,
                journal.Entry(What.NEEDS_PERSON, "look", brand="acme", data={"kind": "access"}),
            )
        started = time.monotonic()
        while not receiver.events and time.monotonic() - started < 5:
            time.sleep(0.02)
    finally:
        dispatcher.stop()
    assert receiver.types() == ["return.attention"]
