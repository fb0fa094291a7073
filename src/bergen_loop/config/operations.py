"""Alerts, metrics, and events for a brand's own systems."""

from __future__ import annotations

import base64
import binascii
from datetime import timedelta
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from bergen_loop.config.fields import Duration, Model, Secret

LOOPBACK = ("127.0.0.1", "localhost", "::1")

EventType = Literal[
    "return.submitted",
    "return.seen",
    "return.announced",
    "return.received",
    "return.processed",
    "return.flagged",
    "return.rma_closed",
    "return.complete",
    "return.attention",
    "shipment.counted",
    "claim.opened",
    "claim.changed",
    "claim.withdrawn",
]


class AlertSettings(Model):
    """When people are called, and where. How long each cause has to last is set here; the cure
    of each is in the operations guide."""

    urls: list[Secret] = Field(default_factory=list[Secret])
    """Apprise addresses (mail, Slack, Teams, PagerDuty, ...); they hold passwords, so each names
    a secret. None: alerts are only logged and kept."""
    guide: str = "docs/operations.md"
    """Where your people read the operations guide; an alert links to its section there."""
    incident_after: Duration = timedelta(minutes=5)
    """Loop or REX11 has not answered, or refused a brand's access, for so long."""
    attention_older: Duration = timedelta(hours=4)
    """An item of the attention list may wait so long before people are called."""
    sync_stalled: Duration = timedelta(minutes=15)
    """No sync without error for so long (for a brand polled more rarely: three polls)."""
    budget_share: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Share of Loop's calls a minute in use ..."""
    budget_for: Duration = timedelta(minutes=10)
    """... for so long."""
    events_failing: Duration = timedelta(hours=1)
    """A brand's own endpoint has taken no event for so long."""
    flag_rate: bool = True
    """Whether an unusual share of flagged returns is told."""


class CallSettings(Model):
    """The log of calls to Loop and REX11, for people."""

    keep: Duration = timedelta(days=14)
    """How long a call can be looked at; 0: none is kept."""
    bodies: bool = True
    """Whether what was said is kept too (at most 4,000 characters each way, without secrets and
    e-mail addresses): of calls that change something, and of those that failed."""
    routine: bool = False
    """Whether the looks that every tick takes are kept too, and not only counted."""


class WeeklySettings(Model):
    """A brand's week, told to its people by mail or chat."""

    urls: Annotated[list[Secret], Field(min_length=1)]
    """Apprise addresses, each the name of a secret: see `service.alerts.urls`."""
    weekday: Annotated[int, Field(ge=0, le=6)] = 0
    """0: Monday."""
    hour: Annotated[int, Field(ge=0, le=23)] = 6
    """From this hour of that day on (UTC)."""


class EventSettings(Model):
    """Where a brand is told of its returns' moments (Standard Webhooks)."""

    url: str
    """The brand's own https address; only one that is public is called."""
    secret: Secret
    """`whsec_` and base64 of 24 to 64 random bytes; the receiver checks signatures with it."""
    moments: list[EventType] | None = None
    """Only these; left out: all."""
    allow_loopback: bool = False
    """Only for trying it out: take plain http on this machine."""
    timeout: Duration = timedelta(seconds=10)
    """How long its answer may take."""

    @field_validator("secret")
    @classmethod
    def _key(cls, value: SecretStr) -> SecretStr:
        text = value.get_secret_value().removeprefix("whsec_")
        try:
            key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("must be base64, with or without whsec_ before it") from None
        if not 24 <= len(key) <= 64:
            raise ValueError("must be base64 of 24 to 64 bytes: openssl rand -base64 32")
        return value

    @model_validator(mode="after")
    def _safe(self) -> Self:
        try:
            parts = urlsplit(self.url)
            host, _ = parts.hostname, parts.port
        except ValueError:
            raise ValueError("url is no web address") from None
        loopback = self.allow_loopback and host in LOOPBACK
        if not host or parts.username or not (parts.scheme == "https" or loopback):
            raise ValueError("url must be a full https:// address without a user name")
        return self


class MetricsSettings(Model):
    """Who may read /metrics."""

    token: Secret | None = None
    """Prometheus sends it as `Authorization: Bearer ...`. Without one, /metrics answers this
    machine only."""
