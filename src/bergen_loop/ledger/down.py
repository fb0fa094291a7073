"""What to say when the database cannot be had: what is wrong, where, and how to mend it."""

from __future__ import annotations

import errno

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from bergen_loop.ledger.database import trouble

_SIGNS: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (
        ("refused", "no such file or directory", "is the server running"),
        "nothing answers there",
        "start the database (`systemctl start postgresql`), or correct the address",
    ),
    (
        ("resolve", "translate host", "name or service not known", "getaddrinfo"),
        "its host's name is not known",
        "correct the host, or the machine's name service",
    ),
    (
        ("timeout", "timed out", "no route", "unreachable"),
        "its host does not answer",
        "see whether the host is up, and whether a firewall is between",
    ),
    (
        ("password", "authentication", "no pg_hba"),
        "it refuses this user or password",
        "correct user and password, or let the user in (pg_hba.conf)",
    ),
    (("starting up", "shutting down", "recovery"), "it is starting or stopping", "wait a minute"),
    (("too many", "remaining connection"), "it takes no more connections", "raise its "
     "max_connections, or run fewer workers"),
    (
        ("does not exist",),
        "there is no such database or user in it",
        "create it (`createdb`, `createuser`), or correct the name",
    ),
    (
        ("unable to open", "readonly", "read-only", "permission denied"),
        "its file cannot be opened for writing",
        "give the file and its folder to the user who runs this, or correct the path",
    ),
    (
        ("not a database", "malformed"),
        "its file is no database, or is damaged",
        "stop the service, then `bergen-loop restore FILE` with a backup",
    ),
    (
        ("full", "no space left", "disk i/o"),
        "its disk is full or broken",
        "free space on it (`df -h`)",
    ),
    (("locked",), "another program holds it", "find out which (`fuser`), and end it"),
)  # fmt: skip
"""Signs in a driver's words, what they mean, and what to do. Its words are never told: they may
quote a password or a row."""


def down(error: BaseException, url: str | sa.URL) -> str:
    """Three lines: what, where, how."""
    what, how = meaning(error)
    return (
        f"the ledger's database cannot be used: {what}\n"
        f"where: {shown(url)} (service.database, or BERGEN_LOOP_DATABASE)\n"
        f"mend:  {how}"
    )


def shown(url: str | sa.URL) -> str:
    """A database's address without its password."""
    try:
        return sa.make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return "an address that cannot be read"


def meaning(error: BaseException) -> tuple[str, str]:
    """What is wrong with the database, and what to do."""
    words = str(getattr(error, "orig", None) or error).lower()
    if isinstance(error, ArgumentError | ImportError):
        return (
            "its address is none that is known",
            "write sqlite:////PATH or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE",
        )
    if isinstance(error, OSError):
        words = "no space left" if error.errno == errno.ENOSPC else "unable to open"
    for signs, what, how in _SIGNS:
        if any(sign in words for sign in signs):
            return what, how
    if isinstance(error, SQLAlchemyError):
        return trouble(error), "see its log; `bergen-loop doctor` looks further"
    return type(error).__name__, "see its log; `bergen-loop doctor` looks further"
