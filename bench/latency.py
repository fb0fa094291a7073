"""Does the flood of some brands slow the others? Two hundred brands, ten of them at Loop's limit
of calls for half the time.

python -m bench.latency [--brands 200] [--flooding 10] [--seconds 120] [--pace 2] [--database URL]
"""

from __future__ import annotations

import argparse
import math
import random
import tempfile
import threading
import time
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dbos import DBOSClient

from bench.fleet import CallFeed, Fleet, fleet, seconds_of
from bench.report import Section, percentile, section
from bench.rig import SUPPLIER, machine, quiet
from bergen_loop.config import BrandSettings
from bergen_loop.config.models import ServiceSettings
from bergen_loop.ledger.store import cursors
from bergen_loop.outside.loop.webhooks import WANTED
from bergen_loop.service.service import engine_url
from bergen_loop.service.workflows import sync_brand

STOCK = 2
"""Returns of each such brand whose parcels are still to come at the start."""
FLOOD = 2500
"""Returns of each flooding brand, submitted at once."""
LIMIT = 300
"""Calls a minute of a Loop key."""
AT_LIMIT = 0.95 * LIMIT
PATIENCE = 240.0
"""Seconds for the flood to reach the limit, and for the stock to be announced."""
LATE = 360.0
"""Seconds after which a return that got no ticket, or no process call, counts as missing: over
the default `poll_max`."""


@dataclass(frozen=True)
class Tick:
    """A tick by the engine's own record, in seconds since the epoch: from the begin of its first
    step to the end of its last."""

    begun: float
    ended: float


# -- what goes on in the world ----------------------------------------------------------------


