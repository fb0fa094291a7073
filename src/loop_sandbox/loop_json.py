"""Loop's JSON shapes. Pure: a return in, a dict out."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, cast

from loop_sandbox.model import (
    CLOSED,
    REVIEW,
    Brand,
    Label,
    Line,
    LoopReturn,
    Product,
    Shipment,
)
from loop_sandbox.settings import Settings

_STYLES = {
    "iso": "%Y-%m-%dT%H:%M:%S.000Z",
    "offset": "%Y-%m-%dT%H:%M:%S+00:00",
    "plain": "%Y-%m-%d %H:%M:%S",
}


@lru_cache(maxsize=65_536)
def money(cents: int) -> str:
    """Whole cents as Loop's decimal string."""
    sign = "-" if cents < 0 else ""
    return f"{sign}{abs(cents) // 100}.{abs(cents) % 100:02d}"


@lru_cache(maxsize=65_536)
def stamp(seconds: int | None, style: str = "iso") -> str | None:
    """`2026-11-20T14:03:11.000Z`, with `+00:00` in style `offset`, or `2026-11-20 14:03:11` in
    style `plain` (all UTC)."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).strftime(_STYLES[style])


def mixed_id(number: int | str) -> int | str:
    """Ids come as integers for some and as strings for others."""
    return int(number) if int(number) % 3 == 0 else str(number)


def return_json(brand: Brand, r: LoopReturn, settings: Settings) -> dict[str, Any]:
    """A return as lists give it, and details while they are calm."""
    style = time_style(r, settings)
    body: dict[str, Any] = {
        "id": mixed_id(r.id),
        "state": r.state,
        "created_at": stamp(r.created_at, style),
        "updated_at": stamp(r.updated_at, style),
        "edited_at": stamp(r.edited_at, style),
        **_totals(r),
        "outcome": outcome(r),
        "order_id": mixed_id(r.order_id),
        "order_name": r.order_name,
        "provider_order_id": str(r.order_id + 1_000_000),
        "order_number": str(r.order_number),
        "provider_order_number": r.order_number,
        "customer": r.customer,
        "origin_country": r.country,
        "origin_country_code": r.country_code,
        "currency": r.currency,
        "multi_currency": False,
        "line_items": [line_json(line, r, settings) for line in r.lines],
        "exchanges": [_exchange(line) for line in r.lines if line.exchange_for],
        **_label_fields(r, r.label, settings),
        "status_page_url": f"https://{brand.slug}.example.com/returns/{r.id}",
        "destination_id": r.destination_id,
        "return_method": r.return_method,
        "package_reference": r.package_reference,
        # No client may trip over fields it does not know.
        "sandbox_additive_field": {"note": "unknown fields must be ignored"},
    }
    if settings.labels_on_returns:
        body["labels"] = _labels(r)
    return body


def details_json(brand: Brand, r: LoopReturn, settings: Settings) -> dict[str, Any]:
    """A return as details give it: the list's shape, or that of its own documentation, which
    does not mention labels, outcome, destination and method at its top."""
    if settings.details_shape == "list":
        return return_json(brand, r, settings)
    totals = _totals(r)
    refunded = r.state == CLOSED and totals["refund"] != money(0)
    return {
        "id": int(r.id),
        "created_at": stamp(r.created_at, "plain"),
        "updated_at": stamp(r.updated_at, "plain"),
        "edited_at": stamp(r.edited_at, "plain"),
        "order_id": r.order_id,
        "order_name": r.order_name,
        "order_number": str(r.order_number),
        "provider_order_number": r.order_number,
        "provider_order_id": r.order_id + 1_000_000,
        "total": totals.pop("total"),
        "customer": r.customer,
        "multi_currency": False,
        "state": r.state,
        "currency": r.currency,
        "exchange": totals["exchange_total"],
        "exchange_order_name": None,
        "exchange_order_id": None,
        "gift_card_order_name": None,
        "gift_card_order_id": None,
        "refunds": [_refund(r, totals["refund"])] if refunded else [],
        **totals,
        "line_items": [_details_line(line, r, settings) for line in r.lines],
        "labels": _labels(r),
    }


def _refund(r: LoopReturn, amount: str) -> dict[str, Any]:
    number = str(r.order_id + 2_000_000)
    return {
        "gateway": "manual",
        "amount": amount,
        "currency": r.currency,
        "provider_refund_id": number,
    }


def _details_line(line: Line, r: LoopReturn, settings: Settings) -> dict[str, Any]:
    p = line.product
    return {
        "line_item_id": line.id,
        "provider_line_item_id": line.id + 50_000_000,
        "product_id": p.product_id,
        "variant_id": p.variant_id,
        "sku": p.sku,
        "line_item_title": p.name,
        "variant_title": variant_title(p, settings),
        "title": p.name,
        "image": f"https://cdn.example.com/{p.variant_id}.jpg",
        **_amounts(line),
        "returned_at": stamp(r.created_at, "iso"),
        "exchange_variant": _exchange_variant(line, settings),
        "barcode": _barcode(p, settings),
        "provider_restock_location_id": "1" if r.restocked else None,
        "consolidation_tracking": None,
        **(_grades(line) if settings.grades_readable else {}),
    }


def _label_fields(r: LoopReturn, label: Label | None, settings: Settings) -> dict[str, Any]:
    """A label at the top of a return, or what stands there until there is one."""
    if label is None and settings.missing_label == "words":
        return {
            "carrier": "N/A" if int(r.id) % 2 else "",
            "tracking_number": "N/A",
            "label_status": "N/A" if keeps_item(r) else "pending",
            "label_url": None,
            "label_rate": None,
            "label_updated_at": None,
        }
    style = time_style(r, settings)
    return {
        "carrier": label.carrier if label else None,
        "tracking_number": label.tracking_number if label else None,
        "label_status": label.status if label else None,
        "label_url": label.url if label else None,
        "label_rate": money(label.rate) if label else None,
        "label_updated_at": stamp(label.updated_at, style) if label else None,
    }


def _labels(r: LoopReturn) -> list[dict[str, Any]]:
    """`labels[]`: each with the lines that travel with it."""
    return [
        {
            "status": label.status,
            "updated_at": stamp(label.updated_at, "iso"),
            "url": label.url,
            "rate": label.rate,
            "carrier": label.carrier,
            "tracking_number": (
                int(label.tracking_number)
                if label.tracking_number.isdigit() and int(r.id) % 2
                else label.tracking_number
            ),
            "line_items": [line.id for line in r.lines if r.label_of(line) is label],
        }
        for label in r.labels()
    ]


def time_style(r: LoopReturn, settings: Settings) -> str:
    """The form of this return's times."""
    style = settings.loop_time_format
    return ("iso", "offset", "plain")[int(r.id) % 3] if style == "mixed" else style


