"""Metrics for Prometheus."""

from __future__ import annotations

import hmac
from datetime import UTC, datetime

from fastapi import APIRouter, Request, Response

from bergen_loop.console.security import LOCAL_HOSTS
from bergen_loop.console.state import registry_of
from bergen_loop.tell.metrics import CONTENT_TYPE, Metrics

_PROXIED = {"forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto",
            "x-real-ip", "cf-connecting-ip", "true-client-ip"}  # fmt: skip
"""Headers by which a proxy shows."""

router = APIRouter(tags=["metrics"])


@router.get("/metrics", response_class=Response)
def metrics(request: Request) -> Response:
    """The page. 403 without the token; where none is set, for everyone but this machine, and for
    everyone once the console is public."""
    if not _allowed(request):
        return Response("metrics need the token of service.metrics.token", 403)
    return Response(_metrics(request).page(), media_type=CONTENT_TYPE)


def _metrics(request: Request) -> Metrics:
    state = request.app.state
    if not hasattr(state, "metrics"):
        registry = registry_of(request)
        state.metrics = Metrics(
            lambda: registry.settings, registry.ledger, lambda: datetime.now(UTC)
        )
    made: Metrics = state.metrics
    return made


def _allowed(request: Request) -> bool:
    token = registry_of(request).settings.service.metrics.token
    if token is not None:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        return hmac.compare_digest(given.encode(), token.get_secret_value().encode())
    # Behind a proxy on this machine everybody would look as if they came from here.
    if registry_of(request).settings.service.public_url or _PROXIED & set(request.headers.keys()):
        return False
    return request.client is not None and request.client.host in LOCAL_HOSTS
