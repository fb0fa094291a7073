"""A database that goes away is told once, and once when it is back."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy.exc import IntegrityError, OperationalError
from structlog.testing import capture_logs

from bergen_loop.ledger.database import Absence

GONE = OperationalError("SELECT 1", {}, Exception("connection refused"))


def record(text: str, error: BaseException | None = None) -> logging.LogRecord:
    info = (type(error), error, None) if error else None
    return logging.LogRecord("dbos", logging.WARNING, "x.py", 1, text, (), info)


def test_however_many_miss_it_one_line_tells_and_one_when_it_is_back() -> None:
    absence = Absence()
    with capture_logs() as lines, ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda _n: absence.gone(GONE), range(100)))
        absence.back()
        absence.back()
    assert [line["event"] for line in lines] == [
        "the database cannot be had: work waits, and nothing is lost",
        "the database is back, and work goes on",
    ]


def test_what_is_not_its_absence_is_left_to_the_caller() -> None:
    absence = Absence()
    with capture_logs() as lines:
        assert not absence.gone(IntegrityError("INSERT", {}, Exception("unique")))
        assert not absence.gone(ValueError("a mistake of ours"))
        absence.back()
    assert not lines


@pytest.mark.parametrize(
    "text",
    [
        "Exception polling schedules: Traceback ...\npsycopg.OperationalError: refused",
        "Notification listener error: consuming input failed",
        "Database connection failed: (psycopg.OperationalError) connection failed",
    ],
)
def test_the_engine_is_not_heard_on_it(text: str) -> None:
    absence = Absence()
    with capture_logs() as lines:
        assert not absence.filter(record(text))
        assert not absence.filter(record("a step failed", GONE))
    assert len(lines) == 1


def test_the_engine_is_heard_on_everything_else() -> None:
    absence = Absence()
    with capture_logs() as lines:
        assert absence.filter(record("Workflow attempts exceeded"))
        assert absence.filter(record("a step failed", ValueError("x")))
    assert not lines