def keeps_item(r: LoopReturn) -> bool:
    """True where no parcel will come to the warehouse: kept, donated, given back in a store."""
    method: Any = r.return_method
    if isinstance(method, dict):
        known = cast("dict[str, Any]", method)
        return (known.get("type") or known.get("method_type")) in ("donate", "in_store")
    return method in ("keep_item", "donate")


def outcome(r: LoopReturn) -> str:
    """All lines' outcomes, joined when they differ."""
    return "+".join(sorted({line.outcome for line in r.lines})) or "refund"


def _totals(r: LoopReturn) -> dict[str, str]:
    product = discount = tax = exchange = swapped = 0
    by: dict[str, int] = dict.fromkeys(("refund", "credit", "gift", "exchange"), 0)
    for x in r.lines:
        product += x.product.price
        discount += x.discount
        tax += x.tax
        by[x.outcome] += x.paid
        if x.exchange_for:
            exchange += x.exchange_for.price
            swapped += x.paid
    return {
        "total": money(product - discount + tax - r.handling_fee),
        "return_product_total": money(product),
        "return_discount_total": money(discount),
        "return_tax_total": money(tax),
        "return_total": money(product - discount + tax),
        "return_credit_total": money(by["credit"]),
        "exchange_product_total": money(exchange),
        "exchange_discount_total": money(0),
        "exchange_tax_total": money(0),
        "exchange_total": money(exchange),
        "exchange_credit_total": money(swapped),
        "gift_card": money(by["gift"] + by["credit"]),
        "handling_fee": money(r.handling_fee),
        "refund": money(max(0, by["refund"] - r.handling_fee)),
        "upsell": money(max(0, exchange - swapped)),
    }


