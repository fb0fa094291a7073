"""Who is asking, and what they may see and do: decided here, for every page and call.

A router that shows or changes anything depends on `signed_in` (console) or `token_holder`
(API). Both end in `_admit`, which refuses a brand that the person may not see; what a page asks
of the ledger it asks with the person's `scope`.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Annotated

import structlog
from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData

from bergen_loop.console.guard import source_of
from bergen_loop.console.limits import most, takes_file
from bergen_loop.console.problems import Code, Refusal
from bergen_loop.console.state import Console, console_of
from bergen_loop.ledger.read import figures, people
from bergen_loop.ledger.read.people import SEEN_EVERY, Role
from bergen_loop.ledger.scope import Scope
from bergen_loop.ledger.store import journal
from bergen_loop.ledger.store.journal import Actor
from bergen_loop.ledger.tables.core import ApiTokenRow, UserRow

COOKIE = "bergen_loop_session"
CSRF_FIELD = "csrf"
LIVE_HEADER = "x-live"
"""Set by refreshes that no person asked for: they do not keep a session alive."""
OWN = ("/account", "/account/second-factor", "/account/second-factor/remove", "/logout")
"""What is open to somebody who has to see to their account first."""
NOT_FOUND = "there is nothing here, or it is not for you"
MAX_FIELDS = 1000

log = structlog.get_logger()


class Permission(Enum):
    """What a page or an action needs."""

    COUNT = auto()
    """Count parcels on the floor page."""
    VIEW = auto()
    NOTE = auto()
    """Ask for a sync, add a note."""
    ACT = auto()
    """Decide by hand, retry, ignore."""
    AUDIT = auto()
    """See what people did."""
    MANAGE = auto()
    """Accounts and tokens. Only for who may see every brand: they hand out any access."""
    CONNECT = auto()
    """Connect brands and change their settings. Only for who may see every brand: secrets are
    kept side by side, and any of them can be named."""


_MAY: dict[Role, frozenset[Permission]] = {
    Role.FLOOR: frozenset({Permission.COUNT}),
    Role.READ_ONLY: frozenset({Permission.VIEW}),
    Role.BRAND_SUPPORT: frozenset({Permission.VIEW, Permission.NOTE}),
    Role.OPERATOR: frozenset(
        {Permission.COUNT, Permission.VIEW, Permission.NOTE, Permission.ACT, Permission.AUDIT}
    ),
    Role.ENGINEER: frozenset(Permission),
}  # fmt: skip


ROLES: dict[Role, str] = {
    Role.READ_ONLY: "Sees the returns of its brands and what is said of them; changes nothing.",
    Role.BRAND_SUPPORT: "Sees, asks for a return to be looked at again, and adds notes in Loop.",
    Role.OPERATOR: "Works the returns: also decides by hand, which moves money, retries and "
    "ignores what needs a person, sets a brand's mode, counts parcels, and reads the audit.",
    Role.ENGINEER: "Everything an operator may; and, given all brands, also accounts, tokens, "
    "connecting brands and their settings.",
    Role.FLOOR: "Counts parcels on the floor page, and sees nothing else.",
}
"""What each role may, for people: said where roles are given."""


@dataclass(frozen=True, slots=True)
class Person:
    """Who is asking."""

    name: str
    """As the journal will call them."""
    role: Role
    scope: Scope
    csrf: str = ""
    """What their forms have to carry."""
    account: int | None = None
    """Their account's id, where they have one."""
    source: str | None = None
    """The address they come from."""
    first: str = ""
    """What they have to do before anything else, in words."""
    token: int | None = None
    """The id of the token that a program shows."""

    @property
    def actor(self) -> Actor:
        """As the journal keeps them."""
        return Actor(self.name, self.account, self.source)

    def can(self, permission: Permission) -> bool:
        """Whether their role allows it."""
        everywhere = (Permission.MANAGE, Permission.CONNECT)
        if permission in everywhere and self.scope.brands is not None:
            return False
        return permission in _MAY[self.role]


class SignInNeeded(Exception):
    """Nobody is signed in."""


class Elsewhere(Exception):
    """The way leads somewhere else first."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


# -- the console --------------------------------------------------------------------------------


async def signed_in(request: Request) -> Person:
    """The person of the session. Raises SignInNeeded; 403 for a form without its token."""
    person = await run_in_threadpool(_of_session, request, console_of(request))
    if person is None:
        raise SignInNeeded
    request.state.person = person
    journal.acting(person.actor)
    if request.method not in ("GET", "HEAD"):
        request.state.form = await request.form(
            max_files=1 if takes_file(request.url.path) else 0,
            max_fields=MAX_FIELDS,
            max_part_size=most(request.url.path),
        )
        check_csrf(request, request.state.form, person.csrf)
    if person.first and request.url.path not in OWN:
        raise Elsewhere("/account")
    return _admit(request, person)


Viewer = Annotated[Person, Depends(signed_in)]


def needs(permission: Permission) -> Callable[[Request, Person], Awaitable[Person]]:
    """A dependency: the signed-in person, if their role allows it; 403 otherwise."""

    async def check(request: Request, person: Viewer) -> Person:
        if request.url.path == "/" and not person.can(permission):
            raise Elsewhere("/floor/")
        return _allowed(person, permission)

    return check


def form_of(request: Request, _person: Viewer) -> FormData:
    """The form that was sent; its token has been checked."""
    form: FormData = request.state.form
    return form


Form = Annotated[FormData, Depends(form_of)]


def field(form: FormData, name: str) -> str:
    """One text field of a form, without blanks around it; empty if it is missing."""
    value = form.get(name)
    return value.strip() if isinstance(value, str) else ""


def check_csrf(request: Request, form: FormData, expected: str) -> None:
    """Refuse a form that another site made the browser send."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise HTTPException(403, "this form was sent from another site")
    given = field(form, CSRF_FIELD)
    if not expected or not hmac.compare_digest(given.encode(), expected.encode()):
        raise HTTPException(403, "this form has run out; go back, reload the page and try again")


