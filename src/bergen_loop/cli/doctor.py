"""`bergen-loop doctor`: everything the service needs, looked at, each with what to do."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import typer
from rich.table import Table
from rich.text import Text

from bergen_loop.cli.output import console, print_json
from bergen_loop.cli.setup import DEFAULT_CONFIG, ConfigOption, JsonOption, database_url
from bergen_loop.cli.standing import Overview, overview
from bergen_loop.config import ConfigError, ServiceSettings, Settings, load_service, load_usable
from bergen_loop.config.roster import Found, Roster, said_twice
from bergen_loop.domain.returns import Moment
from bergen_loop.ledger import database
from bergen_loop.ledger.database import Ledger, LedgerError, exists, schema
from bergen_loop.ledger.down import meaning, shown
from bergen_loop.ledger.read import figures
from bergen_loop.ledger.read.incidents import last_webhooks
from bergen_loop.ledger.store import modes, returns, secrets
from bergen_loop.ledger.store.workers import workers
from bergen_loop.secrets.keys import KeySource, bound
from bergen_loop.service.service import engine_url
from bergen_loop.tell.standing import FAILING, OFF, named, short

SPARE = 0.05
"""Share of its disk that is to be free, and in any case ..."""
SPARE_BYTES = 500_000_000
SKEW = timedelta(seconds=5)
LATELY = timedelta(days=1)
"""Webhooks are missed where returns have come for so long without one."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: bool
    words: str
    remedy: str = ""
    """What to do; empty where nothing is to be done."""


