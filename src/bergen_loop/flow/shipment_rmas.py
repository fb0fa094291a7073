"""The RMAs of consolidated shipments: announced, and found again where an answer was lost.

One for each box (or shipment), and never a second one for the same units: its PO is always the
same, and is written down before the call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from bergen_loop.domain import announce as rules
from bergen_loop.domain import shipment as shipping
from bergen_loop.domain.codes import tracking_numbers
from bergen_loop.domain.comparison import units_by_product
from bergen_loop.domain.naming import Known
from bergen_loop.domain.returns import Return
from bergen_loop.domain.rma import RmaRequest
from bergen_loop.domain.shipment import Scannable, ShipmentStage, ShipmentUnit
from bergen_loop.domain.words import EffectKind, Need, What
from bergen_loop.flow import adopt, products
from bergen_loop.flow.calls import Call, Undertaking, carry_out, had_no_effect, is_late, ready
from bergen_loop.flow.context import AHEAD, BrandContext
from bergen_loop.flow.shipments import WEBHOOK, Shipped
from bergen_loop.ledger.codec import dump_item, load_item
from bergen_loop.ledger.store import cursors, effects
from bergen_loop.ledger.store import shipments as store
from bergen_loop.ledger.store.effects import AlreadyIntended, EffectState, Intent, ticket_key
from bergen_loop.ledger.tables.core import EffectRow
from bergen_loop.ledger.tables.shipments import ShipmentRmaRow, ShipmentRow
from bergen_loop.ledger.transaction import FencedTransaction, Transaction
from bergen_loop.outside.errors import Effect, OutsideError, Refused

PER_TICK = 50


# -- announced --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Due:
    """An RMA to be made: its shipment, and what it is to announce."""

    rma: ShipmentRmaRow
    shipment: ShipmentRow
    units: tuple[ShipmentUnit, ...]
    at: datetime

    @property
    def as_return(self) -> Return:
        return shipping.as_return(self.shipment.happy_id, self.units, self.at)


def announce(ctx: BrandContext, result: Shipped) -> None:
    """Resolve lost ticket calls by looking, then make the RMAs that are due."""
    _find_lost(ctx)
    _find_late(ctx)
    with ctx.ledger.read() as session:
        rmas = store.rmas_due(session, ctx.brand, ctx.now(), PER_TICK)
        rows = store.by_pks(session, [rma.shipment_pk for rma in rmas])
        units = {pk: {u.key: u for u in store.units_of(session, pk)} for pk in rows}
    due = [
        _Due(
            rma,
            rows[rma.shipment_pk],
            tuple(units[rma.shipment_pk][k] for k in rma.unit_keys),
            ctx.now(),
        )
        for rma in rmas
    ]
    if not due:
        return
    unknown, known = products.unknown_of(ctx, [one.as_return for one in due])
    now = [one for one in due if not _waits(ctx, one, unknown)]
    carry_out(ctx, ShipmentTickets(ctx, result, unknown, known), now)


def _waits(ctx: BrandContext, one: _Due, unknown: Mapping[str, str]) -> bool:
    """For products that the warehouse may know soon; not for ever, for the goods are on their
    way."""
    until = (one.shipment.read_at or ctx.now()) + ctx.settings.shipments.product_wait
    mine = products.upcs_of(ctx, one.as_return)
    if mine.isdisjoint(unknown) or ctx.now() >= until:
        return False
    with ctx.write() as tx:
        again = min(until, tx.now + ctx.settings.announce.product_poll)
        store.rmas_by_pks(tx.session, [one.rma.id])[one.rma.id].due_at = again
    return True


class ShipmentTickets(Undertaking[_Due, RmaRequest, str]):
    """ReceivingTicketAdd, one for each consignment."""

    name = "shipment ticket"

    def __init__(
        self, ctx: BrandContext, result: Shipped, unknown: Mapping[str, str], known: Known
    ) -> None:
        super().__init__(ctx)
        self.result, self.unknown, self.known = result, unknown, known
        self.past: set[str] = set()
        """POs that may have a ticket which this ledger does not know."""
        self.found: set[str] = set()
        """Those that have."""
        self.rmas: dict[str, ShipmentRmaRow] = {}

    def intend(self, tx: FencedTransaction, items: Sequence[_Due]) -> list[Call[RmaRequest]]:
        """The intents of those that are due still; what their tickets say is kept with them."""
        fresh = store.rmas_by_pks(tx.session, [one.rma.id for one in items])
        keys = [ticket_key(one.rma.customer_po) for one in items]
        before = effects.find_all(tx.session, tx.brand, keys)
        marks = cursors.get_all(tx.session, tx.brand, [cursors.FIRST_PULL, cursors.FORMER])
        first_pull = marks.get(cursors.FIRST_PULL)
        calls: list[Call[RmaRequest]] = []
        for one in items:
            rma = fresh[one.rma.id]
            effect = before.get(ticket_key(rma.customer_po))
            if rma.ticket_id is not None or rma.due_at is None:
                continue
            if not ready(effect, tx.now):
                rma.due_at = effect.try_at if effect else None
                continue
            past = _may_have_past(self.ctx, one.shipment, first_pull)
            until = self._held_until(one.shipment, marks) if past else None
            if until and until > tx.now:
                rma.due_at = until
                continue
            request = self._request(tx, one, rma)
            rma.due_at = None  # until an answer says otherwise
            if not request.items:
                self._nothing(tx, rma)
                continue
            if past:
                self.past.add(rma.customer_po)
            payload = {"customer_po": rma.customer_po, "shipment": one.shipment.happy_id}
            intent = Intent(EffectKind.SHIPMENT_TICKET, ticket_key(rma.customer_po), None, payload)
            try:
                calls.append(Call(request, (tx.intend(intent, before),)))
            except AlreadyIntended:
                continue  # its answer is being looked for
        tx.session.flush()
        return calls

    def _held_until(self, row: ShipmentRow, marks: Mapping[str, datetime]) -> datetime | None:
        """An earlier ledger's last tickets may not show by their PO yet: these wait until they
        must."""
        first = marks.get(cursors.FIRST_PULL)
        before = first if first and (row.shipped_at or row.learned_at) < first else None
        former = marks.get(cursors.FORMER) or before
        return former and former + self.ctx.settings.announce.lost_ticket_wait

    def _request(self, tx: Transaction, one: _Due, rma: ShipmentRmaRow) -> RmaRequest:
        """With what can be announced; what cannot is told, and comes all the same."""
        ctx, s = self.ctx, self.ctx.settings.shipments
        refused = {key for left in rma.left_out if left.get("refused") for key in left["keys"]}
        left = [x for x in rma.left_out if x.get("refused")]
        kept: list[ShipmentUnit] = []
        by_key = {u.key: u for u in one.units}
        for group in units_by_product(u.line for u in one.units):
            units = [by_key[x.line_item_id] for x in group]
            why = self._why_not(shipping.as_return("-", units, tx.now))
            if why and refused.isdisjoint(u.key for u in units):
                left.append({"keys": [u.key for u in units], "why": why})
            elif not why:
                kept += [u for u in units if u.key not in refused]
        rma.left_out = left
        words = _words(one, rma)
        lines = shipping.as_return("-", kept, tx.now).lines
        zone = ZoneInfo(ctx.rules.time_zone)
        today = tx.now.astimezone(zone).date()
        plate, numbers = self._scannable(tx, one, rma, words)
        request = RmaRequest(
            customer_po=rma.customer_po,
            warehouse=ctx.rules.warehouse,
            items=rules.rma_items(lines, ctx.rules, self.known),
            created_on=today,
            expected_on=today + timedelta(days=ctx.rules.expected_days),
            authorized_number=rma.customer_po,
            memo=shipping.filled(s.memo, words, s.memo_length),
            carrier=next((u.item.carrier for u in one.units if u.item.carrier), None),
            tracking_numbers=numbers,
            supplier=ctx.rules.supplier,
            license_plate=plate,
        )
        rma.items = [dump_item(i) for i in request.items]
        rma.tracking_numbers, rma.license_plate = list(request.tracking_numbers), plate
        if left:
            tx.needs_person(
                Need.SHIPMENT_RMA,
                f"the RMA {rma.customer_po} of a consolidated shipment leaves products out that "
                f"come all the same: {'; '.join(dict.fromkeys(str(x['why']) for x in left))}",
                f"left out of {rma.customer_po}",
            )
        return request

    def _scannable(
        self, tx: Transaction, one: _Due, rma: ShipmentRmaRow, words: Mapping[str, str]
    ) -> tuple[str | None, tuple[str, ...]]:
        """The LicensePlate and the TrackingNumbers. A code is sent whole or not at all; what is
        not sent is told, for nobody finds the RMA by it."""
        s, told = self.ctx.settings.shipments, list[str]()
        plate = shipping.filled(s.license_plate, words)
        if plate and len(plate) > s.license_plate_length:
            told.append(
                f"no LicensePlate, for {plate} has {len(plate)} characters "
                f"(shipments.license_plate_length: {s.license_plate_length})"
            )
            plate = None
        numbers = _numbers(s.tracking_numbers, one.units)
        if over := numbers[s.most_tracking_numbers :]:
            told.append(
                f"{len(over)} of {len(numbers)} TrackingNumbers left out "
                f"(shipments.most_tracking_numbers: {s.most_tracking_numbers}): {', '.join(over)}"
            )
        if told:
            tx.needs_person(
                Need.SHIPMENT_RMA,
                f"the RMA {rma.customer_po} of a consolidated shipment is not found by all that "
                f"stands on it: {'; '.join(told)}. Tell Bergen",
                f"codes left out of {rma.customer_po}",
            )
        return plate, numbers[: s.most_tracking_numbers]

    def _why_not(self, of: Return) -> str | None:
        """Why the units of one product cannot be announced; None: they can."""
        bad = rules.bad_codes(of, self.ctx.rules, self.known)
        if bad:
            return f"{bad[0].name}: {bad[0].problem}"
        mine = products.upcs_of(self.ctx, of)
        return next((why for upc, why in self.unknown.items() if upc in mine), None)

    def _nothing(self, tx: Transaction, rma: ShipmentRmaRow) -> None:
        tx.needs_person(
            Need.SHIPMENT_RMA,
            "nothing of this part of a consolidated shipment can be announced: "
            f"{'; '.join(dict.fromkeys(str(x['why']) for x in rma.left_out))}. Nothing of the "
            "shipment is claimed as missing until this is done, for it may lie in there",
            rma.customer_po,
        )
        self.result.attention += 1

    def send(self, call: Call[RmaRequest]) -> str:
        po = call.request.customer_po
        effect = call.effects[0]
        late = is_late(self.ctx, effect) or effects.ANSWERED in effect.payload
        if (late or po in self.past) and (found := adopt.find_read(self.ctx, po)):
            self.found.add(po)
            return found[0]
        return adopt.add(self.ctx, call.request, effect)

    def load(self, tx: Transaction, of: Sequence[EffectRow]) -> None:
        self.rmas = _rmas(tx, of)

    def taken(self, tx: Transaction, effect: EffectRow, answer: str) -> None:
        rma = self.rmas[effect.key]
        po = rma.customer_po
        if adopt.of_others(tx, po, [answer], (Need.SHIPMENT_RMA, po)):
            tx.outcome(effect, EffectState.DOUBT, f"REX11 answered with ticket {answer}, not ours")
            return
        there = po in self.found
        how = f"found by its PO {po}: ticket {answer}" if there else f"REX11 made ticket {answer}"
        exists(tx, rma, effect, answer, how)
        products.accepted(tx, [rma])
        rma.adopted_at = tx.now if there else None
        rma.to_read = there  # it may have been counted before
        if effect.attempts > 1:
            # The first one may have arrived all the same, and show only later.
            effect.try_at = tx.now + self.ctx.settings.announce.lost_ticket_wait
        self.result.rmas += 1

    def refused(self, tx: Transaction, effect: EffectRow, error: OutsideError) -> None:
        """It changed nothing. Products that it was refused for are left out of the next try: the
        rest of the box has to be announced."""
        tx.outcome(effect, EffectState.NOT_SENT, str(error))
        rma = self.rmas[effect.key]
        named = error.items if isinstance(error, Refused) else ()
        self.result.attention += 1
        if named and products.refused(tx, rma, named, error):
            items = [load_item(rma.items[i]) for i in named if 0 <= i < len(rma.items)]
            keys = [key for item in items for key, _ in item.pieces]
            name = ", ".join(i.sku or i.upc or i.style or "?" for i in items)
            out = {"keys": keys, "why": f"{name}: {error.message}", "refused": True}
            rma.left_out = [*rma.left_out, out]
            effect.attempts, rma.due_at = 0, tx.now
            return
        tx.needs_person(
            Need.SHIPMENT_RMA,
            f"REX11 refused the RMA of a consolidated shipment: {error.message}",
            rma.customer_po,
            f"one ReceivingTicketAdd with PO {rma.customer_po}",
        )

    def put_off(self, tx: Transaction, effect: EffectRow) -> None:
        self.rmas[effect.key].due_at = effect.try_at

    def lost(self, tx: Transaction, effect: EffectRow) -> None:
        """`_find_lost` looks for it."""


def _may_have_past(ctx: BrandContext, row: ShipmentRow, first_pull: datetime | None) -> bool:
    """Whether its RMAs may have been made before this ledger knew of it: it was not its webhook
    that told of it, it left its hub before the ledger knew the brand, or the ledger was put back
    from a backup."""
    before = first_pull is None or (row.shipped_at or row.learned_at) <= first_pull + AHEAD
    return row.learned_from != WEBHOOK or before or adopt.restored_lately(ctx)


def _rmas(tx: Transaction, of: Sequence[EffectRow]) -> dict[str, ShipmentRmaRow]:
    """The RMAs that these effects make, by the effect's key."""
    found = {e.key: store.rma_of_po(tx.session, tx.brand, e.payload["customer_po"]) for e in of}
    return {key: rma for key, rma in found.items() if rma is not None}


