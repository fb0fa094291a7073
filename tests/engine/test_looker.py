"""Brands with nothing to do are looked at beside the engine; whatever there is leads to a tick."""

from __future__ import annotations

from collections.abc import Callable, Generator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from bergen_loop.config import Settings
from bergen_loop.domain.words import EffectKind
from bergen_loop.flow import intake, receive, tick
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
            return cursors.get_all(session, BRAND, [intake.CURSOR, receive.CURSOR])

    def calls(self) -> list[str]:
        return [str(call.operation) for name in ("list", "GetReceivingStatusesByDate")
                for call in self.world.calls(name)]  # fmt: skip

    def rows(self) -> dict[str, int]:
        """Number of rows of every table; a look's calls are counted, and leased."""
        with self.ledger.read() as session:
            return {
                t.name: session.scalar(sa.select(sa.func.count()).select_from(t)) or 0
                for t in BrandRow.metadata.sorted_tables
                if t.name not in ("counters", "budgets", "budget_leases")
            }


@pytest.fixture
def desk(ledger: Ledger, world: World) -> Generator[Desk]:
    made = Desk(ledger, world)
    world.new_return(BRAND, units=1, late_label=False, held=False)
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
    desk.world.new_return(BRAND, units=1, late_label=False, held=False)


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
        cursors.set(session, BRAND, intake.ASIDE, desk.world.now() - timedelta(hours=1))


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


# -- what a webhook tells of ------------------------------------------------------------------


def told(desk: Desk, return_id: str) -> None:
    """A webhook of a new return is taken, as the console does it."""
    with desk.ledger.write() as session:
        body = return_id.encode()
        said = webhooks.Delivery(BRAND, "return", "return.created", return_id, body)
        webhooks.keep(session, desk.world.now(), said)
        returns.nudge(session, BRAND, desk.world.now(), timedelta(seconds=1))


def hurry(desk: Desk) -> None:
    desk.looker.hurry(BRAND)
    desk.looker._hurried[BRAND].result(30)  # pyright: ignore[reportPrivateUsage]


@pytest.fixture
def told_desk(ledger: Ledger, world: World) -> Generator[Desk]:
    """A brand that has just been synced."""
    made = Desk(ledger, world)
    for _ in range(2):
        tick.run(made.ctx)
        world.advance(30)
    yield made
    made.looker.stop()


def test_a_webhook_of_a_new_return_leads_to_its_rma_without_a_tick(told_desk: Desk) -> None:
    desk, before = told_desk, told_desk.row()
    new = desk.world.new_return(BRAND, units=1, late_label=False, held=False)
    told(desk, new)
    lists = len(desk.calls())
    hurry(desk)
    assert len(desk.world.tickets(new)) == 1
    assert len(desk.calls()) == lists + 1, "one list of Loop's, which shows all of the return"
    after = desk.row()
    assert desk.asked == []
    assert after.nudged_at is None, "it has been seen to"
    assert after.next_due_at == before.next_due_at, "the next tick comes when it was due"
    assert after.last_sync_finished_at == before.last_sync_finished_at
    with desk.ledger.read() as session:
        assert webhooks.untaken(session, BRAND, 10) == []


def test_nothing_is_settled_in_a_hurry(told_desk: Desk) -> None:
    desk = told_desk
    old = desk.world.new_return(BRAND, units=1, late_label=False, held=False)
    tick.run(desk.ctx)
    desk.world.receive(old)
    told(desk, desk.world.new_return(BRAND, units=1, late_label=False, held=False))
    hurry(desk)
    assert desk.world.effects(old).get("processed", 0) == 0
    assert desk.world.calls("process") == []


def many(desk: Desk) -> None:
    for _ in range(tick.FEW + 1):
        desk.world.new_return(BRAND, units=1, late_label=False, held=False)


def loop_is_away(desk: Desk) -> None:
    desk.world.fault("loop", "status_502", operation="list", nth=1, count=1000)


def long_ago(desk: Desk) -> None:
    desk.world.advance(3600)


def backlog(desk: Desk) -> None:
    with desk.ledger.write() as session:
        row = returns.brand_row(session, BRAND)
        assert row.last_sync_finished_at is not None
        row.next_due_at = row.last_sync_finished_at + tick.BREATH


def paused(desk: Desk) -> None:
    with transaction(desk.ledger, BRAND, desk.world.now(), "ann") as tx:
        modes.set_mode(tx, "paused", configured="live", why="to see")


@pytest.mark.parametrize("is_so", [many, loop_is_away, long_ago, backlog, paused])
def test_what_cannot_be_seen_to_at_once_is_left_to_a_tick(
    told_desk: Desk, is_so: Callable[[Desk], None]
) -> None:
    desk = told_desk
    new = desk.world.new_return(BRAND, units=1, late_label=False, held=False)
    is_so(desk)
    told(desk, new)
    hurry(desk)
    assert desk.asked == [BRAND]
    assert desk.world.tickets(new) == []
    assert desk.row().nudged_at is not None, "the request stands until it has been done"


def test_what_a_hurry_left_undone_when_it_died_a_tick_does(told_desk: Desk) -> None:
    desk = told_desk
    new = desk.world.new_return(BRAND, units=1, late_label=False, held=False)
    told(desk, new)

    def dies(where: str) -> None:
        raise SystemExit(where)

    desk.ctx.boundary = dies
    with pytest.raises(SystemExit):
        tick.hurry(desk.ctx)
    assert desk.row().nudged_at is not None
    desk.ctx.boundary = lambda _: None
    desk.looker.look()
    assert desk.asked == [BRAND]
    desk.world.advance(600)
    worlds.run(desk.world, desk.ctx, ticks=4)
    assert len(desk.world.tickets(new)) == 1
