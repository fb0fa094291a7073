"""Running the service: workers, circuit breakers, backup and restore, erasing personal data."""

from __future__ import annotations

import os
import signal
import threading
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from bergen_loop.cli.asking import YesOption, sure
from bergen_loop.cli.output import console, fail, print_json, say, table, warn, when
from bergen_loop.cli.setup import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    brands_of,
    database_url,
    open_ledger,
    person,
    service_registry_of,
    settings_of,
)
from bergen_loop.ledger import backup as backups
from bergen_loop.ledger.database import LedgerError
from bergen_loop.ledger.down import shown
from bergen_loop.ledger.locks import ServiceRunning
from bergen_loop.ledger.store import retention
from bergen_loop.ledger.store.calls import breakers_of
from bergen_loop.ledger.store.workers import workers
from bergen_loop.ledger.transaction import transaction
from bergen_loop.outside import breaker as breakers
from bergen_loop.repair import restored as restoring
from bergen_loop.service.crew import Crew, until_let_go
from bergen_loop.service.service import Engine
from bergen_loop.tell.standing import clock_time

breaker_app = typer.Typer(no_args_is_help=True, help="Systems that do not answer.")


def serve(
    context: typer.Context,
    config: ConfigOption = DEFAULT_CONFIG,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    no_auth: Annotated[
        bool, typer.Option("--no-auth", help="Nobody signs in; only on a loopback address.")
    ] = False,
    workers: Annotated[
        int,
        typer.Option(
            min=0,
            max=64,
            help="Processes that run ticks, this one among them; 0: one for each core. Several "
            "need PostgreSQL.",
        ),
    ] = 1,
) -> None:
    """Run the service: schedules, webhooks and the console.

    The first account is made on the setup page, or from BERGEN_LOOP_ADMIN=NAME:PASSWORD.
    """
    from bergen_loop.console.app import BadFirstAccount
    from bergen_loop.console.passwords import BadList
    from bergen_loop.console.serve import NotLocal, run

    registry = service_registry_of(config)
    service = registry.settings.service
    number = workers or os.cpu_count() or 1
    if number > 1 and registry.ledger.is_sqlite:
        fail(
            f"--workers {workers}: an embedded database takes one process. Leave it out, or have "
            "the ledger in PostgreSQL (service.database)",
            2,
        )
    crew = Crew(number - 1, [*_logging(context), "worker", "--config", str(config), "--crew"])
    try:
        run(
            registry,
            host or service.host,
            port or service.port,
            signing_in=not no_auth,
            crew=crew,
        )
    except (NotLocal, BadFirstAccount, BadList, ServiceRunning) as error:
        fail(str(error), 2)


def _logging(context: typer.Context) -> list[str]:
    """How this process was asked to log, for those that it starts."""
    asked = context.find_root().params
    level = str(asked.get("log_level") or "INFO")
    return ["--log-level", level, *(["--log-json"] if asked.get("log_json") else [])]


def worker(
    config: ConfigOption = DEFAULT_CONFIG,
    crew: Annotated[
        bool, typer.Option("--crew", hidden=True, help="End when standard input ends.")
    ] = False,
) -> None:
    """Run ticks, without console and webhooks: as many as you like on one PostgreSQL."""
    registry = service_registry_of(config)
    engine, done = Engine(registry, registry.settings.service), threading.Event()
    if crew:
        until_let_go(done)

    def stop(_signal: int, _frame: FrameType | None) -> None:
        done.set()

    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, stop)
    try:
        engine.start()
    except ServiceRunning as error:
        fail(f"{error}: an embedded database takes one; use PostgreSQL for several")
    done.wait()
    engine.stop()


