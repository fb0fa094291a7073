"""Signing in and out, the first account, and one's own password."""

from __future__ import annotations

import hmac
import secrets
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.datastructures import FormData

from bergen_loop.config.auth import AuthSettings
from bergen_loop.console import passwords
from bergen_loop.console.access import COOKIE, MAX_FIELDS, Form, Viewer, check_csrf, field
from bergen_loop.console.state import Console, console_of
from bergen_loop.console.templating import page
from bergen_loop.ledger.read import people
from bergen_loop.ledger.read.people import Role
from bergen_loop.ledger.tables.core import UserRow

FORM_COOKIE = "bergen_loop_form"
"""Ties the sign-in form to the browser it was shown in, before there is a session."""
REFUSED = "the name or the password is wrong, or the account is locked for a while"

router = APIRouter()


async def outside_form(request: Request) -> FormData:
    """A form of somebody who is not signed in; its token has been checked."""
    form = await request.form(max_files=0, max_fields=MAX_FIELDS)
    check_csrf(request, form, request.cookies.get(FORM_COOKIE, ""))
    return form


OutsideForm = Annotated[FormData, Depends(outside_form)]


# -- signing in and out -------------------------------------------------------------------------


@router.get("/login", response_class=HTMLResponse)
def login_page(request: Request, next: str = "/") -> Response:
    """The sign-in form; the setup while there is no account."""
    console = console_of(request)
    if not console.signing_in:
        return RedirectResponse("/", 303)
    if auth_of(console).oidc is None and not has_account(console):
        return RedirectResponse("/setup", 303)
    return outside_page(request, "login.html", next=next, name="", problem="")


@router.post("/login", response_model=None)
def login(request: Request, form: OutsideForm) -> Response:
    """Start a session."""
    console = console_of(request)
    name, password = field(form, "name"), str(form.get("password", ""))
    user = _check(console, name, password)
    if user is None:
        return outside_page(
            request, "login.html", 403, next=field(form, "next"), name=name, problem=REFUSED
        )
    return begin(console, user, "by password", field(form, "next"))


@router.post("/logout")
def logout(request: Request, person: Viewer, form: Form) -> RedirectResponse:
    """End the session."""
    del form  # its token has been checked
    token = request.cookies.get(COOKIE)
    if token:
        with console_of(request).registry.ledger.write() as session:
            people.end_session(session, datetime.now(UTC), token, person.name)
    response = RedirectResponse("/login", 303)
    response.delete_cookie(COOKIE)
    return response


def begin(console: Console, user: UserRow, how: str, target: str) -> RedirectResponse:
    """Start a session of this account, and go where it was wanted to go."""
    lasts = auth_of(console).session_max
    with console.registry.ledger.write() as session:
        user = session.get_one(UserRow, user.id)
        token = people.start_session(session, datetime.now(UTC), user, lasts=lasts, how=how)
    response = RedirectResponse(inside(target), 303)
    response.set_cookie(
        COOKIE, token, max_age=int(lasts.total_seconds()), httponly=True, samesite="lax",
        secure=console.secure,
    )  # fmt: skip
    return response


def inside(target: str) -> str:
    """`target`, if it is a page of this console; else the first page."""
    parts = urlsplit(target)
    bad = parts.scheme or parts.netloc or not target.startswith("/") or "\\" in target
    return "/" if bad or target.startswith("//") or not target.isprintable() else target


def _check(console: Console, name: str, password: str) -> UserRow | None:
    """The account, if the password is right and nothing is against it."""
    now = datetime.now(UTC)
    with console.registry.ledger.read() as session:
        user = people.user_named(session, name) if "\x00" not in name else None
    right = passwords.matches(password, user.password_hash if user else None)
    if user is None or not user.active:
        return None
    if user.locked_until and user.locked_until > now:
        return None
    with console.registry.ledger.write() as session:
        fresh = session.get_one(UserRow, user.id)
        if not right:
            people.failed(session, now, fresh)
            return None
        if fresh.password_hash and passwords.outdated(fresh.password_hash):
            fresh.password_hash = passwords.hashed(password)
    return user


# -- the first account --------------------------------------------------------------------------


@router.get("/setup", response_class=HTMLResponse)
def setup_page(request: Request, code: str = "") -> HTMLResponse:
    """The form for the first account; 404 once there is one."""
    _only_first(console_of(request))
    return outside_page(request, "setup.html", code=code, name="", problem="")


