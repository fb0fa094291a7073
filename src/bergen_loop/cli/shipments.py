"""`bergen-loop shipments` and `bergen-loop claims`: what comes together, and what did not come."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.text import Text

from bergen_loop.cli.output import console, fail, print_json, table, when
from bergen_loop.cli.setup import (
    DEFAULT_CONFIG,
    BrandsOption,
    ConfigOption,
    JsonOption,
    brands_of,
    open_ledger,
    person,
    settings_of,
)
from bergen_loop.domain.shipment import ShipmentStage
from bergen_loop.ledger.codec import storable
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.read import shipments as reading
from bergen_loop.ledger.read import views
from bergen_loop.ledger.read.listing import Slice
from bergen_loop.ledger.scope import Scope
from bergen_loop.ledger.store import shipments as store
from bergen_loop.ledger.transaction import Transaction
from bergen_loop.people import shipments as people
from bergen_loop.people.actions import NotPossible

app = typer.Typer(help="Consolidated shipments of box-free returns (Happy Returns).")
claims_app = typer.Typer(help="What shipments lack or brought damaged, after the money has moved.")

LimitOption = Annotated[int, typer.Option(min=1, help="How many.")]
EVERYONE = Scope.of(None)


def _opened(config: ConfigOption, brands: list[str] | None) -> tuple[Ledger, Scope]:
    settings = settings_of(config)
    return open_ledger(settings), Scope.of(brands_of(settings, brands) if brands else None)


@app.callback(invoke_without_command=True)
def shipments(
    context: typer.Context,
    config: ConfigOption = DEFAULT_CONFIG,
    brand: BrandsOption = None,
    limit: LimitOption = 50,
    as_json: JsonOption = False,
) -> None:
    """Consolidated shipments of box-free returns (Happy Returns).

    The newest first: what was expected, counted, and is missing.
    """
    if context.invoked_subcommand:
        return
    ledger, scope = _opened(config, brand)
    with ledger.read() as session:
        found = reading.shipments(session, scope, limit=limit)
    if as_json:
        print_json([views.plain(row) for row in found.rows])
        return
    columns = ["shipment", "brand", "stands at", "returns", "expected", "counted", "missing",
               "damaged", "left the hub (UTC)"]  # fmt: skip
    rows = [
        (
            r.happy_id,
            r.brand,
            ShipmentStage(r.stage).words,
            r.returns,
            r.expected,
            r.counted if r.arrived_at else "",
            r.missing if r.arrived_at else "",
            r.damaged if r.arrived_at else "",
            when(r.shipped_at or r.learned_at),
        )
        for r in found.rows
    ]
    console.print(table("Shipments", columns, rows))


@app.command("show")
def show(
    brand: Annotated[str, typer.Argument(help="Whose it is.")],
    shipment: Annotated[str, typer.Argument(help="Happy Returns' id of it.")],
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """One shipment: its RMAs, and bag by bag what was to come and what differs."""
    settings = settings_of(config)
    brands_of(settings, [brand])
    with open_ledger(settings).read() as session:
        row = reading.one_shipment(session, EVERYONE, brand, shipment)
        view = reading.view(session, row) if row is not None else None
    if view is None:
        fail(
            f"shipment {shipment} of {brand} is not known: `bergen-loop shipments add` has it read"
        )
    if as_json:
        bags = [{"barcodes": b.barcodes, "returns": b.return_ids, "boxes": b.boxes,
                 "products": _products(b), "differs": _differs(b)} for b in view.bags]  # fmt: skip
        rmas = [views.plain(r) for r in view.rmas]
        print_json({**views.plain(view.row), "rmas": rmas, "contents": bags})
        return
    r = view.row
    words = f"{r.happy_id}: {ShipmentStage(r.stage).words}; {r.expected} units expected"
    if r.arrived_at:
        words += f", {r.counted} counted, {r.damaged} damaged, {r.missing} missing"
    console.print(Text(words))
    for problem in filter(None, [r.problem, *(r.remarks or [])]):
        console.print(Text(str(problem), style="bold red"))
    rows = [
        (m.ticket_id or "to be made", m.customer_po, len(m.unit_keys), m.ticket_status or "")
        for m in view.rmas
    ]
    console.print(table("RMAs", ["ticket", "PO", "units", "in Bergen"], rows))
    rows = [
        (", ".join(b.barcodes) or "no bag", ", ".join(b.return_ids), ", ".join(b.boxes),
         _products(b), _differs(b))
        for b in view.bags
    ]  # fmt: skip
    console.print(table("Bags", ["bag", "return", "box", "to come", "differs"], rows))


def _products(bag: reading.Bag) -> str:
    return ", ".join(u.line.sku or u.line.title or "?" for u in bag.units)


def _differs(bag: reading.Bag) -> str:
    open_ = [f"{c.units} {c.sku or c.title or '?'} {c.kind}" for c in bag.claims
             if c.state == store.OPEN]  # fmt: skip
    return "; ".join([*(["nothing has come"] if bag.missing else []), *open_])


@app.command("add")
def add(
    brand: Annotated[str, typer.Argument(help="Whose it is.")],
    shipment: Annotated[str, typer.Argument(help="Happy Returns' id of it.")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Enter a shipment whose webhook was lost: the brand's next sync reads it.

    One that is known is read again, for it may hold more by now.
    """
    settings = settings_of(config)
    brands_of(settings, [brand])
    if not settings.brands[brand].loop.happy_returns:
        fail(f"brand {brand} has no loop.happy_returns: true", 2)
    try:
        with open_ledger(settings).write() as session:
            people.enter(Transaction(session, brand, datetime.now(UTC), person()), shipment)
    except NotPossible as error:
        fail(str(error))
    console.print(Text(f"shipment {shipment} is read at the next sync of {brand}"))


