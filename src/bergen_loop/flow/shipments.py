"""Consolidated shipments of box-free returns: learned, read, and read again.

Loop has paid most of these returns before their goods come, so nothing here settles one. A webhook
names a shipment; no call of Loop's lists them. So a bag that a return names, and that no known
shipment has, is told to people after a while.

Announced: `flow.shipment_rmas`; what was counted: `flow.shipment_counts`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta

from bergen_loop.domain import shipment as shipping
from bergen_loop.domain.announce import is_box_free
from bergen_loop.domain.codes import tracking_numbers
from bergen_loop.domain.returns import Return
from bergen_loop.domain.shipment import ShipmentStage, ShipmentUnit
from bergen_loop.domain.words import Need, What
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.codec import digest, load_return
from bergen_loop.ledger.store import effects, returns
from bergen_loop.ledger.store import shipments as store
from bergen_loop.ledger.store.effects import ticket_key
from bergen_loop.ledger.store.retention import ERASED
from bergen_loop.ledger.tables.core import ReturnRow, WebhookRow
from bergen_loop.ledger.tables.shipments import BagRow, ShipmentRmaRow, ShipmentRow
from bergen_loop.ledger.transaction import Transaction
from bergen_loop.outside.errors import Effect, NotFound, OutsideError, Scope
from bergen_loop.outside.loop.shipments import ShipmentHead, ShipmentItems

PER_TICK = 50
AGAIN = timedelta(minutes=15)
"""How soon a shipment is read again that Loop does not show, or not whole."""
PATIENCE = timedelta(hours=1)
"""How long it may be so before people are told."""
GIVE_UP = timedelta(hours=24)
"""After which it is asked for no more, until a person wants it."""
SWITCH = "loop.happy_returns"
"""What the item is about of a brand whose goods come box-free, against its settings."""
IN_TRANSIT = timedelta(days=21)
"""A bag that a return named longer ago is not on its way any more."""
WEBHOOK = "webhook"
"""Who told of a shipment, where nobody did by hand."""
UNDONE = (ShipmentStage.READ, ShipmentStage.AWAITED, ShipmentStage.COUNTED)
"""Something of it may still come."""
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
    happy_id, loop_id = _ids(hook)
    if not happy_id:
        tx.needs_person(
            Need.SHIPMENT_UNREADABLE,
            f"a webhook tells of a consolidated shipment (Loop's id {loop_id or 'not given'}) "
            "without Happy Returns' id of it: enter it by hand when you know it",
            f"loop {loop_id or digest(hook.body)[:12]}",
        )
        return
    if learn(tx, happy_id, loop_id or None, WEBHOOK) is None:
        read_again(tx, happy_id)


def _ids(hook: WebhookRow) -> tuple[str, str]:
    """Happy Returns' id of a shipment, and Loop's; empty where they are not given."""
    try:
        body = json.loads(hook.body)
        ids = (body.get(key) for key in ("happy_returns_shipment_id", "loop_shipment_id"))
        happy_id, loop_id = (str(i or "").strip() for i in ids)
    except (ValueError, AttributeError, RecursionError):
        return "", ""
    return happy_id, loop_id


def tell_unwanted(tx: Transaction, hook: WebhookRow) -> None:
    """Loop names a shipment of a brand that has no return bars by its settings."""
    happy_id, _ = _ids(hook)
    tx.needs_person(
        Need.CONFIGURATION,
        f"Loop tells of consolidated shipment {happy_id or '(without its id)'}, and "
        "loop.happy_returns is off: what comes in it is neither announced nor counted. Switch it "
        f"on and enter the shipment (`bergen-loop shipments add {tx.brand} ID`), or take Loop's "
        "webhook for shipments away",
        SWITCH,
    )


def read_again(tx: Transaction, happy_id: str) -> ShipmentRow:
    """A known shipment is told of once more: it may hold more by now."""
    row = store.by_happy_id(tx.session, tx.brand, happy_id)
    assert row is not None
    store.read_soon(row, tx.now)
    return row


def learn(tx: Transaction, happy_id: str, loop_id: str | None, who: str) -> ShipmentRow | None:
    """A shipment is known from now on; None where it was."""
    row = store.learn(tx.session, tx.now, tx.brand, store.Heard(happy_id, loop_id, who))
    if row is not None:
        tx.journal(
            What.SHIPMENT_LEARNED, f"consolidated shipment {happy_id}, by {who}", None,
            {"shipment": happy_id},
        )  # fmt: skip
    return row


def note_bags(ctx: BrandContext, tx: Transaction, seen: Sequence[Return]) -> None:
    """Which bags these returns name: each has to turn up in a shipment."""
    if not ctx.rules.box_free_methods:
        return
    since = tx.now - IN_TRANSIT
    store.name_bags(
        tx.session,
        tx.now,
        tx.brand,
        [
            (r.id, barcode)
            for r in seen
            if r.updated_at >= since and is_box_free(r, ctx.rules)
            for barcode in tracking_numbers(r.package_reference)
        ],
    )


def tell_loose(ctx: BrandContext, result: Shipped) -> None:
    """Bags that have left a hub in no known shipment: its webhook was lost. One item for all."""
    before = ctx.now() - ctx.settings.shipments.unknown_wait
    with ctx.ledger.read() as session:
        untold = [b for b in store.loose_bags(session, ctx.brand, before) if b.told_at is None]
    if not untold or _look_for(ctx, untold):
        return
    with ctx.write() as tx:
        bags = store.loose_bags(tx.session, tx.brand, before)
        for bag in bags:
            bag.told_at = bag.told_at or tx.now
        some = ", ".join(f"{b.barcode} (return {b.return_id})" for b in bags[:5])
        more = f" and {len(bags) - 5} more" if len(bags) > 5 else ""
        left, them = ("A bag has", "it") if len(bags) == 1 else (f"{len(bags)} bags have", "them")
        tx.needs_person(
            Need.BAG_UNKNOWN,
            f"{left} left a return hub, and no known shipment has {them}: {some}{more}. The "
            "webhook that names the shipment was lost, and Loop has no list of shipments: ask "
            "Happy Returns or Loop for its id and enter it under Shipments, or with "
            f"`bergen-loop shipments add {tx.brand} ID`",
            LOOSE,
        )
        result.attention += 1


def _look_for(ctx: BrandContext, bags: Sequence[BagRow]) -> bool:
    """Before people are told: shipments that are known may hold more than when they were read.
    Whether any is to be looked at."""
    wait = ctx.settings.shipments.unknown_wait
    latest = max(bag.seen_at for bag in bags) + wait
    if ctx.now() >= latest + PATIENCE:
        return False  # Loop does not show them: people are told without that
    with ctx.write() as tx:
        known = store.since(tx.session, tx.brand, tx.now - IN_TRANSIT)
        unseen = [r for r in known if r.looked_at is not None and r.looked_at < latest]
        for row in unseen:
            row.again_at = row.again_at or tx.now
    return bool(unseen)


# -- read -------------------------------------------------------------------------------------


def read_due(ctx: BrandContext, result: Shipped) -> None:
    """Read shipments that are only known by their id, and those that may hold more by now: one
    call, and one for each page of items."""
    _look_before_missing(ctx)
    with ctx.ledger.read() as session:
        due = store.due(session, ctx.brand, [ShipmentStage.LEARNED], ctx.now(), PER_TICK)
        due += store.to_read_again(session, ctx.brand, ctx.now(), PER_TICK)
    for row in due:
        try:
            seen = look_at(ctx, row)
        except OutsideError as error:
            if error.scope is Scope.ACCESS:
                raise
            _unread(ctx, row, error, result)
            continue
        ctx.boundary("shipment read")
        ctx.take_in([seen], lambda tx, some: _take_all(ctx, tx, some), _set_aside)
        result.read += 1


@dataclass(frozen=True, slots=True)
class Shown:
    """A shipment as Loop shows it. `items`: None where nothing of it has changed."""

    pk: int
    head: ShipmentHead
    items: ShipmentItems | None


def look_at(ctx: BrandContext, row: ShipmentRow) -> Shown:
    """Read it. Raises OutsideError."""
    ctx.counts.add("loop.shipment")
    head = ctx.loop.shipment(row.happy_id)
    same = row.read_at is not None and not row.problem and head.line_item_count == row.expected
    if same and head.updated_at is not None and head.updated_at == row.loop_updated_at:
        return Shown(row.id, head, None)
    items = ctx.loop.shipment_items(head.loop_id)
    ctx.counts.add("loop.shipment_items", items.pages)
    return Shown(row.id, head, items)


def _look_before_missing(ctx: BrandContext) -> None:
    """Before what has not come is claimed, its shipment is read once more: it may be listed
    differently by now."""
    with ctx.ledger.read() as session:
        over = store.due(session, ctx.brand, UNDONE, ctx.now(), PER_TICK)
    pks = [r.id for r in over if r.looked_at and r.due_at and r.looked_at < r.due_at]
    if not pks:
        return
    with ctx.write() as tx:
        for row in store.by_pks(tx.session, pks).values():
            row.again_at = row.again_at or tx.now


def _unread(ctx: BrandContext, row: ShipmentRow, error: OutsideError, result: Shipped) -> None:
    """Loop may show it a little later; what it cannot show for long, a person has to look for.
    One that fails keeps no other from being read."""
    with ctx.write() as tx:
        fresh = store.by_pks(tx.session, [row.id])[row.id]
        since = fresh.unread_since = fresh.unread_since or tx.now
        waited = tx.now - since
        again = tx.now + AGAIN if waited < GIVE_UP else None
        if fresh.read_at is None:
            fresh.problem, fresh.due_at = error.message, again
        else:
            fresh.again_at = again
        passing = isinstance(error, NotFound) or error.effect is Effect.NOT_SENT
        if error.raw and not passing:
            tx.keep_raw("loop.shipment", error.raw, error.message)
        if not passing or waited >= PATIENCE:
            tx.needs_person(
                Need.SHIPMENT_UNREADABLE,
                f"Loop does not show consolidated shipment {row.happy_id}: {error.message}",
                row.happy_id,
                f"asked for since {since:%Y-%m-%d %H:%M} UTC",
            )
            result.attention += 1


def _set_aside(tx: Transaction, seen: Shown, error: Exception) -> None:
    """It was read, but cannot be put into the ledger; the others go on."""
    row = store.by_pks(tx.session, [seen.pk])[seen.pk]
    row.again_at = None
    if row.read_at is None:
        row.due_at, row.problem = None, f"it cannot be stored: {type(error).__name__}"
    tx.needs_person(
        Need.SHIPMENT_UNREADABLE,
        f"consolidated shipment {row.happy_id} was read and cannot be stored: "
        f"{type(error).__name__}",
        row.happy_id,
        "read it",
    )


def _take_all(ctx: BrandContext, tx: Transaction, some: Sequence[Shown]) -> None:
    rows = store.by_pks(tx.session, [seen.pk for seen in some])
    for seen in some:
        take(ctx, tx, rows[seen.pk], seen)


def take(ctx: BrandContext, tx: Transaction, row: ShipmentRow, seen: Shown) -> None:
    """What it holds, or holds by now. One that is not whole is waited for as long as for unknown
    products: its goods come all the same, and a ticket cannot be changed."""
    head, items = seen.head, seen.items
    row.loop_id, row.looked_at, row.loop_updated_at = head.loop_id, tx.now, head.updated_at
    row.again_at = row.unread_since = None
    if items is None:
        return
    for bad in items.bad:
        body = json.dumps(bad.raw, ensure_ascii=False, default=str)
        tx.keep_raw("loop.shipment", body, bad.problem)
    first = row.read_at is None
    if first and store.by_happy_id(tx.session, tx.brand, head.happy_id) is None:
        row.happy_id = head.happy_id  # as Loop spells it: its RMAs' POs are made of it
    if first:
        row.shipped_at = head.created_at or row.learned_at
    more, problem = _more_to_come(head, items), _not_whole(head, items)
    age = tx.now - row.learned_at
    row.problem = problem
    if problem and (age >= PATIENCE or items.bad):
        tx.needs_person(
            Need.SHIPMENT_UNREADABLE,
            f"consolidated shipment {row.happy_id} cannot be read whole: {problem}. What can be "
            "read is announced",
            row.happy_id,
        )
    nothing = not items.items
    if first and more and age < (GIVE_UP if nothing else ctx.settings.shipments.product_wait):
        row.due_at = tx.now + AGAIN
        return
    if first and nothing:
        row.due_at = None  # people have been told, and can have it read again
        return
    if not problem:
        tx.resolve(Need.SHIPMENT_UNREADABLE, row.happy_id, "it can be read")
    same = store.of_loop_id(tx.session, tx.brand, head.loop_id, row.id)
    if same is not None:
        # Announced under that name: a second ticket for its boxes would be one too many.
        row.stage, row.due_at = ShipmentStage.DONE, None
        row.problem = f"it is shipment {same.happy_id} under another name"
        tx.journal(What.SHIPMENT_READ, f"consolidated shipment {row.happy_id}: {row.problem}")
        return
    ids = {i.return_id for i in items.items if i.return_id}
    rows = _rows(tx, ids)
    known = {i: load_return(r.content) for i, r in rows.items()}
    erased = {i for i, r in rows.items() if r.customer_email == ERASED}
    if first and ids - known.keys() and age < PATIENCE:
        row.due_at = tx.now + AGAIN  # what its units are, their returns tell: Loop lists them soon
        return
    shown = tuple(
        shipping.nameless(u) if u.item.return_id in erased else u
        for u in shipping.units_of(items.items, known)
    )
    if first:
        _hold(ctx, tx, row, shown)
    else:
        _hold_by_now(ctx, tx, row, shown, whole=problem is None)
    if not store.loose_bags(tx.session, tx.brand, tx.now - ctx.settings.shipments.unknown_wait):
        tx.resolve(Need.BAG_UNKNOWN, LOOSE, "their shipments are known")


def _rows(tx: Transaction, ids: Iterable[str | None]) -> dict[str, ReturnRow]:
    return returns.by_ids(tx.session, tx.brand, {i for i in ids if i})


def _more_to_come(head: ShipmentHead, items: ShipmentItems) -> bool:
    """Whether Loop says itself that it has not listed all."""
    counted = len(items.items) + len(items.bad)
    return bool(items.incomplete) or not counted or (head.line_item_count or 0) > counted


def _not_whole(head: ShipmentHead, items: ShipmentItems) -> str | None:
    counted = len(items.items) + len(items.bad)
    problems = [items.incomplete or "", *(bad.problem for bad in items.bad[:3])]
    if head.line_item_count is not None and head.line_item_count != counted:
        problems.append(f"it has {head.line_item_count} items, {counted} are listed")
    if not counted:
        problems.append("it lists no items")
    return "; ".join(dict.fromkeys(filter(None, problems))) or None


def _hold(
    ctx: BrandContext, tx: Transaction, row: ShipmentRow, units: Sequence[ShipmentUnit]
) -> None:
    """What it holds, for the first time: its RMAs are planned."""
    store.add_units(tx.session, tx.now, row, units)
    row.read_at, row.stage = tx.now, ShipmentStage.READ
    # However far it has come by then, what is missing is told.
    row.due_at = (row.shipped_at or tx.now) + ctx.settings.shipments.missing_wait
    _describe(row, units)
    tx.journal(
        What.SHIPMENT_READ,
        f"consolidated shipment {row.happy_id}: {row.expected} units of {row.returns} returns in "
        f"{row.bags} bags and {row.boxes} boxes",
        None,
        {"shipment": row.happy_id},
    )
    _plan_rmas(ctx, tx, row, units)
    _tell_returns(tx, row, units)


def _describe(row: ShipmentRow, units: Sequence[ShipmentUnit]) -> None:
    row.expected = len(units)
    row.returns = len({u.item.return_id for u in units if u.item.return_id})
    row.bags = len({p.key for p in shipping.places_of(units).values()})
    row.boxes = len({shipping.box_of(u) for u in units})


# -- read again -------------------------------------------------------------------------------


def _hold_by_now(
    ctx: BrandContext,
    tx: Transaction,
    row: ShipmentRow,
    shown: Sequence[ShipmentUnit],
    *,
    whole: bool,
) -> None:
    """What is listed in addition, in another bag or in another box by now. What is listed no more
    is expected all the same, and told: a bag must not be lost by a list that was cut short."""
    before = store.units_of(tx.session, row.id)
    change = shipping.compared(before, shown)
    if change.moved:
        store.change_units(tx.session, tx.now, row, change.moved)
    if change.added:
        store.add_units(tx.session, tx.now, row, change.added, len(before))
        _tell_returns(tx, row, change.added)
    _describe(row, store.units_of(tx.session, row.id))
    to_place = [*change.added, *_taken_out(tx, row, before, change.moved)]
    if to_place:
        _place(ctx, tx, row, to_place)
    said = [
        f"{len(units)} units {words}"
        for units, words in (
            (change.added, "more than before"),
            (change.moved, "in other bags or boxes"),
            (change.gone, "no longer"),
        )
        if units
    ]
    if said:
        tx.journal(
            What.SHIPMENT_READ,
            f"consolidated shipment {row.happy_id} is listed with {', '.join(said)}",
            None,
            {"shipment": row.happy_id},
        )
        if any(rma.ticket_id is None for rma in store.rmas_of(tx.session, [row.id])):
            row.stage = ShipmentStage.READ
        elif row.stage == ShipmentStage.DONE:
            row.stage = ShipmentStage.COUNTED
        row.due_at = tx.now  # judged by what it holds now
    if change.gone and whole:
        names = ", ".join(f"{u.line.sku or u.line.title} ({u.item.return_id})" for u in change.gone)
        tx.needs_person(
            Need.SHIPMENT_UNREADABLE,
            f"consolidated shipment {row.happy_id} does not list {len(change.gone)} units any more "
            f"that it listed before: {names[:500]}. They are expected all the same",
            f"gone from {row.happy_id}",
        )


def _taken_out(
    tx: Transaction,
    row: ShipmentRow,
    before: Sequence[ShipmentUnit],
    moved: Sequence[ShipmentUnit],
) -> list[ShipmentUnit]:
    """Units that lie in another box by now, taken out of an RMA that is not made yet."""
    was = {u.key: shipping.box_of(u) for u in before}
    others = {u.key: u for u in moved if shipping.box_of(u) != was[u.key]}
    out: list[ShipmentUnit] = []
    for rma in store.rmas_of(tx.session, [row.id]):
        if rma.box and _may_change(tx, rma) and (mine := others.keys() & set(rma.unit_keys)):
            out += [others[key] for key in sorted(mine)]
            rma.unit_keys = [key for key in rma.unit_keys if key not in mine]
            if not rma.unit_keys:
                tx.session.delete(rma)
    tx.session.flush()
    return out


def _may_change(tx: Transaction, rma: ShipmentRmaRow) -> bool:
    """Whether no call was made for it yet."""
    return (
        rma.ticket_id is None
        and rma.due_at is not None
        and effects.find(tx.session, tx.brand, ticket_key(rma.customer_po)) is None
    )


def _place(
    ctx: BrandContext, tx: Transaction, row: ShipmentRow, units: Sequence[ShipmentUnit]
) -> None:
    """Units that are listed late go to the RMA of their box, if it can still be changed. One that
    is made cannot: there is no second ticket for a box, and what its ticket does not name is
    expected all the same. A box that is new gets an RMA of its own."""
    rmas = store.rmas_of(tx.session, [row.id])
    of_all = [r for r in rmas if r.box is None]  # they may hold any box of it
    fresh: list[ShipmentUnit] = []
    late: list[ShipmentRmaRow] = []
    for unit in units:
        box = shipping.box_of(unit)
        of = [r for r in rmas if box and shipping.box_code(r.box) == box] or of_all
        rma = next((r for r in of if _may_change(tx, r)), next(iter(of), None))
        if rma is None:
            fresh.append(unit)
            continue
        rma.unit_keys = [*rma.unit_keys, unit.key]
        if not _may_change(tx, rma):
            why = f"{unit.line.sku or unit.line.title}: listed after its ticket was made"
            rma.left_out = [*rma.left_out, {"keys": [unit.key], "why": why, "late": True}]
            late.append(rma)
    _plan_rmas(ctx, tx, row, fresh)
    for rma in dict.fromkeys(late):
        tx.needs_person(
            Need.SHIPMENT_RMA,
            f"units were added to consolidated shipment {row.happy_id} after ticket "
            f"{rma.ticket_id or rma.customer_po} was made, which does not name them: "
            f"{'; '.join(dict.fromkeys(str(x['why']) for x in rma.left_out if x.get('late')))}. "
            "They are expected all the same: tell Bergen",
            f"left out of {rma.customer_po}",
        )


def _plan_rmas(
    ctx: BrandContext, tx: Transaction, row: ShipmentRow, units: Sequence[ShipmentUnit]
) -> None:
    s, length = ctx.settings.shipments, ctx.settings.announce.po_length
    planned: list[tuple[shipping.Consignment, str]] = []
    for one in shipping.consignments(units, s.rma, s.most_items, ctx.rules.kits):
        names = shipping.pos_of(s.po_prefix, row.happy_id, one, length)
        free = (po for po in names if store.rma_of_po(tx.session, tx.brand, po) is None)
        planned.append((one, next(free, names[-1])))
    tx.session.add_all(
        ShipmentRmaRow(
            brand=tx.brand,
            shipment_pk=row.id,
            box=one.box,
            part=one.part,
            customer_po=po,
            unit_keys=[u.key for u in one.units],
            left_out=[],
            items=[],
            tracking_numbers=[],
            due_at=tx.now,
            created_at=tx.now,
        )
        for one, po in planned
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
