"""Consolidated shipments of box-free returns: learned, read, announced.

Loop has paid most of these returns before their goods come, so nothing here settles one. A webhook
names a shipment; no call of Loop's lists them. So a bag that a return names, and that no known
shipment has, is told to people after a while.

What was counted: `flow.shipment_counts`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from bergen_loop.domain import announce as rules
from bergen_loop.domain import shipment as shipping
from bergen_loop.domain.announce import tracking_numbers
from bergen_loop.domain.comparison import units_by_product
from bergen_loop.domain.naming import Known
from bergen_loop.domain.returns import Return
from bergen_loop.domain.rma import RmaRequest
from bergen_loop.domain.shipment import Scannable, ShipmentStage, ShipmentUnit
from bergen_loop.domain.words import EffectKind, Need, What
from bergen_loop.flow import adopt, products
from bergen_loop.flow.calls import Call, Undertaking, carry_out, had_no_effect, ready
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.codec import digest, dump_item, load_item, load_return
from bergen_loop.ledger.store import effects, returns
from bergen_loop.ledger.store import shipments as store
from bergen_loop.ledger.store.effects import AlreadyIntended, EffectState, Intent, ticket_key
from bergen_loop.ledger.tables.core import EffectRow, WebhookRow
from bergen_loop.ledger.tables.shipments import ShipmentRmaRow, ShipmentRow
from bergen_loop.ledger.transaction import FencedTransaction, Transaction
from bergen_loop.outside.errors import Effect, NotFound, OutsideError, Refused, Scope
from bergen_loop.outside.loop.shipments import ShipmentHead, ShipmentItems

PER_TICK = 50
AGAIN = timedelta(minutes=15)
"""How soon a shipment is read again that Loop does not show, or not whole."""
PATIENCE = timedelta(hours=1)
"""How long it may be so before people are told."""
GIVE_UP = timedelta(hours=24)
"""After which it is asked for no more, until a person wants it."""
IN_TRANSIT = timedelta(days=21)
"""A bag that a return named longer ago is not on its way any more."""
WEBHOOK = "webhook"
"""Who told of a shipment, where nobody did by hand."""
LOOK_FIRST = timedelta(days=90)
"""How long after a restore RMAs are looked for first."""
LATE_TICKETS = timedelta(days=1)
"""How long a ticket may turn up by its PO although it was not found when it was looked for."""
LOOSE = "shipments"
"""Subject of the one item about bags without a known shipment."""


@dataclass(slots=True)
class Shipped:
    """What the shipments step did."""

    read: int = 0
    rmas: int = 0
    receipts: int = 0
    claims: int = 0
    attention: int = 0


def as_counts(result: Shipped) -> dict[str, int]:
    return asdict(result)


# -- learned ----------------------------------------------------------------------------------


def take_webhook(tx: Transaction, hook: WebhookRow) -> None:
    """`happy.returns.shipment` names a shipment. Nothing else of it is believed."""
    try:
        body = json.loads(hook.body)
        happy_id = str(body.get("happy_returns_shipment_id") or "").strip()
        loop_id = str(body.get("loop_shipment_id") or "").strip()
    except (ValueError, AttributeError):
        happy_id = loop_id = ""
    if not happy_id:
        tx.needs_person(
            Need.SHIPMENT_UNREADABLE,
            f"a webhook tells of a consolidated shipment (Loop's id {loop_id or 'not given'}) "
            "without Happy Returns' id of it: enter it by hand when you know it",
            f"loop {loop_id or digest(hook.body)[:12]}",
        )
        return
    learn(tx, happy_id, loop_id or None, WEBHOOK)


def learn(tx: Transaction, happy_id: str, loop_id: str | None, who: str) -> ShipmentRow | None:
    """A shipment is known from now on; None where it was."""
    row = store.learn(tx.session, tx.now, tx.brand, happy_id, loop_id, who)
    if row is not None:
        tx.journal(
            What.SHIPMENT_LEARNED, f"consolidated shipment {happy_id}, by {who}", None,
            {"shipment": happy_id},
        )  # fmt: skip
    return row


def note_bags(ctx: BrandContext, tx: Transaction, seen: Sequence[Return]) -> None:
    """Which bags these returns name: each has to turn up in a shipment."""
    if not ctx.settings.loop.happy_returns:
        return
    since = tx.now - IN_TRANSIT
    store.name_bags(
        tx.session,
        tx.now,
        tx.brand,
        [
            (r.id, barcode)
            for r in seen
            if r.updated_at >= since and shipping.is_box_free(r, ctx.rules.box_free_methods)
            for barcode in tracking_numbers(r.package_reference)
        ],
    )


def tell_loose(ctx: BrandContext, result: Shipped) -> None:
    """Bags that have left a hub in no known shipment: its webhook was lost. One item for all."""
    before = ctx.now() - ctx.settings.shipments.unknown_wait
    with ctx.ledger.read() as session:
        if not any(bag.told_at is None for bag in store.loose_bags(session, ctx.brand, before)):
            return
    with ctx.write() as tx:
        bags = store.loose_bags(tx.session, tx.brand, before)
        for bag in bags:
            bag.told_at = bag.told_at or tx.now
        some = ", ".join(f"{b.barcode} (return {b.return_id})" for b in bags[:5])
        more = f" and {len(bags) - 5} more" if len(bags) > 5 else ""
        tx.needs_person(
            Need.BAG_UNKNOWN,
            f"{len(bags)} bags have left a return hub, but no known shipment has them: {some}"
            f"{more}. The webhook that names their shipment was lost, and Loop has no list of "
            "shipments: ask Happy Returns or Loop for its id and enter it under Shipments, or with "
            f"`bergen-loop shipments add {tx.brand} ID`",
            LOOSE,
        )
        result.attention += 1


# -- read -------------------------------------------------------------------------------------


def read_due(ctx: BrandContext, result: Shipped) -> None:
    """Read shipments that are only known by their id: one call, and one for each page of items."""
    with ctx.ledger.read() as session:
        due = store.due(session, ctx.brand, [ShipmentStage.LEARNED], ctx.now(), PER_TICK)
    for row in due:
        try:
            ctx.counts.add("loop.shipment")
            head = ctx.loop.shipment(row.happy_id)
            items = ctx.loop.shipment_items(head.loop_id)
            ctx.counts.add("loop.shipment_items", items.pages)
        except OutsideError as error:
            if error.scope is not Scope.CALL or error.effect is Effect.NOT_SENT:
                raise
            _unread(ctx, row, error, result)
            continue
        ctx.boundary("shipment read")
        with ctx.write() as tx:
            _take(ctx, tx, store.by_pks(tx.session, [row.id])[row.id], head, items)
            result.read += 1


def _unread(ctx: BrandContext, row: ShipmentRow, error: OutsideError, result: Shipped) -> None:
    """Loop may show it a little later; what it cannot show, a person has to look for."""
    with ctx.write() as tx:
        fresh = store.by_pks(tx.session, [row.id])[row.id]
        age = tx.now - fresh.learned_at
        missing = isinstance(error, NotFound)
        fresh.problem = error.message
        fresh.due_at = tx.now + AGAIN if age < GIVE_UP else None
        if error.raw and not missing:
            tx.keep_raw("loop.shipment", error.raw, error.message)
        if not missing or age >= PATIENCE:
            tx.needs_person(
                Need.SHIPMENT_UNREADABLE,
                f"Loop does not show consolidated shipment {row.happy_id}: {error.message}",
                row.happy_id,
                f"asked for since {fresh.learned_at:%Y-%m-%d %H:%M} UTC",
            )
            result.attention += 1


def _take(
    ctx: BrandContext, tx: Transaction, row: ShipmentRow, head: ShipmentHead, items: ShipmentItems
) -> None:
    """What it holds. One that is not whole is waited for as long as for unknown products: its
    goods come all the same, and a ticket cannot be changed."""
    row.loop_id = head.loop_id
    row.shipped_at = head.created_at or row.learned_at
    for bad in items.bad:
        body = json.dumps(bad.raw, ensure_ascii=False, default=str)
        tx.keep_raw("loop.shipment", body, bad.problem)
    problem = _not_whole(head, items)
    age = tx.now - row.learned_at
    row.problem = problem
    if problem and (age >= PATIENCE or items.bad):
        tx.needs_person(
            Need.SHIPMENT_UNREADABLE,
            f"consolidated shipment {row.happy_id} cannot be read whole: {problem}. What can be "
            "read is announced",
            row.happy_id,
        )
    if items.incomplete and age < ctx.settings.shipments.product_wait:
        row.due_at = tx.now + AGAIN
        return
    if not problem:
        tx.resolve(Need.SHIPMENT_UNREADABLE, row.happy_id, "it can be read")
    ids = {i.return_id for i in items.items if i.return_id}
    rows = returns.by_ids(tx.session, tx.brand, ids)
    known = {id_: load_return(r.content) for id_, r in rows.items()}
    units = shipping.units_of(items.items, known)
    store.set_units(tx.session, tx.now, row, units)
    row.read_at, row.stage = tx.now, ShipmentStage.READ
    # However far it has come by then, what is missing is told.
    row.due_at = (row.shipped_at or tx.now) + ctx.settings.shipments.missing_wait
    row.expected, row.returns = len(units), len(ids)
    row.bags = len({p.key for p in shipping.places_of(units).values()})
    row.boxes = len({u.item.box for u in units})
    tx.journal(
        What.SHIPMENT_READ,
        f"consolidated shipment {row.happy_id}: {row.expected} units of {row.returns} returns in "
        f"{row.bags} bags and {row.boxes} boxes",
        None,
        {"shipment": row.happy_id},
    )
    if not units:
        row.stage = ShipmentStage.DONE
        return
    _plan_rmas(ctx, tx, row, units)
    _tell_returns(tx, row, units)
    if not store.loose_bags(tx.session, tx.brand, tx.now - ctx.settings.shipments.unknown_wait):
        tx.resolve(Need.BAG_UNKNOWN, LOOSE, "their shipments are known")


def _not_whole(head: ShipmentHead, items: ShipmentItems) -> str | None:
    counted = len(items.items) + len(items.bad)
    problems = [items.incomplete or "", *(bad.problem for bad in items.bad[:3])]
    if head.line_item_count is not None and head.line_item_count != counted:
        problems.append(f"it has {head.line_item_count} items, {counted} are listed")
    if not counted:
        problems.append("it lists no items")
    return "; ".join(dict.fromkeys(filter(None, problems))) or None


def _plan_rmas(
    ctx: BrandContext, tx: Transaction, row: ShipmentRow, units: Sequence[ShipmentUnit]
) -> None:
    s = ctx.settings.shipments
    tx.session.add_all(
        ShipmentRmaRow(
            brand=tx.brand,
            shipment_pk=row.id,
            box=one.box,
            part=one.part,
            customer_po=shipping.customer_po(
                s.po_prefix, row.happy_id, one, ctx.settings.announce.po_length
            ),
            unit_keys=[u.key for u in one.units],
            left_out=[],
            items=[],
            tracking_numbers=[],
            due_at=tx.now,
            created_at=tx.now,
        )
        for one in shipping.consignments(units, s.rma, s.most_items, ctx.rules.kits)
    )
    tx.session.flush()


def _tell_returns(tx: Transaction, row: ShipmentRow, units: Sequence[ShipmentUnit]) -> None:
    """Its returns' own timelines say where their goods are. One that has an RMA of its own has
    been announced twice: people are told, for REX11 has no call to take a ticket back."""
    rows = returns.by_ids(
        tx.session, tx.brand, {u.item.return_id for u in units if u.item.return_id}
    )
    rmas = returns.rmas_of(tx.session, [r.id for r in rows.values()])
    twice: list[str] = []
    for return_id, r in rows.items():
        bags = sorted({b for u in units if u.item.return_id == return_id for b in u.item.bags})
        boxes = sorted({u.item.box or "?" for u in units if u.item.return_id == return_id})
        words = f"in bag {', '.join(bags) or '?'}, box {', '.join(boxes)}"
        tx.journal(
            What.SHIPMENT_READ, f"its goods come in consolidated shipment {row.happy_id}: {words}",
            r, {"shipment": row.happy_id},
        )  # fmt: skip
        twice += [
            f"{return_id} ({rma.ticket_id})"
            for rma in rmas.get(r.id, [])
            if rma.ticket_id and rma.shipment_pk is None and rma.closed_at is None
        ]
    if twice:
        tx.needs_person(
            Need.SHIPMENT_RMA,
            f"returns of consolidated shipment {row.happy_id} have RMAs of their own: "
            f"{', '.join(twice[:20])}. No parcel will come for those: tell Bergen",
            f"own RMAs of {row.happy_id}",
        )


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
        self.rmas: dict[str, ShipmentRmaRow] = {}

    def intend(self, tx: FencedTransaction, items: Sequence[_Due]) -> list[Call[RmaRequest]]:
        """The intents of those that are due still; what their tickets say is kept with them."""
        fresh = store.rmas_by_pks(tx.session, [one.rma.id for one in items])
        keys = [ticket_key(one.rma.customer_po) for one in items]
        before = effects.find_all(tx.session, tx.brand, keys)
        calls: list[Call[RmaRequest]] = []
        for one in items:
            rma = fresh[one.rma.id]
            effect = before.get(ticket_key(rma.customer_po))
            if rma.ticket_id is not None or rma.due_at is None:
                continue
            if not ready(effect, tx.now):
                rma.due_at = effect.try_at if effect else None
                continue
            request = self._request(tx, one, rma)
            rma.due_at = None  # until an answer says otherwise
            if not request.items:
                self._nothing(tx, rma)
                continue
            if _may_have_past(self.ctx, one.shipment):
                self.past.add(rma.customer_po)
            payload = {"customer_po": rma.customer_po, "shipment": one.shipment.happy_id}
            intent = Intent(EffectKind.SHIPMENT_TICKET, ticket_key(rma.customer_po), None, payload)
            try:
                calls.append(Call(request, (tx.intend(intent, before),)))
            except AlreadyIntended:
                continue  # its answer is being looked for
        tx.session.flush()
        return calls

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
        plate = shipping.filled(s.license_plate, words, s.license_plate_length)
        request = RmaRequest(
            customer_po=rma.customer_po,
            warehouse=ctx.rules.warehouse,
            items=rules.rma_items(lines, ctx.rules, self.known),
            created_on=today,
            expected_on=today + timedelta(days=ctx.rules.expected_days),
            authorized_number=rma.customer_po,
            memo=shipping.filled(s.memo, words, s.memo_length),
            carrier=next((u.item.carrier for u in one.units if u.item.carrier), None),
            tracking_numbers=_numbers(s.tracking_numbers, one.units)[: s.most_tracking_numbers],
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
            + "; ".join(dict.fromkeys(str(x["why"]) for x in rma.left_out)),
            rma.customer_po,
        )
        self.result.attention += 1

    def send(self, call: Call[RmaRequest]) -> str:
        po = call.request.customer_po
        if po in self.past and (found := adopt.find_read(self.ctx, po)):
            return found[0]
        self.ctx.counts.add("rex11.ticket_add")
        return self.ctx.warehouse.create_rma(call.request)

    def load(self, tx: Transaction, of: Sequence[EffectRow]) -> None:
        self.rmas = _rmas(tx, of)

    def taken(self, tx: Transaction, effect: EffectRow, answer: str) -> None:
        rma = self.rmas[effect.key]
        exists(tx, rma, effect, answer, f"REX11 made ticket {answer}")
        rma.to_read = rma.customer_po in self.past  # it may have been there, and counted, before
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


def _may_have_past(ctx: BrandContext, row: ShipmentRow) -> bool:
    """Whether its RMAs may have been made before this ledger knew of it: a person has entered it,
    or the ledger was put back from a backup."""
    restored = ctx.tick.restored_at
    lately = restored is not None and ctx.now() - restored < LOOK_FIRST
    return row.learned_from != WEBHOOK or lately


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
            tx.needs_person(Need.SHIPMENT_RMA, why, po)
        return
    if tickets:
        exists(tx, rma, effect, tickets[0], f"found by its PO {po}: ticket {tickets[0]}")
        rma.to_read = True  # its status may have changed before it was known
        _tell_others(tx, rma, tickets)
        return
    wait = ctx.settings.announce.lost_ticket_wait
    if tx.now - (effect.doubt_since or tx.now) < wait:
        return  # it may still be on its way into REX11: look again at the next tick
    if had_no_effect(ctx, tx, effect, f"no ticket with PO {po} in REX11, {wait} later"):
        rma.due_at = effect.try_at


def _tell_others(tx: Transaction, rma: ShipmentRmaRow, tickets: Sequence[str]) -> bool:
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
        due = effects.to_look_after(session, ctx.brand, kind, ctx.now(), PER_TICK)
    for batch in ctx.batches(due):
        found = ctx.in_parallel(lambda e: adopt.find_made(ctx, e), batch)
        with ctx.write() as tx:
            fresh = effects.by_pks(tx.session, [effect.id for effect in batch])
            rmas = _rmas(tx, list(fresh.values()))
            for one, tickets in zip(batch, found, strict=True):
                effect, late = fresh[one.id], tx.now - (one.finished_at or tx.now)
                wait = max(ctx.settings.announce.lost_ticket_wait, late)
                effect.try_at = tx.now + wait if late < LATE_TICKETS else None
                if isinstance(tickets, list) and _tell_others(tx, rmas[effect.key], tickets):
                    effect.try_at = None
