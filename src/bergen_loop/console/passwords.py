"""Passwords: argon2id, and the same time spent whether or not there is such an account."""

from __future__ import annotations

from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

LONGEST = 1024
"""Characters: more is no password but work for us."""

_hasher = PasswordHasher()


def hashed(password: str) -> str:
    """What is kept of a password."""
    return _hasher.hash(password)


def matches(password: str, kept: str | None) -> bool:
    """Whether this is the password. Takes as long without one to compare with."""
    try:
        return _hasher.verify(kept or _nobodys(), password[:LONGEST]) and kept is not None
    except (VerificationError, InvalidHashError):
        return False


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
    return None


@cache
def _nobodys() -> str:
    return _hasher.hash("nobody's password")
