"""Personal data goes when its time is over, or when asked for; the audit trail stays."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import sqlalchemy as sa

from bergen_loop.domain.returns import Stage
from bergen_loop.domain.words import Need, What
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.codec import load_return
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.read import views
from bergen_loop.ledger.store import attention, journal, retention, returns
from bergen_loop.ledger.store import shipments as stored
from bergen_loop.ledger.store.retention import ERASED
from bergen_loop.ledger.tables.shipments import ClaimRow, ShipmentReceiptRow, ShipmentRow
from bergen_loop.ledger.transaction import Transaction
from bergen_loop.people import shipments as people
from support import worlds
from support.bars import Bar
from support.brands import configure
from support.worlds import World

ENGINEER = "an engineer"


def customer(world: World, return_id: str) -> str:
    found = world.sandbox.find_return(return_id)
    assert found is not None
    return str(found.customer)


def completed(world: World, ctx: BrandContext, kind: str = "complete") -> str:
    """A return that has gone through all moments, with its customer quoted about."""
    return_id = world.new_return(ctx.brand, units=2, late_label=False, held=False)
    worlds.run(world, ctx, ticks=3)
    world.receive(return_id, kind)
    worlds.run(world, ctx, ticks=6)
    email = customer(world, return_id)
    with ctx.ledger.write() as session:
        row = returns.by_id(session, ctx.brand, return_id)
        assert row is not None
        journal.record(
            session,
            ctx.now(),
            journal.Entry(
                What.NOTE,
                f"{email.upper()} wrote to us",
                brand=ctx.brand,
                return_pk=row.id,
                who=ENGINEER,
                data={"mail": {"from": [email]}},
            ),
        )
        attention.raise_item(
            session, ctx.now(), attention.Matter(brand=ctx.brand, kind=Need.NOTE_REFUSED, about=row,
            reason=f"ask {email}", tried=f"mailed {email}"),
        )  # fmt: skip
        for source, named in (("loop.list", return_id), ("webhook", None)):
            journal.keep_raw(
                session,
                ctx.now(),
                journal.Payload(
                    brand=ctx.brand,
                    source=source,
                    digest=source + return_id,
                    body=f'{{"name": "Ada Okafor", "email": "{email}"}}',
                    problem="odd",
                    return_id=named,
                ),
            )
    return return_id


def everything(ledger: Ledger) -> str:
    """All that is in the file, also in columns nobody thought of."""
    with sqlite3.connect(str(ledger.url.database)) as opened:
        return "\n".join(opened.iterdump())


def row_of(ctx: BrandContext, return_id: str) -> Any:
    with ctx.ledger.read() as session:
        return returns.by_id(session, ctx.brand, return_id)


def test_a_customer_is_erased_everywhere(world: World, ctx: BrandContext) -> None:
    world.sandbox.settings.update({"two_label_share": 1.0})
    mine, other = completed(world, ctx), completed(world, ctx)
    email = customer(world, mine)
    in_loop = world.sandbox.find_return(mine)
    assert in_loop is not None
    first, second = (label.tracking_number for label in in_loop.labels())
    before = views.return_view
    with ctx.ledger.read() as session:
        entries = len(before(session, row_of(ctx, mine)).journal)
    with ctx.ledger.write() as session:
        done = retention.erase_customer(session, ctx.now(), f" {email.upper()} ", who=ENGINEER)
    assert (done.returns, done.payloads, done.waiting) == (1, 2, [])
    text = everything(ctx.ledger)
    for gone in (email, email.upper(), first, second, "labels.example.com/" + mine):
        assert gone not in text
    assert customer(world, other) in text, "nobody else's"
    with ctx.ledger.read() as session:
        view = views.return_view(session, row_of(ctx, mine))
        assert len(view.journal) == entries + 1, "the trail is whole, and tells of the erasing"
        assert view.journal[-1].what == "personal data erased"
        assert view.journal[-1].who == ENGINEER
        assert [d.rule for d in view.decisions] != []
        assert all(m.at for m in view.moments)
        kept = load_return(view.row.content)
        assert kept.lines and kept.customer_email == ERASED


def test_a_return_under_way_is_erased_when_it_has_ended(world: World, ctx: BrandContext) -> None:
    return_id = world.new_return(ctx.brand, late_label=False, held=False)
    worlds.run(world, ctx, ticks=2)
    email = customer(world, return_id)
    with ctx.ledger.write() as session:
        done = retention.erase_customer(session, ctx.now(), email, who=ENGINEER)
    assert done.waiting == [return_id]
    world.receive(return_id)
    worlds.run(world, ctx, ticks=6)
    assert row_of(ctx, return_id).stage == Stage.COMPLETE
    with ctx.ledger.write() as session:
        assert retention.keep_erased(session, ctx.now(), ctx.brand).returns == 1
    assert email not in everything(ctx.ledger)


def test_what_loop_shows_again_is_erased_again(world: World, ctx: BrandContext) -> None:
    return_id = completed(world, ctx)
    row, email = row_of(ctx, return_id), customer(world, return_id)
    with ctx.ledger.write() as session:
        fresh = session.merge(row)
        retention.erase_return(session, ctx.now(), fresh, who=ENGINEER)
    worlds.run(world, ctx, ticks=3)
    assert email not in everything(ctx.ledger), "the same content is nothing new"
    answer = httpx2.post(
        f"{world.url}/control/returns/{return_id}/label", json={"status": "delivered"}
    )
    assert answer.status_code == 200, answer.text
    worlds.run(world, ctx, ticks=2)
    assert email in everything(ctx.ledger), "Loop changed it, so it came back"
    with ctx.ledger.write() as session:
        assert retention.keep_erased(session, ctx.now(), ctx.brand).returns == 1
        assert retention.keep_erased(session, ctx.now(), ctx.brand).returns == 0
    assert email not in everything(ctx.ledger)


def test_time_masks_what_has_ended_and_nothing_else(world: World, ctx: BrandContext) -> None:
    ended = completed(world, ctx)
    open_one = world.new_return(ctx.brand, late_label=False, held=False)
    worlds.run(world, ctx)
    later = ctx.now() + timedelta(days=91)
    with ctx.ledger.write() as session:
        early = retention.expire(session, ctx.now(), ctx.brand, timedelta(days=90))
        assert early.returns == 0
        done = retention.expire(session, later, ctx.brand, timedelta(days=90))
        assert done.returns == 1
        assert retention.expire(session, later, ctx.brand, timedelta(days=90)).returns == 0
    text = everything(ctx.ledger)
    assert customer(world, ended) not in text
    assert customer(world, open_one) in text


def test_shipments_name_no_customer_after_erasing_nor_when_their_time_is_over(
    world: World, ctx: BrandContext
) -> None:
    configure(ctx, loop={"happy_returns": True})
    world.sandbox.settings.update({"happy_returns_seconds": 10**9})
    bar = Bar(world, ctx)
    mine, other = bar.drop(), bar.drop()
    worlds.run(world, ctx)
    world.advance(3600)
    shipment = bar.ship(mine, other)
    worlds.run(world, ctx)
    bar.arrive(shipment, damaged=(0, 1))
    worlds.run(world, ctx, ticks=2)
    with ctx.ledger.write() as session:
        journal.keep_raw(
            session,
            ctx.now(),
            journal.Payload(
                brand=ctx.brand,
                source="loop.shipment",
                digest="odd",
                body=f'{{"return_id": {mine}, "ship_to": "Ada Okafor"}}',
                problem="odd",
                return_id=None,
            ),
        )
        [receipt] = session.scalars(sa.select(ShipmentReceiptRow))
        content = dict(receipt.content)
        content["lines"][0]["comments"] = f"ask {customer(world, mine)}"
        receipt.content = content

    def named() -> list[set[str | None]]:
        with ctx.ledger.read() as session:
            [row] = session.scalars(sa.select(ShipmentRow))
            units = {u.item.order_name for u in stored.units_of(session, row.id)}
            return [units, {c.order_name for c in session.scalars(sa.select(ClaimRow))}]

    whose = {i: bar.brand.returns[i].order_name for i in (mine, other)}
    assert named() == [set(whose.values())] * 2
    email = customer(world, mine)
    with ctx.ledger.write() as session:
        retention.erase_customer(session, ctx.now(), email, who=ENGINEER)
    assert named() == [{None, whose[other]}] * 2
    text = everything(ctx.ledger)
    assert "Ada Okafor" not in text and email not in text
    with ctx.ledger.write() as session:  # and read again, in another bag, they stay so
        people.enter(Transaction(session, ctx.brand, ctx.now(), ENGINEER), shipment.happy_id)
    shipment.units[0].bags, shipment.created_at = ["HRBAGNEW"], shipment.created_at + 60
    worlds.run(world, ctx)
    assert named() == [{None, whose[other]}] * 2
    with ctx.ledger.write() as session:
        later = ctx.now() + timedelta(days=40)
        retention.expire(session, later, ctx.brand, timedelta(days=30))
    assert named() == [{None}] * 2


def test_erasing_from_the_command_line(world: World, ctx: BrandContext, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from bergen_loop.cli.main import app

    return_id = completed(world, ctx)
    email = customer(world, return_id)
    config = tmp_path / "bergen-loop.yaml"
    secret = tmp_path / "secret"
    secret.write_text("s")
    secret.chmod(0o600)
    config.write_text(
        f"""
service: {{database: "sqlite:///{ctx.ledger.url.database}"}}
brands:
  northpine:
    name: Northpine
    loop: {{api_key: "file:{secret}"}}
    rex11: {{web_address: a, user_name: b, password: "file:{secret}"}}
"""
    )
    run = CliRunner().invoke
    assert run(app, ["erase", "-c", str(config)]).exit_code == 2
    done = run(app, ["erase", "--yes", "--return", return_id, "-c", str(config), "--json"])
    assert done.exit_code == 0, done.output
    assert '"returns": 1' in done.output
    row = row_of(ctx, return_id)
    assert row.customer_email == ERASED
    assert email not in str(row.content)
    missing = run(app, ["erase", "--yes", "--return", "nothing", "-c", str(config)])
    assert missing.exit_code == 1
