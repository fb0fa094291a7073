"""Sign-in at an OpenID Connect provider."""

# Authlib carries no types for this part.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from httpx2 import HTTPError
from starlette.concurrency import run_in_threadpool

from bergen_loop.config.auth import GroupAccess, OidcSettings
from bergen_loop.console.signin import auth_of, begin, outside_page
from bergen_loop.console.state import Console, console_of
from bergen_loop.domain import names
from bergen_loop.ledger.database import Session
from bergen_loop.ledger.read import people
from bergen_loop.ledger.read.people import Account, Deed, Grant
from bergen_loop.ledger.tables.core import UserRow

NAME = "oidc"
SIGNING = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Only what the provider alone can sign with: never a shared secret, never nothing."""
_RETRY = "the sign-in did not come through; try again"

router = APIRouter()
log = structlog.get_logger()


class NotWelcome(Exception):
    """The provider vouches for the person, but nothing is granted to them here."""


def client(settings: OidcSettings) -> Any:
    """The provider's client, kept on the application."""
    # Authlib takes long to load: only where there is a provider.
    from authlib.integrations.starlette_client import OAuth

    oauth = OAuth()
    oauth.register(
        NAME,
        client_id=settings.client_id,
        client_secret=settings.client_secret.get_secret_value(),
        server_metadata_url=f"{settings.issuer}/.well-known/openid-configuration",
        client_kwargs={"scope": settings.scope, "code_challenge_method": "S256", "timeout": 10},
    )
    return oauth.create_client(NAME)


def _errors() -> tuple[type[Exception], ...]:
    """What goes wrong between us, the provider and the browser."""
    from authlib.common.errors import AuthlibBaseError
    from joserfc.errors import JoseError

    return (AuthlibBaseError, JoseError, HTTPError, ValueError, RuntimeError)


@router.get("/login/oidc", response_model=None)
async def start(request: Request, next: str = "/") -> Response:
    """Send the browser to the provider."""
    console = console_of(request)
    provider = request.app.state.oidc
    if provider is None:
        return RedirectResponse("/login", 303)
    request.session["next"] = next
    try:
        await _metadata(provider, _settings(console))
        response: Response = await provider.authorize_redirect(request, _back(console))
    except _errors() as error:
        return _refused(request, error)
    return response


@router.get("/login/oidc/callback", response_model=None)
async def callback(request: Request) -> Response:
    """The browser comes back: check what the provider says, and start a session."""
    console = console_of(request)
    provider = request.app.state.oidc
    if provider is None:
        return RedirectResponse("/login", 303)
    target = str(request.session.pop("next", "/"))
    try:
        await _metadata(provider, _settings(console))
        token = await provider.authorize_access_token(request)
        claims = cast("Mapping[str, Any]", token.get("userinfo") or {})
        user = await run_in_threadpool(_account, console, claims)
    except NotWelcome as error:
        return outside_page(request, "login.html", 403, next="/", name="", problem=str(error))
    except _errors() as error:
        return _refused(request, error)
    label = _settings(console).label
    return await run_in_threadpool(begin, request, user, f"by {label}", target)


def _refused(request: Request, error: Exception) -> Response:
    log.warning("sign-in at the provider failed", why=type(error).__name__)
    return outside_page(request, "login.html", 403, next="/", name="", problem=_RETRY)


async def _metadata(provider: Any, settings: OidcSettings) -> None:
    """Hold what the provider says of itself against what is configured."""
    metadata = await provider.load_server_metadata()
    if str(metadata.get("issuer", "")).rstrip("/") != settings.issuer:
        raise ValueError("the provider calls itself by another issuer")
    offered = metadata.get("id_token_signing_alg_values_supported") or ["RS256"]
    metadata["id_token_signing_alg_values_supported"] = [a for a in offered if a in SIGNING]


def _settings(console: Console) -> OidcSettings:
    settings = auth_of(console).oidc
    assert settings is not None
    return settings


def _back(console: Console) -> str:
    """Where the provider sends the browser: our own address, not one that a request claims."""
    return f"{console.address}/login/oidc/callback"


# -- from claims to an account ------------------------------------------------------------------


def _account(console: Console, claims: Mapping[str, Any]) -> UserRow:
    """The account of who signed in, made or brought up to date. Raises NotWelcome."""
    settings = _settings(console)
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject:
        raise NotWelcome("the provider does not say who you are")
    access = granted(settings, claims)
    if access is None:
        raise NotWelcome("you are known there, but nothing is granted to you here")
    with console.registry.ledger.write() as session:
        user = people.user_at(session, settings.issuer, subject)
        if user is None:
            user = _new(session, settings, subject, claims, access)
        elif (user.role, user.brands) != (access.role, _sorted(access.brands)):
            deed = Deed(session, datetime.now(UTC), settings.label)
            grant = Grant(access.role, access.brands)
            people.change_user(deed, user, grant, active=user.active)
        if not user.active:
            raise NotWelcome("this account is switched off")
        return user


def granted(settings: OidcSettings, claims: Mapping[str, Any]) -> GroupAccess | None:
    """What the person's groups are granted; None for nothing. Raises NotWelcome."""
    found: Any = claims.get(settings.groups_claim)
    listed: Any = [] if found is None else [found] if isinstance(found, str) else found
    groups = [g for g in listed if isinstance(g, str)] if isinstance(listed, list) else None
    if groups is None or len(groups) != len(listed):
        raise NotWelcome(
            f"the provider gives {settings.groups_claim} in a form that is not understood: "
            "it must be a list of names"
        )
    return next((a for g, a in settings.groups.items() if g in groups), settings.default)


def _new(
    session: Session, settings: OidcSettings, subject: str, claims: Mapping[str, Any],
    access: GroupAccess,
) -> UserRow:  # fmt: skip
    """An account of its own, never one that has the same name: names are not proven."""
    proven = claims.get("email") if claims.get("email_verified") is True else None
    told = (proven, claims.get("preferred_username"), claims.get("name"), subject)
    given = next(t for t in told if isinstance(t, str) and t)
    mark = people.hashed(settings.issuer + subject)[:6]
    name = "".join(c for c in given if c.isprintable())[:70].strip()
    if names.problem(name, [settings.label]):
        name = f"person {mark}"
    elif "@" in name and name != proven:
        name = f"{name} ({mark})"
    deed = Deed(session, datetime.now(UTC), settings.label)
    grant = Grant(access.role, access.brands)
    account = Account(name, grant, issuer=settings.issuer, subject=subject)
    try:
        return people.add_user(deed, account)
    except people.Taken:
        made = f"{name.removesuffix(f' ({mark})')} ({mark})"
        return people.add_user(deed, replace(account, name=made))


def _sorted(brands: list[str] | None) -> list[str] | None:
    return None if brands is None else sorted(brands)
