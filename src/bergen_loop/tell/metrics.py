"""The metrics page for Prometheus. Every name is listed in the operations guide."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bergen_loop.config import BrandSettings, Settings
from bergen_loop.domain.returns import GOING_ON, Moment
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.read.snapshot import BrandFigures, Snapshot, Snapshots
from bergen_loop.ledger.store import calls, modes
from bergen_loop.tell.calls import call_name, time_name

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
WEBHOOKS = ("taken", "refused", "unreadable")
_STEP = re.compile(r"([a-z_]+)\.failed$")


class Metrics:
    """The metrics of this installation: the same from each of its processes."""

    def __init__(
        self, settings: Callable[[], Settings], ledger: Ledger, now: Callable[[], datetime]
    ) -> None:
        """`settings`: those of now."""
        self._snapshots = Snapshots(ledger, lambda: list(settings().brands), now)
        self._registry = CollectorRegistry()
        self._registry.register(_Ledger(settings, self._snapshots))

    def page(self) -> bytes:
        """The page, in Prometheus's text format."""
        return generate_latest(self._registry)


@dataclass(slots=True, eq=False)
class _Ledger(Collector):
    settings: Callable[[], Settings]
    snapshots: Snapshots

    def collect(self) -> Iterable[Metric]:
        snapshot = self.snapshots.get()
        yield from _returns(snapshot)
        yield from _ages(snapshot)
        yield from _syncs(snapshot, self.settings())
        yield from _counters(snapshot)
        yield from _calls(snapshot)
        yield from _budget(snapshot, self.settings())
        yield from _events(snapshot)
        yield _alerts(snapshot)
        took = _gauge("snapshot_seconds", "How long the latest look into the ledger took", [])
        took.add_metric([], self.snapshots.seconds)
        yield took


def _gauge(name: str, text: str, labels: list[str]) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"bergen_loop_{name}", text, labels=labels)


def _counter(name: str, text: str, labels: list[str]) -> CounterMetricFamily:
    return CounterMetricFamily(f"bergen_loop_{name}", text, labels=labels)


def _returns(snapshot: Snapshot) -> Iterable[Metric]:
    stages = _gauge("returns", "Returns in each stage that is not an end", ["brand", "stage"])
    backlog = _gauge("backlog", "Returns that a flow should have looked at by now", ["brand"])
    held = _gauge("held", "Returns at work that an attention item holds", ["brand"])
    attention = _gauge("attention", "Open attention items", ["brand"])
    for brand, one in snapshot.brands.items():
        for stage in GOING_ON:
            stages.add_metric([brand, stage.value], one.stages.get(stage, 0))
        backlog.add_metric([brand], one.due)
        held.add_metric([brand], one.held)
        attention.add_metric([brand], one.attention)
    return stages, backlog, held, attention


_AGES: dict[str, tuple[str, Callable[[BrandFigures], datetime | None]]] = {
    "oldest_unannounced_age_seconds": (
        "Age of the oldest return that is due for an RMA and has none; 0: none",
        lambda one: one.oldest_unannounced,
    ),
    "oldest_unsettled_age_seconds": (
        "Since when the oldest receipt waits to be judged and settled; 0: none",
        lambda one: one.oldest_unsettled,
    ),
    "oldest_attention_age_seconds": (
        "Age of the oldest open attention item; 0: none",
        lambda one: one.oldest_attention,
    ),
    "oldest_event_age_seconds": (
        "Age of the oldest event that the brand's endpoint has not taken; 0: none",
        lambda one: one.oldest_event,
    ),
}


def _ages(snapshot: Snapshot) -> Iterable[Metric]:
    for name, (text, of) in _AGES.items():
        family = _gauge(name, text, ["brand"])
        for brand, one in snapshot.brands.items():
            since = of(one)
            age = (snapshot.at - since).total_seconds() if since else 0.0
            family.add_metric([brand], max(0.0, age))
        yield family


