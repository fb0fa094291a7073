"""`bergen-loop show`: one return, from its first moment to its last."""

from __future__ import annotations

from typing import Annotated

import typer

from bergen_loop.cli.output import Listing, console, fail, print_json, say, table, when
from bergen_loop.cli.setup import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    open_ledger,
    settings_of,
)
from bergen_loop.ledger.read import views
from bergen_loop.ledger.read.views import ReturnView
from bergen_loop.people.looking import view_of


def show(
    what: Annotated[
        str, typer.Argument(help="Loop return id, order name, RMA/PO, ticket, tracking or e-mail.")
    ],
    config: ConfigOption = DEFAULT_CONFIG,
    brand: Annotated[str | None, typer.Option("--brand", "-b")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show a return: its seven moments, what was decided and why, every call."""
    settings = settings_of(config)
    ledger = open_ledger(settings)
    with ledger.read() as session:
        rows = views.find_return(session, what, brand)
        if not rows:
            fail(f"no return is known by {what!r}; try `bergen-loop status`")
        found = [view_of(session, settings, row) for row in rows]
        if as_json:
            print_json([views.as_json(view) for view in found])
            return
        for view in found:
            print_return(view)


def print_return(view: ReturnView) -> None:
    """A return as a timeline in the seven moments, then lines, calls and journal."""
    row = view.row
    console.print()
    say(
        (f"Return {row.return_id}", "bold"),
        f" of {row.brand}, order {row.order_name}, {row.total or '?'} {row.currency or ''}: ",
        (row.stage.replace("_", " "), "bold"),
    )
    say((view.why().sentence(), "bold yellow" if view.attention else "bold"))
    console.print(
        table(
            "",
            ["", "moment", "at (UTC)", ""],
            [
                ("●" if m.at else "○", f"{m.moment}. {m.title}", when(m.at), m.text)
                for m in view.moments
            ],
        )
    )
    for item in view.attention[1:]:
        say(("needs attention", "bold yellow"), f" ({item.kind}): {item.reason}")
    if view.decision:
        d = view.decision
        shadow = " (shadow: not acted on)" if d.shadow else ""
        say((f"Decision{shadow}:", "bold"), f" {d.reason}  ", (d.criteria_version, "dim"))
        if d.note:
            say(("Note:", "bold"), f" {d.note}")
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


def _lines(view: ReturnView) -> Listing:
    rows = [(x.sku, x.barcode, x.title, x.outcome, x.reason) for x in view.lines]
    return table("Units", ["sku", "upc", "title", "outcome", "reason"], rows)
