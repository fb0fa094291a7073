"""`bergen-loop` and its commands."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bergen_loop import __version__, logs
from bergen_loop.cli import connect as connect_command
from bergen_loop.cli import criteria as criteria_commands
from bergen_loop.cli import events as event_commands
from bergen_loop.cli import ledger_brands, ops, watching
from bergen_loop.cli import modes as mode_commands
from bergen_loop.cli import reconcile as reconcile_commands
from bergen_loop.cli import secrets as secret_commands
from bergen_loop.cli import show as shows
from bergen_loop.cli.output import console, fail, print_json, table, when
from bergen_loop.cli.setup import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    open_ledger,
    registry_of,
    service_registry_of,
    settings_of,
)
from bergen_loop.config import ConfigError, load_settings
from bergen_loop.config.criteria import criteria as brand_criteria
from bergen_loop.domain.criteria import warnings as criteria_warnings
from bergen_loop.flow import tick
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.locks import BrandBusy, LockLost, ServiceRunning
from bergen_loop.ledger.read import views
from bergen_loop.ledger.store import backfill
from bergen_loop.ledger.store.backfill import Backfill
from bergen_loop.service.registry import Registry

app = typer.Typer(
    no_args_is_help=True,
    help="Joins Loop Returns to Bergen Logistics' REX11, both ways.",
    pretty_exceptions_enable=False,
)
sync_app = typer.Typer(no_args_is_help=True, help="Run the flows without the service.")
brands_app = typer.Typer(no_args_is_help=True, help="Brands and their configuration.")
app.add_typer(sync_app, name="sync")
app.add_typer(brands_app, name="brands")
brands_app.command("mode")(mode_commands.mode)
ledger_brands.install(brands_app)
app.add_typer(criteria_commands.app, name="criteria")
app.add_typer(mode_commands.shadow_app, name="shadow")
app.add_typer(secret_commands.app, name="secrets")
ops.install(app)
app.add_typer(event_commands.app, name="events")
app.command("connect")(connect_command.connect)
app.command("reconcile")(reconcile_commands.reconcile_command)
app.command("rebuild")(reconcile_commands.rebuild_command)
app.command("replay")(reconcile_commands.replay_command)

BrandOption = Annotated[list[str] | None, typer.Option("--brand", "-b", help="Only these brands.")]


def _version(value: bool) -> None:
    if value:
        console.print(f"bergen-loop {__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False,
    log_json: Annotated[bool, typer.Option("--log-json", help="Log JSON lines.")] = False,
    log_level: Annotated[str, typer.Option("--log-level", help="DEBUG, INFO, WARNING...")] = "INFO",
) -> None:
    """Options for every command."""
    del version
    if log_level.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        fail(f"--log-level {log_level}: one of DEBUG, INFO, WARNING, ERROR", 2)
    logs.configure(json=log_json, level=log_level.upper())


@app.command()
def serve(
    config: ConfigOption = DEFAULT_CONFIG,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    no_auth: Annotated[
        bool, typer.Option("--no-auth", help="Nobody signs in; only on a loopback address.")
    ] = False,
) -> None:
    """Run the service: schedules, webhooks and the console.

    The first account is made on the setup page, or from BERGEN_LOOP_ADMIN=NAME:PASSWORD.
    """
    from bergen_loop.console.app import BadFirstAccount
    from bergen_loop.console.serve import NotLocal, run

    registry = service_registry_of(config)
    service = registry.settings.service
    try:
        run(registry, host or service.host, port or service.port, signing_in=not no_auth)
    except (NotLocal, BadFirstAccount, ServiceRunning) as error:
        fail(str(error), 2)


@sync_app.command("once")
def sync_once(
    config: ConfigOption = DEFAULT_CONFIG, brand: BrandOption = None, as_json: JsonOption = False
) -> None:
    """Run one tick of every brand (or of some) and tell what it did."""
    logs.configure(json=False, level="WARNING")
    registry = registry_of(config)
    results = _tick_all(registry, _chosen(registry, brand), quiet=as_json)
    if as_json:
        print_json(results)
    else:
        rows = [
            (name, step, _words(done))
            for name, steps in results.items()
            for step, done in steps.items()
        ]
        console.print(table("Sync", ["brand", "step", "result"], rows))
    if any("error" in done for steps in results.values() for done in steps.values()):
        raise typer.Exit(1)


@sync_app.command("run")
def sync_run(
    config: ConfigOption = DEFAULT_CONFIG,
    brand: BrandOption = None,
    every: Annotated[float, typer.Option(help="Seconds between ticks.", min=0.1)] = 30.0,
    ticks: Annotated[int, typer.Option(help="End after so many; 0: never.", min=0)] = 0,
    as_json: JsonOption = False,
) -> None:
    """Tick again and again in this terminal, until Ctrl-C."""
    logs.configure(json=False, level="WARNING")
    registry = registry_of(config)
    names, done = _chosen(registry, brand), 0
    try:
        while True:
            results = _tick_all(registry, names, quiet=as_json)
            done += 1
            if as_json:
                print_json(results)
            else:
                shows.print_status(*_statuses(registry.ledger, list(registry.settings.brands)))
            if ticks and done >= ticks:
                return
            time.sleep(every)
    except KeyboardInterrupt:
        return


@app.command()
def status(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Where all returns stand, by brand."""
    settings = settings_of(config)
    found, pulls = _statuses(open_ledger(settings), list(settings.brands))
    if as_json:
        print_json([views_plain(s, pulls.get(s.brand)) for s in found])
        return
    shows.print_status(found, pulls)