def _words(one: _Due, rma: ShipmentRmaRow) -> dict[str, str]:
    bags = sorted({b for u in one.units for b in u.item.bags})
    return {
        "shipment": one.shipment.happy_id,
        "loop_shipment": one.shipment.loop_id or "",
        "box": rma.box or "",
        "tracking": next((u.item.tracking_number for u in one.units if u.item.tracking_number), "")
        or "",
        "units": str(len(one.units)),
        "returns": str(len({u.item.return_id for u in one.units})),
        "bags": str(len(bags)),
        "bag_list": ", ".join(bags),
    }


def _numbers(wanted: Sequence[Scannable], units: Sequence[ShipmentUnit]) -> tuple[str, ...]:
    codes = {
        Scannable.TRACKING: [n for u in units for n in tracking_numbers(u.item.tracking_number)],
        Scannable.BOX: [u.item.box for u in units if u.item.box],
        Scannable.BAGS: [b for u in units for b in u.item.bags],
    }
    return tuple(dict.fromkeys(code for kind in wanted for code in codes[kind]))


def adopt_ticket(tx: Transaction, rma: ShipmentRmaRow, tickets: Sequence[str]) -> None:
    """Follow the first of the tickets with its PO, though this ledger knows of no call for it: none
    is ever made."""
    key, po = ticket_key(rma.customer_po), rma.customer_po
    intent = Intent(EffectKind.SHIPMENT_TICKET, key, None, {"customer_po": po})
    effect = effects.find(tx.session, tx.brand, key) or tx.plan(intent)
    assert effect is not None
    exists(tx, rma, effect, tickets[0], f"found by its PO {po}: ticket {tickets[0]}")
    rma.adopted_at, rma.due_at = tx.now, None
    rma.to_read = True  # it may have been counted before
    tell_others(tx, rma, tickets)