def _of_session(request: Request, console: Console) -> Person | None:
    with console.registry.ledger.read() as session:
        request.state.newest = figures.last_entry(session)
    if not console.signing_in:
        return Person(
            "somebody (no sign-in)", Role.ENGINEER, Scope(None), console.open_csrf,
            source=source_of(request),
        )  # fmt: skip
    token = request.cookies.get(console.cookie(COOKIE))
    if not token:
        return None
    ledger, now = console.registry.ledger, datetime.now(UTC)
    with ledger.read() as session:
        idle = console.registry.settings.service.auth.session_idle
        found = people.session_of(session, now, token, idle)
    if found is None:
        return None
    row, user = found
    if now - row.seen_at > SEEN_EVERY and LIVE_HEADER not in request.headers:
        with ledger.write() as session:
            people.touch(session, now, token)
    return Person(
        user.name, Role(user.role), people.scope_of(user), row.csrf, user.id,
        source_of(request), what_first(console, user),
    )  # fmt: skip


def what_first(console: Console, user: UserRow) -> str:
    """What somebody has to do before anything else, in words; empty for nothing."""
    if user.password_hash is None:
        return ""  # signs in elsewhere, with what is asked for there
    if user.issued_at:
        return "this password was issued to you: choose one of your own"
    demanded = console.registry.settings.service.auth.second_factor == "required"
    acts = not _MAY[Role(user.role)].isdisjoint((Permission.ACT, Permission.MANAGE))
    if demanded and acts and user.totp_secret is None:
        return "set up a second factor: your role may act, and a password alone is not enough"
    return ""


# -- the API ------------------------------------------------------------------------------------

_bearer = HTTPBearer(auto_error=False, description="A token made in the console")


async def token_holder(
    request: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Person:
    """The holder of the API token; 401 without a valid one, 429 where it calls too often."""
    console, source = console_of(request), source_of(request)
    given = credentials.credentials if credentials else ""
    row = await run_in_threadpool(_token, console, given) if given else None
    _count(request, console, f"token {row.id}" if row else f"no token {source}")
    if row is None:
        why = "a valid API token is needed: Authorization: Bearer ..."
        raise HTTPException(401, why, {"WWW-Authenticate": "Bearer"})
    person = holder_of(row, source)
    request.state.holder = person.name
    journal.acting(person.actor)
    return _admit(request, person)


def holder_of(row: ApiTokenRow, source: str | None) -> Person:
    """Who a program is by its token."""
    return Person(
        f"token {row.name}", Role(row.role), people.scope_of(row),
        account=row.account_id, source=source, token=row.id,
    )  # fmt: skip


def _count(request: Request, console: Console, caller: str) -> None:
    limit = console.registry.settings.service.api.calls_per_minute
    taken = console.rates.take(caller, limit)
    request.state.rate = taken.headers
    if taken.over:
        why = f"more than {limit} calls in this minute; the next begins in {taken.seconds} s"
        raise Refusal(Code.TOO_MANY_CALLS, why)


Holder = Annotated[Person, Depends(token_holder)]


def holder_needs(permission: Permission) -> Callable[[Person], Person]:
    """A dependency: the token's holder, if its role allows it; 403 otherwise."""

    def check(person: Holder) -> Person:
        return _allowed(person, permission)

    return check


def _token(console: Console, value: str) -> ApiTokenRow | None:
    ledger, now = console.registry.ledger, datetime.now(UTC)
    with ledger.read() as session:
        row = people.token_row(session, now, value)
    if row and (row.used_at is None or now - row.used_at > SEEN_EVERY):
        with ledger.write() as session:
            session.get_one(ApiTokenRow, row.id).used_at = now
    return row


# -- both ---------------------------------------------------------------------------------------


def _admit(request: Request, person: Person) -> Person:
    """The one place where a brand that is asked for is held against those that may be seen."""
    named = [request.path_params.get("brand"), *request.query_params.getlist("brand")]
    if any(brand not in person.scope for brand in named if brand):
        log.warning("not for them", who=person.name, source=person.source)
        raise HTTPException(404, NOT_FOUND)
    return person


def _allowed(person: Person, permission: Permission) -> Person:
    if not person.can(permission):
        log.warning("not allowed", who=person.name, source=person.source, needs=permission.name)
        raise HTTPException(403, "your role does not allow this")
    return person
