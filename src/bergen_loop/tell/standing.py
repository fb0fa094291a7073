"""How every brand stands, and what is wrong, by cause: one incident is one cause, however many
brands it stops. The console's banner, `bergen-loop status` and the alerts all say this."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo

from bergen_loop.config import Settings
from bergen_loop.ledger.database import Session
from bergen_loop.ledger.read import snapshot, views
from bergen_loop.ledger.read.incidents import Incident, incidents, sync_times, waiting_returns
from bergen_loop.ledger.store import cursors, modes, returns
from bergen_loop.ledger.store.cursors import Backfill
from bergen_loop.ledger.store.workers import workers
from bergen_loop.outside.breaker import TITLES

NAMED = 3
"""So many brands are called by name in a sentence about several."""
FAILING, NEEDS, WELL, OFF = range(4)
"""How brands are ordered."""
UNREACHABLE, REFUSED = "unreachable", "refused"
NEVER_SYNCED, STEP_FAILING, STALLED = "never_synced", "failing", "stalled"


@dataclass(slots=True)
class Standing:
    """A brand at a glance. `waiting` are the returns that a flow should have looked at by now."""

    brand: str
    mode: str
    open: int
    waiting: int
    attention: int
    last_sync_at: datetime | None
    last_good_sync_at: datetime | None
    last_sync_ok: bool | None
    last_sync_error: str | None
    stages: dict[str, int]
    counters: dict[str, int]
    history: Backfill | None
    rank: int = WELL
    wrong: str = ""
    """In plain words; empty where nothing is."""


@dataclass(slots=True)
class Cause:
    """What is wrong with some brands."""

    kind: str
    """unreachable, refused, never_synced, failing or stalled."""
    brands: list[str]
    what: str
    """Of a system: `REX11`; else what is wrong, in words."""
    calls: tuple[str, ...] = ()
    """Those that are refused."""
    since: datetime | None = None
    next_try: datetime | None = None
    waiting: int = 0
    system: str = ""
    """`loop` or `rex11`, where the cause is one of them."""
    of: int = 0
    """How many brands were looked at."""

    def sentence(self, now: datetime, zone: tzinfo = UTC) -> str:
        """`REX11 unreachable for 12 of 40 brands since 11:36; 41 returns wait; next try 11:52`."""
        if not self.system:
            return f"{named(self.brands)}: {self.what}"
        of = named(self.brands, self.of)
        what = (
            f"{self.what} refuses access ({', '.join(self.calls)}) for {of}"
            if self.kind == REFUSED
            else f"{self.what} unreachable for {of}"
        )
        due = self.next_try is None or self.next_try <= now
        parts = [f"{what} since {clock_time(self.since, now, zone)}"]
        parts += [_returns(self.waiting)] if self.waiting else []
        parts.append("next try now" if due else f"next try {clock_time(self.next_try, now, zone)}")
        return "; ".join(parts)


@dataclass(slots=True)
class Overview:
    """All brands at one time: those with something wrong first."""

    at: datetime
    brands: list[Standing]
    causes: list[Cause] = field(default_factory=list[Cause])


def take(session: Session, settings: Settings, names: Sequence[str], now: datetime) -> Overview:
    """How these brands stand now."""
    taken = snapshot.take(session, names, now)
    rows = returns.brand_rows(session)
    pulls = cursors.pulls_under_way(session, list(names), now)
    stages = views.stage_counts(session)
    found: list[Standing] = []
    for name in names:
        one, row = taken.brands[name], rows.get(name)
        found.append(
            Standing(
                brand=name,
                mode=modes.effective(row, settings.brands[name].mode),
                open=sum(one.stages.values()),
                waiting=one.due,
                attention=one.attention,
                last_sync_at=row.last_sync_finished_at if row else None,
                last_good_sync_at=row.last_good_sync_at if row else None,
                last_sync_ok=row.last_sync_ok if row else None,
                last_sync_error=row.last_sync_error if row else None,
                stages=stages.get(name, {}),
                counters=one.counters,
                history=pulls.get(name),
            )
        )
    overview = Overview(now, found)
    held_back = incidents(session, [b.brand for b in found if b.mode != modes.PAUSED])
    _judge(overview, held_back, settings)
    overview.causes = _causes(overview, held_back, service_words(session, settings))
    overview.brands.sort(key=lambda b: (b.rank, -b.attention if b.rank == NEEDS else 0, b.brand))
    return overview


def held_back(
    session: Session, settings: Settings, names: Collection[str], now: datetime
) -> list[Cause]:
    """The systems that answer nobody, or refuse calls, for these brands: asked on every page, so
    it reads what is out of order only."""
    found = incidents(session, names)
    if not found:
        return []
    rows = returns.brand_rows(session)
    paused = {
        b
        for b in {b for one in found for b in one.brands}
        if b in settings.brands
        and modes.effective(rows.get(b), settings.brands[b].mode) == modes.PAUSED
    }
    if paused:
        found = incidents(session, [b for b in names if b not in paused])
    waiting = waiting_returns(session, {b for one in found for b in one.brands}, now)
    return [_held_back(one, len(names), waiting) for one in found]


def alarms(
    session: Session, settings: Settings, names: Collection[str], now: datetime
) -> list[Cause]:
    """What belongs on top of every page: systems that hold brands up, and brands that nobody
    syncs any more. (A brand that was never synced may be a minute old: it shows on the overview.)
    """
    found = held_back(session, settings, names, now)
    stopped = {b for cause in found if cause.kind == UNREACHABLE for b in cause.brands}
    others = [b for b in names if b not in stopped]
    return found + [c for c in silent(session, settings, others, now) if c.kind == STALLED]


def silent(
    session: Session, settings: Settings, names: Collection[str], now: datetime
) -> list[Cause]:
    """Brands of which nothing is known to be well: never synced, or not any more. A brand that
    takes in its history, and a paused one, are neither."""
    rows = sync_times(session)
    never: list[str] = []
    stalled: list[str] = []
    for name in names:
        row, one = rows.get(name), settings.brands[name]
        if ((row and row.mode) or one.mode) == modes.PAUSED:
            continue
        limit = max(settings.service.alerts.sync_stalled, 3 * one.poll)
        if row is None or row.last is None:
            never.append(name)
        elif row.last_good is None or now - row.last_good > limit:
            stalled.append(name)
    pulls = cursors.pulls_under_way(session, [*never, *stalled], now) if never or stalled else {}
    never, stalled = ([b for b in of if b not in pulls] for of in (never, stalled))
    if not never and not stalled:
        return []
    service = service_words(session, settings)
    found = [Cause(NEVER_SYNCED, never, f"never synced; {service}")] if never else []
    if stalled:
        good = (rows[b].last_good for b in stalled)
        since = max((at for at in good if at), default=None)
        found.append(Cause(STALLED, stalled, f"not synced any more; {service}", since=since))
    return found


def service_words(session: Session, settings: Settings) -> str:
    """Why nothing is synced, as far as the service's sign of life tells."""
    ages = [w.age for w in workers(session)]
    if not ages or min(ages) > timedelta(days=10_000):  # it has never run, or has signed off
        return "the service does not run (`bergen-loop serve`)"
    if min(ages) > 2 * settings.service.worker_gone_after:
        return f"the service does not run (no sign of life for {short(min(ages))})"
    return "though the service runs: see its log"