def exists(
    tx: Transaction, rma: ShipmentRmaRow, effect: EffectRow, ticket_id: str, how: str
) -> None:
    """Its RMA exists: the shipment is awaited once all of them do."""
    rma.ticket_id, rma.confirmed_at = ticket_id, tx.now
    tx.outcome(effect, EffectState.DONE, how)
    tx.resolve(Need.SHIPMENT_RMA, rma.customer_po, "it is made")
    row = store.by_pks(tx.session, [rma.shipment_pk])[rma.shipment_pk]
    what = f"box {rma.box}" if rma.box else "all of it"
    part = f", part {rma.part}" if rma.part > 1 else ""
    tx.journal(
        What.SHIPMENT_ANNOUNCED,
        f"ticket {ticket_id}, PO {rma.customer_po}: {what}{part} of {row.happy_id}",
        None,
        {"shipment": row.happy_id, "ticket": ticket_id},
    )
    if row.stage == ShipmentStage.READ and all(
        other.ticket_id for other in store.rmas_of(tx.session, [row.id])
    ):
        row.stage, row.announced_at = ShipmentStage.AWAITED, tx.now


# -- lost answers -----------------------------------------------------------------------------


def _find_lost(ctx: BrandContext) -> None:
    """Find out by its PO whether a ticket whose answer was lost exists; only then add again."""
    kinds = [EffectKind.SHIPMENT_TICKET]
    with ctx.ledger.read() as session:
        lost = effects.in_doubt(session, ctx.brand, kinds, PER_TICK)
    for batch in ctx.batches(lost):
        found = ctx.in_parallel(lambda e: adopt.find_made(ctx, e), batch)
        ctx.boundary("shipment ticket looked up")
        with ctx.write() as tx:
            fresh = effects.by_pks(tx.session, [effect.id for effect in batch])
            rmas = _rmas(tx, list(fresh.values()))
            for one, tickets in zip(batch, found, strict=True):
                effect = fresh[one.id]
                effect.state = EffectState.DOUBT
                effect.doubt_since = effect.doubt_since or tx.now
                _looked(ctx, tx, rmas[effect.key], effect, tickets)


