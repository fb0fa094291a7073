"""OpenTelemetry traces: a span per tick, per step and per outside call.

Off unless the environment names where traces go (OTEL_EXPORTER_OTLP_ENDPOINT or
OTEL_EXPORTER_OTLP_TRACES_ENDPOINT); while it is off, nothing of OpenTelemetry's SDK is loaded
and a span costs a look at one variable.
"""

from __future__ import annotations

import contextlib
import contextvars
import os
from collections.abc import Callable, Generator, Mapping
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from bergen_loop.text import failure

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

A = TypeVar("A")

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
SERVICE = "bergen-loop"

Attributes = Mapping[str, str | int | float | bool | None]

_tracer: Tracer | None = None


def configure(environment: Mapping[str, str] = os.environ) -> bool:
    """Start tracing if the environment asks for it; whether it did. What else the exporter
    needs (headers, certificates, sampling) it reads from OpenTelemetry's own variables."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    if not any(environment.get(name) for name in ENDPOINTS):
        return False
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    name = environment.get("OTEL_SERVICE_NAME") or SERVICE
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    use(provider.get_tracer("bergen_loop"))
    return True


def use(tracer: Tracer | None) -> None:
    """Set, or with None take away, what spans are made with."""
    global _tracer
    _tracer = tracer


def span(
    name: str, attributes: Attributes | None = None
) -> contextlib.AbstractContextManager[object]:
    """A span around a block. An exception that leaves the block is noted on it, as far as it may
    be told: its own words may quote a peer, a database or a customer."""
    return _NOTHING if _tracer is None else _around(_tracer, name, attributes or {})


@contextlib.contextmanager
def _around(tracer: Tracer, name: str, attributes: Attributes) -> Generator[None]:
    from opentelemetry.trace import Status, StatusCode

    with tracer.start_as_current_span(
        name, attributes=_known(attributes), record_exception=False, set_status_on_exception=False
    ) as made:
        try:
            yield
        except BaseException as error:
            made.set_status(Status(StatusCode.ERROR, failure(error)))
            raise


def past_span(
    name: str, started: datetime, seconds: float, attributes: Attributes, error: str | None
) -> None:
    """A span of something that is over, below the current one. `started` is aware."""
    if _tracer is None:
        return
    from opentelemetry.trace import SpanKind, Status, StatusCode

    begin = int(started.timestamp() * 1e9)
    made = _tracer.start_span(
        name, kind=SpanKind.CLIENT, start_time=begin, attributes=_known(attributes)
    )
    if error is not None:
        made.set_status(Status(StatusCode.ERROR, error))
    made.end(end_time=begin + int(seconds * 1e9))


def carried(work: Callable[[], A]) -> Callable[[], A]:
    """`work`, to be run in another thread as if in this one: spans find their parent, and log
    lines their brand and step."""
    return partial(contextvars.copy_context().run, work)


def _known(attributes: Attributes) -> dict[str, str | int | float | bool]:
    return {k: v for k, v in attributes.items() if v is not None}


_NOTHING = contextlib.nullcontext()
