"""How a return and a brand's status look in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table

from bergen_loop.cli.output import console, table, when
from bergen_loop.console import words
from bergen_loop.domain.lifecycle import Stage
from bergen_loop.ledger.read.views import BrandStatus, ReturnView
from bergen_loop.ledger.store.backfill import Backfill


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
