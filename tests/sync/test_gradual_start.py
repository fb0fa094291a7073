"""A brand's gradual start: so many returns an hour are paid, whoever ticks and whatever crashes."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from bergen_loop.domain.decision import Outcome
from bergen_loop.domain.pace import Pace
from bergen_loop.domain.returns import Stage
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.read.golive import Name
from bergen_loop.ledger.store import modes, returns
from bergen_loop.ledger.tables.core import JournalRow, ReturnRow
from bergen_loop.ledger.transaction import Transaction, transaction
from bergen_loop.people import actions, golive
from bergen_loop.people.actions import NotPossible
from bergen_loop.people.golive import Door, NotSigned, Signed
from support import worlds
from support.worlds import World

BRAND = "northpine"
ALL = tuple(Name)


@pytest.fixture
def ctx(world: World, sqlite_ledger: Ledger) -> BrandContext:
    return worlds.context(world, sqlite_ledger, mode="shadow")


def door(ctx: BrandContext) -> Door:
    return Door(BRAND, "shadow", ctx.criteria.version)


def go_live(ctx: BrandContext, number: int | None = None, amount: str | None = None) -> None:
    limit = Decimal(amount) if amount else None
    begin = Pace(ctx.now() + timedelta(days=2), number, limit) if number or limit else None
    with transaction(ctx.ledger, BRAND, ctx.now(), "ada") as tx:
        door(ctx).open(tx, "live", "seen enough", Signed(begin, all=True))


def received(world: World, ctx: BrandContext, number: int, kind: str = "complete") -> list[str]:
    made = [
        world.new_return(BRAND, held=False, units=1, late_label=False, outcome="refund")
        for _ in range(number)
    ]
    worlds.run(world, ctx, ticks=2)
    for return_id in made:
        world.receive(return_id, kind)
    worlds.run(world, ctx)
    return made


def paid(world: World, ids: list[str]) -> int:
    return sum(world.effects(i)["process_accepted"] for i in ids)


def hours(world: World, ctx: BrandContext, number: int) -> None:
    for _ in range(number):
        world.advance(3600)
        worlds.run(world, ctx, ticks=2)


def test_what_waited_in_shadow_is_paid_little_by_little(world: World, ctx: BrandContext) -> None:
    ids = received(world, ctx, 5)
    bad = received(world, ctx, 1, "damaged")
    assert paid(world, ids) == 0
    go_live(ctx, 2)
    worlds.run(world, ctx, ticks=3)
    assert paid(world, ids) == 2
    assert world.effects(bad[0])["flags"] == 1, "a flag moves no money: it does not wait"
    with ctx.ledger.read() as session:
        waiting = modes.waiting_for_turn(session, BRAND, ctx.now())
        assert len(waiting) == 3
        told = session.scalars(sa.select(JournalRow).where(JournalRow.happened == "waits")).all()
    assert {j.return_pk for j in told} == {row.id for row in waiting}
    assert "waits for its turn in the gradual start: at most 2 returns an hour" in told[0].why
    hours(world, ctx, 1)
    assert paid(world, ids) == 4
    hours(world, ctx, 1)
    assert paid(world, ids) == 5
    assert all(world.effects(i)["money_moved"] == 1 for i in ids)
    with ctx.ledger.read() as session:
        assert len(told) == len(
            session.scalars(sa.select(JournalRow).where(JournalRow.happened == "waits")).all()
        ), "told once"


def test_an_amount_of_money_an_hour(world: World, ctx: BrandContext) -> None:
    ids = received(world, ctx, 3)
    with ctx.ledger.write() as session:
        for return_id, total in zip(ids, ("40.00", "90.00", None), strict=True):
            row = returns.by_id(session, BRAND, return_id)
            assert row is not None
            row.total, row.currency = total, "USD"
    go_live(ctx, amount="100")
    worlds.run(world, ctx, ticks=2)
    assert paid(world, ids) == 1
    hours(world, ctx, 3)
    assert paid(world, ids) == 3


@pytest.mark.parametrize("where", ["settlement intended", "settlement sent"])
def test_a_crash_gives_nobody_a_second_turn(world: World, ledger: Ledger, where: str) -> None:
    ctx = worlds.context(world, ledger, mode="shadow")
    ids = received(world, ctx, 4)
    go_live(ctx, 2)
    worlds.killed_at(ctx, where)
    # Another worker takes over, with a memory of its own.
    second = worlds.context(world, ctx.ledger, mode="shadow")
    worlds.run(world, second, ticks=6, seconds=300)
    assert paid(world, ids) <= 2
    hours(world, second, 5)
    assert paid(world, ids) == 4
    assert all(world.effects(i)["money_moved"] == 1 for i in ids)


def test_another_pace_lets_go_at_once_and_shadow_ends_it(world: World, ctx: BrandContext) -> None:
    ids = received(world, ctx, 4)
    go_live(ctx, 1)
    worlds.run(world, ctx, ticks=2)
    assert paid(world, ids) == 1
    with transaction(ctx.ledger, BRAND, ctx.now(), "ada") as tx:
        golive.change_pace(tx, "shadow", Pace(ctx.now() + timedelta(days=1), 2), "they are right")
    worlds.run(world, ctx, ticks=2)
    assert paid(world, ids) == 2
    with transaction(ctx.ledger, BRAND, ctx.now(), "ada") as tx:
        modes.set_mode(tx, "shadow", configured="shadow", why="one click back")
        with pytest.raises(NotPossible, match="is not live"):
            golive.change_pace(tx, "shadow", None, "x")
    hours(world, ctx, 2)
    assert paid(world, ids) == 2
    with ctx.ledger.read() as session:
        row = session.scalar(sa.select(ReturnRow).where(ReturnRow.stage == Stage.RECEIVED))
        assert row is not None
        assert modes.pace_of(returns.known_brand(session, BRAND), ctx.now()) is None


def test_a_decision_by_hand_goes_out_at_once_and_is_counted(
    world: World, ctx: BrandContext
) -> None:
    first, second = received(world, ctx, 2)
    go_live(ctx, 1)
    worlds.run(world, ctx, ticks=2)
    other = received(world, ctx, 1, "short")[0]
    with ctx.ledger.write() as session:
        row = returns.by_id(session, BRAND, other)
        assert row is not None
        actions.decide(
            Transaction(session, BRAND, ctx.now(), "ada"),
            row,
            actions.ByHand(Outcome.PROCESS, "I looked"),
        )
    worlds.run(world, ctx, ticks=2)
    assert world.effects(other)["process_accepted"] == 1
    assert paid(world, [first, second]) == 1


def test_one_return_is_let_go_before_its_turn_by_what_was_decided_then(
    world: World, ctx: BrandContext
) -> None:
    ids = received(world, ctx, 4)
    go_live(ctx, 1)
    worlds.run(world, ctx, ticks=2)
    with ctx.ledger.read() as session:
        left = [r.return_id for r in modes.waiting_for_turn(session, BRAND, ctx.now())]
    assert len(left) == 3

    def let_go(return_id: str, why: str = "the customer waits") -> None:
        with transaction(ctx.ledger, BRAND, ctx.now(), "ada") as tx:
            row = returns.by_id(tx.session, BRAND, return_id)
            assert row is not None
            golive.release(tx, row, why)

    last = left[-1]
    with pytest.raises(NotPossible, match="needs a reason"):
        let_go(last, " ")
    let_go(last)
    with pytest.raises(NotPossible, match="does not wait"):
        let_go(last)
    worlds.run(world, ctx, ticks=2)
    assert paid(world, [last]) == 1
    assert paid(world, ids) == 2, "nobody else"
    with ctx.ledger.read() as session:
        entry = session.scalars(
            sa.select(JournalRow).where(JournalRow.happened == "released")
        ).one()
    assert (entry.who, entry.why) == ("ada", "the customer waits")
    with pytest.raises(NotPossible, match="does not wait"):
        let_go(last)
    # Counted: within the same hour nobody follows, and then one by one as before.
    worlds.run(world, ctx, ticks=3)
    assert paid(world, ids) == 2
    # What is decided anew waits anew.
    other = left[0]
    let_go(other)
    with ctx.ledger.write() as session:
        row = returns.by_id(session, BRAND, other)
        assert row is not None
        row.stage, row.due_at = Stage.RECEIVED, ctx.now()
    worlds.run(world, ctx, ticks=2)
    assert paid(world, [other]) == 0
    hours(world, ctx, 4)
    assert paid(world, ids) == 4
    assert all(world.effects(i)["money_moved"] == 1 for i in ids)


@contextmanager
def refused(ctx: BrandContext) -> Generator[pytest.ExceptionInfo[NotPossible]]:
    with pytest.raises(NotPossible) as caught:
        yield caught
    with ctx.ledger.read() as session:
        assert modes.effective(returns.known_brand(session, BRAND), "shadow") == "shadow"


def test_who_signs_has_seen_every_open_point_and_no_less_money(
    world: World, ctx: BrandContext
) -> None:
    received(world, ctx, 1)
    with ctx.ledger.read() as session:
        found, points = door(ctx).look(session, ctx.now())
    seen = found.stake
    opened = [p.name for p in points if p.open]
    assert Name.PAID in opened
    assert Name.SYNC not in opened
    for missing in opened:
        meant = [n for n in opened if n is not missing]
        with refused(ctx) as why, transaction(ctx.ledger, BRAND, ctx.now(), "ada") as tx:
            door(ctx).open(tx, "live", "x", Signed(None, meant, stake=seen))
        assert isinstance(why.value, NotSigned)
        assert list(why.value.problems) == [missing.value]
    with refused(ctx) as why, transaction(ctx.ledger, BRAND, ctx.now(), "ada") as tx:
        door(ctx).open(tx, "live", "  ", Signed(None, opened, stake=seen))
    received(world, ctx, 1)
    with refused(ctx) as why, transaction(ctx.ledger, BRAND, ctx.now(), "ada") as tx:
        door(ctx).open(tx, "live", "x", Signed(None, opened, stake=seen))
    assert "more would be paid at once by now" in str(why.value)
    with transaction(ctx.ledger, BRAND, ctx.now(), "ada") as tx:
        assert door(ctx).open(tx, "live", "x", Signed(None, ALL)) == ("shadow", "live")


@pytest.mark.parametrize(
    ("number", "amount", "days", "fields"),
    [
        ("0", "", "3", {"returns"}),
        ("x", "-1", "91", {"returns", "amount", "days"}),
        ("", "", "3", {"returns"}),
        ("", "NaN", "3", {"amount"}),
        ("5", "1e99", "", {"amount", "days"}),
    ],
)
def test_a_beginning_that_cannot_be_is_told_at_its_field(
    number: str, amount: str, days: str, fields: set[str]
) -> None:
    with pytest.raises(NotSigned) as why:
        golive.beginning(number, amount, days, worlds.START)
    assert set(why.value.problems) == fields