def line_json(line: Line, r: LoopReturn, settings: Settings) -> dict[str, Any]:
    """One unit of a return, as lists give it."""
    p = line.product
    words = settings.words_for_nothing
    body: dict[str, Any] = {
        "line_item_id": mixed_id(line.id),
        "provider_line_item_id": line.id + 50_000_000,
        "product_id": str(p.product_id),
        "variant_id": p.variant_id,
        "sku": p.sku,
        "barcode": _barcode(p, settings),
        **_titles(p, settings),
        **_amounts(line),
        "returned_at": stamp(r.created_at, time_style(r, settings)),
        "exchange_variant": _exchange_variant(line, settings),
        "return_reason": line.reason,
        "parent_return_reason": line.parent_reason,
        "return_comment": line.comment or ("N/A" if words else None),
        "outcome": "default" if settings.line_outcome_default else line.outcome,
        "provider_restock_location_id": "1" if r.restocked else None,
    }
    if words:
        paid = line.outcome == "refund"
        body["refund_item"] = money(line.paid - line.tax if paid else 0)
        body["refund_tax"] = money(line.tax if paid else 0)
    if settings.grades_readable:
        body |= _grades(line)
    return body


def _amounts(line: Line) -> dict[str, str]:
    return {
        "price": money(line.product.price),
        "discount": money(line.discount),
        "tax": money(line.tax),
        "refund": money(line.paid if line.outcome == "refund" else 0),
    }


def _barcode(p: Product, settings: Settings) -> str:
    """Some barcodes of a shop are EAN-13, which is a UPC with a zero before it."""
    zero = settings.barcode_leading_zero and p.shop_barcode and p.variant_id % 3 == 0
    return f"0{p.shop_barcode}" if zero else p.shop_barcode


def variant_title(p: Product, settings: Settings) -> str | None:
    """`Small / Navy` or `Navy / Small`; None for a product without variants."""
    if p.color == "NA":
        return None
    parts = (p.color, p.size) if settings.variant_order == "color_size" else (p.size, p.color)
    return " / ".join(parts)


def _titles(p: Product, settings: Settings) -> dict[str, Any]:
    """Some lines name their variant apart, others only at the end of the title."""
    if not settings.variant_titles:
        return {"title": p.title}
    variant = variant_title(p, settings)
    if variant and p.variant_id % 2:
        return {"title": f"{p.name} - {variant}"}
    return {"title": p.name, "line_item_title": p.name, "variant_title": variant}


def _exchange_variant(line: Line, settings: Settings) -> Any:
    if settings.words_for_nothing:
        return str(line.exchange_for.variant_id) if line.exchange_for else ""
    return _exchange(line) if line.exchange_for else None


_GRADINGS = {
    "graded": ("condition", (
        "description", "condition_category", "return_processor", "note", "inspected_at", "images",
    )),
    "assessed": ("disposition", (
        "disposition_outcome", "return_processor", "note", "inspected_at",
    )),
}  # fmt: skip


def _grades(line: Line) -> dict[str, Any]:
    """The last grade and the last disposition of a graded line; nothing of another one."""
    found: dict[str, Any] = {}
    for grading in line.gradings:
        name, parts = _GRADINGS[grading["action"]]
        found[name] = {x: grading.get(x, [] if x == "images" else None) for x in parts}
    return found


def _exchange(line: Line) -> dict[str, Any]:
    p = line.exchange_for or line.product
    return {
        "exchange_id": line.id + 70_000_000,
        "product_id": p.product_id,
        "variant_id": p.variant_id,
        "sku": p.sku,
        "title": p.title,
        "price": money(p.price),
    }