def _looked(
    ctx: BrandContext,
    tx: Transaction,
    rma: ShipmentRmaRow,
    effect: EffectRow,
    tickets: list[str] | OutsideError,
) -> None:
    po = rma.customer_po
    if isinstance(tickets, OutsideError):
        if tickets.effect is not Effect.NOT_SENT:
            why = f"whether REX11 has this RMA cannot be found out: {tickets.message}"
            tx.needs_person(Need.SHIPMENT_RMA, f"{why}. Ask Bergen", po)
        return
    if others := adopt.of_others(tx, po, tickets, (Need.SHIPMENT_RMA, po)):
        tickets = [t for t in tickets if t not in others]
        if not tickets:
            return  # whether it was made is as open as before
    if tickets:
        exists(tx, rma, effect, tickets[0], f"found by its PO {po}: ticket {tickets[0]}")
        rma.to_read = True  # its status may have changed before it was known
        tell_others(tx, rma, tickets)
        return
    wait = ctx.settings.announce.lost_ticket_wait
    if tx.now - (effect.doubt_since or tx.now) < wait:
        return  # it may still be on its way into REX11: look again at the next tick
    if had_no_effect(ctx, tx, effect, f"no ticket with PO {po} in REX11, {wait} later"):
        rma.due_at = effect.try_at


