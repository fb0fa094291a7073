"""Passwords: argon2id, a few at a time, and the same time spent whether or not there is such an
account."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO, TypeVar

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
_SETTING = "service.auth.breached_passwords"
_HASH = 40
"""Characters of a SHA-1 hash."""
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


@dataclass(frozen=True, slots=True)
class Rules:
    """What a new password has to be."""

    shortest: int
    breached: Breached | None = None

    def problem(self, password: str, name: str) -> str | None:
        """What is wrong with a new password, in words."""
        if len(password) < self.shortest:
            return f"a password has at least {self.shortest} characters"
        if len(password) > LONGEST:
            return f"a password has at most {LONGEST} characters"
        if password.casefold() == name.casefold():
            return "the name is no password"
        if len(set(password)) < 4:
            return "it repeats a few characters only"
        try:
            if self.breached and self.breached.holds(password):
                return "this password is known from a breach elsewhere: take one used nowhere"
        except OSError:
            return "the list of breached passwords cannot be read: tell whoever runs this service"
        from zxcvbn import zxcvbn  # its lists of words are not what a start should wait for

        found = zxcvbn(password[:_JUDGED], user_inputs=[name, *name.split(), *_OURS])
        if found["score"] < _EASY:
            return "this password is among the first that are guessed: take several unusual words"
        return None


class Breached:
    """A sorted file of SHA-1 hashes in hexadecimal, one a line, looked up by halving: it may have
    a thousand million of them. Raises BadList for what is none."""

    def __init__(self, file: Path) -> None:
        self._file = file
        try:
            with file.open("rb") as opened:
                first = opened.read(_HASH)
        except OSError as error:
            raise BadList(f"{_SETTING}: {file}: {error.strerror or error}") from None
        if not re.fullmatch(rb"[0-9A-Fa-f]{40}", first):
            raise BadList(f"{_SETTING}: {file} does not begin with a SHA-1 hash in hexadecimal")

    def holds(self, password: str) -> bool:
        """Whether the password is in it. Raises OSError where it has gone."""
        text = password.encode("utf-8", "surrogatepass")
        wanted = hashlib.sha1(text, usedforsecurity=False).hexdigest().encode()
        with self._file.open("rb") as opened:
            low, high = 0, opened.seek(0, os.SEEK_END)
            while low < high:
                middle = (low + high) // 2
                begin, found = _line_at(opened, middle)
                if found == wanted:
                    return True
                if not found or found > wanted:
                    high = middle
                else:
                    low = begin + 1
        return False


class BadList(ValueError):
    """The setting names no list of hashes."""


def _line_at(opened: BinaryIO, at: int) -> tuple[int, bytes]:
    """The first line that begins at `at` or behind it, and where; empty at the end."""
    opened.seek(max(0, at - 1))
    if at:
        opened.readline()
    begin = opened.tell()
    return begin, opened.readline()[:_HASH].lower()


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
