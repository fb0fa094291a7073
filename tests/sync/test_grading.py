"""Grades and dispositions."""

from __future__ import annotations

import base64

import pytest
import sqlalchemy as sa

from bergen_loop.config.grading import GradingSettings
from bergen_loop.domain.returns import Stage
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.tables.floor import FloorPhotoRow
from bergen_loop.outside.warehouse.floor.embedded import EmbeddedFloor
from support import worlds
from support.look import Look
from support.worlds import World


@pytest.fixture
def grading(ctx: BrandContext) -> BrandContext:
    settings = GradingSettings(enabled=True, processor="returns@bergen.example")
    ctx.settings = ctx.settings.model_copy(update={"grading": settings})
    return ctx


def arrive(world: World, ctx: BrandContext, kind: str, units: int = 2) -> str:
    return_id = world.new_return("northpine", units=units, late_label=False, held=False)
    worlds.run(world, ctx, ticks=2)
    world.receive(return_id, kind)
    return return_id


def gradings(world: World, return_id: str) -> list[dict[str, object]]:
    with world.sandbox.lock:
        found = world.sandbox.find_return(return_id)
        assert found is not None
        return [g for line in found.lines for g in line.gradings]


def test_a_complete_return_is_graded_before_it_is_processed(
    world: World, grading: BrandContext, look: Look
) -> None:
    return_id = arrive(world, grading, "complete")
    worlds.run(world, grading, ticks=3)
    assert look.stage(return_id) is Stage.COMPLETE
    kinds = [e.kind for e in look.view(return_id).effects]
    assert kinds == ["ticket_add", "grade", "assess", "process"]
    found = gradings(world, return_id)
    assert len(found) == 4, "each of two units graded and assessed"
    text = str(found)
    assert "Grade A" in text
    assert "back_to_stock" in text


def test_damaged_units_get_their_own_grade(world: World, grading: BrandContext, look: Look) -> None:
    return_id = arrive(world, grading, "damaged")
    worlds.run(world, grading, ticks=2)
    assert look.stage(return_id) is Stage.FLAGGED
    assert "Grade D" in str(gradings(world, return_id))


def test_units_of_several_returns_share_a_call(
    world: World, grading: BrandContext, look: Look
) -> None:
    ids = [world.new_return("northpine", units=2, late_label=False, held=False) for _ in range(5)]
    worlds.run(world, grading, ticks=2)
    for return_id in ids:
        world.receive(return_id)
    worlds.run(world, grading, ticks=3)
    assert all(look.stage(i) is Stage.COMPLETE for i in ids)
    assert (len(world.calls("grade")), len(world.calls("assess"))) == (1, 1)


def test_a_grade_whose_answer_is_lost_is_found_on_the_units_and_holds_nothing_up(
    world: World, grading: BrandContext, look: Look
) -> None:
    return_id = arrive(world, grading, "complete")
    world.fault("loop", "reset_mid_body", operation="grade", nth=1)
    worlds.run(world, grading, ticks=3)
    assert look.stage(return_id) is Stage.COMPLETE
    assert len(world.calls("grade")) == 1
    states = {e.kind: e.state for e in look.view(return_id).effects}
    assert (states["grade"], states["assess"]) == ("done", "done")


def test_what_is_unclear_is_not_graded(world: World, grading: BrandContext, look: Look) -> None:
    return_id = arrive(world, grading, "garbled")
    worlds.run(world, grading, ticks=2)
    assert gradings(world, return_id) == []


def test_what_the_floor_said_and_photographed_goes_with_the_grade_of_the_damaged_unit(
    world: World, sqlite_ledger: Ledger
) -> None:
    settings = GradingSettings(enabled=True, photos_at="https://loop.example/")
    ctx = worlds.context(world, sqlite_ledger, warehouse="embedded", grading=settings)
    return_id = world.new_return("northpine", units=2, late_label=False)
    worlds.run(world, ctx, ticks=2)
    (rma,) = Look(ctx).view(return_id).rmas
    units = [str(item["upc"]) for item in rma.items for _ in range(item["expected"])]
    torn, lines = units[0], [{"upc": u, "counted": 1} for u in units[1:]]
    mine = next((x for x in lines if x["upc"] == torn), None) or {"upc": torn, "counted": 0}
    mine |= {"damaged": 1, "reasons": ["Torn"]}
    lines = [mine, *(x for x in lines if x is not mine)]
    picture = "data:image/jpeg;base64," + base64.b64encode(b"\xff\xd8\xff").decode()
    EmbeddedFloor(sqlite_ledger, ["northpine"], now=ctx.now).count(
        {
            "key": "k" * 16, "brand": "northpine", "ticket": rma.ticket_id, "finish": True,
            "lines": lines,
            "photos": [{"code": torn, "data": picture}],
        },
        "flo",
    )  # fmt: skip
    worlds.run(world, ctx, ticks=2)
    told = [g for g in gradings(world, return_id) if "condition_category" in g]
    (broken,) = [g for g in told if "Grade D" in str(g)]
    (whole,) = [g for g in told if "Grade A" in str(g)]
    assert broken["note"] == "Torn; 1 photo(s)"
    with sqlite_ledger.read() as session:
        address = session.scalars(sa.select(FloorPhotoRow.given_as)).one()
    assert broken["images"] == [f"https://loop.example/photos/{address}"]
    assert not whole.get("note") and not whole.get("images")