def asn_row(r: LoopReturn, line: Line, settings: Settings) -> dict[str, Any]:
    """A row of the Advanced Shipping Notice: one returned unit."""
    p, label = line.product, r.label_of(line)
    style = time_style(r, settings)
    method: Any = r.return_method
    if isinstance(method, dict):
        known = cast("dict[str, Any]", method)
        method = known.get("name") or known.get("method_type")
    labelled = _label_fields(r, label, settings)
    return {
        "id": int(r.id),
        "return_line_item_id": line.id,
        "order_id": r.order_id,
        "order_name": r.order_name,
        "order_number": r.order_number,
        "provider_order_number": r.order_number,
        "state": r.state,
        "customer_email": r.customer,
        "title": _titles(p, settings)["title"],
        "purchase_price": money(p.price - line.discount),
        "sku": p.sku,
        "barcode": _barcode(p, settings),
        **labelled,
        "service": label.service if label else None,
        "integration_tracking_url": None,
        "restock_status": "restocked" if r.restocked else None,
        "currency": r.currency,
        "closed_at": stamp(r.closed_at, style),
        "updated_at": stamp(r.updated_at, style),
        "created_at": stamp(r.created_at, style),
        "return_reason": line.reason,
        "actioned_by": "api" if r.closed_at else None,
        "return_method": method,
        "return_method_rma_code": None,
        "return_method_state": None,
        "date_delivered": None,
        "outcome": "default" if settings.line_outcome_default else line.outcome,
        "scannable_id": f"LOOP-{r.id}",
        "package_reference": r.package_reference,
        "shipping_box_barcode": None,
        "provider_created_at": stamp(r.created_at, style),
        "destination_id": r.destination_id,
        "destination_name": "Bergen Logistics NJ" if r.destination_id else None,
    }


_NOT_IN_HOOKS = (
    "updated_at", "edited_at", "outcome", "origin_country", "origin_country_code",
    "multi_currency", "provider_order_number", "label_url", "label_rate", "status_page_url",
    "destination_id", "return_method", "package_reference", "labels", "sandbox_additive_field",
)  # fmt: skip
_NOT_IN_HOOK_LINES = ("return_comment", "refund_item", "refund_tax", "provider_restock_location_id")


def hook_return(brand: Brand, r: LoopReturn, trigger: str, settings: Settings) -> dict[str, Any]:
    """Payload of topic `return`. Review is called `needs review` here; as recorded it has no
    updated_at and much less else than the list."""
    body = return_json(brand, r, settings)
    first, _, last = r.customer_name.partition(" ")
    body |= {
        "id": int(r.id),
        "state": "needs review" if r.state == REVIEW else r.state,
        "customer_detail": {"email": r.customer, "first_name": first, "last_name": last},
        "address": {"name": r.customer_name, "country": r.country, "country_code": r.country_code},
    }
    if settings.webhook_shape == "recorded":
        body["id"] = r.id
        refunded = r.state == CLOSED and body["refund"] != money(0)
        body["refunds"] = [_refund(r, body["refund"])] if refunded else []
        for name in _NOT_IN_HOOKS:
            body.pop(name, None)
        for line in body["line_items"]:
            for name in _NOT_IN_HOOK_LINES:
                line.pop(name, None)
    return {"topic": "return", "trigger": trigger, "shop_id": brand.shop_id, **body}


def hook_label(brand: Brand, r: LoopReturn, trigger: str, settings: Settings) -> dict[str, Any]:
    """Payload of topic `label`; the return's id is in `return_id` or, on newer ones, in `id`."""
    fields = _label_fields(r, r.label, settings)
    field = settings.label_hook_id
    if field == "mixed":
        field = "id" if int(r.id) % 2 else "return_id"
    if settings.webhook_shape == "list":
        head = {"topic": "label", "trigger": trigger, "shop_id": brand.shop_id}
        return {**head, field: int(r.id), **fields}
    body: dict[str, Any] = {
        "topic": "label",
        "trigger": trigger,
        "shop_id": str(brand.shop_id),
        field: r.id,
        "order_id": str(r.order_id),
        "provider_order_id": r.order_id + 1_000_000,
    }
    body |= {x: fields[x] for x in ("carrier", "tracking_number", "label_status")}
    body["label_updated_at"] = stamp(r.label.updated_at, "offset") if r.label else None
    if field == "id":
        body["shipment_id"] = str(int(r.id) + 6_000_000_000)
    return body


def hook_shipment(shipment: Shipment) -> dict[str, Any]:
    """Payload of topic `happy.returns.shipment`."""
    return {
        "topic": "happy.returns.shipment",
        "trigger": "shipment.processed",
        "loop_shipment_id": shipment.loop_id,
        "happy_returns_shipment_id": shipment.happy_id,
    }


def hook_processing_failed(r: LoopReturn, message: str | None, source: str) -> dict[str, Any]:
    """Payload of topic `return.processing`."""
    return {
        "topic": "return.processing",
        "trigger": "return.processing.failed",
        "return_id": int(r.id),
        "return_state": r.state,
        "message": message,
        "source": source,
    }
