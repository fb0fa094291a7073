"""One's own account: the password, and the second factor."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from bergen_loop.console import guard, passwords, totp
from bergen_loop.console.access import COOKIE, Form, Person, Viewer, field
from bergen_loop.console.signin import auth_of, begin, new_password_problems
from bergen_loop.console.state import Console, console_of
from bergen_loop.console.templating import page
from bergen_loop.ledger.read import people
from bergen_loop.ledger.read.people import Deed
from bergen_loop.ledger.tables.core import UserRow
from bergen_loop.secrets.errors import SecretError

_WRONG = "the present password is wrong"
_WRONG_CODE = "the code is wrong, or it was used already: wait for the next one"

router = APIRouter()


@router.get("/account", response_class=HTMLResponse)
def account_page(request: Request, person: Viewer) -> HTMLResponse:
    """One's own role, brands, password and second factor."""
    return _page(request, person)


@router.post("/account", response_model=None)
def change_password(request: Request, person: Viewer, form: Form) -> Response:
    """Change one's own password; all one's sessions end but a new one here."""
    console, old = console_of(request), str(form.get("old", ""))
    user, new = _local(console, person), str(form.get("password", ""))
    problems = new_password_problems(console, person.name, form)
    if not problems and new == old:
        problems = {"password": "the new password is the present one"}
    if not guard.present_password(console.registry.ledger, user, person.actor, old):
        problems = {"old": _WRONG}
    if problems:
        return _page(request, person, problems)
    hash_ = passwords.hashed(new)
    with console.registry.ledger.write() as session:
        fresh = session.get_one(UserRow, user.id)
        deed = Deed(session, datetime.now(UTC), person.name)
        people.set_password(deed, fresh, hash_, issued=False)
    return begin(request, user, "after a change of password", "/account")


@router.post("/account/second-factor", response_model=None)
def set_up(request: Request, person: Viewer, form: Form) -> Response:
    """Show a secret for an app, after the password; then take the first code that it shows."""
    console, now = console_of(request), datetime.now(UTC)
    user, code = _local(console, person), field(form, "code")
    if not code:
        old = str(form.get("old", ""))
        ledger = console.registry.ledger
        if not guard.present_password(ledger, user, person.actor, old):
            return _page(request, person, {"factor_old": _WRONG})
        present = field(form, "present_code")
        if user.totp_secret and not guard.code(console, user, person.actor, present):
            return _page(request, person, {"present_code": _WRONG_CODE})
        return _offered(request, person, user, totp.new_secret())
    if user.totp_new is None:
        why = "begin again: there is no secret that waits for its code"
        return _page(request, person, {"": why})
    try:
        secret = console.seeds.opened(user.id, user.totp_new)
    except SecretError:
        return _page(request, person, {"": "begin again: the key has changed meanwhile"})
    step = guard.first_code(console.registry.ledger, user, person.actor, (secret, code))
    if step is None:
        problem = "this is not the code that belongs to it: is the telephone's clock right?"
        return _offered(request, person, user, secret, problem)
    codes = totp.recovery_codes()
    with console.registry.ledger.write() as session:
        fresh = session.get_one(UserRow, user.id)
        kept = console.seeds.sealed(user.id, secret)
        people.set_second_factor(Deed(session, now, fresh.name), fresh, kept, codes)
        fresh.totp_step = step
    response = begin(request, user, "after setting up a second factor", "/account")
    shown = page(request, "factor.html", codes=codes)
    for header in response.headers.getlist("set-cookie"):
        shown.headers.append("set-cookie", header)
    return shown


@router.post("/account/second-factor/remove", response_model=None)
def remove(request: Request, person: Viewer, form: Form) -> Response:
    """Sign in by password alone again."""
    console = console_of(request)
    user, ledger = _local(console, person), console.registry.ledger
    if auth_of(console).second_factor == "required":
        why = "a second factor is required here; set up another instead"
        return _page(request, person, {"": why})
    if not guard.present_password(ledger, user, person.actor, str(form.get("old", ""))):
        return _page(request, person, {"remove_old": _WRONG})
    if not guard.code(console, user, person.actor, field(form, "code")):
        return _page(request, person, {"code": _WRONG_CODE})
    with ledger.write() as session:
        fresh = session.get_one(UserRow, user.id)
        people.remove_second_factor(Deed(session, datetime.now(UTC), person.name), fresh)
    return begin(request, user, "after removing the second factor", "/account")


@router.post("/account/sessions", response_model=None)
def sign_out_others(request: Request, person: Viewer, form: Form) -> Response:
    """End all one's sessions but this one; after the password, of those who have one here."""
    console = console_of(request)
    ledger = console.registry.ledger
    with ledger.read() as session:
        known = session.get(UserRow, person.account) if person.account else None
    if (
        known
        and known.password_hash
        and not guard.present_password(ledger, known, person.actor, str(form.get("old", "")))
    ):
        return _page(request, person, {"others_old": _WRONG})
    token = request.cookies.get(console.cookie(COOKIE), "")
    with ledger.write() as session:
        user = session.get(UserRow, person.account) if person.account else None
        if user is not None:
            people.end_other_sessions(session, datetime.now(UTC), user, token)
    return RedirectResponse("/account", 303)


def _offered(
    request: Request, person: Person, user: UserRow, secret: str, problem: str = ""
) -> HTMLResponse:
    console = console_of(request)
    with console.registry.ledger.write() as session:
        session.get_one(UserRow, user.id).totp_new = console.seeds.sealed(user.id, secret)
    picture = totp.picture(totp.address(secret, person.name))
    status = 409 if problem else 200
    return page(request, "factor.html", status, secret=secret, picture=picture, problem=problem)


def _page(
    request: Request, person: Person, problems: Mapping[str, str] | None = None
) -> HTMLResponse:
    """`problems`: what is wrong, by field; what belongs to none is under the empty name."""
    console = console_of(request)
    idle = auth_of(console).session_idle
    with console.registry.ledger.read() as session:
        user = session.get(UserRow, person.account) if person.account else None
        now = datetime.now(UTC)
        sessions = people.sessions_of(session, now, user.id, idle) if user else []
    return page(
        request, "account.html", 409 if problems else 200, user=user, problems=problems or {},
        required=auth_of(console).second_factor == "required", sessions=sessions,
        mine=people.hashed(request.cookies.get(console.cookie(COOKIE), "")),
    )  # fmt: skip


def _local(console: Console, person: Person) -> UserRow:
    """Their account, if it has a password here."""
    with console.registry.ledger.read() as session:
        user = session.get(UserRow, person.account) if person.account else None
    if user is None or user.password_hash is None:
        raise HTTPException(409, "this account signs in elsewhere")
    return user
