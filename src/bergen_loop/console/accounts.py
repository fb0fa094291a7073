"""Accounts and API tokens, for engineers of all brands."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field as dataclass_field
from datetime import UTC, datetime, timedelta

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.datastructures import FormData

from bergen_loop.console import passwords
from bergen_loop.console.access import NOT_FOUND, ROLES, Form, Permission, Person, field, needs
from bergen_loop.console.forms import RowId, whole
from bergen_loop.console.signin import name_problem
from bergen_loop.console.state import console_of
from bergen_loop.console.templating import page
from bergen_loop.ledger.read import people
from bergen_loop.ledger.read.people import Account, Deed, Grant, Role, Taken
from bergen_loop.ledger.tables.core import ApiTokenRow, UserRow

LONGEST_TOKEN = 730
"""Days."""

router = APIRouter()
May = Depends(needs(Permission.MANAGE))


class Mistake(Exception):
    """The form cannot be taken as it is; the message says why, for a person."""

    def __init__(self, problem: str, at: str) -> None:
        super().__init__(problem)
        self.at = at
        """The field that it is about."""


@dataclass(frozen=True, slots=True)
class Typed:
    """A form for somebody or something, as it was typed, and what is wrong with it."""

    name: str = ""
    role: str = Role.READ_ONLY
    brands: list[str] | None = dataclass_field(default_factory=list[str])
    """None: all."""
    days: str = "90"
    active: bool = True
    wrong: dict[str, str] = dataclass_field(default_factory=dict[str, str])
    """By field."""

    @classmethod
    def of(cls, form: FormData, error: Mistake | Taken) -> Typed:
        at = error.at if isinstance(error, Mistake) else "name"
        brands = None if field(form, "all_brands") == "1" else [*map(str, form.getlist("brands"))]
        words = field(form, "name"), field(form, "role"), brands, field(form, "days")
        return cls(*words, field(form, "active") == "1", {at: str(error)})


# -- accounts -----------------------------------------------------------------------------------


@router.get("/people", response_class=HTMLResponse)
def people_page(request: Request, person: Person = May) -> HTMLResponse:
    """All accounts, and the form for a new one."""
    return _people(request)


@router.post("/people", response_class=HTMLResponse)
def add(request: Request, form: Form, person: Person = May) -> HTMLResponse:
    """Make an account with a password that is shown once."""
    password = passwords.issued()
    try:
        name, grant = field(form, "name"), _access(request, form)
        if problem := name_problem(console_of(request), name):
            raise Mistake(problem, "name")
        hash_ = passwords.hashed(password)
        with console_of(request).registry.ledger.write() as session:
            account = Account(name, grant, hash_, issued=True)
            people.add_user(Deed(session, datetime.now(UTC), person.name), account)
    except (Mistake, Taken) as error:
        return _people(request, typed=Typed.of(form, error))
    return _people(request, shown=(name, password))


@router.post("/people/{number}", response_model=None)
def change(request: Request, number: RowId, form: Form, person: Person = May) -> Response:
    """Change role, brands or whether it is on; give it a new password, or take its second factor
    from it."""
    console = console_of(request)
    password = passwords.issued() if field(form, "new_password") else ""
    hash_ = passwords.hashed(password) if password else ""
    with console.registry.ledger.write() as session:
        user = session.get(UserRow, number)
        if user is None:
            raise HTTPException(404, NOT_FOUND)
        if user.id == person.account:
            raise HTTPException(409, "your own account is changed by somebody else")
        deed = Deed(session, datetime.now(UTC), person.name)
        if password:
            if user.password_hash is None:
                raise HTTPException(409, "this account signs in elsewhere")
            people.set_password(deed, user, hash_, issued=True)
        elif field(form, "reset_factor"):
            people.remove_second_factor(deed, user)
        else:
            try:
                grant = _access(request, form)
                if field(form, "seen") not in ("", people.standing(user)):
                    who = people.changed_by(session, user) or "somebody else"
                    has = Grant(Role(user.role), user.brands).words
                    has += "" if user.active else ", switched off"
                    raise Mistake(f"{who} has changed it meanwhile, to {has}: save again?", "role")
            except Mistake as error:
                return _people(request, typed=Typed.of(form, error), of=number)
            people.change_user(deed, user, grant, active=field(form, "active") == "1")
        name = user.name
    if password:
        return _people(request, shown=(name, password))
    return RedirectResponse("/people", 303)


def _people(
    request: Request,
    *,
    typed: Typed | None = None,
    of: int | None = None,
    shown: tuple[str, str] | None = None,
) -> HTMLResponse:
    """`typed` was typed for the account `of`, or for a new one."""
    typed = typed or Typed()
    with console_of(request).registry.ledger.read() as session:
        users = people.users(session)
    return page(
        request,
        "people.html",
        409 if typed.wrong else 200,
        users=users,
        roles=ROLES,
        shown=shown,
        typed=typed if of is None else Typed(),
        changing=(of, typed),
        words=people.brands_in_words,
        standing=people.standing,
    )


# -- tokens -------------------------------------------------------------------------------------


@router.get("/tokens", response_class=HTMLResponse)
def tokens_page(request: Request, person: Person = May) -> HTMLResponse:
    """All API tokens, and the form for a new one."""
    return _tokens(request)


@router.post("/tokens", response_class=HTMLResponse)
def add_token(request: Request, form: Form, person: Person = May) -> HTMLResponse:
    """Make a token; its value is shown once."""
    now = datetime.now(UTC)
    try:
        name, grant = field(form, "name"), _access(request, form)
        days = whole(field(form, "days"))
        if problem := name_problem(console_of(request), name):
            raise Mistake(problem, "name")
        if days is None or not 1 <= days <= LONGEST_TOKEN:
            raise Mistake(f"a token is valid for 1 to {LONGEST_TOKEN} days", "days")
        with console_of(request).registry.ledger.write() as session:
            value = people.add_token(
                Deed(session, now, person.name), name, grant,
                expires_at=now + timedelta(days=days), account=person.account,
            )  # fmt: skip
    except (Mistake, Taken) as error:
        return _tokens(request, typed=Typed.of(form, error))
    return _tokens(request, shown=(name, value))


@router.post("/tokens/{number}/revoke")
def revoke(request: Request, number: RowId, form: Form, person: Person = May) -> RedirectResponse:
    """Have a token refused from now on."""
    del form  # its token has been checked
    with console_of(request).registry.ledger.write() as session:
        row = session.get(ApiTokenRow, number)
        if row is None:
            raise HTTPException(404, NOT_FOUND)
        people.revoke_token(Deed(session, datetime.now(UTC), person.name), row)
    return RedirectResponse("/tokens", 303)


def _tokens(
    request: Request, *, typed: Typed | None = None, shown: tuple[str, str] | None = None
) -> HTMLResponse:
    typed = typed or Typed()
    with console_of(request).registry.ledger.read() as session:
        tokens = people.tokens(session)
    return page(
        request,
        "tokens.html",
        409 if typed.wrong else 200,
        tokens=tokens,
        roles=ROLES,
        typed=typed,
        shown=shown,
        words=people.brands_in_words,
    )


# -- both ---------------------------------------------------------------------------------------


def _access(request: Request, form: FormData) -> Grant:
    """What a form grants: no brand, unless it is chosen. Raises Mistake."""
    role = next((r for r in Role if r == field(form, "role")), None)
    if role is None:
        raise Mistake("choose one of these roles", "role")
    if field(form, "all_brands") == "1":
        return Grant(role, None)
    known = console_of(request).registry.settings.brands
    wanted = {str(v) for v in form.getlist("brands")}
    if gone := sorted(wanted - set(known)):
        raise Mistake(f"{', '.join(gone)}: no such brand here; choose again", "brands")
    return Grant(role, wanted)