def _statuses(
    ledger: Ledger, brands: list[str]
) -> tuple[list[views.BrandStatus], dict[str, Backfill]]:
    with ledger.read() as session:
        pulls = backfill.under_way(session, brands, datetime.now(UTC))
        return views.brand_statuses(session, brands), pulls


def views_plain(status: views.BrandStatus, pull: Backfill | None) -> dict[str, object]:
    """A brand's status as plain data; `history` is null unless a long pull is under way."""
    return {
        "brand": status.brand,
        "returns": status.returns,
        "stages": status.stages,
        "attention": status.attention,
        "last_sync_at": status.last_sync_at,
        "last_sync_ok": status.last_sync_ok,
        "last_sync_error": status.last_sync_error,
        "history": pull.as_json() if pull else None,
        "counters": status.counters,
    }


@app.command()
def show(
    what: Annotated[
        str, typer.Argument(help="Loop return id, order name, RMA/PO, ticket, tracking or e-mail.")
    ],
    config: ConfigOption = DEFAULT_CONFIG,
    brand: Annotated[str | None, typer.Option("--brand", "-b")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show a return: its seven moments, what was decided and why, every call."""
    ledger = open_ledger(settings_of(config))
    with ledger.read() as session:
        rows = views.find_return(session, what, brand)
        if not rows:
            fail(f"no return is known by {what!r}; try `bergen-loop status`")
        found = [views.return_view(session, row) for row in rows]
        if as_json:
            print_json([views.as_json(view) for view in found])
            return
        for view in found:
            shows.print_return(view)


@app.command("attention")
def attention_list(
    config: ConfigOption = DEFAULT_CONFIG,
    brand: Annotated[str | None, typer.Option("--brand", "-b")] = None,
    as_json: JsonOption = False,
) -> None:
    """List what needs a person, and why."""
    from bergen_loop.ledger.store import attention

    ledger = open_ledger(settings_of(config))
    with ledger.read() as session:
        items = attention.open_items(session, brand)
        if as_json:
            print_json([views.plain(i) for i in items])
            return
        rows = [(i.id, i.brand, i.kind, i.reason, when(i.opened_at)) for i in items]
    console.print(table("Attention", ["id", "brand", "kind", "reason", "since (UTC)"], rows))


@brands_app.command("check")
def brands_check(
    file: Annotated[Path, typer.Argument(help="Configuration file to check.")],
    everything: Annotated[
        bool, typer.Option("--all", help="Also hints about what may well be meant.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check a configuration file, and the criteria it names."""
    try:
        settings = load_settings(file)
        notes = [
            (brand, w.sentence)
            for brand, one in settings.brands.items()
            for w in criteria_warnings(brand_criteria(brand, one, file.resolve().parent))
            if everything or not w.informational
        ]
        notes += [
            (brand, f"{field}: {message}; {remedy}")
            for brand, one in settings.brands.items()
            for field, message, remedy in one.doubts()
        ]
    except ConfigError as error:
        if as_json:
            print_json([views_problem(p) for p in error.problems])
            raise typer.Exit(1) from None
        fail(f"{len(error.problems)} mistake(s):\n{error}")
    if as_json:
        print_json({"brands": list(settings.brands), "warnings": notes})
        return
    console.print(f"{file}: {len(settings.brands)} brand(s), no mistakes", highlight=False)
    for brand, note in notes:
        console.print("[yellow]warning:[/] ", end="")
        console.print(f"{brand}: {note}", highlight=False, markup=False)


def views_problem(problem: object) -> dict[str, object]:
    """A configuration problem as plain data."""
    names = ("file", "line", "column", "field", "message", "fix")
    return {name: getattr(problem, name) for name in names}


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def sandbox(context: typer.Context) -> None:
    """Run the sandbox: a Loop API and a REX11 service to try things against."""
    from loop_sandbox.__main__ import main as sandbox_main

    raise typer.Exit(sandbox_main(context.args) or 0)


def _chosen(registry: Registry, wanted: list[str] | None) -> list[str]:
    unknown = [n for n in wanted or [] if n not in registry]
    if unknown:
        known = ", ".join(registry.settings.brands)
        fail(f"unknown brand(s) {', '.join(unknown)}; configured: {known}", 2)
    paused = registry.paused()
    for name in paused & set(wanted or []):
        fail(f"brand {name} is paused; set it with `bergen-loop brands mode {name} live|shadow`", 2)
    return wanted or [n for n in registry.settings.brands if n not in paused]


def _tick_all(
    registry: Registry, names: list[str], *, quiet: bool
) -> dict[str, dict[str, dict[str, object]]]:
    results: dict[str, dict[str, dict[str, object]]] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    quiet = quiet or not console.is_terminal
    with (
        Progress(*columns, console=console, transient=True, disable=quiet) as progress,
        watching.history(progress, registry.ledger, names),
    ):
        task = progress.add_task("syncing", total=len(names) * len(tick.STEPS))
        for name in names:
            ctx = registry.context(name)
            try:
                with tick.holding(ctx):
                    tick.begin(ctx)
                    done: dict[str, dict[str, object]] = {}
                    for step in tick.names(ctx):
                        progress.update(task, description=f"{name}: {step}")
                        done[step] = tick.step(ctx, step)
                        progress.advance(task)
                    tick.end(ctx, done)
            except (BrandBusy, LockLost) as error:
                done = {"sync": {"error": str(error)}}
            results[name] = done
    return results


def _words(done: dict[str, object]) -> str:
    if "error" in done:
        return str(done["error"])
    return ", ".join(f"{k} {v}" for k, v in done.items() if v) or "nothing to do"


def main() -> None:
    """Entry point of the `bergen-loop` command."""
    app()