def _judge(seen: Overview, held: Sequence[Incident], settings: Settings) -> None:
    """What is wrong with each brand, in few words: the line is cut at the terminal's edge."""
    stopped: dict[str, list[Incident]] = defaultdict(list)
    for one in held:
        for brand in one.brands:
            stopped[brand].append(one)
    for b in seen.brands:
        alerts, poll = settings.service.alerts, settings.brands[b.brand].poll
        limit = max(alerts.sync_stalled, 3 * poll)
        if b.mode == modes.PAUSED:
            b.rank, b.wrong = OFF, ""
        elif b.last_sync_at is None and b.history is None:
            b.rank, b.wrong = FAILING, "never synced"
        elif b.brand in stopped:
            b.rank, b.wrong = FAILING, _in_short(stopped[b.brand])
        elif b.last_sync_ok is False:
            b.rank, b.wrong = FAILING, b.last_sync_error or "the last sync failed"
        elif b.history:
            b.rank = NEEDS if b.attention else WELL
        elif b.last_good_sync_at is None or seen.at - b.last_good_sync_at > limit:
            b.rank, b.wrong = FAILING, "not synced any more"
        elif b.attention:
            b.rank = NEEDS


def _in_short(held: Sequence[Incident]) -> str:
    """What refuses which calls is told beside it where that is all; else above, by cause."""
    told = [(TITLES.get(one.system, one.system), one) for one in held]
    if len(held) == 1 and held[0].refused:
        return f"{told[0][0]} refuses {', '.join(held[0].calls)}"
    return "; ".join(f"{title} {'refuses' if one.refused else 'down'}" for title, one in told)


