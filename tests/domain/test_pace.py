"""A gradual start: no hour holds more than it may, and everything has its turn."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from bergen_loop.domain.pace import HOUR, Pace, Turns, Worth

START = datetime(2026, 11, 10, 15, 0, tzinfo=UTC)
END = START + timedelta(days=2)

worths = st.one_of(
    st.just(Worth(None)),
    st.builds(
        Worth,
        st.decimals(0, 300, places=2),
        st.sampled_from(["USD", "EUR"]),
    ),
)


@st.composite
def paces(draw: st.DrawFn) -> Pace:
    number = draw(st.none() | st.integers(1, 5))
    amount = draw(st.decimals(1, 400, places=2)) if number is None else None
    return Pace(END, number, draw(st.just(amount) | st.decimals(1, 400, places=2)))


@given(paces(), st.lists(st.tuples(st.integers(0, 120), worths), max_size=25))
def test_no_hour_holds_more_than_it_may_and_everything_has_its_turn(
    pace: Pace, arrivals: list[tuple[int, Worth]]
) -> None:
    """As a tick does it: what is due is sent if there is room, else it waits as it is told; the
    turns are put together anew each time, as after a crash."""
    due = [(START + timedelta(minutes=m), n, w) for n, (m, w) in enumerate(arrivals)]
    sent: list[tuple[datetime, Worth]] = []
    rounds = 0
    while due:
        due.sort(key=lambda d: d[:2])
        now = due[0][0]
        ready, later = [d for d in due if d[0] <= now], [d for d in due if d[0] > now]
        arrived = {n for _, n, _ in due if START + timedelta(minutes=arrivals[n][0]) <= now}
        turns = Turns(pace, sent, [(at, w) for at, n, w in later if n in arrived])
        due = later
        for _, n, worth in ready:
            if turns.room(now, worth):
                turns.take(now, worth)
                sent.append((now, worth))
            else:
                at = turns.wait(now, worth)
                assert now < at <= END
                due.append((at, n, worth))
        rounds += 1
        assert rounds < 2000
    assert len(sent) == len(arrivals)
    for at, _ in sent:
        if at >= END:
            continue
        within = [w for when, w in sent if at - HOUR < when <= at]
        assert pace.returns is None or len(within) <= pace.returns
        if pace.amount is not None:
            unknown = sum(1 for w in within if w.amount is None)
            for currency in ("USD", "EUR"):
                taken = sum(w.amount for w in within if w.amount and w.currency == currency)
                assert taken <= pace.amount
                assert not unknown or (unknown == 1 and not taken)


def test_what_is_worth_more_than_an_hour_waits_for_the_end_and_holds_nobody_up() -> None:
    pace = Pace(END, None, Decimal(100))
    turns = Turns(pace, (), ())
    large, small = Worth.of("150.00", "USD"), Worth.of("60.00", "USD")
    assert not turns.room(START, large)
    assert turns.wait(START, large) == END
    assert turns.room(START, small)
    turns.take(START, small)
    assert not turns.room(START, small)
    assert turns.room(START, Worth.of("60.00", "EUR")), "each currency by itself"
    assert turns.wait(START, small) == START + HOUR
    assert turns.room(END, large)


def test_what_loop_does_not_say_takes_an_hour_for_itself() -> None:
    turns = Turns(Pace(END, 9, Decimal(100)), (), ())
    for total in (None, "", "NaN", "-1.00", "1e9999"):
        assert Worth.of(total, "USD").amount is None or total == "1e9999"
    turns.take(START, Worth.of(None, None))
    assert not turns.room(START, Worth.of("1.00", "USD"))
    assert turns.room(START, Worth.of("0.00", "USD"))


def test_without_an_amount_a_worth_does_not_matter() -> None:
    turns = Turns(Pace(END, 2), (), ())
    for _ in range(2):
        assert turns.room(START, Worth(None))
        turns.take(START, Worth(None))
    assert not turns.room(START, Worth(None))
    assert turns.wait(START, Worth(None)) == START + HOUR
    assert str(Pace(END, 1, Decimal("499.5"))) == (
        "at most 1 return and 499.50 of each currency an hour until 2026-11-12 15:00 UTC"
    )
