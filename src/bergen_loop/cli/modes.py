"""`bergen-loop brands mode` and `bergen-loop shadow report`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter

from bergen_loop.cli.output import console, fail, print_json, table
from bergen_loop.cli.setup import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    open_ledger,
    person,
    settings_of,
)
from bergen_loop.config import Settings
from bergen_loop.ledger.read import shadow as shadows
from bergen_loop.ledger.read.shadow import ShadowReport
from bergen_loop.ledger.store import modes
from bergen_loop.ledger.tables.core import BrandRow

shadow_app = typer.Typer(no_args_is_help=True, help="Shadow mode: what would have been done.")

AS_CONFIGURED = "configured"


def mode(
    brand: Annotated[str, typer.Argument(help="The brand's id in the configuration.")],
    to: Annotated[
        str | None,
        typer.Argument(metavar="live|shadow|paused|configured", help="Left out: show the mode."),
    ] = None,
    reason: Annotated[str | None, typer.Option(help="Why; kept in the journal.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Set a brand live, to shadow or paused; `configured` goes back to the file's mode."""
    settings = settings_of(config)
    _known(settings, brand)
    ledger, configured = open_ledger(settings), settings.brands[brand].mode
    if to is None:
        with ledger.read() as session:
            now = modes.effective(session.get(BrandRow, brand), configured)
        before = now
    else:
        if to not in (*modes.MODES, AS_CONFIGURED):
            fail(f"{to!r} is no mode; use live, shadow, paused or {AS_CONFIGURED}", 2)
        if not (reason or "").strip():
            fail("say why, for the journal: --reason '...'", 2)
        with ledger.write() as session:
            before, now = modes.set_mode(
                session,
                datetime.now(UTC),
                brand,
                None if to == AS_CONFIGURED else to,
                configured=configured,
                who=person(),
                why=reason or "",
            )
    if as_json:
        print_json({"brand": brand, "mode": now, "before": before, "configured": configured})
        return
    console.print(f"[bold]{brand}[/] is {now}: {modes.MEANING[now]}", highlight=False)


@shadow_app.command("report")
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
    _known(settings, brand)
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


def _known(settings: Settings, brand: str) -> None:
    if brand not in settings.brands:
        fail(f"unknown brand {brand!r}; configured: {', '.join(settings.brands)}", 2)
