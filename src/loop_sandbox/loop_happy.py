"""Happy Returns: box-free drop-offs that go to the warehouse in consolidated shipments.

Customers drop returns off at bars; a hub puts each into a bag (or two), bags into boxes, and ships
twice a week. What arrives need not be what is listed: bags get lost, come with a later shipment,
or lie in another box.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from loop_sandbox import loop_errors, loop_events, loop_json, parcels
from loop_sandbox.calls import Call
from loop_sandbox.model import Brand, HappyUnit, LoopReturn, Shipment, Ticket
from loop_sandbox.wire import Answer, WireRequest, json_answer

if TYPE_CHECKING:
    from loop_sandbox.world import SandboxWorld

PER_PAGE = 200
TWICE_A_WEEK = 3.5 * 86400


def is_happy(r: LoopReturn) -> bool:
    """Whether it was handed over at a return bar."""
    method: Any = r.return_method
    return isinstance(method, dict) and "happy_returns" in method.values()


# -- bars and hubs ----------------------------------------------------------------------------


def open_hub(world: SandboxWorld, brand: Brand, seconds: float = TWICE_A_WEEK) -> None:
    """From now on all that was dropped off leaves the hub every so many seconds."""

    def go() -> None:
        ship_waiting(world, brand)
        world.later(seconds, go)

    world.later(seconds, go)


def ship_waiting(world: SandboxWorld, brand: Brand, **how: Any) -> Shipment | None:
    """All returns of the brand that wait at the hub leave it; None where none do."""
    shipped = {i for s in brand.shipments for i in s.returns}
    waiting = [
        r
        for r in brand.returns.values()
        if is_happy(r) and r.id not in shipped and r.state != "cancelled"
    ]
    return ship(world, brand, waiting, **how) if waiting else None


def ship(
    world: SandboxWorld,
    brand: Brand,
    returns: list[LoopReturn],
    *,
    boxes: int = 1,
    split: tuple[str, ...] = (),
    webhook: bool = True,
) -> Shipment:
    """A consolidated shipment leaves the hub: every return gets its bag's barcode (with a
    return.updated), and shipment.processed is sent. `split`: returns in two bags; without
    `webhook` Loop forgets to tell of it."""
    number = len(brand.shipments) + 1
    stem = f"{brand.shop_id}{number:04d}"
    names = [f"HRBOX{stem}" + (chr(65 + i) if i else "") for i in range(boxes)]
    shipment = Shipment(
        loop_id=brand.shop_id * 1000 + number,
        happy_id=f"HRS{stem}",
        returns=[r.id for r in returns],
        box=names[0],
        tracking_number=f"1ZHR{brand.shop_id}{number:010d}",
        created_at=world.loop_now(),
        boxes=names,
    )
    for place, r in enumerate(returns):
        bags = [f"HRBAG{r.id}", *([f"HRBAG{r.id}B"] if r.id in split else [])]
        shipment.units += [
            HappyUnit(r.id, line.id, line.product, bags, names[place % boxes]) for line in r.lines
        ]
    late = [u for s in brand.shipments for u in s.units if u.fate == "late"]
    shipment.late = [u for u in late if not any(u in s.late for s in brand.shipments)]
    brand.shipments.append(shipment)
    for r in returns:
        r.package_reference = f"HRBAG{r.id}"
        world.touch(r)
        loop_events.emit(world, r, "return.updated")
    effect = f"shipment {shipment.happy_id} of {len(returns)} returns"
    world.log(Call("loop", "happy returns shipment", brand.slug, shipment.happy_id, effect=effect))
    if webhook:
        loop_events.emit_shipment(world, brand, shipment)
    return shipment


# -- what arrives -----------------------------------------------------------------------------


def find(brand: Brand, happy_id: str) -> Shipment | None:
    """A shipment by Happy Returns' id."""
    return next((x for x in brand.shipments if x.happy_id == happy_id), None)


def of_ticket(brand: Brand, ticket: Ticket) -> Shipment | None:
    """The shipment a ticket announces, by its PO."""
    return next((x for x in brand.shipments if x.happy_id in ticket.po), None)


def spoil(
    shipment: Shipment,
    *,
    missing: tuple[str, ...] = (),
    late: tuple[str, ...] = (),
    misplaced: tuple[str, ...] = (),
    damaged: tuple[int, ...] = (),
) -> None:
    """What becomes of bags on the way (missing, late, in another box), and of units (damaged, by
    their place in the list)."""
    for place, unit in enumerate(shipment.units):
        named = set(unit.bags)
        if named.intersection(missing):
            unit.fate = "missing"
        elif named.intersection(late):
            unit.fate = "late"
        elif place in damaged:
            unit.fate = "damaged"
        if named.intersection(misplaced):
            full = sorted({u.box for u in shipment.units})
            unit.really_in = full[(full.index(unit.box) + 1) % len(full)]


