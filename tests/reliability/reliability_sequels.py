"""What goes on over days around the syncs of a random life: the warehouse splits, cancels and takes
up tickets, labels and lines change their products, the brand leaves live and comes back, its
settings and criteria change, one call fails for long, and yesterday's ledger is put back."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from reliability_fuse import Fuse
from reliability_stage import BRAND, CRITERIA, File, Stage

from bergen_loop.domain.criteria import load_criteria
from bergen_loop.ledger import backup
from bergen_loop.ledger.store import modes
from bergen_loop.ledger.transaction import Transaction
from bergen_loop.repair import restored
from loop_sandbox import parcels, seed, tickets
from loop_sandbox.model import Ticket, TicketItem
from support import brands

if TYPE_CHECKING:
    from reliability_driver import Driver

FOREVER = 10**4
"""Times that a call fails: until the faults are cleared."""
STEADY = (
    ("loop", "process"),
    ("loop", "flag"),
    ("loop", "note"),
    ("loop", "remove"),
    ("loop", "list"),
    ("loop", "details"),
    ("rex11", "ReceivingTicketAdd"),
    ("rex11", "GetReceivingTicketsByPO"),
    ("rex11", "GetReceivingStatusesByDate"),
    ("rex11", "GetReceivingTicketObjectByTicketNo"),
    ("rex11", "GetInventoryByUPCs"),
)
"""Calls that may fail for long while all others are answered."""
OTHERWISE = (
    CRITERIA,
    CRITERIA.replace("for: 2h", "for: 10m"),
    CRITERIA.replace("for: 2h", "for: 1d"),
    CRITERIA.replace(
        "remove_lines: {select: [short]}", "flag: {reason: short, note: '{problems}'}"
    ),
)


class Player(Protocol):
    """Who plays a life by dice."""

    @property
    def rng(self) -> random.Random: ...
    @property
    def stage(self) -> Stage: ...


def moves(driver: Driver) -> Sequence[tuple[float, Callable[[Driver], str]]]:
    """What may happen, and how often it does."""
    return (
        (0.5, split_ticket),
        (0.5, take_up_again),
        (0.4, cancel_finished),
        (0.5, swap_parcels),
        (0.5, swap_product),
        (0.6, change_mode),
        (0.4, change_criteria),
        (0.4, change_settings),
        (0.6 * driver.faulty, fail_for_long),
        (0.6 * driver.restores, keep_backup),
        (0.6 * driver.restores, put_back),
    )


def settle_down(driver: Driver) -> None:
    """Before everything comes to rest: the brand is live, by the settings it began with."""
    configure(driver, announce={"when": "submitted"})
    set_mode(driver, modes.LIVE)


def _any_ticket(driver: Driver, *statuses: str) -> Ticket | None:
    found = [t for t in driver.stage.tickets() if t.status in statuses and t.items]
    return driver.rng.choice(found) if found else None


# -- the warehouse ---------------------------------------------------------------------------


def split_ticket(driver: Driver) -> str:
    """One item of a parcel is counted on a ticket of its own, with the same PO."""
    ticket, world = _any_ticket(driver, "Draft"), driver.stage.world
    if ticket is None or ticket.parcel or len(ticket.items) < 2:
        return "-"
    moved = ticket.items[-1]
    lines = [{"upc": moved.values.get("UPC") or "", "actual": 0}]
    with world.lock:
        parcels.receive(world, ticket, "complete", {"lines": lines, "seconds": 0.0})
        names = {"Warehouse", "CustomerPO"}
        fields = {n: v for n, v in ticket.fields.items() if n in names}
        fields["Memo"] = "made by the warehouse"
        item = TicketItem(dict(moved.values), moved.expected, str(moved.expected))
        half = tickets.add_ticket(world, driver.stage.brand, fields=fields, items=[item])
        tickets.set_status(world, half, "AddedToInventory")
    return f"{ticket.id} {ticket.return_id}, {half.id}"


def take_up_again(driver: Driver) -> str:
    """A cancelled ticket stands as a Draft again."""
    ticket = _any_ticket(driver, "Cancelled")
    if ticket is None:
        return "-"
    others = driver.stage.tickets(ticket.return_id) if ticket.return_id else []
    if any(t.status != "Cancelled" for t in others):
        driver.stage.needless.add(ticket.id)  # the warehouse has two now
    ticket.parcel = None
    tickets.set_status(driver.stage.world, ticket, "Draft")
    return f"{ticket.id} {ticket.return_id}"


def cancel_finished(driver: Driver) -> str:
    """The warehouse takes back what it has finished."""
    ticket = _any_ticket(driver, "AddedToInventory")
    if ticket is None:
        return "-"
    tickets.set_status(driver.stage.world, ticket, "Cancelled")
    return f"{ticket.id} {ticket.return_id}"


# -- the customer and the merchant -----------------------------------------------------------


def swap_parcels(driver: Driver) -> str:
    """The lines of the two parcels are in the other one each, or there are two from now on."""
    r, world = driver.any_return("open"), driver.stage.world
    if r is None or r.label is None or len(r.lines) < 2:
        return "-"
    if r.second_label is None:
        seed.split_label(r, world.dice("sequel", r.id))
    else:
        inside = set(r.second_label.lines or ())
        r.second_label.lines = tuple(x.id for x in r.lines if x.id not in inside)
    world.touch(r)
    return r.id


def swap_product(driver: Driver) -> str:
    """A line is about another product from now on."""
    r = driver.any_return("open", "review")
    if r is None or r.effects.process_accepted:
        return "-"
    line = driver.rng.choice(r.lines)
    line.product = driver.rng.choice(driver.stage.brand.catalogue)
    driver.stage.world.touch(r)
    return f"{r.id} {line.id} {line.product.sku}"


# -- the brand -------------------------------------------------------------------------------


def set_mode(driver: Player, mode: str) -> None:
    stage = driver.stage
    stage.fuse = Fuse()
    with stage.ctx.ledger.write() as session:
        tx = Transaction(session, BRAND, stage.now(), "ada")
        modes.set_mode(tx, mode, configured=stage.settings.mode, why="as it pleases")


def change_mode(driver: Player) -> str:
    mode = driver.rng.choice((modes.LIVE, modes.LIVE, modes.SHADOW, modes.PAUSED))
    set_mode(driver, mode)
    return mode


def configure(driver: Player, **changes: Any) -> None:
    stage = driver.stage
    stage.settings = stage.ctx.settings = brands.changed(stage.settings, **changes)


def change_settings(driver: Driver) -> str:
    when = driver.rng.choice(("submitted", "label", "in_transit"))
    configure(driver, announce={"when": when})
    return when


def change_criteria(driver: Player) -> str:
    number = driver.rng.randrange(len(OTHERWISE))
    stage = driver.stage
    stage.criteria = stage.ctx.criteria = load_criteria(OTHERWISE[number], source="sequel.yaml")
    return str(number)


# -- both systems and the ledger -------------------------------------------------------------


def fail_for_long(driver: Driver) -> str:
    """One call is answered by errors that had no effect, until somebody mends it."""
    system, operation = driver.rng.choice(STEADY)
    kind = driver.rng.choice(("status_500", "status_502", "timeout_before"))
    driver.stage.fault(system, kind, operation=operation, count=FOREVER, after=False)
    return f"{system} {operation} {kind}"


def keep_backup(driver: Player) -> str:
    stage = driver.stage
    if not isinstance(stage.place, File):
        return "-"
    target = stage.place.folder / "kept.db"
    target.unlink(missing_ok=True)
    backup.backup(stage.ctx.ledger, target)
    return ""


def put_back(driver: Player) -> str:
    """What was done since the backup is forgotten."""
    stage = driver.stage
    if not isinstance(stage.place, File) or not (kept := stage.place.folder / "kept.db").exists():
        return "-"
    stage.fuse = Fuse()
    stage.world.webhooks.flush()
    backup.restore(stage.ctx.ledger, kept)
    stage.restart()
    with stage.ctx.ledger.write() as session:
        restored.mark(session, stage.now(), who="ada", source="kept.db")
    stage.lost_ledgers += 1
    return ""
