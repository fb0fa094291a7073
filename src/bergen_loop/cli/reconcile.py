"""`bergen-loop reconcile`, `rebuild` and `replay`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated

import typer

from bergen_loop import logs
from bergen_loop.cli.output import console, fail, print_json, table
from bergen_loop.cli.setup import (
    DEFAULT_CONFIG,
    BrandsOption,
    ConfigOption,
    JsonOption,
    brands_of,
    person,
    registry_of,
)
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.locks import BrandBusy, LockLost
from bergen_loop.outside.errors import OutsideError
from bergen_loop.repair import drift, rebuild, reconcile, replay

DaysOption = Annotated[int, typer.Option(help="How many days back.", min=1, max=3650)]
Work = Callable[[BrandContext], drift.Summary]


def reconcile_command(
    config: ConfigOption = DEFAULT_CONFIG,
    brand: BrandsOption = None,
    days: DaysOption = reconcile.WINDOW.days,
    as_json: JsonOption = False,
) -> None:
    """Compare the ledger with Loop and REX11, repair what is safe, tell the rest."""
    window = timedelta(days=days)
    _each(config, brand, lambda ctx: reconcile.run(ctx, window), as_json=as_json)


def rebuild_command(
    config: ConfigOption = DEFAULT_CONFIG,
    brand: BrandsOption = None,
    days: DaysOption = rebuild.WINDOW.days,
    as_json: JsonOption = False,
) -> None:
    """Recover a lost ledger from Loop and REX11, without doing anything twice.

    Run it before the service is started on the empty ledger. Returns the ledger knows are left
    alone, so it can be run again after an interruption.
    """
    window = timedelta(days=days)
    _each(config, brand, lambda ctx: rebuild.run(ctx, window), as_json=as_json)


def replay_command(
    config: ConfigOption = DEFAULT_CONFIG,
    brand: BrandsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Try payloads again that could not be understood when they came."""
    logs.configure(json=False, level="WARNING")
    registry = registry_of(config)
    done: dict[str, replay.Replayed] = {}
    for name in brands_of(registry.settings, brand):
        try:
            done[name] = replay.run(registry.context(name), who=person())
        except (BrandBusy, LockLost) as error:
            fail(f"{name}: {error}; try again in a moment")
    if as_json:
        print_json({name: {"read": r.read, "left": r.left} for name, r in done.items()})
        return
    rows = [(name, r.read, len(r.left)) for name, r in done.items()]
    console.print(table("Replayed", ["brand", "read now", "still not understood"], rows))
    for name, r in done.items():
        for line in r.left:
            console.print(f"{name}: {line}", highlight=False, markup=False)


def _each(config: ConfigOption, wanted: list[str] | None, work: Work, *, as_json: bool) -> None:
    logs.configure(json=False, level="WARNING")
    registry = registry_of(config)
    summaries: list[drift.Summary] = []
    failed: dict[str, str] = {}
    for name in brands_of(registry.settings, wanted):
        try:
            summaries.append(work(registry.context(name)))
        except (BrandBusy, LockLost) as error:
            failed[name] = f"{error}; try again in a moment"
        except OutsideError as error:
            failed[name] = f"{error}; what was done by then is kept, run it again"
    if as_json:
        print_json({"summaries": [s.as_json() for s in summaries], "failed": failed})
    else:
        _print(summaries)
    if failed:
        fail("\n".join(f"{name}: {why}" for name, why in failed.items()))


def _print(summaries: list[drift.Summary]) -> None:
    rows = [
        (s.brand, s.returns, s.tickets, *(s.counts()[d] for d in drift.Done)) for s in summaries
    ]
    columns = ["brand", "returns", "tickets", *(d.value for d in drift.Done)]
    console.print(table("Compared with Loop and REX11", columns, rows))
    found = [(s.brand, f.done.value, f.text) for s in summaries for f in s.findings]
    if found:
        console.print(table("Differences", ["brand", "what was done", "difference"], found))
