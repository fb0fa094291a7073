"""What requests find on the application."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast
from zoneinfo import ZoneInfo

import structlog
from fastapi import Request

from bergen_loop.console.live import Live
from bergen_loop.console.passwords import Rules
from bergen_loop.console.rates import Rates
from bergen_loop.console.trends import Trends
from bergen_loop.secrets.seeds import Seeds
from bergen_loop.service.registry import Registry
from bergen_loop.text import failure

Nudge = Callable[[str], None]

log = structlog.get_logger()


@dataclass(slots=True)
class Console:
    """What the console's pages share."""

    registry: Registry
    nudge: Nudge
    live: Live
    trends: Trends
    seeds: Seeds
    """Seals and opens the seeds of second factors."""
    password_rules: Rules
    """What a new password has to be."""
    signing_in: bool = True
    """False: everyone who reaches the console is an engineer (only for a service that answers
    this machine alone)."""
    secure: bool = False
    """Whether cookies are for https only."""
    address: str = ""
    """Where browsers reach the console: never what a request claims."""
    rates: Rates = field(default_factory=Rates)
    """The calls of the API's tokens."""
    open_csrf: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    """The token of every form while nobody signs in."""
    setup_code: str = field(default_factory=lambda: secrets.token_urlsafe(9))
    """Shown where the service was started; who knows it may make the first account."""

    @property
    def zone(self) -> ZoneInfo:
        """The zone in which times are shown, and a day begins."""
        return ZoneInfo(self.registry.settings.service.console.time_zone)

    def cookie(self, name: str) -> str:
        """How a cookie is called: over https so that no other host or plain page can set it."""
        return f"__Host-{name}" if self.secure else name

    def sync_soon(self, brand: str) -> None:
        """Have a brand synced soon. That it cannot be asked for loses nothing: the schedule
        comes round."""
        try:
            self.nudge(brand)
        except Exception as error:
            log.warning("sync could not be asked for", brand=brand, why=failure(error))


def registry_of(request: Request) -> Registry:
    """The process's registry."""
    return cast(Registry, request.app.state.registry)


def console_of(request: Request) -> Console:
    """What the console's pages share."""
    return cast(Console, request.app.state.console)