@claims_app.callback(invoke_without_command=True)
def claims(
    context: typer.Context,
    config: ConfigOption = DEFAULT_CONFIG,
    brand: BrandsOption = None,
    everything: Annotated[bool, typer.Option("--all", help="Closed ones too.")] = False,
    limit: LimitOption = 200,
    as_json: JsonOption = False,
) -> None:
    """What shipments lack or brought damaged, after the money has moved.

    The newest first. Values are what is known of them: at least so much.
    """
    if context.invoked_subcommand:
        return
    ledger, scope = _opened(config, brand)
    with ledger.read() as session:
        state = None if everything else store.OPEN
        found = reading.claims(session, scope, state=state, part=Slice(limit))
        names = reading.shipment_ids(session, found.rows)
    if as_json:
        print_json([{**views.plain(c), "shipment": names[c.shipment_pk]} for c in found.rows])
        return
    columns = ["claim", "brand", "shipment", "what", "units", "product", "bag", "return", "value",
               "state"]  # fmt: skip
    rows = [
        (
            str(c.id),
            c.brand,
            names[c.shipment_pk],
            c.kind,
            c.units,
            c.sku or c.upc or c.title,
            ", ".join(str(b) for b in c.bags),
            c.return_id,
            f"{c.value} {c.currency or ''}".strip() if c.value else "",
            c.state,
        )
        for c in found.rows
    ]
    console.print(table("Claims", columns, rows))


@claims_app.command("close")
def close(
    claim: Annotated[int, typer.Argument(help="Number of a claim, as `claims` shows.")],
    reason: Annotated[str, typer.Option(help="Why; kept in the journal.")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Close a claim: settled, given up, or explained."""
    if not reason.strip():
        fail("say why, for the journal: --reason '...'", 2)
    try:
        with open_ledger(settings_of(config)).write() as session:
            row = reading.claim_to_change(session, EVERYONE, claim)
            if row is None:
                raise NotPossible(f"there is no claim {claim}")
            tx = Transaction(session, row.brand, datetime.now(UTC), person())
            people.close_claim(tx, row, storable(reason.strip()))
    except NotPossible as error:
        fail(str(error))
    console.print(Text(f"claim {claim} is closed"))