def doctor(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Look at everything the service needs; say what is wrong and what to do. Exit 1 for a
    problem."""
    found = list(checks(config))
    if as_json:
        names = ("name", "ok", "words", "remedy")
        print_json([{name: getattr(c, name) for name in names} for c in found])
    else:
        _print(found)
    if not all(c.ok for c in found):
        raise typer.Exit(1)


def checks(config: Path) -> Iterator[Check]:
    """All of them, in the order in which one depends on another."""
    roster = Roster(config, needed=config != DEFAULT_CONFIG)
    try:
        service = roster.service().service
        yield from _configuration(config, roster)
    except ConfigError as error:
        yield from _problems(error.problems)
        if not config.exists():
            return
        try:
            service, _ = load_service(config)
        except ConfigError:
            return
    database = list(_database(service, config))
    yield from database
    if not all(c.ok for c in database if c.name == "database"):
        return
    ledger = Ledger(database_url(service))
    try:
        found = roster.load(ledger)
        yield from _brands(found, roster)
    except (ConfigError, LedgerError) as error:
        if isinstance(error, LedgerError):
            yield Check("database", False, *meaning(error))
        return
    for look in (_clocks, _workers, _signatures, _syncs, _webhooks, _second_factors):
        yield from _careful(look, ledger, found.settings)
    ledger.close()


Look = Callable[[Ledger, Settings], Iterable[Check]]


def _careful(look: Look, ledger: Ledger, settings: Settings) -> Iterator[Check]:
    try:
        yield from look(ledger, settings)
    except LedgerError as error:
        what, how = meaning(error)
        yield Check("database", False, what, how)


def _configuration(path: Path, roster: Roster) -> Iterator[Check]:
    """The file, and the secrets that it names."""
    if not path.exists():
        yield Check("configuration", True, f"there is no {path}: defaults hold")
        return
    _, broken = load_usable(path)
    problems = [problem for of in broken.values() for problem in of]
    if problems:
        yield from _problems(problems)
        return
    number = len(roster.in_file())
    yield Check("configuration", True, f"{path}: {number} brand(s), no mistakes")
    yield Check("secrets", True, "every secret it names can be read")


def _brands(found: Found, roster: Roster) -> Iterator[Check]:
    """Those that are kept in the ledger."""
    mine = roster.in_file()
    yield from _problems(p for b, of in found.broken.items() if b not in mine for p in of)
    yield from (Check("configuration", False, said_twice(b)) for b in found.doubled)
    if found.versions:
        yield Check("brands", True, f"{len(found.versions)} more are kept in the ledger")


def _problems(problems: Iterable[object]) -> Iterator[Check]:
    for problem in problems:
        what, _, fix = str(problem).partition(" Fix: ")
        yield Check("configuration", False, what, fix)


def _database(service: ServiceSettings, config: Path) -> Iterator[Check]:
    url = database_url(service)
    try:
        if not exists(url):
            how = "it is made when the service starts, or by `bergen-loop status`"
            yield Check("database", False, f"{shown(url)}: there is none yet", how)
            return
        ledger = Ledger(url)
        current, newest = schema(ledger)
        ledger.close()
    except (LedgerError, OSError, ImportError) as error:
        what, how = meaning(error)
        yield Check("database", False, f"{shown(url)}: {what}", how)
        return
    yield Check("database", True, f"{shown(url)} answers")
    if current is not None and current >= newest:
        yield Check("schema", True, f"{current}; this release needs {newest}")
    else:
        how = "back up, then restart the service: it brings it up to date"
        yield Check("schema", False, f"{current or 'none'}; this release has {newest}", how)
    if ledger.is_sqlite:
        yield from _files(service, ledger, config)


def _files(service: ServiceSettings, ledger: Ledger, config: Path) -> Iterator[Check]:
    """The embedded database's disk and files, and the key of the secrets in it."""
    file = Path(ledger.url.database or "")
    usage = shutil.disk_usage(file.resolve().parent)
    free = f"{usage.free / 1e9:.1f} GB free ({usage.free / usage.total:.0%}) where {file.name} is"
    low = usage.free < SPARE_BYTES or usage.free < SPARE * usage.total
    yield Check("disk", not low, free, "free space, or move the database" if low else "")
    engine = Path(str(engine_url(service, ledger)).removeprefix("sqlite:///"))
    files = [Path(f"{one}{end}") for one in (file, engine) for end in ("", "-wal", "-shm")]
    if service.key_file:
        files.append(config.resolve().parent / service.key_file)
    there = [one for one in files if one.exists()]
    open_ = [one for one in there if one.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)]
    if open_:
        names = " ".join(str(one) for one in open_)
        what = f"others on this machine may open {len(open_)} file(s) of the ledger"
        yield Check("files", False, what, f"chmod 600 {names}")
    else:
        yield Check("files", True, f"{len(there)} file(s) of the ledger are their owner's alone")


def _clocks(ledger: Ledger, _settings: Settings) -> Iterator[Check]:
    with ledger.read() as session:
        apart = abs(database.now(session) - datetime.now(UTC))
    if ledger.is_sqlite:
        yield Check("clocks", True, f"database and service share this machine's, {_now()}")
    elif apart > SKEW:
        what = f"the database's and this machine's are {apart.total_seconds():.0f} s apart"
        yield Check("clocks", False, what, "synchronise both (`timedatectl`, chrony)")
    else:
        yield Check("clocks", True, f"the database's and this machine's agree, {_now()}")


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _workers(ledger: Ledger, settings: Settings) -> Iterator[Check]:
    with ledger.read() as session:
        found = workers(session)
    alive = [w for w in found if w.age <= 2 * settings.service.worker_gone_after]
    if not alive:
        yield Check(
            "workers", False, "no process runs ticks", "start it: `systemctl start bergen-loop`"
        )
        return
    releases = ", ".join(sorted({w.version for w in alive}))
    yield Check("workers", True, f"{len(alive)} process(es) run ticks, release {releases}")


def _signatures(ledger: Ledger, settings: Settings) -> Iterator[Check]:
    """A brand that its file calls live, and for which nobody has signed."""
    with ledger.read() as session:
        rows = returns.brand_rows(session)
    for brand, one in settings.brands.items():
        if modes.unsigned(rows.get(brand), one.mode):
            what = f"{brand}: the file says live; in shadow until somebody signs for it"
            yield Check("live", False, what, modes.how_to_sign(brand))


