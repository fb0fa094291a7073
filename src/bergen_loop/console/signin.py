"""Signing in and out, and the first account."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import quote, urlsplit

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.datastructures import FormData

from bergen_loop.config.auth import AuthSettings
from bergen_loop.console import guard, passwords
from bergen_loop.console.access import COOKIE, MAX_FIELDS, Form, Viewer, check_csrf, field
from bergen_loop.console.guard import Claim
from bergen_loop.console.state import Console, console_of
from bergen_loop.console.templating import page
from bergen_loop.domain import names
from bergen_loop.ledger.codec import storable
from bergen_loop.ledger.read import people
from bergen_loop.ledger.read.people import Account, Deed, Grant, Role
from bergen_loop.ledger.store.journal import Actor
from bergen_loop.ledger.tables.core import UserRow

FORM_COOKIE = "bergen_loop_form"
"""Ties the sign-in form to the browser it was shown in, before there is a session."""
BROWSER_COOKIE = "bergen_loop_browser"
"""By it a browser is known again in which somebody has signed in: guesses made elsewhere do not
keep them out here."""
BROWSER_NAME = 200
"""Characters that are kept of what a browser calls itself."""
REFUSED = "the name or the password is wrong"

router = APIRouter()


async def outside_form(request: Request) -> FormData:
    """A form of somebody who is not signed in; its token has been checked."""
    form = await request.form(max_files=0, max_fields=MAX_FIELDS)
    name = console_of(request).cookie(FORM_COOKIE)
    check_csrf(request, form, request.cookies.get(name, ""))
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
    """Start a session, or ask for the second factor."""
    console, target = console_of(request), field(form, "next")
    claim = _claim(request, console, field(form, "name"))
    user = guard.sign_in(console.registry.ledger, claim, str(form.get("password", "")))
    if user is None:
        return outside_page(
            request, "login.html", 403, next=target, name=claim.name, problem=REFUSED
        )
    if user.totp_secret is None:
        return begin(request, user, "by password", target)
    with console.registry.ledger.write() as session:
        token = people.await_code(session, datetime.now(UTC), user)
    response = RedirectResponse(f"/login/code?next={quote(inside(target), safe='')}", 303)
    _set_cookie(console, response, COOKIE, token, int(people.CODE_WAIT.total_seconds()))
    return response


@router.get("/login/code", response_class=HTMLResponse)
def code_page(request: Request, next: str = "/") -> Response:
    """The form for the second factor, after the password."""
    if _awaited(request) is None:
        return RedirectResponse("/login", 303)
    return outside_page(request, "code.html", next=next, problem="")


@router.post("/login/code", response_model=None)
def second_factor(request: Request, form: OutsideForm) -> Response:
    """Start a session after the second factor."""
    console, target = console_of(request), field(form, "next")
    user = _awaited(request)
    if user is None:
        return RedirectResponse("/login", 303)
    actor = Actor(user.name, user.id, guard.source_of(request))
    if not guard.code(console, user, actor, field(form, "code")):
        problem = "the code is wrong, or it was used already: wait for the next one"
        return outside_page(request, "code.html", 403, next=target, problem=problem)
    return begin(request, user, "by password and second factor", target)


@router.post("/logout")
def logout(request: Request, person: Viewer, form: Form) -> RedirectResponse:
    """End the session."""
    del form  # its token has been checked
    console = console_of(request)
    token = request.cookies.get(console.cookie(COOKIE))
    if token:
        with console.registry.ledger.write() as session:
            people.end_session(session, datetime.now(UTC), token, person.name)
    response = RedirectResponse("/login", 303)
    response.delete_cookie(console.cookie(COOKIE), secure=console.secure, httponly=True)
    return response


def begin(request: Request, user: UserRow, how: str, target: str) -> RedirectResponse:
    """Start a session of this account, and go where it was wanted to go. The browser is known
    from now on."""
    console, now = console_of(request), datetime.now(UTC)
    lasts = auth_of(console).session_max
    browser = storable(request.headers.get("user-agent", "")[:BROWSER_NAME]) or None
    claim = _claim(request, console, user.name)
    if not claim.browser:
        claim = replace(claim, browser=secrets.token_urlsafe(24))
    before = request.cookies.get(console.cookie(COOKIE))
    with console.registry.ledger.write() as session:
        fresh = session.get_one(UserRow, user.id)
        if before:
            people.drop_session(session, before)
        people.get_known(session, now, fresh, claim.places)
        deed = Deed(session, now, Actor(fresh.name, fresh.id, claim.source))
        token = people.start_session(deed, fresh, lasts=lasts, how=how, browser=browser)
    response = RedirectResponse(inside(target), 303)
    _set_cookie(console, response, COOKIE, token, int(lasts.total_seconds()))
    known_for = int(people.KNOWN_FOR.total_seconds())
    _set_cookie(console, response, BROWSER_COOKIE, claim.browser, known_for)
    return response


def _claim(request: Request, console: Console, name: str) -> Claim:
    browser = request.cookies.get(console.cookie(BROWSER_COOKIE), "")
    return Claim(name, guard.source_of(request), browser)


def _awaited(request: Request) -> UserRow | None:
    """Whose second factor is awaited in this browser."""
    console = console_of(request)
    token = request.cookies.get(console.cookie(COOKIE))
    if not token:
        return None
    with console.registry.ledger.read() as session:
        return people.awaiting_code(session, datetime.now(UTC), token)


def _set_cookie(
    console: Console, response: Response, name: str, value: str, seconds: int
) -> None:  # fmt: skip
    response.set_cookie(
        console.cookie(name), value, max_age=seconds, httponly=True, samesite="lax",
        secure=console.secure,
    )  # fmt: skip


def inside(target: str) -> str:
    """`target`, if it is a page of this console; else the first page."""
    parts = urlsplit(target)
    bad = parts.scheme or parts.netloc or not target.startswith("/") or "\\" in target
    return "/" if bad or target.startswith("//") or not target.isprintable() else target


# -- the first account --------------------------------------------------------------------------


@router.get("/setup", response_class=HTMLResponse)
def setup_page(request: Request, code: str = "") -> HTMLResponse:
    """The form for the first account; 404 once there is one."""
    _only_first(console_of(request))
    return outside_page(request, "setup.html", code=code, name="", problems={})


@router.post("/setup", response_model=None)
def setup(request: Request, form: OutsideForm) -> Response:
    """Make the first account, an engineer of all brands."""
    console = console_of(request)
    _only_first(console)
    name, code = field(form, "name"), field(form, "code")
    password = str(form.get("password", ""))
    if not hmac.compare_digest(code.encode(), console.setup_code.encode()):
        problems = {"code": "the code is wrong: it is shown where the service was started"}
    elif problem := name_problem(console, name):
        problems = {"name": problem}
    else:
        problems = new_password_problems(console, name, form)
    if problems:
        return outside_page(request, "setup.html", 409, code=code, name=name, problems=problems)
    user = first_account(console, name, passwords.hashed(password), by=name)
    if user is None:
        raise HTTPException(404, "there is an account already")
    return begin(request, user, "by password", "/")


def first_account(
    console: Console, name: str, hash_: str, *, by: str, issued: bool = False
) -> UserRow | None:
    """Make the first account; None if there is one already. `issued`: others know its password."""
    with console.registry.ledger.write() as session:
        if people.any_user(session):
            return None
        account = Account(name, Grant(Role.ENGINEER, None), hash_, issued=issued)
        return people.add_user(Deed(session, datetime.now(UTC), by), account)


def has_account(console: Console) -> bool:
    """Whether there is an account at all."""
    with console.registry.ledger.read() as session:
        return people.any_user(session)


def _only_first(console: Console) -> None:
    if not console.signing_in or has_account(console):
        raise HTTPException(404, "there is an account already; sign in")


def name_problem(console: Console, name: str) -> str | None:
    """What is wrong with a name for an account or a token, in words."""
    oidc = auth_of(console).oidc
    return names.problem(name, [oidc.label] if oidc else [])


def new_password_problems(console: Console, name: str, form: FormData) -> dict[str, str]:
    """What is wrong with the new password of a form, in words, by field."""
    password = str(form.get("password", ""))
    if password != str(form.get("again", "")):
        return {"again": "the two passwords differ"}
    problem = console.password_rules.problem(password, name)
    return {"password": problem} if problem else {}


# -- pages outside ------------------------------------------------------------------------------


def auth_of(console: Console) -> AuthSettings:
    """How people sign in."""
    return console.registry.settings.service.auth


def outside_page(
    request: Request, template: str, status: int = 200, /, **context: object
) -> HTMLResponse:  # fmt: skip
    """A page with a form for somebody who is not signed in."""
    console = console_of(request)
    token = request.cookies.get(console.cookie(FORM_COOKIE)) or secrets.token_urlsafe(24)
    oidc = auth_of(console).oidc
    shortest = auth_of(console).password_length
    response = page(
        request, template, status, form_token=token, oidc=oidc, shortest=shortest, **context
    )
    response.set_cookie(
        console.cookie(FORM_COOKIE), token, max_age=3600, httponly=True, samesite="strict",
        secure=console.secure,
    )  # fmt: skip
    return response
