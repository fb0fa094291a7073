"""What calls under an Idempotency-Key were answered.

The answer is written in the transaction that does what was asked for. So there is never an effect
without its answer, whatever is killed when; and a repeat finds the answer, or does it, as nothing
has been done.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.ledger.codec import digest
from bergen_loop.ledger.tables.access import AnswerRow

KEPT = timedelta(hours=24)
"""So long a call may be repeated."""
_SWEPT = 100


class Running(Exception):
    """The same call is under way at this moment."""


class OtherCall(Exception):
    """The key was used for something else."""


@dataclass(frozen=True, slots=True)
class Keyed:
    """A call, and the key that its program has given it."""

    token: int
    key: str
    asked: str
    """Digest of what is asked for."""

    @classmethod
    def of(cls, token: int, key: str, asked: Any) -> Keyed:
        """`asked`: plain data that tells this call from any other."""
        return cls(token, key, digest(asked))


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call was answered."""

    status: int
    body: Any


_running: set[tuple[int, str]] = set()
_lock = threading.Lock()


@contextmanager
def alone(keyed: Keyed | None) -> Generator[None]:
    """Nobody else in this process is at the same call. Raises Running."""
    if keyed is None:
        yield
        return
    name = (keyed.token, keyed.key)
    with _lock:
        if name in _running:
            raise Running
        _running.add(name)
    try:
        yield
    finally:
        with _lock:
            _running.discard(name)


def first(session: Session, now: datetime, keyed: Keyed) -> Answer | None:
    """What the call was answered before; None: it was not made, and in no other process until
    the end of this transaction. Raises Running, OtherCall."""
    _take(session, keyed)
    row = session.get(AnswerRow, (keyed.token, keyed.key))
    if row is None or row.ends_at <= now:
        return None
    if row.asked != keyed.asked:
        raise OtherCall
    return Answer(row.status, row.body)


def _take(session: Session, keyed: Keyed) -> None:
    """On PostgreSQL, a lock that goes with the transaction, or with the process; who writes an
    embedded database is alone anyway."""
    if session.get_bind().dialect.name == "sqlite":
        return
    name = hashlib.sha256(f"{keyed.token} {keyed.key}".encode()).digest()[:8]
    number = int.from_bytes(name, "big", signed=True)
    if not session.scalar(sa.select(sa.func.pg_try_advisory_xact_lock(number))):
        raise Running


def keep(session: Session, now: datetime, keyed: Keyed, answer: Answer) -> None:
    """Keep the answer; those whose time is over go, a few at a time."""
    over = sa.select(AnswerRow.token_id, AnswerRow.key).where(AnswerRow.ends_at <= now)
    some = session.execute(over.limit(_SWEPT).with_for_update(skip_locked=True)).all()
    for token, key in some:
        session.execute(
            sa.delete(AnswerRow).where(AnswerRow.token_id == token, AnswerRow.key == key)
        )
    session.merge(
        AnswerRow(
            token_id=keyed.token, key=keyed.key, asked=keyed.asked, status=answer.status,
            body=answer.body, made_at=now, ends_at=now + KEPT,
        )
    )  # fmt: skip
