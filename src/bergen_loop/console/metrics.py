"""Metrics for Prometheus."""

from __future__ import annotations

import hmac
from datetime import UTC, datetime

from fastapi import APIRouter, Request, Response

from bergen_loop.console.security import LOCAL_HOSTS
from bergen_loop.console.state import registry_of
from bergen_loop.tell.metrics import CONTENT_TYPE, Metrics

router = APIRouter(tags=["metrics"])


@router.get("/metrics", response_class=Response)
def metrics(request: Request) -> Response:
    """The page. 403 without the token; where none is set, for everyone but this machine."""
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
    proxied = any(name in request.headers for name in ("x-forwarded-for", "forwarded"))
    return not proxied and request.client is not None and request.client.host in LOCAL_HOSTS
