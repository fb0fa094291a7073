"""`bergen-loop sync`: the flows without the service."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bergen_loop import logs
from bergen_loop.cli import standing, watching
from bergen_loop.cli.output import console, fail, print_json, table
from bergen_loop.cli.setup import (
    DEFAULT_CONFIG,
    BrandsOption,
    ConfigOption,
    JsonOption,
    brands_of,
    registry_of,
)
from bergen_loop.flow import tick
from bergen_loop.ledger.locks import BrandBusy, LockLost
from bergen_loop.service.registry import Registry

app = typer.Typer(no_args_is_help=True, help="Run the flows without the service.")


@app.command("once")
def sync_once(
    config: ConfigOption = DEFAULT_CONFIG, brand: BrandsOption = None, as_json: JsonOption = False
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


@app.command("run")
def sync_run(
    config: ConfigOption = DEFAULT_CONFIG,
    brand: BrandsOption = None,
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
                console.print(standing.overview(registry.ledger, registry.settings, names))
            if ticks and done >= ticks:
                return
            time.sleep(every)
    except KeyboardInterrupt:
        return


def _chosen(registry: Registry, wanted: list[str] | None) -> list[str]:
    names, paused = brands_of(registry.settings, wanted), registry.paused()
    for name in paused & set(wanted or []):
        fail(f"brand {name} is paused; set it with `bergen-loop brands mode {name} live|shadow`", 2)
    return [name for name in names if name not in paused]


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
