"""`bergen-loop status`, `show` and `attention`: how returns stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table

from bergen_loop.cli.output import console, fail, print_json, table, when
from bergen_loop.cli.setup import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    open_ledger,
    settings_of,
)
from bergen_loop.console import words
from bergen_loop.domain.lifecycle import Stage
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.read import views
from bergen_loop.ledger.read.views import BrandStatus, ReturnView
from bergen_loop.ledger.store import attention, backfill
from bergen_loop.ledger.store.backfill import Backfill


def status(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Where all returns stand, by brand."""
    settings = settings_of(config)
    found, pulls = statuses(open_ledger(settings), list(settings.brands))
    if as_json:
        print_json([_plain(s, pulls.get(s.brand)) for s in found])
        return
    print_status(found, pulls)


def statuses(ledger: Ledger, brands: list[str]) -> tuple[list[BrandStatus], dict[str, Backfill]]:
    """How each brand stands, and the long pulls under way."""
    with ledger.read() as session:
        pulls = backfill.under_way(session, brands, datetime.now(UTC))
        return views.brand_statuses(session, brands), pulls


def _plain(status: BrandStatus, pull: Backfill | None) -> dict[str, object]:
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
            print_return(view)


def attention_list(
    config: ConfigOption = DEFAULT_CONFIG,
    brand: Annotated[str | None, typer.Option("--brand", "-b")] = None,
    as_json: JsonOption = False,
) -> None:
    """List what needs a person, and why."""
    ledger = open_ledger(settings_of(config))
    with ledger.read() as session:
        items = attention.open_items(session, brand)
        if as_json:
            print_json([views.plain(i) for i in items])
            return
        rows = [(i.id, i.brand, i.kind, i.reason, when(i.opened_at)) for i in items]
    console.print(table("Attention", ["id", "brand", "kind", "reason", "since (UTC)"], rows))


def print_status(statuses: Sequence[BrandStatus], pulls: Mapping[str, Backfill]) -> None:
    """Brands by stage, and which of them are still taking in what Loop already has."""
    console.print(_status_table(statuses))
    for brand, pull in pulls.items():
        console.print(f"{brand}: {words.history(pull)}", highlight=False, soft_wrap=True)


def _status_table(statuses: Sequence[BrandStatus]) -> Table:
    """Brands by stage; stages nobody is in are left out."""
    used = [s for s in Stage if any(b.stages.get(s) for b in statuses)]
    rows = [
        (
            b.brand,
            b.returns,
            *(b.stages.get(s, 0) for s in used),
            b.attention,
            _sync_words(b),
        )
        for b in statuses
    ]
    columns = ["brand", "returns", *(s.value.replace("_", " ") for s in used)]
    return table("Returns by stage", [*columns, "attention", "last sync (UTC)"], rows)


def _sync_words(status: BrandStatus) -> str:
    if status.last_sync_at is None:
        return "never"
    return when(status.last_sync_at) + (
        "" if status.last_sync_ok else f"  {status.last_sync_error}"
    )


def print_return(view: ReturnView) -> None:
    """A return as a timeline in the seven moments, then lines, calls and journal."""
    row = view.row
    console.print(
        f"\n[bold]Return {row.return_id}[/] of {row.brand}, order {row.order_name}, "
        f"{row.total or '?'} {row.currency or ''}: [bold]{row.stage.replace('_', ' ')}[/]",
        highlight=False,
    )
    console.print(
        table(
            "",
            ["", "moment", "at (UTC)", ""],
            [
                ("●" if m.at else "○", f"{m.moment}. {m.moment.title}", when(m.at), m.text)
                for m in view.moments
            ],
        )
    )
    for item in view.attention:
        console.print(f"[bold yellow]needs attention[/] ({item.kind}): {item.reason}")
    if view.decision:
        d = view.decision
        shadow = " (shadow: not acted on)" if d.shadow else ""
        console.print(
            f"[bold]Decision{shadow}:[/] {d.reason}  [dim]{d.criteria_version}[/]", highlight=False
        )
        if d.note:
            console.print(f"[bold]Note:[/] {d.note}", highlight=False)
    console.print(_lines(view))
    if view.effects:
        console.print(
            table(
                "Calls that change something",
                ["what", "state", "tries", "intended (UTC)", "outcome"],
                [
                    (e.kind, e.state, e.attempts, when(e.intended_at), e.outcome)
                    for e in view.effects
                ],
            )
        )
    console.print(
        table(
            "Journal",
            ["at (UTC)", "who", "what", "why"],
            [(when(j.at), j.who, j.what, j.why) for j in view.journal],
        )
    )


def _lines(view: ReturnView) -> Table:
    rows = [(x.sku, x.barcode, x.title, x.outcome, x.reason) for x in view.lines]
    return table("Units", ["sku", "upc", "title", "outcome", "reason"], rows)