_REMEDIES = {
    "unreachable": "it is tried again by itself; once back: `bergen-loop breaker reset --all`",
    "refused": "ask for access that allows these calls, then `bergen-loop breaker reset BRAND`",
    "never_synced": "start the service; then see its log",
    "failing": "see docs/operations.md, sync-stalled",
    "stalled": "see docs/operations.md, sync-stalled",
}


def _syncs(ledger: Ledger, settings: Settings) -> Iterator[Check]:
    seen: Overview = overview(ledger, settings, list(settings.brands))
    held_back = [c for c in seen.causes if c.kind in ("unreachable", "refused")]
    for cause in seen.causes:
        name = "calls" if cause in held_back else "syncs"
        yield Check(name, False, cause.sentence(seen.at), _REMEDIES[cause.kind])
    if not held_back:
        yield Check("calls", True, "no calls to Loop or REX11 are held back")
    well = [b for b in seen.brands if b.rank not in (FAILING, OFF)]
    ages = [seen.at - b.last_good_sync_at for b in well if b.last_good_sync_at]
    if ages:
        last = f"the longest ago {short(max(ages))}"
        yield Check("syncs", True, f"{len(well)} brand(s) are synced, {last}")
    if off := [b.brand for b in seen.brands if b.rank == OFF]:
        yield Check("syncs", True, f"{named(off)}: paused")


def _webhooks(ledger: Ledger, settings: Settings) -> Iterator[Check]:
    """Where returns come and no webhook does, Loop's webhooks go elsewhere."""
    wanted = [b for b, one in settings.brands.items() if one.loop.webhook_secret]
    if not wanted or settings.service.public_url is None:
        why = "service.public_url is not set" if wanted else "no brand takes any"
        yield Check("webhooks", True, f"{why}: Loop is polled")
        return
    since = datetime.now(UTC) - LATELY
    with ledger.read() as session:
        last = last_webhooks(session)
        seen = figures.reached_since(session, wanted, since)
    missing = [b for b in wanted if seen[b][Moment.SEEN] and (b not in last or last[b] < since)]
    if missing:
        what = f"{named(missing)}: returns came in the last day, and no webhook"
        how = "Loop is polled meanwhile; `bergen-loop connect` subscribes them again"
        yield Check("webhooks", False, what, how)
    if came := [b for b in wanted if b not in missing and b in last]:
        newest = short(datetime.now(UTC) - max(last[b] for b in came))
        yield Check("webhooks", True, f"{named(came)}: the latest {newest} ago")
    elif not missing:
        yield Check("webhooks", True, "none came yet, and no returns in the last day")


def _second_factors(ledger: Ledger, settings: Settings) -> Iterable[Check]:
    """Whether what makes their codes is encrypted."""
    with ledger.read() as session:
        seeds = secrets.seeds_kept(session)
    clear = sum(not bound(seed) for seed in seeds)
    if not clear:
        return
    what = f"the seeds of {clear} of {len(seeds)} stand unencrypted in the ledger"
    how = "each is encrypted when it is used next"
    if not KeySource(settings.service.key_file).configured:
        how = f"`bergen-loop secrets new-key` makes a key; name it as service.key_file, and {how}"
    yield Check("second factors", False, what, how)


def _print(found: list[Check]) -> None:
    grid = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for c in found:
        state = Text("ok", style="green") if c.ok else Text("problem", style="bold red")
        grid.add_row(state, Text(c.name), Text(c.words))
        if c.remedy and not c.ok:
            grid.add_row("", "", Text(f"to do: {c.remedy}", style="yellow"))
    console.print(grid)
    bad = sum(not c.ok for c in found)
    console.print(Text(f"{bad} problem(s)" if bad else "all is well", style="bold"))
