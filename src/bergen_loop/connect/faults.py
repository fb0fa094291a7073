"""Errors of both systems as findings: what is wrong, and what to ask of whom."""

from __future__ import annotations

from bergen_loop.connect.check import Check, Status
from bergen_loop.outside.errors import (
    NotFound,
    OutsideError,
    RateLimited,
    Unauthorized,
    Unavailable,
    Unreadable,
)


def loop_fault(name: str, error: OutsideError, scope: str) -> Check:
    """A refused or failed call to Loop. `scope` is the one the call needs."""
    status = f" (HTTP {error.status})" if error.status else ""
    if isinstance(error, Unauthorized):
        return Check(
            name,
            Status.FAILED,
            f"Loop refuses the API key for this{status}",
            "Ask the brand's Loop admin for an API key with the scopes Returns and Developer "
            f"Tools, and copy it whole. Either the key is wrong, or it lacks the scope {scope}; "
            "Loop does not say which",
        )
    if isinstance(error, RateLimited):
        return Check(
            name,
            Status.UNKNOWN,
            f"Loop says there were too many calls with this key{status}",
            "Run this again in a minute. If it stays so, ask the brand's Loop admin for an API "
            "key that nothing else uses",
        )
    if isinstance(error, Unavailable):
        return Check(
            name,
            Status.FAILED,
            f"Loop gives no answer: {error.message}",
            "Check loop.base_url, and ask Bergen's network people whether this machine may reach "
            "it; if it may, ask Loop support whether their API is up",
        )
    if isinstance(error, (NotFound, Unreadable)):
        return Check(
            name,
            Status.FAILED,
            f"what answers there does not look like Loop's API{status}: {error.message}",
            "Check loop.base_url and loop.version; if both are right, ask Loop support",
        )
    return Check(
        name, Status.FAILED, f"Loop refuses{status}: {error.message}", "Ask Loop support about it"
    )


def rex11_fault(name: str, error: OutsideError) -> Check:
    """A refused or failed call to REX11."""
    if isinstance(error, Unauthorized):
        return Check(
            name,
            Status.FAILED,
            "REX11 refuses WebAddress, UserName and Password; it does not say which is wrong",
            "Ask Bergen (who gives out REX11's web service accounts) for this brand's three values",
        )
    if isinstance(error, Unavailable):
        return Check(
            name,
            Status.FAILED,
            f"REX11 gives no answer: {error.message}",
            "Check rex11.endpoint, and ask Bergen's network people whether this machine may reach "
            "it; if it may, ask Bergen's REX11 team whether the service is up",
        )
    if isinstance(error, Unreadable):
        return Check(
            name,
            Status.FAILED,
            f"what answers there does not look like REX11: {error.message}",
            "Check rex11.endpoint with Bergen's REX11 team",
        )
    return Check(
        name,
        Status.FAILED,
        f"REX11 refuses: {error.message}",
        f"Ask Bergen's REX11 team what this means: {error.call}",
    )