def _syncs(snapshot: Snapshot, settings: Settings) -> Iterable[Metric]:
    last = _gauge("sync_age_seconds", "Since when the last sync ended", ["brand"])
    good = _gauge(
        "sync_success_age_seconds", "Since when the last sync without an error ended", ["brand"]
    )
    for brand, one in snapshot.brands.items():
        for family, at in ((last, one.last_sync), (good, one.last_good_sync)):
            if at is not None:
                family.add_metric([brand], max(0.0, (snapshot.at - at).total_seconds()))
    held = _gauge(
        "suspended",
        "1: this system, or call of it, is not called for the brand now",
        ["brand", "system", "call"],
    )
    paused = _gauge("paused", "1: nothing is done for the brand, until a person says so", ["brand"])
    for brand, one in snapshot.brands.items():
        for name in one.suspended:
            system, _, call = name.partition(":")
            held.add_metric([brand, system, call], 1)
        configured = settings.brands[brand].mode if brand in settings.brands else modes.LIVE
        paused.add_metric([brand], float((one.mode or configured) == modes.PAUSED))
    return last, good, held, paused


def _counters(snapshot: Snapshot) -> Iterable[Metric]:
    moments = _counter("moments", "Returns that reached each moment", ["brand", "moment", "title"])
    decisions = _counter("decisions", "Decisions by outcome", ["brand", "outcome", "how"])
    raised = _counter("attention_raised", "Attention items raised", ["brand", "kind"])
    errors = _counter("step_errors", "Steps of a sync that ended with an error", ["brand", "step"])
    webhooks = _counter("webhooks", "Webhook deliveries from Loop", ["brand", "result"])
    for brand, one in snapshot.brands.items():
        for moment in Moment:
            value = one.counters.get(f"moment:{moment.value}", 0)
            moments.add_metric([brand, str(moment.value), moment.title], value)
        for result in WEBHOOKS:
            webhooks.add_metric([brand, result], one.counters.get(f"webhooks.{result}", 0))
        for name, value in sorted(one.counters.items()):
            kind, _, rest = name.partition(":")
            step = _STEP.match(name)
            if kind == "decision":
                how, _, outcome = rest.partition(":")
                decisions.add_metric([brand, outcome, how], value)
            elif kind == "attention":
                raised.add_metric([brand, rest], value)
            elif step:
                errors.add_metric([brand, step[1]], value)
    return moments, decisions, raised, errors, webhooks


def _calls(snapshot: Snapshot) -> Iterable[Metric]:
    labels = ["brand", "system", "call"]
    calls = _counter("calls", "Calls to Loop and REX11 by outcome", [*labels, "outcome"])
    seconds = _counter("call_seconds", "Seconds spent in calls to Loop and REX11", labels)
    for brand, one in snapshot.brands.items():
        for counter, value in sorted(one.counters.items()):
            name, timed = call_name(counter), time_name(counter)
            if name:
                calls.add_metric([brand, name.system, name.call, name.outcome], value)
            elif timed:
                seconds.add_metric([brand, *timed], value / 1000)
    return calls, seconds


def _budget(snapshot: Snapshot, settings: Settings) -> Iterable[Metric]:
    used = _gauge("loop_budget_used", "Calls that count against Loop's limit now", ["brand"])
    limit = _gauge("loop_budget_limit", "Calls a minute that may be made to Loop", ["brand"])
    for brand, one in settings.brands.items():
        used.add_metric([brand], budget_used(snapshot.budgets, one))
        limit.add_metric([brand], one.loop.calls_per_minute)
    return used, limit


def budget_used(budgets: Mapping[str, int], brand: BrandSettings) -> int:
    """Calls of the brand's Loop key that count against its limit now, in all processes."""
    key = brand.loop.api_key.get_secret_value()
    return budgets.get(calls.key_hash(key), 0)


def _events(snapshot: Snapshot) -> Iterable[Metric]:
    pending = _gauge("events_pending", "Events that the brand's endpoint has to take", ["brand"])
    for brand, one in snapshot.brands.items():
        pending.add_metric([brand], one.events_pending)
    yield pending


def _alerts(snapshot: Snapshot) -> Metric:
    family = _gauge("alerts", "Open alerts that people have been told of", ["kind", "brand"])
    for (kind, brand), number in sorted(snapshot.alerts.items()):
        family.add_metric([kind, brand], number)
    return family
