"""Brands with nothing to do are looked at beside the engine; whatever there is leads to a tick."""

from __future__ import annotations

from collections.abc import Callable, Generator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from bergen_loop.config import Settings
from bergen_loop.domain.words import EffectKind
from bergen_loop.flow import pull, receive, tick
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.store import cursors, effects, modes, quiet, returns, webhooks
from bergen_loop.ledger.store.effects import Intent
from bergen_loop.ledger.tables.core import BrandRow
from bergen_loop.ledger.transaction import transaction
from bergen_loop.service.looker import CLAIM, Looker
from bergen_loop.service.registry import Registry
from support import worlds
from support.worlds import World

BRAND = "northpine"


class Desk:
    """A brand that had nothing to do, and who looks at it."""

    def __init__(self, ledger: Ledger, world: World) -> None:
        self.world, self.ledger = world, ledger
        self.ctx: BrandContext = worlds.context(world, ledger, BRAND)
        self.registry = Registry(Settings(brands={BRAND: self.ctx.settings}), ledger, Path())
        self.registry._contexts[BRAND] = self.ctx  # pyright: ignore[reportPrivateUsage]
        self.asked: list[str] = []
        self.looker = self.new_looker()

    def new_looker(self) -> Looker:
        second = timedelta(seconds=1)
        return Looker(self.registry, second, self.asked.extend, now=self.world.now)

    def look(self, looker: Looker | None = None) -> None:
        """One look; what it saw is written down by the next."""
        one = looker or self.looker
        one.look()
        for under_way in one.under_way():
            under_way.result(20)

    def row(self) -> BrandRow:
        with self.ledger.read() as session:
            row = returns.known_brand(session, BRAND)
        assert row is not None
        return row

    def marks(self) -> dict[str, datetime]:
        with self.ledger.read() as session:
            return cursors.get_all(session, BRAND, [pull.CURSOR, receive.CURSOR])

    def calls(self) -> list[str]:
        return [str(call.operation) for name in ("list", "GetReceivingStatusesByDate")
                for call in self.world.calls(name)]  # fmt: skip

    def rows(self) -> dict[str, int]:
        """Number of rows of every table."""
        with self.ledger.read() as session:
            return {
                t.name: session.scalar(sa.select(sa.func.count()).select_from(t)) or 0
                for t in BrandRow.metadata.sorted_tables
                if t.name != "counters"
            }


@pytest.fixture
def desk(ledger: Ledger, world: World) -> Generator[Desk]:
    made = Desk(ledger, world)
    world.new_return(BRAND, units=1, late_label=False)
    for _ in range(3):
        tick.run(made.ctx)
        world.advance(60)
    assert made.row().quiet_looks
    world.advance(300)
    yield made
    made.looker.stop()


def test_a_look_that_finds_nothing_makes_no_tick_and_no_rows(desk: Desk) -> None:
    before, rows, made = desk.row(), desk.rows(), len(desk.calls())
    now = desk.world.now()
    desk.look()
    assert len(desk.calls()) == made + 2, "one list of each system"
    desk.look()
    after = desk.row()
    assert desk.asked == []
    assert desk.rows() == rows
    assert len(desk.calls()) == made + 2
    assert after.epoch == before.epoch, "no lock was needed"
    assert after.quiet_looks == (before.quiet_looks or 0) + 1
    assert (after.last_pull_at, after.last_good_sync_at) == (now, now)
    assert after.next_due_at is not None
    assert desk.ctx.settings.poll < after.next_due_at - now <= desk.ctx.settings.poll_max
    assert set(desk.marks().values()) == {now}, "the lists are known up to here"


def submitted(desk: Desk) -> None:
    desk.world.new_return(BRAND, units=1, late_label=False)


def received(desk: Desk) -> None:
    [return_id] = _known(desk)
    desk.world.receive(return_id)


