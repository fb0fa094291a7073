"""`bergen-loop brands`: check the configuration, set a brand's mode."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.padding import Padding
from rich.text import Text

from bergen_loop.cli import ledger_brands
from bergen_loop.cli.asking import sure
from bergen_loop.cli.attention import money
from bergen_loop.cli.output import console, fail, print_json
from bergen_loop.cli.setup import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    brands_of,
    open_ledger,
    person,
    settings_of,
)
from bergen_loop.config import ConfigError, Problem, load_settings
from bergen_loop.config.criteria import criteria as brand_criteria
from bergen_loop.domain.criteria import warnings as criteria_warnings
from bergen_loop.ledger.read import golive
from bergen_loop.ledger.read.golive import GoLive
from bergen_loop.ledger.store import modes, returns
from bergen_loop.ledger.transaction import transaction

app = typer.Typer(no_args_is_help=True, help="Brands and their configuration.")
ledger_brands.install(app)

AS_CONFIGURED = "configured"
_GOES_LIVE = {(modes.LIVE, before) for before in modes.MODES if before != modes.LIVE}


@app.command("mode")
def mode(
    brand: Annotated[str, typer.Argument(help="The brand's id in the configuration.")],
    to: Annotated[
        str | None,
        typer.Argument(metavar="live|shadow|paused|configured", help="Left out: show the mode."),
    ] = None,
    reason: Annotated[str | None, typer.Option(help="Why; kept in the journal.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before going live.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Set a brand live, to shadow or paused; `configured` goes back to the file's mode.

    Before it goes live it is shown what would be paid at once, and asked.
    """
    settings = settings_of(config)
    brands_of(settings, [brand])
    ledger, configured = open_ledger(settings), settings.brands[brand].mode
    if to is None:
        with ledger.read() as session:
            now = modes.effective(returns.known_brand(session, brand), configured)
        before = now
    else:
        if to not in (*modes.MODES, AS_CONFIGURED):
            fail(f"{to!r} is no mode; use live, shadow, paused or {AS_CONFIGURED}", 2)
        if not (reason or "").strip():
            fail("say why, for the journal: --reason '...'", 2)
        wanted = None if to == AS_CONFIGURED else to
        with ledger.read() as session:
            present = modes.effective(returns.known_brand(session, brand), configured)
            change = (wanted or configured, present)
            waits = golive.look(session, brand) if change in _GOES_LIVE else None
        if waits:
            if not as_json:
                _print_waiting(brand, waits)
            sure(f"Set {brand} live?", yes)
        with transaction(ledger, brand, datetime.now(UTC), person()) as tx:
            before, now = modes.set_mode(tx, wanted, configured=configured, why=reason or "")
    if as_json:
        print_json({"brand": brand, "mode": now, "before": before, "configured": configured})
        return
    console.print(f"[bold]{brand}[/] is {now}: {modes.MEANING[now]}", highlight=False)


def _print_waiting(brand: str, found: GoLive) -> None:
    """What going live would lead to at once."""
    worth = f", {money(found.worth)}" if found.paid else ""
    alike = (
        f"{found.compared:,} compared with what people did, {found.alike:,} alike"
        if found.compared
        else "none compared with what people did yet"
    )
    console.print(Text(f"{brand}, if it goes live now:", style="bold"))
    for words in (
        f"to be paid at once: {found.paid:,} return(s){worth}",
        f"to be flagged: {found.flagged:,}; to be judged or asked about: {found.others:,}",
        f"decisions in shadow: {alike} (`bergen-loop shadow report -b {brand}`)",
    ):
        console.print(Padding(Text(words), (0, 0, 0, 2)))


@app.command("check")
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
            print_json([_plain(p) for p in error.problems])
            raise typer.Exit(1) from None
        fail(f"{len(error.problems)} mistake(s):\n{error}")
    if as_json:
        print_json({"brands": list(settings.brands), "warnings": notes})
        return
    console.print(f"{file}: {len(settings.brands)} brand(s), no mistakes", highlight=False)
    for brand, note in notes:
        console.print("[yellow]warning:[/] ", end="")
        console.print(f"{brand}: {note}", highlight=False, markup=False)


def _plain(problem: Problem) -> dict[str, object]:
    """A configuration problem as plain data."""
    names = ("file", "line", "column", "field", "message", "fix")
    return {name: getattr(problem, name) for name in names}
