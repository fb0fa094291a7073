"""How the console shows things, and what programs may ask of it."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from bergen_loop.config.fields import Model, Zone


class ConsoleSettings(Model):
    """Times, and links into the two systems. Their addresses are not public knowledge: a link
    that is not set is not shown."""

    time_zone: Zone = "America/New_York"
    """In which times are shown, and where a day begins."""
    loop_return_url: str | None = None
    """A return in Loop's admin, such as https://loop.example/returns/{return_id}; may hold
    {return_id}, {order_id}, {order_name} and {brand}."""
    rex11_ticket_url: str | None = None
    """A ticket in REX11; may hold {ticket_id}, {customer_po} and {brand}."""

    @field_validator("loop_return_url")
    @classmethod
    def _loop(cls, value: str | None) -> str | None:
        return _template(value, "return_id", "order_id", "order_name", "brand")

    @field_validator("rex11_ticket_url")
    @classmethod
    def _rex11(cls, value: str | None) -> str | None:
        return _template(value, "ticket_id", "customer_po", "brand")


class ApiSettings(Model):
    """The API for programs."""

    calls_per_minute: Annotated[int, Field(ge=1, le=100_000)] = 600
    """How often each token may call; each process of the service counts for itself."""


def _template(value: str | None, *names: str) -> str | None:
    if value is None:
        return None
    try:
        example = value.format(**dict.fromkeys(names, "1"))
    except (KeyError, IndexError, ValueError, AttributeError):
        allowed = ", ".join(f"{{{n}}}" for n in names)
        raise ValueError(f"may hold {allowed} only") from None
    parts = urlsplit(example)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise ValueError("must be a full https:// URL")
    return value