def _causes(seen: Overview, held: Sequence[Incident], service: str) -> list[Cause]:
    """Everything that is wrong, each cause once."""
    waiting = {b.brand: b.waiting for b in seen.brands}
    found = [_held_back(one, len(seen.brands), waiting) for one in held]
    told = {b for one in held for b in one.brands}
    alike: dict[tuple[str, str], list[Standing]] = defaultdict(list)
    for b in seen.brands:
        if b.rank == FAILING and b.brand not in told:
            kind = (
                NEVER_SYNCED
                if b.last_sync_at is None
                else STEP_FAILING
                if b.last_sync_ok is False
                else STALLED
            )
            alike[kind, b.wrong if kind == STEP_FAILING else ""].append(b)
    for (kind, error), brands in alike.items():
        since = max((b.last_good_sync_at for b in brands if b.last_good_sync_at), default=None)
        last = f" since {clock_time(since, seen.at)}" if since else ""
        what = {
            NEVER_SYNCED: f"never synced; {service}",
            STEP_FAILING: error,
            STALLED: f"not synced{last}; {service}",
        }[kind]
        waits = sum(b.waiting for b in brands)
        found.append(Cause(kind, [b.brand for b in brands], what, since=since, waiting=waits))
    return found


def _held_back(one: Incident, of: int, waiting: dict[str, int]) -> Cause:
    return Cause(
        REFUSED if one.refused else UNREACHABLE,
        list(one.brands),
        TITLES.get(one.system, one.system),
        one.calls,
        one.since,
        one.next_try,
        sum(waiting.get(b, 0) for b in one.brands),
        one.system,
        of,
    )


def named(brands: Sequence[str], of: int = 0) -> str:
    """Brands by name where they are few, else how many."""
    if len(brands) <= NAMED:
        return ", ".join(brands)
    return f"{len(brands)} of {of} brands" if of > len(brands) else f"{len(brands)} brands"


def clock_time(value: datetime | None, now: datetime, zone: tzinfo = UTC) -> str:
    """`11:36` of today, else with its date."""
    if value is None:
        return ""
    value, now = value.astimezone(zone), now.astimezone(zone)
    return f"{value:%H:%M}" if value.date() == now.date() else f"{value:%Y-%m-%d %H:%M}"


def short(value: timedelta) -> str:
    """A time that has passed: `now`, `40 s`, `5 min`, `3 h`, `12 d`."""
    seconds = max(0, int(value.total_seconds()))
    for size, unit in ((172800, "d"), (5400, "h"), (90, "min")):
        if seconds >= size:
            return f"{seconds // {'d': 86400, 'h': 3600, 'min': 60}[unit]} {unit}"
    return f"{seconds} s"


def _returns(number: int) -> str:
    return f"{number} return waits" if number == 1 else f"{number:,} returns wait"
