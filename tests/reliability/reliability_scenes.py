"""One return's whole life, for each kind of receipt and each other way it can end, to be killed
anywhere in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from reliability_fuse import Fuse
from reliability_judge import judge
from reliability_stage import Stage

from bergen_loop.ledger.store import returns
from loop_sandbox.model import LoopReturn

BRIEF = (5.0, 180.0, 960.0, 30.0, 3700.0, 60.0, 30.0)
MOST = 9
"""Syncs until the ticket must be there."""
LONGER = (3700.0, 60.0, 960.0, 960.0, 60.0, 30.0)
"""More rest for what is decided only after its wait."""

ENDS = {
    "complete": "complete",
    "damaged": "flagged",
    "extra": "flagged",
    "wrong": "flagged",
    "garbled": "received",
    "never": "announced",
    "short": "complete",
    "cancelled": "cancelled",
    "expired": "expired",
    "closed by hand": "complete",
    "ticket cancelled": "announced",
    "unknown product": "complete",
}
"""Scene -> the stage the return ends in."""


def play(folder: Path, scene: str, fuse: Fuse) -> Stage:
    """The scene on a new stage, with the fuse in from the first sync to the last; at rest."""
    stage = Stage(folder)
    return_ = stage.new_return(units=2, outcome="refund")
    if scene == "short":
        # Two units alike, so that it is certain which one is not paid.
        one, two = return_.lines
        two.product, two.discount, two.tax = one.product, one.discount, one.tax
    if scene == "unknown product":
        for line in return_.lines:
            stage.brand.rex_products.pop(line.product.upc, None)
    for after in (5.0, 65.0, 130.0):
        stage.tick(fuse, after=after)
    while not stage.tickets() and stage.ticks < MOST:
        stage.tick(fuse, after=130.0)
    stage.turn = len(fuse.passed)
    _turn(stage, return_, scene)
    for _ in range(3):
        stage.tick(fuse)
    for after in BRIEF + (LONGER if scene == "short" else ()):
        stage.tick(fuse, after=after)
    return stage


def _turn(stage: Stage, return_: LoopReturn, scene: str) -> None:
    kinds: dict[str, Callable[[], object]] = {
        "cancelled": lambda: stage.control(f"returns/{return_.id}/cancel"),
        "expired": lambda: stage.control(f"returns/{return_.id}/expire"),
        "closed by hand": lambda: (
            stage.control(f"returns/{return_.id}/close"),
            stage.parcel(return_, "complete"),
        ),
        "ticket cancelled": lambda: [
            stage.control(f"tickets/{t.id}/cancel") for t in stage.tickets(return_.id)
        ],
        "unknown product": lambda: stage.parcel(return_, "complete"),
    }
    kinds.get(scene, lambda: stage.parcel(return_, scene))()


def problems(stage: Stage, scene: str) -> list[str]:
    """What the judge says, and whether the return ended where it should."""
    found = judge(stage)
    with stage.ctx.ledger.read() as session:
        [return_] = stage.brand.returns.values()
        row = returns.by_id(session, "northpine", return_.id)
    wrong = [*found.problems, *found.second_calls]
    if row is None or row.stage != ENDS[scene]:
        wrong.append(f"ended as {row.stage if row else None}, not as {ENDS[scene]}")
    return wrong


def kill_at(folder: Path, scene: str, point: int) -> tuple[str | None, list[str]]:
    """The scene killed at the n-th point it passes: where that was, and what is wrong."""
    fuse = Fuse(lambda n, _name: n == point)
    stage = play(folder, scene, fuse)
    try:
        return fuse.blown, problems(stage, scene)
    finally:
        stage.close()
        stage.world.close()


def points(folder: Path, scene: str) -> tuple[list[str], int]:
    """Every point the scene passes when nothing kills it, and how many of them come before the
    scenes part ways (when the RMA is made, the same in most of them). It must end well."""
    fuse = Fuse()
    stage = play(folder, scene, fuse)
    try:
        assert problems(stage, scene) == []
        return fuse.passed, stage.turn
    finally:
        stage.close()
        stage.world.close()
