"""A ledger that was put back from a backup, or lost and rebuilt, in the middle of things: what was
done since is neither done again nor forgotten, and nobody is asked what both systems can tell."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cases_support import Story
from test_cases_flows import days, ignore, recount, retry, touch

from bergen_loop.domain.returns import Stage
from bergen_loop.ledger import backup as backups
from bergen_loop.repair import rebuild, restored
from support import worlds
from support.bars import Bar
from support.brands import configure
from support.ledgers import empty_ledger
from support.look import Look

Before = Callable[[Story], str]
Done = Callable[[Story, str], None]


class Kept:
    """The ledger as it was at some moment."""

    def __init__(self, story: Story, folder: Path) -> None:
        self.story, self.folder = story, folder
        self.file = folder / "yesterday.db"
        backups.backup(story.ctx.ledger, self.file)

    def gone(self, *, lost: bool) -> None:
        """Its ledger is put back, or there is no backup at all."""
        if lost:
            self.lose()
        else:
            self.put_back()

    def put_back(self) -> None:
        ledger = self.story.ctx.ledger
        backups.restore(ledger, self.file)
        with ledger.write() as session:
            restored.mark(session, self.story.world.now(), who="ada", source="yesterday.db")
        self._with(worlds.context(self.story.world, ledger))

    def lose(self) -> None:
        self._with(worlds.context(self.story.world, empty_ledger(self.folder / "new.db")))
        rebuild.run(self.story.ctx)

    def _with(self, ctx: worlds.BrandContext) -> None:
        story = self.story
        bars = story.ctx.settings.loop.happy_returns
        configure(ctx, loop={"happy_returns": bars})
        story.ctx, story.look = ctx, Look(ctx)
        story.heal()


def on_again(story: Story) -> None:
    """Until what a restored ledger waits for is over."""
    story.ticks(1)
    story.ticks(2, seconds=3600)
    story.ticks(2, seconds=1000)
    story.ticks(4)


def announced(story: Story) -> str:
    return story.announced()


def waiting(story: Story) -> str:
    """A unit is missing: it is waited for."""
    return_id = story.received("short")
    story.ticks(3)
    assert story.look.stage(return_id) is Stage.WAITING
    return return_id


def unsent(story: Story, call: str, kind: str) -> str:
    """Decided, and Loop has no time for it."""
    return_id = story.announced()
    story.world.fault("loop", "status_429", operation=call)
    story.world.receive(return_id, kind)
    story.ticks(2)
    assert story.look.stage(return_id) is Stage.SETTLING
    return return_id


def flag_unsent(story: Story) -> str:
    return unsent(story, "flag", "damaged")


def process_unsent(story: Story) -> str:
    return unsent(story, "process", "complete")


def flagged(story: Story, return_id: str) -> None:
    """The ledger that is lost later has it flagged."""
    story.heal()
    story.world.receive(return_id, "damaged")
    story.world.advance(8 * 86400)
    story.ticks(5)
    assert (story.flags(return_id), len(story.notes(return_id))) == (1, 1)


def paid(story: Story, return_id: str) -> None:
    story.heal()
    story.world.receive(return_id)
    story.world.advance(300)
    story.ticks(8)
    assert story.paid(return_id) == 1


@pytest.mark.parametrize("before", [announced, waiting])
def test_what_was_flagged_since_the_backup_is_flagged_and_nobody_is_asked(
    story: Story, tmp_path: Path, before: Before
) -> None:
    """A person was asked to decide by hand, for "the return is in state review"."""
    return_id = before(story)
    kept = Kept(story, tmp_path)
    flagged(story, return_id)
    kept.put_back()
    on_again(story)
    assert (story.look.stage(return_id), story.told(return_id)) == (Stage.FLAGGED, [])
    assert (story.flags(return_id), len(story.notes(return_id))) == (1, 1)


@pytest.mark.parametrize(
    ("before", "done", "lost"),
    [
        (waiting, flagged, False),
        (flag_unsent, flagged, False),
        (process_unsent, paid, False),
        (announced, paid, False),
        (announced, paid, True),
    ],
)
def test_what_was_settled_and_opened_again_is_not_settled_by_a_ledger_that_does_not_know_it(
    story: Story, tmp_path: Path, before: Before, done: Done, lost: bool
) -> None:
    """It was flagged a second time, and paid a second time, also after a rebuild; left alone by a
    person it still was."""
    return_id = before(story)
    kept = Kept(story, tmp_path)
    done(story, return_id)
    story.world.change(return_id, "reopen")
    story.ticks(2)
    so_far = (story.paid(return_id), story.flags(return_id), story.notes(return_id))
    kept.gone(lost=lost)
    on_again(story)
    [(need, why)] = story.told(return_id)
    assert need == "unknown_past"
    assert "opened again" in why
    ignore(story)
    story.ticks(1)
    story.ticks(2, seconds=1000)
    days(story, 2)
    assert story.told(return_id) == []
    recount(story, return_id, 0, 0)
    story.ticks(2, seconds=1000)
    [need] = story.kinds(return_id)
    assert need in ("unknown_past", "decide_by_hand")
    assert (story.paid(return_id), story.flags(return_id), story.notes(return_id)) == so_far


def test_a_person_who_has_looked_lets_what_was_opened_again_be_judged(
    story: Story, tmp_path: Path
) -> None:
    return_id = announced(story)
    kept = Kept(story, tmp_path)
    story.world.receive(return_id)  # while the service was down
    story.world.advance(600)
    touch(story, return_id)
    kept.put_back()
    on_again(story)
    assert (story.kinds(return_id), story.paid(return_id)) == (["unknown_past"], 0)
    retry(story, "unknown_past")
    story.ticks(5)
    story.settled(return_id)


@pytest.mark.parametrize("lost", [False, True])
def test_a_label_that_is_told_of_late_is_no_sign_of_anything(
    story: Story, tmp_path: Path, lost: bool
) -> None:
    return_id = announced(story)
    kept = Kept(story, tmp_path)
    story.world.receive(return_id)
    story.world.advance(600)
    story.world.change(return_id, "label", status="delivered")
    story.world.advance(60)
    kept.gone(lost=lost)
    on_again(story)
    story.settled(return_id)


def test_a_note_that_was_made_since_the_backup_is_made_once(story: Story, tmp_path: Path) -> None:
    return_id = announced(story)
    story.world.fault("loop", "status_502", operation="note")
    story.world.receive(return_id, "damaged")
    story.ticks(2)
    kept = Kept(story, tmp_path)
    story.heal()
    story.world.advance(300)
    story.ticks(5)
    kept.put_back()
    on_again(story)
    assert len(story.notes(return_id)) == 1
    assert story.told(return_id) == []


@pytest.mark.parametrize("kind", ["damaged", "complete"])
def test_counts_that_were_corrected_since_the_backup_are_told_again(
    story: Story, tmp_path: Path, kind: str
) -> None:
    """The list showed the ticket as it was known, finished: its item was lost with its ledger."""
    return_id = story.received(kind)
    story.ticks(5)
    kept = Kept(story, tmp_path)
    recount(story, return_id, 1, 1)
    notes = story.notes(return_id)
    assert story.kinds(return_id) == ["corrected"]
    kept.put_back()
    on_again(story)
    assert story.kinds(return_id) == ["corrected"]
    assert story.notes(return_id) == notes


@pytest.mark.parametrize("came", ["before", "after"])
def test_an_rma_that_was_made_instead_of_a_cancelled_one_is_followed(
    story: Story, tmp_path: Path, came: str
) -> None:
    """A person was asked again whether to make another one; its parcel came unseen."""
    return_id = announced(story)
    kept = Kept(story, tmp_path)
    story.world.cancel_ticket(story.ticket(return_id).id)
    story.ticks(2)
    retry(story, "ticket_cancelled")
    story.ticks(2)
    if came == "before":
        story.world.receive(return_id)
        story.world.advance(300)  # and the service is down
    kept.put_back()
    story.ticks(2)
    assert story.told(return_id) == []
    story.world.receive(return_id)
    on_again(story)
    assert len(story.world.tickets(return_id)) == 2
    story.settled(return_id)


def tried_at_the_backup(story: Story, folder: Path) -> tuple[str, Kept]:
    """A return whose RMA the backup could not have made; an hour later it can be."""
    return_id = story.submit(*story.stock()[:2])
    story.world.fault("rex11", "status_429", operation="ReceivingTicketAdd")
    story.ticks(8)
    kept = Kept(story, folder)
    story.heal()
    story.world.advance(3600)
    return return_id, kept


def test_an_rma_that_was_tried_at_the_backup_and_made_and_received_since_is_read(
    story: Story, tmp_path: Path
) -> None:
    """It was found when its turn came, after the list had told of its goods: awaited in silence."""
    return_id, kept = tried_at_the_backup(story, tmp_path)
    story.ticks(3)
    story.world.receive(return_id)
    story.world.advance(300)
    kept.put_back()
    story.world.fault("rex11", "status_502", operation="GetReceivingTicketsByPO")
    story.ticks(4, seconds=3600)
    story.heal()
    on_again(story)
    assert len(story.world.tickets(return_id)) == 1
    story.settled(return_id)


def test_an_rma_that_was_made_a_moment_before_the_ledger_was_put_back_is_not_made_again(
    story: Story, tmp_path: Path
) -> None:
    """REX11 does not show it by its PO at once."""
    story.world.sandbox.settings.update({"po_lookup_delay_seconds": 60.0})
    return_id, kept = tried_at_the_backup(story, tmp_path)
    story.ticks(1, seconds=20)
    assert len(story.world.tickets(return_id)) == 1
    kept.put_back()
    on_again(story)
    [ticket] = story.world.tickets(return_id)
    assert story.look.view(return_id).rmas[0].ticket_id == ticket.id


# -- consolidated shipments -------------------------------------------------------------------


@pytest.fixture
def bar(story: Story) -> Bar:
    """Return bars, whose returns Loop pays when a test says so."""
    story.world.sandbox.settings.update({"happy_returns_seconds": 10**9})
    configure(story.ctx, loop={"happy_returns": True})
    story.ticks(1, seconds=3600)
    return Bar(story.world, story.ctx)


@pytest.mark.parametrize("lost", [False, True])
def test_a_share_that_was_paid_and_whose_return_was_opened_again_is_not_paid_again(
    story: Story, bar: Bar, tmp_path: Path, lost: bool
) -> None:
    return_id, other = bar.drop(paid=False), bar.drop()
    story.ticks(1)
    shipment = bar.ship(return_id, other)
    story.ticks(2, seconds=1800)
    kept = Kept(story, tmp_path)
    bar.arrive(shipment)
    story.ticks(4)
    assert story.paid(return_id) == 1
    story.world.change(return_id, "reopen")
    story.ticks(1)
    kept.gone(lost=lost)
    on_again(story)
    assert (story.kinds(return_id), story.paid(return_id)) == (["unknown_past"], 1)
    assert len(bar.tickets(shipment)) == 1


def test_what_was_claimed_of_a_shipment_before_its_ledger_was_lost_is_noted_once(
    story: Story, bar: Bar, tmp_path: Path
) -> None:
    lost, here = bar.drop(), bar.drop()
    shipment = bar.ship(lost, here)
    story.ticks(2)
    bar.arrive(shipment, missing=(f"HRBAG{lost}",))
    story.ticks(2)
    story.ticks(2, seconds=8 * 86400)
    assert len(bar.notes(lost)) == 1
    Kept(story, tmp_path).lose()
    on_again(story)
    assert [kind for kind, _ in story.look.brand_attention()] == ["bag_missing"]
    assert len(bar.notes(lost)) == 1