class World:
    """Customers, the warehouse's floor, and what is known of each return of a brand that does not
    flood: when its webhook was sent, its ticket made, its parcel received, its process call made.
    All in seconds since the epoch, by the sandbox's log."""

    def __init__(self, made: Fleet, flooding: Sequence[str]) -> None:
        self.control, self.flooding = made.control, list(flooding)
        self.good = [slug for slug in made.slugs if slug not in flooding]
        self.brand: dict[str, str] = {}
        self.told: dict[str, float] = {}
        self.ticket: dict[str, float] = {}
        self.received: dict[str, float] = {}
        self.processed: dict[str, float] = {}
        self.looked = 0.0
        """Up to when the log has been read."""
        self.failed: Counter[str] = Counter()
        """Deliveries of webhooks that were not taken, by the service's answer or the error."""
        self._waiting: list[str] = []
        self._dice = random.Random(7)  # noqa: S311 - not for secrets
        self._number = 0
        self._feeds: list[tuple[CallFeed, Callable[[str, float], None]]] = [
            (CallFeed(made.control, system="webhook", operation="return.created"), self._told),
            (CallFeed(made.control, operation="ReceivingTicketAdd"), self._ticketed),
            (CallFeed(made.control, operation="process"), self._processed),
        ]
        self._answers = CallFeed(made.control, system="delivery")

    def submit(self, count: int = 1) -> None:
        """Customers submit so many returns, brand after brand."""
        for _ in range(count):
            slug = self.good[self._number % len(self.good)]
            self._number += 1
            answer = self.control.post("/control/returns", {"brand": slug, "late_label": False})
            self.brand[str(answer["returns"][0]["id"])] = slug

    def receive(self) -> None:
        """A parcel comes for some return that has a ticket, whichever: not the newest, whose
        brand has just been synced and is not soon again."""
        if self._waiting:
            return_id = self._waiting.pop(self._dice.randrange(len(self._waiting)))
            self.control.post("/control/parcels", {"return": return_id, "kind": "complete"})
            self.received[return_id] = time.time()

    def flood(self) -> None:
        """Thousands of returns of each flooding brand at once; in portions, so that the sandbox
        answers the others meanwhile."""
        for slug in self.flooding:
            for _ in range(FLOOD // 100):
                values = {"brand": slug, "count": 100, "late_label": False}
                self.control.post("/control/returns", values)

    def receive_flood(self) -> None:
        """Parcels for all tickets of the flooding brands."""
        for slug in self.flooding:
            values = {"brand": slug, "mix": {"complete": 1}, "limit": 200}
            self.control.post("/control/parcels/auto", values)

    def look(self) -> None:
        """Read the sandbox's log on."""
        now = time.time()
        for feed, take in self._feeds:
            for call in feed.news():
                take(str(call["subject"]).removeprefix("LR-"), seconds_of(call))
        outcomes = (str(call["outcome"]) for call in self._answers.news())
        self.failed.update(o for o in outcomes if o != "204")
        self.looked = now

    def _told(self, return_id: str, at: float) -> None:
        if return_id in self.brand:
            self.told.setdefault(return_id, at)

    def _ticketed(self, return_id: str, at: float) -> None:
        if return_id in self.brand and return_id not in self.ticket:
            self.ticket[return_id] = at
            self._waiting.append(return_id)

    def _processed(self, return_id: str, at: float) -> None:
        if return_id in self.brand:
            self.processed.setdefault(return_id, at)


class Traffic:
    """Returns and parcels at a steady pace, from the start to the end: what is measured is cut
    out of it, so that nothing is measured in a fleet that has come to rest."""

    def __init__(self, world: World, pace: float) -> None:
        """`pace` is how many returns, and as many parcels, there are a second."""
        self.world, self.pace, self.flooding, self.behind = world, pace, False, 0.0
        self.error: Exception | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic")

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def wait(self, done: Callable[[], bool], seconds: float) -> bool:
        """Let it go on until something holds, for at most so long; whether it does."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.error is None:
            if done():
                return True
            time.sleep(1.0)
        if self.error is not None:
            raise self.error
        return done()

    def _run(self) -> None:
        started, number = time.monotonic(), 0
        try:
            while not self._stop.is_set():
                self.world.look()
                self.world.submit()
                self.world.receive()
                number += 1
                if self.flooding and number % math.ceil(2 * self.pace) == 0:
                    self.world.receive_flood()
                ahead = started + number / self.pace - time.monotonic()
                self.behind = max(self.behind, -ahead)
                time.sleep(max(0.0, ahead))
        except Exception as error:
            self.error = error


# -- what is measured -------------------------------------------------------------------------


@dataclass(frozen=True)
class Window:
    """A time within which returns and parcels count, and when the last of them was done."""

    started: float
    ended: float
    done: float


@dataclass
class Phase:
    """What happened to returns told of, and to parcels received, within a time; in seconds."""

    tickets: list[float] = field(default_factory=list[float])
    processes: list[float] = field(default_factory=list[float])
    from_tick: list[float] = field(default_factory=list[float])
    """Of these, what passed after the tick that made the call began."""
    lasted: list[float] = field(default_factory=list[float])
    """Whole ticks."""
    missing: int = 0


def measured(world: World, ticks: dict[str, list[Tick]], window: Window) -> Phase:
    """What was told and received in the window, and ticks begun until all of it was done."""
    started, ended = window.started, window.ended
    phase = Phase()
    for return_id, at in _within(world.told, started, ended):
        done = world.ticket.get(return_id, float("inf"))
        phase.tickets.append(_in_time(phase, done - at))
    for return_id, at in _within(world.received, started, ended):
        done = world.processed.get(return_id, float("inf"))
        phase.processes.append(_in_time(phase, done - at))
        if tick := _tick_of(ticks[world.brand[return_id]], done):
            phase.from_tick.append(done - tick.begun)
    for slug in world.good:
        phase.lasted += [t.ended - t.begun for t in ticks[slug] if started <= t.begun < window.done]
    return phase


def _within(times: dict[str, float], started: float, ended: float) -> list[tuple[str, float]]:
    return [(i, at) for i, at in times.items() if started <= at < ended]


def _in_time(phase: Phase, seconds: float) -> float:
    """One that came too late, or never, counts as slower than all others."""
    if seconds <= LATE:
        return seconds
    phase.missing += 1
    return float("inf")


def _tick_of(ticks: Sequence[Tick], at: float) -> Tick | None:
    """The tick that was running then."""
    place = bisect_right(ticks, at, key=lambda t: t.begun) - 1
    return ticks[place] if place >= 0 and at <= ticks[place].ended else None


def ticks_of(made: Fleet, slugs: Collection[str], since: float) -> dict[str, list[Tick]]:
    """Ticks of these brands, begun since then and ended, by brand, in order."""
    settings = ServiceSettings(database=made.database)
    client = DBOSClient(system_database_url=engine_url(settings, made.ledger))
    found: dict[str, list[Tick]] = defaultdict(list)
    try:
        for record in client.list_workflows(
            name=sync_brand.__qualname__,
            status="SUCCESS",
            dequeued_after=datetime.fromtimestamp(since, UTC).isoformat(),
            load_output=False,
        ):
            slug = str(record.input["args"][0]) if record.input else ""
            if slug in slugs and (tick := _tick(client, record.workflow_id)):
                found[slug].append(tick)
    finally:
        client.destroy()
    for own in found.values():
        own.sort(key=lambda t: t.begun)
    return found


def _tick(client: DBOSClient, workflow_id: str) -> Tick | None:
    """By its steps: an embedded engine has the times of the whole in full seconds only."""
    steps = client.list_workflow_steps(workflow_id, load_output=False)
    begun = [s["started_at_epoch_ms"] for s in steps if s["started_at_epoch_ms"]]
    ended = [s["completed_at_epoch_ms"] for s in steps if s["completed_at_epoch_ms"]]
    return Tick(min(begun) / 1000, max(ended) / 1000) if begun and ended else None


def calls_in_minute(made: Fleet, slugs: Sequence[str], ended: float) -> list[int]:
    """Loop calls of each brand that were let through in the minute up to then. The log has the
    end of each processing as well, which is no call: its outcome is no status."""
    counts = dict.fromkeys(slugs, 0)
    for slug in slugs:
        for call in CallFeed(made.control, system="loop", brand=slug).news():
            let_through = call["outcome"].isdigit() and call["outcome"] != "429"
            if let_through and ended - 60 <= seconds_of(call) < ended:
                counts[slug] += 1
    return list(counts.values())


# -- the run ----------------------------------------------------------------------------------


@dataclass
class Run:
    """What a whole run showed."""

    alone: Phase
    together: Phase
    flood: list[int]
    """Loop calls of each flooding brand in the last minute that is measured."""
    left: int
    """Returns of the flooding brands that were still open at the end."""
    failed: dict[str, int]
    """Webhooks that were not taken."""
    behind: float
    """Seconds by which customers and parcels were behind their pace at most."""


@dataclass(frozen=True)
class Plan:
    """What is to be measured."""

    brands: int
    flooding: int
    seconds: float
    pace: float
    database: str | None


def prompt_fleet(
    folder: Path, names: Sequence[str], database: str | None
) -> AbstractContextManager[Fleet]:
    """Brands whose customers have their labels at once, each key at Loop's limit."""
    return fleet(
        folder,
        names,
        database=database,
        sandbox={"unkind": False, "late_label_share": 0.0, "rate_limit_per_minute": LIMIT},
        brand={"announce": {"label_wait": "0s", "supplier": SUPPLIER}},
    )


def run(folder: Path, plan: Plan) -> Run:
    """Both halves, in one fleet."""
    floods = [f"flood-{n:02d}" for n in range(plan.flooding)]
    names = [*floods, *(f"brand-{n:03d}" for n in range(plan.brands - plan.flooding))]
    with prompt_fleet(folder, names, plan.database) as made:
        known_for_long(made)
        made.start()
        made.subscribe(names, WANTED)
        world = World(made, floods)
        world.submit(STOCK * len(world.good))
        with Traffic(world, plan.pace) as traffic:
            traffic.wait(lambda: len(world.ticket) >= STOCK * len(world.good), PATIENCE)
            first = window(world, traffic, plan.seconds)
            world.flood()
            traffic.flooding = True
            traffic.wait(lambda: _at_limit(made, floods), PATIENCE)
            second = window(world, traffic, plan.seconds)
        made.stop()
        ticks = ticks_of(made, world.good, first.started)
        summary = made.control.get("/control/summary")["brands"]
        return Run(
            measured(world, ticks, first),
            measured(world, ticks, second),
            calls_in_minute(made, floods, second.ended),
            sum(summary[slug]["returns"]["open"] for slug in floods),
            dict(world.failed),
            traffic.behind,
        )


def known_for_long(made: Fleet) -> None:
    """As brands are after their first minutes: returns are not looked up in REX11 before their
    RMA is made, as those of a brand's first pull are."""
    with made.ledger.write() as session:
        for slug in made.slugs:
            cursors.set(session, slug, cursors.FIRST_PULL, datetime.now(UTC) - timedelta(days=1))


def window(
    world: World, traffic: Traffic, seconds: float, look: Callable[[], bool] = lambda: False
) -> Window:
    """Let so much time pass, looking at something each second, then wait for what began in it. Of
    less than two polls it would show where in the brands' rhythm it fell."""
    started = time.time()
    traffic.wait(look, seconds)
    ended = time.time()

    def all_done() -> bool:
        if world.looked <= ended:
            return False
        told = {i for i, _ in _within(dict(world.told), started, ended)}
        received = {i for i, _ in _within(dict(world.received), started, ended)}
        return not told - world.ticket.keys() and not received - world.processed.keys()

    traffic.wait(all_done, LATE)
    return Window(started, ended, time.time())


def _at_limit(made: Fleet, floods: Sequence[str]) -> bool:
    return min(calls_in_minute(made, floods, time.time()), default=LIMIT) >= AT_LIMIT


def main() -> Section:
    """Measure, print, and return the section for docs/benchmarks.md."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--brands", type=int, default=200)
    parser.add_argument("--flooding", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--pace", type=float, default=2.0)
    parser.add_argument("--database")
    options, _ = parser.parse_known_args()
    quiet()
    plan = Plan(options.brands, options.flooding, options.seconds, options.pace, options.database)
    with tempfile.TemporaryDirectory(prefix="bergen-loop-bench-") as name:
        result = run(Path(name), plan)
    return section(
        "The flood of some brands and the others' time",
        "python -m bench.latency",
        _text(result, plan),
        ["", "", "alone (s)", "with the flood (s)", "ratio"],
        _table(result.alone, result.together),
    )


def _table(a: Phase, b: Phase) -> list[tuple[object, ...]]:
    return [
        *_rows("webhook to RMA", a.tickets, b.tickets),
        *_rows("receipt to process call", a.processes, b.processes),
        *_rows("- of it, since the tick began", a.from_tick, b.from_tick),
        *_rows("a tick, begin to end", a.lasted, b.lasted),
    ]


def _rows(name: str, alone: list[float], together: list[float]) -> list[tuple[object, ...]]:
    if not alone or not together:
        return [(name, "", f"{len(alone)} measured", f"{len(together)} measured", "-")]
    found: list[tuple[object, ...]] = []
    for share in (0.5, 0.95):
        a, b = percentile(alone, share), percentile(together, share)
        ratio = f"{b / a:.2f}" if a else "-"
        found.append((name, f"p{share * 100:.0f}", f"{a:.2f}", f"{b:.2f}", ratio))
    return found


def _text(result: Run, plan: Plan) -> list[str]:
    a, b = result.alone, result.together
    poll = BrandSettings.model_fields["poll"].default.total_seconds()
    longest = BrandSettings.model_fields["poll_max"].default.total_seconds()
    failed = ", ".join(f"{number} ({why})" for why, number in sorted(result.failed.items()))
    return [
        f"{plan.brands} brands in one service ({machine()}; {_ledger(plan)}; sandbox on the same "
        f"machine), all with webhooks. Over the {plan.brands - plan.flooding} that do not flood "
        f"customers submit {plan.pace:g} returns a second, and as many parcels are received; "
        f"{plan.seconds:g} s of this are measured without the flood, and {plan.seconds:g} s, in "
        f"the same run, with {plan.flooding} brands that submit {FLOOD} returns each at once and "
        "receive parcels for all their tickets. Those made "
        f"{min(result.flood, default=0)} to {max(result.flood, default=0)} Loop calls each in the "
        "last minute of it "
        f"(the limit is {LIMIT}), and had {result.left} returns still open at the end.",
        f"{len(a.tickets)} and {len(b.tickets)} returns were told of, {len(a.processes)} and "
        f"{len(b.processes)} received; **late or missing (no RMA, or no process call, after "
        f"{LATE:g} s): {a.missing} and {b.missing}**. Webhooks not taken by the service: "
        f"{failed or 'none'}; customers and parcels were at most {result.behind:.1f} s late. "
        "Settings are the defaults, except that RMAs do not wait for labels (`label_wait: 0s`); "
        "the brands have been known to the ledger for a day.",
        "Times are the sandbox's own: a webhook's is when Loop sends it, a receipt's when the "
        "ticket is AddedToInventory. A webhook of a new return is seen to at once, in the process "
        "that took it. REX11 tells of no receipt, so its first figure is mostly waiting for the "
        f"next look: every {poll:g} s, up to {longest:g} s while nothing happens and it is not "
        "known when the warehouse works; the second leaves that wait out. Ticks are those of the "
        "engine: of brands for which there was something to do.",
    ]


def _ledger(plan: Plan) -> str:
    return "ledger in PostgreSQL" if plan.database else "embedded ledger"


if __name__ == "__main__":
    main()
