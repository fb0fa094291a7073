"""The web application."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from zoneinfo import ZoneInfo

import structlog
from fastapi import Depends, FastAPI, Request
from starlette.middleware.sessions import SessionMiddleware
from starlette.staticfiles import StaticFiles

from bergen_loop import __version__
from bergen_loop.config.auth import OidcSettings
from bergen_loop.console import (
    account,
    accounts,
    acting,
    attention,
    audit,
    brand,
    brand_settings,
    connecting,
    correcting,
    criteria,
    deliveries,
    endpoint,
    errors,
    events,
    floor,
    graded,
    health,
    incidents,
    lists,
    metrics,
    mode,
    month,
    oidc,
    overview,
    passwords,
    photos,
    returns,
    shadow,
    shipments,
    signin,
    trying,
    webhooks,
)
from bergen_loop.console.access import Permission, holder_needs, needs
from bergen_loop.console.api import assistants, reference
from bergen_loop.console.api import shipments as api
from bergen_loop.console.limits import BodyLimit, Door
from bergen_loop.console.live import Live
from bergen_loop.console.security import LocalOnly, Outermost
from bergen_loop.console.state import Console, Nudge, registry_of
from bergen_loop.console.trends import Trends
from bergen_loop.ledger.database import LedgerError
from bergen_loop.secrets.keys import KeySource
from bergen_loop.secrets.seeds import Seeds
from bergen_loop.service.registry import Registry

log = structlog.get_logger()

LOOK = 1.0
"""Seconds after which a request looks anew whether brands have changed."""

FIRST_ACCOUNT = "BERGEN_LOOP_ADMIN"
"""An environment variable: NAME:PASSWORD of an engineer, made while there is no account yet."""


class BadFirstAccount(ValueError):
    """The environment variable does not give an account that can be made."""


_VIEWER, _WORKER = Depends(needs(Permission.VIEW)), Depends(needs(Permission.COUNT))
OPENAPI = "/api/v1/openapi.json"


def create_app(
    registry: Registry,
    nudge: Nudge,
    *,
    hurry: Nudge | None = None,
    signing_in: bool = True,
    address: str | None = None,
) -> FastAPI:
    """The application over a registry. `nudge` has a brand synced soon, `hurry` a brand's new
    returns seen to at once (None: by a sync); `address` is where it answers, if not at
    `service.host` and `port`.

    Without `signing_in` everyone who reaches it may do everything: only for a service that
    listens on this machine alone. Raises BadFirstAccount, BadList."""
    first = os.environ.pop(FIRST_ACCOUNT, "")  # used once, and not left for children to read
    console = console_for(registry, nudge, signing_in, address)
    app = FastAPI(
        title="bergen-loop",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=OPENAPI,
        lifespan=_lifespan,
        dependencies=[Depends(_brands_of_now)],
        redirect_slashes=False,  # it would lead to whatever host the request claims
    )
    app.state.registry, app.state.nudge, app.state.console = registry, nudge, console
    app.state.hurry = hurry or nudge
    settings = signin.auth_of(console).oidc if signing_in else None
    app.state.oidc = oidc.client(settings) if settings else None
    _routes(app)
    reference.describe(app)
    errors.install(app)
    _middleware(app, console, settings)
    if signing_in and first:
        _first_account(console, first)
    return app


def console_for(
    registry: Registry, nudge: Nudge, signing_in: bool = True, address: str | None = None
) -> Console:
    """What pages, API and assistants share."""
    service = registry.settings.service
    listed = service.auth.breached_passwords
    known = passwords.Breached(registry.folder / Path(listed).expanduser()) if listed else None
    return Console(
        registry=registry,
        nudge=nudge,
        live=Live(registry.ledger),
        trends=Trends(registry.ledger, ZoneInfo(service.console.time_zone)),
        seeds=Seeds(KeySource(registry.folder / service.key_file if service.key_file else None)),
        password_rules=passwords.Rules(service.auth.password_length, known),
        signing_in=signing_in,
        secure=(service.public_url or "").startswith("https:"),
        address=service.public_url or address or f"http://{service.host}:{service.port}",
    )


def _brands_of_now(request: Request) -> None:
    """Brands come and go on any machine: what a request is about is looked up as it is now."""
    if request.url.path == health.ALIVE:
        return  # it says that the process answers, whatever the ledger does
    try:
        registry_of(request).look(within=LOOK)
    except LedgerError as error:
        log.warning("brands could not be looked up", why=type(error).__name__)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncGenerator[None]:
    yield
    await app.state.console.live.close()


def _routes(app: FastAPI) -> None:
    for router in (webhooks.router, health.router, metrics.router):
        app.include_router(router)
    app.include_router(photos.router, include_in_schema=False)
    for router in (signin.router, oidc.router, account.router):
        app.include_router(router, include_in_schema=False)
    pages = (
        connecting, brand_settings, overview, incidents, lists, attention, audit, brand, mode,
        deliveries, endpoint, graded, month, shadow, trying, criteria, accounts, events, returns,
        correcting, acting, shipments,
    )  # fmt: skip
    for module in pages:
        app.include_router(module.router, include_in_schema=False, dependencies=[_VIEWER])
    app.include_router(floor.router, include_in_schema=False, dependencies=[_WORKER])
    app.include_router(reference.router, include_in_schema=False)
    app.include_router(
        assistants.router,
        include_in_schema=False,
        dependencies=[Depends(holder_needs(Permission.VIEW))],
    )
    app.include_router(api.router, dependencies=[Depends(holder_needs(Permission.VIEW))])
    static = Path(__file__).parent / "static"
    app.mount("/static", StaticFiles(directory=static), name="static")


def _middleware(app: FastAPI, console: Console, settings: OidcSettings | None) -> None:
    if settings:
        # Holds the state of a sign-in under way; whoever runs the service knows this secret.
        secret = settings.client_secret.get_secret_value()
        app.add_middleware(
            SessionMiddleware,
            secret_key=hashlib.sha256(f"bergen-loop sign-in:{secret}".encode()).hexdigest(),
            session_cookie=console.cookie("bergen_loop_oidc"),
            max_age=600,
            same_site="lax",
            https_only=console.secure,
        )
    app.add_middleware(BodyLimit)
    app.add_middleware(Door)
    if not console.signing_in:
        app.add_middleware(LocalOnly)
    app.add_middleware(Outermost, https=console.secure)


def _first_account(console: Console, given: str) -> None:
    name, _, password = given.partition(":")
    problem = signin.name_problem(console, name) or console.password_rules.problem(password, name)
    if problem:
        raise BadFirstAccount(f"{FIRST_ACCOUNT} must be NAME:PASSWORD: {problem}")
    if not signin.has_account(console):
        hash_ = passwords.hashed(password)
        signin.first_account(console, name, hash_, by=FIRST_ACCOUNT, issued=True)
