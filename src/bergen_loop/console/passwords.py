"""Passwords: argon2id, a few at a time, and the same time spent whether or not there is such an
account."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

T = TypeVar("T")

LONGEST = 1024
"""Characters: more is no password but work for us."""
AT_ONCE = max(1, (os.cpu_count() or 2) // 2)
"""Hashes made at the same time: each takes 64 MiB, and processors from everybody else."""
WAITING = 6
"""Requests that may wait for their turn; each of them holds a thread."""
CROWD = "many are signing in at this moment; try again"
_JUDGED = 64
"""Characters by which it is judged how easily a password is guessed."""
_EASY = 3
"""Of zxcvbn's five grades 0 to 4: below it, fewer than a hundred million guesses find it."""
_OURS = ("bergen", "loop", "bergenloop", "bergen-loop", "logistics", "returns", "rex11", "console")

_hasher = PasswordHasher(parallelism=1)
"""RFC 9106's second choice (64 MiB, three passes), in one lane: it leaves the other processors
to others."""
_places = threading.BoundedSemaphore(AT_ONCE + WAITING)


class Busy(Exception):
    """As many passwords are being looked at as may be: come back in a moment."""


def issued() -> str:
    """A password for somebody else: four groups that can be read out on the telephone."""
    letters = "abcdefghjkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(letters) for _ in range(5)) for _ in range(4))


def hashed(password: str) -> str:
    """What is kept of a password. Raises Busy."""
    return _in_turn(lambda: _hasher.hash(password))


def matches(password: str, kept: str | None) -> bool:
    """Whether this is the password. Takes as long without one to compare with. Raises Busy."""

    def look() -> bool:
        try:
            return _hasher.verify(kept or _nobodys(), password[:LONGEST]) and kept is not None
        except (VerificationError, InvalidHashError):
            return False

    return _in_turn(look)


def outdated(kept: str) -> bool:
    """Whether a hash was made with weaker parameters than today's."""
    return _hasher.check_needs_rehash(kept)


def problem(password: str, name: str, shortest: int) -> str | None:
    """What is wrong with a new password, in words."""
    if len(password) < shortest:
        return f"a password has at least {shortest} characters"
    if len(password) > LONGEST:
        return f"a password has at most {LONGEST} characters"
    if password.casefold() == name.casefold():
        return "the name is no password"
    if len(set(password)) < 4:
        return "it repeats a few characters only"
    from zxcvbn import zxcvbn  # its lists of words take a while to load

    found = zxcvbn(password[:_JUDGED], user_inputs=[name, *name.split(), *_OURS])
    if found["score"] < _EASY:
        return "this password is among the first that are guessed: take several unusual words"
    return None


def _in_turn(work: Callable[[], T]) -> T:
    if not _places.acquire(blocking=False):
        raise Busy
    try:
        return _pool.submit(work).result()
    finally:
        _places.release()


def _step_back() -> None:
    """Whatever else this process does goes first (Linux ranks threads one by one)."""
    with suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)


_pool = ThreadPoolExecutor(AT_ONCE, "passwords", initializer=_step_back)


@cache
def _nobodys() -> str:
    return _hasher.hash("nobody's password")
