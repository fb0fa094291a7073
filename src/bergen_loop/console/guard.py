"""The one place where passwords and codes are looked at: whoever gives one, wherever.

A try is counted in the ledger before it is looked at, so that no number of tries at once, in no
number of processes, gets past a limit. Limits are by who and from where together: guesses made
elsewhere keep nobody out of an account at a place where it has signed in before. What was refused
is in the journal: each try by itself up to the limit, beyond it in sums (at 1, 2, 4, 8, ...), or
the journal would be the next thing to flood.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from fastapi import Request

from bergen_loop.console import passwords, totp
from bergen_loop.console.connections import household
from bergen_loop.console.state import Console
from bergen_loop.domain.words import What
from bergen_loop.ledger.database import Ledger, Session
from bergen_loop.ledger.read import people
from bergen_loop.ledger.store import journal, tries
from bergen_loop.ledger.store.journal import Actor
from bergen_loop.ledger.store.tries import Limit
from bergen_loop.ledger.tables.core import UserRow
from bergen_loop.secrets.errors import SecretError

log = structlog.get_logger()

SOON = timedelta(seconds=2)
"""When to come back while too many passwords are being looked at."""
UNREADABLE = (
    "the second factor cannot be checked, for the key that reads it is not here; a recovery code "
    "opens the account, and whoever runs the service finds the reason in its logs"
)
NOBODY = "unknown"
"""Whom the journal names where the name that was given is no account's: it may be a password in
the wrong field."""

_QUARTER, _HOUR = timedelta(minutes=15), timedelta(hours=1)


class ComeBack(Exception):
    """Not looked at now."""

    def __init__(self, status: int, why: str, wait: timedelta) -> None:
        super().__init__(why)
        self.status = status
        """429 or 503."""
        self.wait = max(1, int(wait.total_seconds()) + 1)
        """Seconds."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Somebody says who they are."""

    name: str
    source: str
    """The address it comes from: see `source_of`."""
    browser: str
    """The value of the cookie by which a browser is known again; empty without one."""

    @property
    def places(self) -> list[str]:
        """By what a place is known again, the surest first."""
        browser = [f"browser {people.hashed(self.browser)}"] if self.browser else []
        return [*browser, f"address {self.source}"]


def source_of(request: Request) -> str:
    """Where a request comes from, as counted."""
    return household(request.client.host if request.client else "unknown")


# -- signing in ---------------------------------------------------------------------------------


def sign_in(ledger: Ledger, claim: Claim, password: str) -> UserRow | None:
    """The account, if the password is right and nothing is against it. Raises ComeBack."""
    now = datetime.now(UTC)
    with ledger.read() as session:
        user = people.user_named(session, claim.name) if "\x00" not in claim.name else None
        known = people.known_at(session, now, user, claim.places) if user else None
    kept = user.password_hash if user else None
    right = _tried(
        ledger,
        _limits(claim, user, known),
        Actor(user.name, user.id, claim.source) if user else Actor(NOBODY, None, claim.source),
        lambda: passwords.matches(password, kept) and user is not None and _welcome(user, now),
    )
    if not right or user is None:
        return None
    renewed = passwords.hashed(password) if kept and passwords.outdated(kept) else kept
    with ledger.write() as session:
        fresh = session.get_one(UserRow, user.id)
        if fresh.password_hash != kept or not fresh.active:
            return None  # changed this very moment
        fresh.password_hash = renewed
        tries.sweep(session, now)
    return user


def _welcome(user: UserRow, now: datetime) -> bool:
    run_out = user.issued_at is not None and user.issued_at + people.ISSUED_FOR <= now
    return user.active and not run_out


def _limits(claim: Claim, user: UserRow | None, known: str | None) -> list[Limit]:
    if user and known:
        return [Limit(f"place {user.id} {known}", 10, _QUARTER)]
    name = claim.name.casefold()
    return [
        Limit(f"source {claim.source}", 30, _QUARTER, shared=True),
        Limit(f"pair {claim.source} {name}", 5, _QUARTER),
        Limit(f"name {name}", 50, _HOUR, shared=True),
    ]


# -- of who is signed in already ----------------------------------------------------------------


def present_password(ledger: Ledger, user: UserRow, actor: Actor, password: str) -> bool:
    """Whether it is the account's password, asked again before something grave. ComeBack."""
    limit = Limit(f"again {user.id} {actor.source}", 5, _QUARTER)
    return _tried(ledger, [limit], actor, lambda: passwords.matches(password, user.password_hash))


def code(console: Console, user: UserRow, actor: Actor, given: str) -> bool:
    """Whether it is a code of the account's second factor, or a recovery code that is left; each
    is taken once. Only who knows the password gets here, so it counts by account. ComeBack."""
    ledger, seeds = console.registry.ledger, console.seeds

    def taken() -> bool:
        now = datetime.now(UTC)
        with ledger.write() as session:
            fresh = session.get_one(UserRow, user.id, with_for_update=True)
            if paper := totp.recovery_code(given):
                return people.take_recovery_code(
                    people.Deed(session, now, fresh.name), fresh, paper
                )
            if (kept := fresh.totp_secret) is None:
                return False
            step = totp.step_of(seeds.opened(fresh.id, kept), given, now, fresh.totp_step)
            if step is not None:
                fresh.totp_step, fresh.totp_secret = step, seeds.renewed(fresh.id, kept)
            return step is not None

    try:
        return _tried(ledger, [Limit(f"code {user.id}", 10, _HOUR)], actor, taken)
    except SecretError as error:
        log.error("a second factor cannot be read", account=user.id, why=str(error))
        raise ComeBack(503, UNREADABLE, SOON) from None


def first_code(
    ledger: Ledger, user: UserRow, actor: Actor, given: tuple[str, str]
) -> int | None:  # fmt: skip
    """The step of the first code of a new secret (secret, code); None for a wrong one. Who has only
    the session may not try them all: what they would get is the recovery codes. ComeBack."""
    step = totp.step_of(*given, datetime.now(UTC), None)
    right = _tried(ledger, [Limit(f"first {user.id}", 10, _HOUR)], actor, lambda: step is not None)
    return step if right else None


# -- each of them -------------------------------------------------------------------------------


def _tried(ledger: Ledger, limits: Sequence[Limit], actor: Actor, look: Callable[[], bool]) -> bool:
    now = datetime.now(UTC)
    journal.acting(actor)
    with ledger.write() as session:
        over = tries.reserve(session, now, limits)
        if over and over.excess & (over.excess - 1) == 0:
            _refused(session, now, actor, "too many tries", over.excess)
    if over:
        why = "too many tries; come back later, or from where you have signed in before"
        raise ComeBack(429, why, over.wait)
    try:
        right = look()
    except passwords.Busy:
        with ledger.write() as session:
            tries.give_back(session, limits)
        raise ComeBack(503, passwords.CROWD, SOON) from None
    with ledger.write() as session:
        if right:
            tries.settle(session, limits)
        else:
            _refused(session, now, actor, "wrong name, password or code", 1)
    return right


def _refused(session: Session, now: datetime, actor: Actor, why: str, times: int) -> None:
    data = {"refused": times}
    journal.record(
        session, now, journal.Entry(What.SIGN_IN_REFUSED, why, brand=None, who=actor, data=data)
    )
