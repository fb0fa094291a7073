"""Lives of consolidated shipments by seed: bars, hubs, lost webhooks, kills and faults; bags that
get lost, come late, are split or lie in another box. From seed 20000 on the brand also leaves live
or its return bars for a while, yesterday's ledger is put back, and people settle in Loop. Judged by
what the sandbox knows is true."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import reliability_sequels as sequels
import sqlalchemy as sa
from reliability_fuse import Fuse
from reliability_stage import BRAND, Stage

from bergen_loop.domain.codes import normal_code
from bergen_loop.domain.returns import Stage as At
from bergen_loop.domain.shipment import Differs
from bergen_loop.domain.words import Need
from bergen_loop.ledger.store import attention, modes, returns
from bergen_loop.ledger.store import shipments as store
from bergen_loop.ledger.tables.shipments import BagRow
from bergen_loop.ledger.transaction import Transaction
from bergen_loop.people import shipments as people
from bergen_loop.repair import rebuild
from loop_sandbox import control_views, loop_happy, parcels
from loop_sandbox.model import HappyUnit, LoopReturn, Shipment

HOUR = 3600.0
SEQUELS = 20_000
"""The first seed with what goes on over days."""
FAULTS = (
    ("rex11", "timeout_after", "ReceivingTicketAdd"),
    ("rex11", "timeout_before", "ReceivingTicketAdd"),
    ("rex11", "reset_mid_body", "ReceivingTicketAdd"),
    ("rex11", "status_500", "GetReceivingTicketObjectByTicketNo"),
    ("rex11", "status_500", "GetReceivingStatusesByDate"),
    ("loop", "status_500", "happy_returns.items"),
    ("loop", "status_500", "happy_returns.shipment"),
)
SETTINGS = {
    "loop": {"happy_returns": True},
    "shipments": {"missing_wait": "12h", "unknown_wait": "30m", "most_items": 4},
}


class Lives:
    """A brand with Happy Returns, from drop-offs to rest."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.dice = self.rng = random.Random(seed)
        self.sequels = seed >= SEQUELS
        self.stage = Stage(folder, seed, brand_changes=SETTINGS, happy_returns_seconds=12 * HOUR)
        self.shipped: list[Shipment] = []
        self.never_told: set[str] = set()
        """Shipments whose webhook was lost, and that nobody entered."""

    @property
    def returns(self) -> list[LoopReturn]:
        return list(self.stage.brand.returns.values())

    def play(self) -> list[str]:
        """Two shipments as the dice will; what is wrong when all is at rest."""
        stage, dice = self.stage, self.dice
        stage.control("settings", happy_returns_seconds=12 * HOUR, reopen_share=0.0)
        for _ in range(2):
            for _ in range(dice.randint(2, 5)):
                stage.new_return(
                    units=dice.randint(1, 2), outcome="refund", method="happy_returns", held=False
                )
            if dice.random() < 0.6:
                stage.clock.advance(13 * HOUR)  # Loop pays them before the goods come
            self._ticks(2)
            self._ship()
            self._ticks(4)
            self._sequel()
            self._arrive()
            self._ticks(3)
            self._sequel()
            if dice.random() < 0.2:
                self._lose()
        stage.world.faults.clear()
        if self.sequels:
            sequels.configure(self, **SETTINGS)
            sequels.set_mode(self, modes.LIVE)
        for after in (60.0, 900.0, 900.0, 3700.0, 13 * HOUR, 60.0, 300.0, 3700.0, 9000.0, 60.0):
            stage.tick(after=after)
        self._arrive()  # what was announced only now
        for after in (30.0, 60.0, 13 * HOUR, 60.0, 300.0, 3700.0, 9000.0, 60.0, 60.0):
            stage.tick(after=after)
        return [*stage.bugs, *self.problems()]

    def _sequel(self) -> None:
        """What goes on over days, and a few hours after it."""
        if not self.sequels or self.dice.random() < 0.3:
            return
        move = self.dice.choice(
            (
                sequels.change_mode,
                sequels.keep_backup,
                sequels.keep_backup,
                sequels.put_back,
                sequels.put_back,
                Lives._turn_bars,
                Lives._settle_by_hand,
            )
        )
        move(self)
        self._known_again()
        self._ticks(2)
        self.stage.clock.advance(self.dice.choice((60.0, HOUR, 6 * HOUR)))

    def _turn_bars(self) -> str:
        """The brand has no return bars any more, or has them again."""
        on = self.stage.settings.loop.happy_returns
        sequels.configure(self, loop={"happy_returns": not on})
        return str(not on)

    def _settle_by_hand(self) -> str:
        """A person settles one in Loop before its goods have come."""
        open_ = [r for r in self.returns if r.state == "open"]
        if not open_:
            return "-"
        r = self.dice.choice(open_)
        self.stage.control(f"returns/{r.id}/{self.dice.choice(('close', 'cancel', 'flag'))}")
        self.stage.by_hand.add(r.id)
        return r.id

    def _lose(self) -> None:
        """The ledger is lost, and rebuilt by somebody, perhaps not at once to the end."""
        stage = self.stage
        stage.world.faults.clear()
        stage.fresh_ledger()
        point = self.dice.randint(1, 120) if self.dice.random() < 0.5 else 0
        if not stage.act(rebuild.run, Fuse(lambda n, _name: n == point)):
            stage.tick()
            assert stage.act(rebuild.run)
        self._known_again()

    def _known_again(self) -> None:
        """A shipment that a ledger does not know any more is entered, for its bags are told."""
        for shipment in self.shipped:
            with self.stage.ctx.ledger.read() as session:
                known = store.by_happy_id(session, BRAND, shipment.happy_id) is not None
            if not known and shipment.happy_id not in self.never_told:
                self._enter(shipment)

    def _ticks(self, number: int) -> None:
        """Syncs, of which some are killed half-way."""
        for _ in range(number):
            if self.dice.random() < 0.3:
                system, kind, operation = self.dice.choice(FAULTS)
                self.stage.fault(system, kind, operation=operation, nth=1)
            point = self.dice.randint(1, 60) if self.dice.random() < 0.5 else 0
            fuse = Fuse(lambda n, _name, p=point: n == p) if point else None
            self.stage.tick(fuse, after=self.dice.choice((30.0, 90.0, 300.0)))

    def _ship(self) -> None:
        stage, dice = self.stage, self.dice
        told = dice.random() < 0.7
        split = tuple(r.id for r in self.returns if dice.random() < 0.2)
        made = loop_happy.ship_waiting(
            stage.world, stage.brand, boxes=dice.randint(1, 3), split=split, webhook=False
        )
        if made is None:
            return
        self.shipped.append(made)
        bags = sorted({b for u in made.units for b in u.bags})
        loop_happy.spoil(
            made,
            missing=tuple(b for b in bags if dice.random() < 0.15),
            late=tuple(b for b in bags if dice.random() < 0.1),
            misplaced=tuple(b for b in bags if dice.random() < 0.15),
            damaged=tuple(n for n in range(len(made.units)) if dice.random() < 0.1),
        )
        if told or dice.random() < 0.5:
            self._enter(made)  # by its webhook, or by a person
        else:
            self.never_told.add(made.happy_id)

    def _enter(self, made: Shipment) -> None:
        self.stage.fuse = Fuse()  # whoever enters it is in another process
        with self.stage.ctx.ledger.write() as session:
            tx = Transaction(session, BRAND, self.stage.now(), "somebody")
            people.enter(tx, made.happy_id)

    def _arrive(self) -> None:
        for shipment in self.shipped:
            for ticket in loop_happy.arrive(self.stage.world, self.stage.brand, shipment):
                if self.dice.random() < 0.2 and ticket.status == "AddedToInventory":
                    parcels.reopen(self.stage.world, ticket, "none", {"seconds": 200.0})

    # -- what is true --------------------------------------------------------------------------

    def problems(self) -> list[str]:
        """What is lost, doubled, unfounded or untold."""
        seen = control_views.effects(self.stage.world, {"brand": BRAND}, "")
        found = [str(v) for v in seen["violations"]]
        by_po = Counter(t.po for t in self.stage.tickets() if t.status != "Cancelled")
        found += [f"PO {po} has {n} tickets" for po, n in by_po.items() if n > 1]
        with self.stage.ctx.ledger.read() as session:
            bags = list(session.scalars(sa.select(BagRow)))
            items = attention.open_items(session, BRAND)
            rows = returns.by_ids(session, BRAND, list(self.stage.brand.returns))
        found += [f"internal: {i.reason}" for i in items if i.kind == "internal"]
        for shipment in self.shipped:
            if shipment.happy_id in self.never_told:
                mine = {normal_code(f"HRBAG{i}") for i in shipment.returns}
                told = {b.code for b in bags if b.told_at}
                found += [f"{shipment.happy_id}: {code} is untold" for code in mine - told]
            else:
                found += self._claimed(shipment)
        for r in self.returns:
            row, e = rows.get(r.id), r.effects
            if row is None:
                found.append(f"return {r.id} is not known")
                continue
            if e.processed_by_loop and (e.process_accepted or e.flags):
                found.append(f"return {r.id} was paid by Loop and settled by us")
            if e.process_accepted and not self._whole(r):
                found.append(f"return {r.id} was paid for what is not there")
            held = any(i.return_pk == row.id and i.blocking for i in items)
            # What people have flagged in Loop is theirs.
            held = held or (r.id in self.stage.by_hand and r.state == "review")
            # Submitted while the brand had no return bars, it got an RMA of its own.
            ended = (At.COMPLETE, At.FLAGGED, *([At.CLOSING] if self.sequels else []))
            if row.stage not in ended and not held and self._told(r):
                found.append(f"return {r.id} is {row.stage}, {row.loop_state}")
        return found

    def _net(self, shipment: Shipment) -> Counter[str]:
        """How many of each product are missing, strangers of the same product set against them."""
        missing = Counter(u.product.sku for u in shipment.units if u.fate in ("missing", "late"))
        missing.subtract(u.product.sku for u in self._strangers(shipment))
        return Counter({sku: n for sku, n in missing.items() if n > 0})

    def _strangers(self, shipment: Shipment) -> list[HappyUnit]:
        return shipment.late

    def _claimed(self, shipment: Shipment) -> list[str]:
        with self.stage.ctx.ledger.read() as session:
            row = store.by_happy_id(session, BRAND, shipment.happy_id)
            if row is None or row.read_at is None:
                return [f"{shipment.happy_id} was never read"]
            asked = {(i.kind, i.subject) for i in attention.open_items(session, BRAND)}
            if row.remarks and any(kind == Need.SHIPMENT_COUNTS for kind, _ in asked):
                return []  # people have been asked about its counts
            unmade = [r for r in store.rmas_of(session, [row.id]) if r.ticket_id is None]
            if any((Need.SHIPMENT_RMA, r.customer_po) in asked for r in unmade):
                return []  # what lies in that box, nobody has counted
            claims = store.claims_of(session, row.id).values()
            bags = store.bags_of(session, row.id)
        claimed: Counter[str] = Counter()
        for c in claims:
            if c.kind == Differs.MISSING and c.state == store.OPEN:
                claimed[c.sku or ""] += c.units
        found: list[str] = []
        if claimed != self._net(shipment):
            found.append(f"{shipment.happy_id}: claimed {claimed}, missing {self._net(shipment)}")
        really = {b for u in shipment.units if u.fate in ("missing", "late") for b in u.bags}
        found += [
            f"{shipment.happy_id}: {bag.barcode} is said to be missing"
            for bag in bags
            if bag.missing_since and bag.barcode not in really
        ]
        return found

    def _whole(self, r: LoopReturn) -> bool:
        """Whether all of it is there, as far as counts of products can tell."""
        for shipment in self.shipped:
            net = self._net(shipment)
            for u in shipment.units:
                if u.return_id == r.id and u.fate in ("missing", "late") and net[u.product.sku]:
                    return False
        return True

    def _told(self, r: LoopReturn) -> bool:
        """Whether somebody said what it came in, and not all of it is missing."""
        for s in self.shipped:
            if r.id in s.returns:
                there = any(u.fate in ("here", "damaged") for u in s.units if u.return_id == r.id)
                return s.happy_id not in self.never_told and there
        return False


def play(folder: Path, seed: int) -> tuple[Lives, list[str]]:
    """The lives of a seed, and what is wrong with them."""
    lives = Lives(folder, seed)
    try:
        return lives, lives.play()
    finally:
        lives.stage.close()
        lives.stage.world.close()
