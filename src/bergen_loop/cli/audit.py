"""`bergen-loop audit`: whether the journal is as it was written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from bergen_loop.cli.output import console, fail, print_json, say, table
from bergen_loop.cli.setup import DEFAULT_CONFIG, ConfigOption, JsonOption, open_ledger, settings_of
from bergen_loop.ledger.store import chain
from bergen_loop.ledger.store.chain import Chain, Head

app = typer.Typer(no_args_is_help=True, help="The journal: seal it, and look for tampering.")


@app.command()
def seal(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Seal the entries written since the last sealing. The service does so every minute."""
    settings = settings_of(config)
    grown = chain.seal_all(open_ledger(settings), datetime.now(UTC), settings.brands)
    if as_json:
        print_json([asdict(head) for head in grown])
        return
    rows = [(head.brand or "(no brand)", head.position, head.seal) for head in grown]
    console.print(table("Sealed", ["chain", "entries", "last seal"], rows))


@app.command()
def verify(
    config: ConfigOption = DEFAULT_CONFIG,
    brand: Annotated[
        list[str] | None, typer.Option("--brand", "-b", help="Only these brands.")
    ] = None,
    noted: Annotated[
        Path | None,
        typer.Option(help="The --json output of an earlier run, kept elsewhere: must still hold."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Look whether the journal is as it was sealed. Exit 1 where it is not.

    Who may write to the database can make a whole chain anew: keep this command's --json output
    where they cannot write, and give it with --noted the next time.
    """
    heads = _noted(noted) if noted else []
    with open_ledger(settings_of(config)).read() as session:
        chains = chain.verify(session, brand, heads)
    if as_json:
        print_json([asdict(one) for one in chains])
    else:
        _print(chains)
    if any(one.problems for one in chains):
        raise typer.Exit(1)


def _print(chains: Sequence[Chain]) -> None:
    rows = [
        (one.brand or "(no brand)", one.sealed, one.erased, one.unsealed, one.before,
         one.head.seal[:16] if one.head else "", len(one.problems) or "none")
        for one in chains
    ]  # fmt: skip
    columns = ["chain", "sealed", "erased", "not yet", "older", "last seal", "problems"]
    console.print(table("Journal", columns, rows))
    for one in chains:
        for problem in one.problems:
            say((one.brand or "(no brand)", "bold red"), f": {problem}")


def _noted(path: Path) -> list[Head]:
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
        heads = [cast("dict[str, Any]", one).get("head") for one in found]
        return [Head(str(h["brand"]), int(h["position"]), str(h["seal"])) for h in heads if h]
    except OSError as error:
        fail(f"{path} cannot be read: {error.strerror}", 2)
    except (ValueError, KeyError, TypeError, AttributeError):
        fail(f"{path} is not what `bergen-loop audit verify --json` wrote", 2)