def webhook(desk: Desk) -> None:
    with desk.ledger.write() as session:
        said = webhooks.Delivery(BRAND, "return", "return.cancelled", "1", b"{}")
        webhooks.keep(session, desk.world.now(), said)


def nudged(desk: Desk) -> None:
    with desk.ledger.write() as session:
        returns.brand_row(session, BRAND).nudged_at = desk.world.now()


def mode(desk: Desk) -> None:
    with transaction(desk.ledger, BRAND, desk.world.now(), "ann") as tx:
        modes.set_mode(tx, "shadow", configured="live", why="to see")
        returns.brand_row(tx.session, BRAND).nudged_at = None


def planned(desk: Desk) -> None:
    with transaction(desk.ledger, BRAND, desk.world.now(), "ann") as tx:
        tx.plan(Intent(EffectKind.NOTE, "note:1:1", payload={"return_id": "1"}))


def ticket_to_read(desk: Desk) -> None:
    with desk.ledger.write() as session:
        row = returns.by_id(session, BRAND, _known(desk)[0])
        assert row is not None
        for rma in returns.rmas_of(session, [row.id])[row.id]:
            rma.to_read = True


def lost_ticket_to_look_for(desk: Desk) -> None:
    with desk.ledger.write() as session:
        row = returns.by_id(session, BRAND, _known(desk)[0])
        assert row is not None
        [made] = effects.of_return(session, row.id)
        made.try_at = desk.world.now() - timedelta(seconds=1)


def other_list_due(desk: Desk) -> None:
    with desk.ledger.write() as session:
        cursors.set(session, BRAND, pull.ASIDE, desk.world.now() - timedelta(hours=1))


def settings_changed(desk: Desk) -> None:
    desk.ctx.settings = desk.ctx.settings.model_copy(update={"name": "Another"})


def last_tick_failed(desk: Desk) -> None:
    with desk.ledger.write() as session:
        returns.brand_row(session, BRAND).last_sync_ok = False


def unreachable(desk: Desk) -> None:
    desk.world.fault("loop", "status_502", operation="list", nth=1, count=1000)


def _known(desk: Desk) -> list[str]:
    with desk.ledger.read() as session:
        return [r.return_id for r in session.scalars(sa.select(returns.ReturnRow))]


@pytest.mark.parametrize(
    "happens",
    [submitted, received, webhook, nudged, mode, planned, ticket_to_read, lost_ticket_to_look_for,
     other_list_due, settings_changed, last_tick_failed, unreachable],
)  # fmt: skip
def test_whatever_there_is_to_do_leads_to_a_tick(
    desk: Desk, happens: Callable[[Desk], None]
) -> None:
    happens(desk)
    before = desk.marks()
    desk.look()
    assert desk.asked == [BRAND]
    desk.look()
    assert desk.asked == [BRAND], "asked for once"
    assert desk.marks() == before, "the tick sees what the look saw"


def test_what_a_tick_has_written_meanwhile_stays(desk: Desk) -> None:
    desk.look()  # it has seen nothing, and nothing is written yet
    desk.world.advance(5)
    tick.run(desk.ctx)
    before, marks = desk.row(), desk.marks()
    desk.look()
    after = desk.row()
    assert desk.marks() == marks
    assert (after.next_due_at, after.last_pull_at) == (before.next_due_at, before.last_pull_at)


def test_of_two_processes_one_looks_and_if_it_dies_the_other_does_so_later(
    ledger: Ledger, desk: Desk
) -> None:
    if ledger.is_sqlite:
        pytest.skip("an embedded ledger has one process")
    made, other = len(desk.calls()), desk.new_looker()
    with ledger.write() as session:
        assert quiet.claim(session, [BRAND], desk.world.now(), desk.world.now() + CLAIM) == {BRAND}
    desk.look(other)
    assert len(desk.calls()) == made
    desk.world.advance(CLAIM.total_seconds() + 1)
    desk.look(other)
    other.stop()
    assert len(desk.calls()) == made + 2
    assert desk.asked == []
