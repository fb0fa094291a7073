"""Traces: a tick, its steps, the calls inside them; and nothing at all while it is off."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator

import pytest
import structlog
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from bergen_loop.flow import tick
from bergen_loop.flow.context import BrandContext
from bergen_loop.service.wiring import connect
from bergen_loop.tell import tracing
from support.worlds import World


@pytest.fixture
def spans() -> Generator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.use(provider.get_tracer("test"))
    yield exporter
    tracing.use(None)


@pytest.fixture
def connected(world: World, ctx: BrandContext) -> BrandContext:
    """As the service connects it, with its hooks."""
    from pathlib import Path

    made = connect(ctx.brand, ctx.settings, ctx.ledger, Path())
    made.now = world.now
    return made


def by_name(exporter: InMemorySpanExporter) -> dict[str, list[ReadableSpan]]:
    found: dict[str, list[ReadableSpan]] = {}
    for span in exporter.get_finished_spans():
        found.setdefault(span.name, []).append(span)
    return found


def test_calls_are_in_steps_and_steps_in_ticks(
    world: World, connected: BrandContext, spans: InMemorySpanExporter
) -> None:
    for _ in range(3):  # calls of several threads at once
        world.new_return(connected.brand, units=1, late_label=False)
    tick.run(connected)
    tick.run(connected)
    found = by_name(spans)
    assert len(found["tick"]) == 2
    ticks = {s.context.span_id for s in found["tick"] if s.context}
    steps = found["step announce"]
    assert {s.parent.span_id for s in steps if s.parent} == ticks
    announce = {s.context.span_id for s in steps if s.context}
    adds = found["rex11 ReceivingTicketAdd"]
    assert len(adds) == 3
    for span in adds:
        assert span.parent is not None
        assert span.parent.span_id in announce
        assert span.attributes is not None
        assert span.attributes["brand"] == connected.brand
        assert str(span.attributes["rex11.subject"]).startswith("LR-")
        assert span.end_time is not None
        assert span.start_time is not None
        assert span.end_time > span.start_time


def test_a_failed_call_is_marked(
    world: World, connected: BrandContext, spans: InMemorySpanExporter
) -> None:
    world.fault("rex11", "reset_before", operation="ReceivingTicketAdd", nth=1)
    world.new_return(connected.brand, units=1, late_label=False)
    tick.run(connected)
    tick.run(connected)
    failed = [s for s in by_name(spans)["rex11 ReceivingTicketAdd"] if not s.status.is_ok]
    assert [s.status.description for s in failed] == ["OutcomeUnknown"]


def test_what_others_say_in_an_exception_is_not_sent(spans: InMemorySpanExporter) -> None:
    """A driver's words quote what was to be written, a library's what a peer said."""
    with pytest.raises(RuntimeError), tracing.span("step x"):
        raise RuntimeError("jo@shop.example, token tok-1")
    (span,) = by_name(spans)["step x"]
    assert (span.status.is_ok, span.status.description, span.events) == (False, "RuntimeError", ())
    assert "tok-1" not in span.to_json()


def test_log_lines_of_other_threads_know_their_brand_and_step(
    world: World, ctx: BrandContext
) -> None:
    def look(_: int) -> object:
        return structlog.contextvars.get_contextvars().get("step")

    with structlog.contextvars.bound_contextvars(step="announce"):
        assert ctx.in_parallel(look, [1, 2, 3]) == ["announce"] * 3


def test_it_is_off_unless_the_environment_names_where_to() -> None:
    assert tracing.configure({}) is False
    named = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}
    assert tracing.configure(named) is False
    assert tracing.span("a") is tracing.span("b"), "nothing is made"


def test_it_is_on_where_the_environment_says_so_and_costs_nothing_where_not() -> None:
    code = (
        "import sys; from bergen_loop.tell import tracing; on = tracing.configure();"
        "print(on, 'opentelemetry.sdk.trace' in sys.modules)"
    )
    for environment, expected in (
        ({}, "False False"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, "True True"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True, text=True, check=True, env=environment,
        )  # fmt: skip
        assert done.stdout.strip() == expected, done.stderr