def arrive(
    world: SandboxWorld, brand: Brand, shipment: Shipment, boxes: tuple[str, ...] = ()
) -> list[Ticket]:
    """The shipment (or only some of its boxes) comes to the dock, and each of its tickets is
    counted by what is really there. The tickets."""
    tickets = [t for t in brand.tickets.values() if of_ticket(brand, t) is shipment]
    done: list[Ticket] = []
    for box in shipment.boxes:
        mine = [t for t in tickets if _is_for(t, box, shipment) and t.status == "Draft"]
        if not mine or (boxes and box not in boxes):
            continue
        whole = all(_is_for(mine[0], b, shipment) for b in shipment.boxes)
        here = [
            u
            for u in shipment.units
            if u.fate in ("here", "damaged") and (whole or (u.really_in or u.box) == box)
        ]
        if box == shipment.boxes[0]:
            here += shipment.late
        for ticket, lines in _counted(mine, here):
            parcels.receive(world, ticket, "complete", {"lines": lines})
            done.append(ticket)
    shipment.arrived = shipment.arrived or bool(done)
    return done


def _is_for(ticket: Ticket, box: str, shipment: Shipment) -> bool:
    if any(b in ticket.po for b in shipment.boxes):
        name = ticket.po.removeprefix("HR-").partition("/")[0]
        return name.endswith(f"-{box}")
    return True


def _counted(
    tickets: list[Ticket], units: list[HappyUnit]
) -> list[tuple[Ticket, list[dict[str, Any]]]]:
    """The lines of each ticket: its own products as they were found; what none of them names
    goes on the first."""
    found = Counter((u.product, u.fate == "damaged") for u in units)
    result: list[tuple[Ticket, list[dict[str, Any]]]] = []
    for ticket in tickets:
        lines: list[dict[str, Any]] = []
        for item in ticket.items:
            codes = {item.values.get(n, "").lower() for n in ("UPC", "Sku", "Style")} - {""}
            own = [p for p, _ in found if codes & {p.upc.lower(), p.sku.lower()}]
            actual = sum(found.pop((p, False), 0) for p in dict.fromkeys(own))
            damaged = sum(found.pop((p, True), 0) for p in dict.fromkeys(own))
            code = {"upc": item.values.get("UPC") or None, "sku": item.values.get("Sku") or None}
            lines.append({**code, "actual": actual, "damaged": damaged})
        result.append((ticket, lines))
    result[0][1].extend(
        {
            "upc": p.upc,
            "actual": found[p, False],
            "damaged": found[p, True],
            "comments": "Not on ASN",
        }
        for p in dict.fromkeys(p for p, _ in found)
    )
    return result


# -- Loop's answers ---------------------------------------------------------------------------


def shipment(world: SandboxWorld, brand: Brand, happy_id: str) -> Answer:
    """One shipment by Happy Returns' id."""
    found = find(brand, happy_id)
    if found is None:
        return loop_errors.not_found()
    at = loop_json.stamp(found.created_at)
    return json_answer(
        {
            "loop_shipment_id": found.loop_id,
            "happy_returns_shipment_id": found.happy_id,
            "line_item_count": len(found.units),
            "return_count": len(found.returns),
            "created_at": at,
            "updated_at": at,
        }
    )


def items(brand: Brand, request: WireRequest, loop_id: str) -> Answer:
    """The items of a shipment by Loop's id, in pages."""
    found = next((x for x in brand.shipments if str(x.loop_id) == loop_id), None)
    if found is None:
        return loop_errors.not_found()
    text = request.query.get("page") or "1"
    page = int(text) if text.isdigit() and int(text) > 0 else 1
    rows = [_item(brand.returns[u.return_id], u, found) for u in found.units]
    last = max(1, -(-len(rows) // PER_PAGE))
    here = f"{request.root}/loop{request.path}"
    return json_answer(
        {
            "current_page": page,
            "data": rows[(page - 1) * PER_PAGE : page * PER_PAGE],
            "next_page_url": f"{here}?page={page + 1}" if page < last else None,
            "last_page": last,
            "per_page": PER_PAGE,
            "total": len(rows),
        }
    )


def _item(r: LoopReturn, unit: HappyUnit, shipment: Shipment) -> dict[str, Any]:
    product = unit.product
    return {
        "carrier": "UPS",
        "happy_returns_return_bag_barcodes": unit.bags,
        "happy_returns_rma_id": f"HR{r.id}",
        "happy_returns_shipment_id": shipment.happy_id,
        "item_title": product.name,
        "order_name": r.order_name,
        "po_number": None,
        "return_id": int(r.id),
        "shipment_id": shipment.loop_id,
        "shipping_box_barcode": unit.box,
        "sku": product.sku,
        "tracking_number": shipment.tracking_number,
        "variant_title": f"{product.size} / {product.color}",
    }