def tell_others(tx: Transaction, rma: ShipmentRmaRow, tickets: Sequence[str]) -> bool:
    """Tell that REX11 has more tickets with a PO than the one that is followed, if it has."""
    others = adopt.others_than(rma.ticket_id, tickets)
    if others:
        tx.needs_person(
            Need.TWO_TICKETS,
            f"REX11 has more tickets with PO {rma.customer_po} than {rma.ticket_id}, which is "
            f"followed: {', '.join(others)}. Have Bergen cancel them",
            rma.customer_po,
        )
    return bool(others)


def _find_late(ctx: BrandContext) -> None:
    """Where a ticket was added again, the first add may have arrived after all and show its ticket
    late: looked for, ever more rarely, for a day."""
    kind = EffectKind.SHIPMENT_TICKET
    with ctx.ledger.read() as session:
        due = effects.to_look_after(session, ctx.brand, [kind], ctx.now(), PER_TICK)
    for batch in ctx.batches(due):
        found = ctx.in_parallel(lambda e: adopt.find_made(ctx, e), batch)
        with ctx.write() as tx:
            fresh = effects.by_pks(tx.session, [effect.id for effect in batch])
            rmas = _rmas(tx, list(fresh.values()))
            for one, tickets in zip(batch, found, strict=True):
                effect, late = fresh[one.id], tx.now - (one.finished_at or tx.now)
                wait = max(ctx.settings.announce.lost_ticket_wait, late)
                effect.try_at = tx.now + wait if late < adopt.LATE_TICKETS else None
                if isinstance(tickets, list) and tell_others(tx, rmas[effect.key], tickets):
                    effect.try_at = None
