"""`bergen-loop shadow report`: what would have been done, against what people did."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter

from bergen_loop.cli.output import console, print_json, table
from bergen_loop.cli.setup import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    brands_of,
    open_ledger,
    settings_of,
)
from bergen_loop.ledger.read import shadow as shadows
from bergen_loop.ledger.read.shadow import ShadowReport

app = typer.Typer(no_args_is_help=True, help="Shadow mode: what would have been done.")


@app.command("report")
def report(
    brand: Annotated[str, typer.Option("--brand", "-b", help="The brand.")],
    since: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Decisions from this day on.")
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Compare what would have been done in shadow with what people did in Loop."""
    settings = settings_of(config)
    brands_of(settings, [brand])
    with open_ledger(settings).read() as session:
        found = shadows.report(session, brand, since.replace(tzinfo=UTC) if since else None)
    if as_json:
        plain: dict[str, Any] = TypeAdapter(ShadowReport).dump_python(found, mode="json")
        print_json({**plain, "agreement": found.agreement})
    else:
        _print(found)


def _print(found: ShadowReport) -> None:
    share = "nothing to compare yet" if found.agreement is None else f"{found.agreement:.1%} alike"
    console.print(
        f"[bold]{found.brand}[/]: {found.total} return(s) judged in shadow; {share}",
        highlight=False,
    )
    console.print(f"[dim]{shadows.BASIS}[/]")
    rows = [
        (decided, done, n)
        for decided, counts in sorted(found.matrix.items())
        for done, n in sorted(counts.items())
    ]
    console.print(table("Shadow decision and what people did", ["we", "people", "returns"], rows))
    verdicts = [(verdict, found.verdicts[verdict]) for verdict in shadows.Verdict]
    console.print(table("Alike?", ["", "returns"], verdicts))
    if found.disagreements:
        listed = [(d.return_id, d.order_name, d.sentence) for d in found.disagreements]
        console.print(table("Decided otherwise, newest first", ["return", "order", "why"], listed))
        left = found.verdicts[shadows.Verdict.DISAGREE] - len(listed)
        if left:
            console.print(f"... and {left} more")