def list_workers(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """List the processes that run ticks, and their last sign of life."""
    with open_ledger(settings_of(config)).read() as session:
        found = workers(session)
    if as_json:
        print_json([{**_plain(w)} for w in found])
        return
    rows = [
        (
            w.executor_id,
            w.host,
            w.pid,
            w.version,
            when(w.started_at),
            round(w.age.total_seconds()),
        )
        for w in found
    ]
    columns = ["worker", "host", "pid", "release", "since (UTC)", "seen (s ago)"]
    console.print(table("Workers", columns, rows))


def _plain(w: object) -> dict[str, object]:
    names = ("executor_id", "host", "pid", "version", "started_at")
    seconds = getattr(w, "age").total_seconds()  # noqa: B009
    return {**{n: getattr(w, n) for n in names}, "age_seconds": round(seconds, 1)}


@breaker_app.command("list")
def breaker_list(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """List systems that have not answered lately, and when they are tried again."""
    with open_ledger(settings_of(config)).read() as session:
        found = breakers_of(session)
    if as_json:
        names = ("brand", "system", "failures", "opened_at", "open_until", "probes", "error")
        print_json([{n: getattr(row, n) for n in names} for row in found])
        return
    now = datetime.now(UTC)
    rows = [
        (r.brand, breakers.title(r.system), r.failures, clock_time(r.opened_at, now),
         clock_time(r.open_until, now), r.error)
        for r in found
    ]  # fmt: skip
    columns = ["brand", "system", "failures", "held since", "next try (UTC)", "last"]
    console.print(table("Breakers", columns, rows))


@breaker_app.command("reset")
def breaker_reset(
    brands: Annotated[
        list[str] | None, typer.Argument(metavar="BRAND...", help="Whose systems are back.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Of every brand.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Call brands' suspended systems again at once."""
    settings = settings_of(config)
    if bool(brands) == every:
        fail("say whose: BRAND..., or --all", 2)
    names, ledger = brands_of(settings, brands), open_ledger(settings)
    if every:
        with ledger.read() as session:
            names = list(dict.fromkeys(row.brand for row in breakers_of(session)))
    for brand in names:
        with transaction(ledger, brand, datetime.now(UTC), person()) as tx:
            found = [breakers.title(system) for system in breakers.reset(tx)]
        words = f"{', '.join(found)} will be called again" if found else "nothing was suspended"
        say(f"{brand}: {words}")
    if not names:
        console.print("nothing was suspended")


def backup(
    file: Annotated[Path, typer.Argument(help="The new file.")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Copy the embedded database into a file, while the service runs, and check the copy."""
    try:
        size = backups.backup(open_ledger(settings_of(config)), file)
    except (backups.BackupError, LedgerError) as error:
        fail(str(error))
    say(f"{file}: {size / 1e6:.1f} MB, whole")


def restore(
    file: Annotated[Path, typer.Argument(help="A file that `backup` made.")],
    config: ConfigOption = DEFAULT_CONFIG,
    yes: YesOption = False,
) -> None:
    """Put a backup in the place of the embedded database. The service must not run."""
    settings = settings_of(config)
    try:
        backups.check(file)
    except backups.BackupError as error:
        fail(str(error))
    sure(f"Replace {shown(database_url(settings.service))} by {file}?", yes)
    try:
        backups.restore(open_ledger(settings, migrate=False), file)
    except backups.BackupError as error:
        fail(str(error))
    restored(config, source=str(file.name), yes=True)


def restored(
    config: ConfigOption = DEFAULT_CONFIG,
    source: Annotated[str, typer.Option(help="Where it came from.")] = "a backup",
    yes: YesOption = False,
) -> None:
    """Tell that the database was put back from a backup by other means (PostgreSQL's tools)."""
    ledger = open_ledger(settings_of(config))
    sure(
        f"Was {shown(ledger.url)} put back from {source}, and does the service not run? Every "
        "brand then looks for what was done since, before it acts",
        yes,
    )
    with ledger.write() as session:
        brands = restoring.mark(session, datetime.now(UTC), who=person(), source=source)
    say(
        f"restored: {len(brands)} brand(s). RMAs are looked for before they are made, and nothing "
        "is settled until Loop must have carried out what it had taken (settle.confirm_within)"
    )


def erase(
    customer: Annotated[str | None, typer.Option(help="A customer's e-mail address.")] = None,
    return_id: Annotated[str | None, typer.Option("--return", help="A return's id.")] = None,
    brand: Annotated[str | None, typer.Option("--brand", "-b", help="Its brand.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Erase a customer's personal data; what was done to the return and why stays."""
    if (customer is None) == (return_id is None):
        fail("say whose data: --customer EMAIL or --return ID", 2)
    now, ledger = datetime.now(UTC), open_ledger(settings_of(config))
    whose = f"customer {customer}" if customer else f"return {return_id}"
    sure(f"Erase the personal data of {whose}? It cannot be had back", yes)
    with ledger.write() as session:
        if customer is not None:
            done = retention.erase_customer(session, now, customer, who=person())
        else:
            rows = [r for r in retention.find(session, return_id or "") if brand in (None, r.brand)]
            if len(rows) != 1:
                several = ", ".join(r.brand for r in rows)
                fail(f"say of which brand: {several}" if rows else f"no return {return_id}")
            done = retention.erase_return(session, now, rows[0], who=person())
    if not ledger.scour():
        warn("the database's log could not be emptied just now: run it again when less goes on")
    if as_json:
        names = ("returns", "payloads", "texts", "waiting")
        print_json({name: getattr(done, name) for name in names})
        return
    say(f"erased: {done.returns} return(s), {done.payloads} payload(s), {done.texts} text(s)")
    if done.waiting:
        say(f"{', '.join(done.waiting)}: still under way, erased when ended")
