"""What the fields of the configuration file may hold: durations, secrets, addresses, zones."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    SecretStr,
    ValidationInfo,
)
from pydantic_core import PydanticCustomError

from bergen_loop.secrets import SecretError, SecretStores
from bergen_loop.secrets.stores import EXAMPLES


class Model(BaseModel):
    """Every block of the file: unknown fields are mistakes, values never show in messages."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


IN_USE = "in use"
"""In a validation's context: the settings have been in use since an earlier release."""


def _duration(value: object, info: ValidationInfo) -> object:
    """`30s`, `15m`, `12h`, `14d` or `2w` as a timedelta. A number alone is refused: `365` was meant
    in days where it was read as seconds. In settings that are in use it stays what it was."""
    if isinstance(value, timedelta):
        return value
    in_use = bool(info.context and info.context.get(IN_USE))
    if in_use and isinstance(value, int | float) and not isinstance(value, bool):
        return timedelta(seconds=value)
    if isinstance(value, str) and value and value[-1] in _UNITS:
        try:
            return timedelta(seconds=float(value[:-1]) * _UNITS[value[-1]])
        except ValueError:
            pass
    raise ValueError(f"{value!r} is no duration; write it like 30s, 15m, 12h, 14d or 2w")


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def _not_negative(value: timedelta) -> timedelta:
    if value < timedelta(0):
        raise ValueError("a duration cannot be negative")
    return value


Duration = Annotated[timedelta, BeforeValidator(_duration), AfterValidator(_not_negative)]


def _a_day(value: timedelta) -> timedelta:
    if value < timedelta(days=1):
        raise ValueError("is less than a day: customers' data would be gone before anybody looks")
    return value


Days = Annotated[Duration, AfterValidator(_a_day)]


def _resolve_secret(value: object, info: ValidationInfo) -> object:
    """A reference becomes its secret, read from the stores in the validation's context."""
    if isinstance(value, SecretStr):
        return value
    try:
        if not isinstance(value, str):
            raise SecretError("a secret is named by a text", f"write {EXAMPLES}")
        context: dict[str, SecretStores] = info.context or {}
        return SecretStr((context.get("stores") or SecretStores()).get(value))
    except SecretError as error:
        parts = {"message": error.message, "fix": error.fix}
        raise PydanticCustomError("secret", "{message}", parts) from None


Secret = Annotated[SecretStr, BeforeValidator(_resolve_secret)]


def _http_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise ValueError("must be a full https:// URL")
    if parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise ValueError("must be https: credentials would travel in the clear")
    return value.rstrip("/")


HttpUrl = Annotated[str, AfterValidator(_http_url)]


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{value!r} is no time zone name such as America/New_York") from None
    return value


Zone = Annotated[str, AfterValidator(_zone)]
