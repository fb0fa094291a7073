"""How people sign in to the console."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, field_validator

from bergen_loop.config.fields import Duration, HttpUrl, Model, Secret
from bergen_loop.ledger.read.people import Role


class GroupAccess(Model):
    """What the members of a group at the OpenID provider may do."""

    role: Role
    """What its members may: see docs/console.md."""
    brands: list[str] | None = None
    """Brands they may see; left out: all."""


class OidcSettings(Model):
    """Sign-in at an OpenID Connect provider."""

    issuer: HttpUrl
    """The provider's address, exactly as it calls itself."""
    client_id: str
    """By which it knows this service."""
    client_secret: Secret
    """What this service proves that with."""
    label: str = "Single sign-on"
    """What the button says."""
    scope: str = "openid email profile"
    """What the provider is asked for, with `openid` in it."""
    groups_claim: str = "groups"
    """The claim that lists a person's groups."""
    groups: dict[str, GroupAccess] = Field(default_factory=dict[str, GroupAccess])
    """Group -> access. Of several groups the first in this list counts."""
    default: GroupAccess | None = None
    """For people in none of the groups; left out: they may not sign in."""

    @field_validator("scope")
    @classmethod
    def _openid(cls, value: str) -> str:
        if "openid" not in value.split():
            raise ValueError("must hold openid")
        return value


class AuthSettings(Model):
    """Sessions, and where people sign in besides the console itself."""

    session_idle: Duration = timedelta(hours=2)
    """A session ends when it was not used for so long."""
    session_max: Duration = timedelta(hours=12)
    """It ends after so long in any case."""
    password_length: Annotated[int, Field(ge=8, le=128)] = 12
    """Characters a password has at least."""
    breached_passwords: str | None = None
    """A file of SHA-1 hashes of passwords that are known from breaches: hexadecimal, one a line,
    sorted, a count behind a colon or not, as Have I Been Pwned gives them away. Beside the
    configuration file, or anywhere. A new password that is in it is refused; left out: only those
    that are guessed early are."""
    second_factor: Literal["optional", "required"] = "optional"
    """required: whoever signs in by password and may act on returns or manage accounts sets up
    an app that shows codes before anything else. Accounts at the OpenID provider have its own."""
    oidc: OidcSettings | None = None
    """Sign-in at an OpenID Connect provider; left out: by password here."""