@router.post("/setup", response_model=None)
def setup(request: Request, form: OutsideForm) -> Response:
    """Make the first account, an engineer of all brands."""
    console = console_of(request)
    _only_first(console)
    name, code = field(form, "name"), field(form, "code")
    password = str(form.get("password", ""))
    problem = None
    if not hmac.compare_digest(code.encode(), console.setup_code.encode()):
        problem = "the code is wrong: it is shown where the service was started"
    problem = problem or name_problem(name) or new_password_problem(console, name, form)
    if problem:
        return outside_page(request, "setup.html", 409, code=code, name=name, problem=problem)
    user = first_account(console, name, passwords.hashed(password), by=name)
    if user is None:
        raise HTTPException(404, "there is an account already")
    return begin(console, user, "by password", "/")


def first_account(console: Console, name: str, hash_: str, *, by: str) -> UserRow | None:
    """Make the first account; None if there is one already."""
    with console.registry.ledger.write() as session:
        if people.any_user(session):
            return None
        return people.add_user(
            session, datetime.now(UTC), name=name, role=Role.ENGINEER, brands=None, by=by,
            password_hash=hash_,
        )  # fmt: skip


def has_account(console: Console) -> bool:
    """Whether there is an account at all."""
    with console.registry.ledger.read() as session:
        return people.any_user(session)


def _only_first(console: Console) -> None:
    if not console.signing_in or has_account(console):
        raise HTTPException(404, "there is an account already; sign in")


def name_problem(name: str) -> str | None:
    """What is wrong with an account's name, in words."""
    if not 2 <= len(name) <= 80 or not name.isprintable():
        return "a name has 2 to 80 characters"
    return None


def new_password_problem(console: Console, name: str, form: FormData) -> str | None:
    """What is wrong with the new password of a form, in words."""
    password = str(form.get("password", ""))
    if password != str(form.get("again", "")):
        return "the two passwords differ"
    return passwords.problem(password, name, auth_of(console).password_length)


# -- one's own account --------------------------------------------------------------------------


@router.get("/account", response_class=HTMLResponse)
def account_page(request: Request, person: Viewer) -> HTMLResponse:
    """One's own role, brands and password."""
    return _account(request, person.account, "")


@router.post("/account", response_model=None)
def change_password(request: Request, person: Viewer, form: Form) -> Response:
    """Change one's own password; all one's sessions end but a new one here."""
    console = console_of(request)
    user = _user(console, person.account)
    if user is None or user.password_hash is None:
        raise HTTPException(409, "this account signs in elsewhere")
    problem = new_password_problem(console, person.name, form)
    if not passwords.matches(str(form.get("old", "")), user.password_hash):
        problem = "the present password is wrong"
    if problem:
        return _account(request, person.account, problem)
    hash_ = passwords.hashed(str(form.get("password", "")))
    with console.registry.ledger.write() as session:
        fresh = session.get_one(UserRow, user.id)
        people.set_password(session, datetime.now(UTC), fresh, hash_, by=person.name)
    return begin(console, user, "after a change of password", "/account")


def _account(request: Request, account: int | None, problem: str) -> HTMLResponse:
    user = _user(console_of(request), account)
    return page(
        request, "account.html", 409 if problem else 200, user=user, problem=problem
    )  # fmt: skip


def _user(console: Console, account: int | None) -> UserRow | None:
    with console.registry.ledger.read() as session:
        return session.get(UserRow, account) if account else None


# -- pages outside ------------------------------------------------------------------------------


def auth_of(console: Console) -> AuthSettings:
    """How people sign in."""
    return console.registry.settings.service.auth


def outside_page(
    request: Request, template: str, status: int = 200, /, **context: object
) -> HTMLResponse:  # fmt: skip
    """A page with a form for somebody who is not signed in."""
    console = console_of(request)
    token = request.cookies.get(FORM_COOKIE) or secrets.token_urlsafe(24)
    oidc = auth_of(console).oidc
    shortest = auth_of(console).password_length
    response = page(
        request, template, status, form_token=token, oidc=oidc, shortest=shortest, **context
    )
    response.set_cookie(
        FORM_COOKIE, token, max_age=3600, httponly=True, samesite="strict", secure=console.secure
    )
    return response
