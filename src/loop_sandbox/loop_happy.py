"""Happy Returns: box-free drop-offs that go to the warehouse in consolidated shipments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loop_sandbox import loop_errors, loop_events, loop_json
from loop_sandbox.calls import Call
from loop_sandbox.model import Brand, LoopReturn, Shipment
from loop_sandbox.wire import Answer, WireRequest, json_answer

if TYPE_CHECKING:
    from loop_sandbox.world import SandboxWorld

PER_PAGE = 200


def ship(world: SandboxWorld, brand: Brand, returns: list[LoopReturn]) -> Shipment:
    """A consolidated shipment leaves the hub: every return gets its bag's barcode (with a
    return.updated), and shipment.processed is sent."""
    number = len(brand.shipments) + 1
    shipment = Shipment(
        loop_id=brand.shop_id * 1000 + number,
        happy_id=f"HRS{brand.shop_id}{number:04d}",
        returns=[r.id for r in returns],
        box=f"HRBOX{brand.shop_id}{number:04d}",
        tracking_number=f"1ZHR{brand.shop_id}{number:010d}",
        created_at=world.loop_now(),
    )
    brand.shipments.append(shipment)
    for r in returns:
        r.package_reference = f"HRBAG{r.id}"
        world.touch(r)
        loop_events.emit(world, r, "return.updated")
    effect = f"shipment {shipment.happy_id} of {len(returns)} returns"
    world.log(Call("loop", "happy returns shipment", brand.slug, shipment.happy_id, effect=effect))
    loop_events.emit_shipment(world, brand, shipment)
    return shipment


def shipment(world: SandboxWorld, brand: Brand, happy_id: str) -> Answer:
    """One shipment by Happy Returns' id."""
    found = next((x for x in brand.shipments if x.happy_id == happy_id), None)
    if found is None:
        return loop_errors.not_found()
    at = loop_json.stamp(found.created_at)
    lines = sum(len(brand.returns[i].lines) for i in found.returns)
    return json_answer(
        {
            "loop_shipment_id": found.loop_id,
            "happy_returns_shipment_id": found.happy_id,
            "line_item_count": lines,
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
    rows = [row for i in found.returns for row in _items(brand.returns[i], found)]
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


def _items(r: LoopReturn, shipment: Shipment) -> list[dict[str, Any]]:
    return [
        {
            "carrier": "UPS",
            "happy_returns_return_bag_barcodes": [r.package_reference],
            "happy_returns_rma_id": f"HR{r.id}",
            "happy_returns_shipment_id": shipment.happy_id,
            "item_title": line.product.name,
            "order_name": r.order_name,
            "po_number": None,
            "return_id": int(r.id),
            "shipment_id": shipment.loop_id,
            "shipping_box_barcode": shipment.box,
            "sku": line.product.sku,
            "tracking_number": shipment.tracking_number,
            "variant_title": f"{line.product.size} / {line.product.color}",
        }
        for line in r.lines
    ]
