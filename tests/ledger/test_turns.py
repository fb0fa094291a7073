"""Writers of an embedded ledger go in the order in which they came."""

from __future__ import annotations

import threading
import time
from contextlib import nullcontext

import pytest
from sqlalchemy.exc import TimeoutError as PoolTimeout

from bergen_loop.ledger.database import Ledger, Turns


def _waiting(turns: Turns) -> int:
    return len(turns._queue)


def test_those_who_wait_go_in_order() -> None:
    turns, order = Turns(), list[int]()

    def take(number: int) -> None:
        with turns.turn():
            order.append(number)

    threads: list[threading.Thread] = []
    with turns.turn():
        for number in range(8):
            threads.append(threading.Thread(target=take, args=(number,)))
            threads[-1].start()
            while _waiting(turns) < number + 2:
                time.sleep(0.001)
    for thread in threads:
        thread.join(5)
    assert order == list(range(8))


def test_every_second_turn_is_for_one_in_a_hurry() -> None:
    """Also where they come without end: nobody is kept waiting for good."""
    turns, order, threads = Turns(), list[str](), list[threading.Thread]()

    def take(name: str) -> None:
        with turns.hurried() if name.isupper() else nullcontext(), turns.turn():
            order.append(name)
            if name == "A":
                come("D")

    def come(name: str) -> None:
        before = _waiting(turns)
        threads.append(threading.Thread(target=take, args=(name,)))
        threads[-1].start()
        while _waiting(turns) == before:
            time.sleep(0.001)

    with turns.turn():
        for name in "abcdABC":
            come(name)
    for thread in threads:
        thread.join(5)
    assert order == list("AaBbCcDd")
    assert not turns._hurried


def test_who_waits_too_long_gives_up_and_the_others_go_on() -> None:
    turns, failed = Turns(patience=0.05), list[str]()

    def take() -> None:
        try:
            with turns.turn():
                pass
        except PoolTimeout as error:
            failed.append(str(error))

    with turns.turn():
        thread = threading.Thread(target=take)
        thread.start()
        thread.join(5)
    assert "another transaction of this process takes too long" in failed[0]
    with turns.turn():
        pass
    assert _waiting(turns) == 0


def test_a_transaction_within_another_is_a_mistake_not_a_deadlock(sqlite_ledger: Ledger) -> None:
    inner = sqlite_ledger.write()
    with (
        sqlite_ledger.write(),
        pytest.raises(RuntimeError, match="within another"),
        inner,
    ):
        pass
    with sqlite_ledger.write():
        pass
