"""The causes for which people are called, each found in the figures of the metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bergen_loop.config import BrandSettings, Settings
from bergen_loop.ledger.database import Session
from bergen_loop.ledger.read import deliveries, figures
from bergen_loop.ledger.read.snapshot import BrandFigures, Snapshot
from bergen_loop.ledger.store import modes, returns
from bergen_loop.ledger.tables.operations import EndpointRow
from bergen_loop.tell import standing
from bergen_loop.tell.metrics import budget_used
from bergen_loop.tell.rates import TRAILING, Band, DayCount, flag_band
from bergen_loop.tell.standing import Cause, held_back

DAY = timedelta(days=1)
CRITICAL, WARNING = "critical", "warning"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of alert. Its name is also its section in the operations guide."""

    name: str
    title: str
    severity: str
    """critical: returns stand still; warning: it can wait for the morning."""
    path: str
    """The console's page that shows it."""


UNREACHABLE = Kind("system-unreachable", "A system does not answer", CRITICAL, "/incidents")
REFUSED = Kind("access-refused", "A system refuses brands' access", WARNING, "/incidents")
ATTENTION = Kind("attention-waiting", "Attention items wait too long", WARNING, "/attention")
STALLED = Kind("sync-stalled", "A brand is not synced", CRITICAL, "/")
BUDGET = Kind("loop-budget", "Loop's call budget is nearly used up", WARNING, "/")
FLAGS = Kind("flag-rate", "An unusual share of returns is flagged", WARNING, "/trends")
EVENTS = Kind("events-failing", "A brand's own endpoint takes no events", WARNING, "/deliveries")
KINDS = (UNREACHABLE, REFUSED, ATTENTION, STALLED, BUDGET, FLAGS, EVENTS)
INCIDENTS = (UNREACHABLE, REFUSED)


@dataclass(frozen=True, slots=True)
class Finding:
    """A cause that is there now."""

    kind: Kind
    brand: str | None
    """None: of several brands at once."""
    detail: str
    """A sentence with the figures."""
    hold: timedelta = timedelta(0)
    """How long it has to be there before anybody is told."""
    subject: str = ""
    """What it is known by, if not by its brand: the system, of an incident."""
    brands: Sequence[str] = field(default_factory=tuple[str, ...])
    """Of an incident: all it stops."""

    @property
    def key(self) -> str:
        return self.subject or self.brand or ""


@dataclass(frozen=True, slots=True)
class Look:
    """What the rules judge."""

    settings: Settings
    snapshot: Snapshot
    paused: frozenset[str]
    endpoints: Mapping[str, EndpointRow]
    started: Mapping[str, datetime]
    """Since when each brand could have been synced by this installation."""
    held_back: Sequence[Cause]
    """The systems that do not answer, or refuse brands calls."""


def look(session: Session, settings: Settings, snapshot: Snapshot) -> Look:
    """Read what the figures do not have."""
    rows = returns.brand_rows(session)
    return Look(
        settings=settings,
        snapshot=snapshot,
        paused=frozenset(
            brand
            for brand, one in settings.brands.items()
            if modes.effective(rows.get(brand), one.mode) == modes.PAUSED
        ),
        endpoints=deliveries.endpoints(session),
        held_back=held_back(session, settings, list(settings.brands), snapshot.at),
        started={
            brand: row.last_sync_started_at
            for brand, row in rows.items()
            if row.last_sync_started_at is not None
        },
    )


def findings(seen: Look) -> list[Finding]:
    """Everything that is wrong now, as far as the cheap rules tell."""
    found = list(_incidents(seen))
    for brand, settings in seen.settings.brands.items():
        if brand in seen.paused:
            continue
        for rule in _RULES:
            found.extend(rule(seen, brand, settings, seen.snapshot.brands[brand]))
    return found


def _incidents(seen: Look) -> Iterable[Finding]:
    """A system that answers nobody is one alert, however many brands it stops."""
    after = seen.settings.service.alerts.incident_after
    for cause in seen.held_back:
        if cause.since is None or seen.snapshot.at - cause.since < after:
            continue
        yield Finding(
            REFUSED if cause.kind == standing.REFUSED else UNREACHABLE,
            None,
            cause.sentence(seen.snapshot.at),
            subject=cause.system,
            brands=cause.brands,
        )


def _attention(
    seen: Look, brand: str, _settings: BrandSettings, one: BrandFigures
) -> Iterable[Finding]:
    limit = seen.settings.service.alerts.attention_older
    if one.oldest_attention and seen.snapshot.at - one.oldest_attention > limit:
        age = _hours(seen.snapshot.at - one.oldest_attention)
        yield Finding(ATTENTION, brand, f"{one.attention} open item(s), the oldest {age} old")


def _stalled(
    seen: Look, brand: str, settings: BrandSettings, one: BrandFigures
) -> Iterable[Finding]:
    limit = max(seen.settings.service.alerts.sync_stalled, 3 * settings.poll)
    if any(c.kind == standing.UNREACHABLE and brand in c.brands for c in seen.held_back):
        return  # that is told, once for all brands
    since = one.last_good_sync or seen.started.get(brand)
    if since is None:
        yield Finding(STALLED, brand, "never synced", hold=limit)
        return
    if seen.snapshot.at - since <= limit:
        return
    what = "no sync without error" if one.last_good_sync else "not one sync without error"
    yield Finding(STALLED, brand, f"{what} for {_hours(seen.snapshot.at - since)}")


def _budget(
    seen: Look, brand: str, settings: BrandSettings, _one: BrandFigures
) -> Iterable[Finding]:
    alerts, limit = seen.settings.service.alerts, settings.loop.calls_per_minute
    used = budget_used(seen.snapshot.budgets, settings)
    if used >= alerts.budget_share * limit:
        yield Finding(
            BUDGET, brand, f"{used} of {limit} calls a minute are in use", alerts.budget_for
        )


def _events(
    seen: Look, brand: str, settings: BrandSettings, one: BrandFigures
) -> Iterable[Finding]:
    row = seen.endpoints.get(brand)
    if settings.events is None or row is None or row.failing_since is None:
        return
    lasting = seen.snapshot.at - row.failing_since
    if lasting > seen.settings.service.alerts.events_failing:
        yield Finding(
            EVENTS,
            brand,
            f"for {_hours(lasting)}; {one.events_pending} event(s) wait; last: {row.last_error}",
        )


Rule = Callable[[Look, str, BrandSettings, BrandFigures], Iterable[Finding]]
_RULES: tuple[Rule, ...] = (_attention, _stalled, _budget, _events)


def flag_rate(session: Session, brand: str, now: datetime) -> Finding | None:
    """Whether the brand's share of flags is out of its band. 29 counts within an index."""
    days = [_day(session, brand, now - DAY * n) for n in range(TRAILING + 1)]
    band = flag_band(days[0], days[1:])
    if band is None or not band.outside:
        return None
    return Finding(FLAGS, brand, _words(band, days[0]))


def _day(session: Session, brand: str, until: datetime) -> DayCount:
    return DayCount(*figures.decided(session, brand, until - DAY, until))


def _words(band: Band, day: DayCount) -> str:
    return (
        f"{day.flagged} of {day.decided} returns ({band.rate:.0%}) were flagged in the last day; "
        f"usual is {band.usual:.0%} ({band.low:.0%} to {band.high:.0%})"
    )


def _hours(age: timedelta) -> str:
    minutes = round(age.total_seconds() / 60)
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 2880 else f"{minutes // 1440} days"
