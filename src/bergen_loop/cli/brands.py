"""`bergen-loop brands`: check the configuration, set a brand's mode."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bergen_loop.cli import ledger_brands, modes
from bergen_loop.cli.output import fail, print_json, say
from bergen_loop.cli.setup import JsonOption
from bergen_loop.config import ConfigError, Problem, load_settings
from bergen_loop.config.criteria import criteria as brand_criteria
from bergen_loop.domain.criteria import warnings as criteria_warnings

app = typer.Typer(no_args_is_help=True, help="Brands and their configuration.")
ledger_brands.install(app)
modes.install(app)


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
    say(f"{file}: {len(settings.brands)} brand(s), no mistakes")
    for brand, note in notes:
        say(("warning:", "yellow"), f" {brand}: {note}")


def _plain(problem: Problem) -> dict[str, object]:
    """A configuration problem as plain data."""
    names = ("file", "line", "column", "field", "message", "fix")
    return {name: getattr(problem, name) for name in names}
