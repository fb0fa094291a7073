"""Loop's JSON shapes. Pure: a return in, a dict out."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from loop_sandbox.model import REVIEW, Brand, Line, LoopReturn


@lru_cache(maxsize=65_536)
def money(cents: int) -> str:
    """Whole cents as Loop's decimal string."""
    sign = "-" if cents < 0 else ""
    return f"{sign}{abs(cents) // 100}.{abs(cents) % 100:02d}"


@lru_cache(maxsize=65_536)
def stamp(seconds: int | None, style: str = "iso") -> str | None:
    """`2026-11-20T14:03:11.000Z`, or `2026-11-20 14:03:11` in style `plain` (both UTC)."""
    if seconds is None:
        return None
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z" if style == "iso" else "%Y-%m-%d %H:%M:%S")


def mixed_id(number: int | str) -> int | str:
    """Ids come as integers for some and as strings for others."""
    return int(number) if int(number) % 3 == 0 else str(number)


def return_json(brand: Brand, r: LoopReturn, style: str = "iso") -> dict[str, Any]:
    """A return as lists and details give it."""
    label = r.label
    return {
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
        "line_items": [line_json(line, r, style) for line in r.lines],
        "exchanges": [_exchange(line) for line in r.lines if line.exchange_for],
        "carrier": label.carrier if label else None,
        "tracking_number": label.tracking_number if label else None,
        "label_status": label.status if label else None,
        "label_url": label.url if label else None,
        "label_rate": money(label.rate) if label else None,
        "label_updated_at": stamp(label.updated_at, style) if label else None,
        "status_page_url": f"https://{brand.slug}.example.com/returns/{r.id}",
        "destination_id": r.destination_id,
        "return_method": r.return_method,
        "package_reference": r.package_reference,
        # No client may trip over fields it does not know.
        "sandbox_additive_field": {"note": "unknown fields must be ignored"},
    }


def outcome(r: LoopReturn) -> str:
    """All lines' outcomes, joined when they differ."""
    return "+".join(sorted({line.outcome for line in r.lines})) or "refund"


def _totals(r: LoopReturn) -> dict[str, str]:
    product = sum(x.product.price for x in r.lines)
    discount = sum(x.discount for x in r.lines)
    tax = sum(x.tax for x in r.lines)
    by = {k: sum(x.paid for x in r.lines if x.outcome == k) for k in ("refund", "credit", "gift")}
    swaps = [x for x in r.lines if x.exchange_for]
    exchange = sum(x.exchange_for.price for x in swaps if x.exchange_for)
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
        "exchange_credit_total": money(sum(x.paid for x in swaps)),
        "gift_card": money(by["gift"] + by["credit"]),
        "handling_fee": money(r.handling_fee),
        "refund": money(max(0, by["refund"] - r.handling_fee)),
        "upsell": money(max(0, exchange - sum(x.paid for x in swaps))),
    }


def line_json(line: Line, r: LoopReturn, style: str) -> dict[str, Any]:
    """One unit of a return."""
    p = line.product
    return {
        "line_item_id": mixed_id(line.id),
        "provider_line_item_id": line.id + 50_000_000,
        "product_id": str(p.product_id),
        "variant_id": p.variant_id,
        "sku": p.sku,
        "barcode": p.shop_barcode,
        "title": p.title,
        "price": money(p.price),
        "discount": money(line.discount),
        "tax": money(line.tax),
        "refund": money(line.paid if line.outcome == "refund" else 0),
        "returned_at": stamp(r.created_at, style),
        "exchange_variant": _exchange(line) if line.exchange_for else None,
        "return_reason": line.reason,
        "parent_return_reason": line.parent_reason,
        "return_comment": line.comment or None,
        "outcome": line.outcome,
        "provider_restock_location_id": None,
    }


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


def asn_row(brand: Brand, r: LoopReturn, line: Line, style: str) -> dict[str, Any]:
    """A row of the Advanced Shipping Notice: one returned unit."""
    p, label = line.product, r.label
    method: Any = r.return_method
    return {
        "id": int(r.id),
        "return_line_item_id": line.id,
        "order_id": r.order_id,
        "order_name": r.order_name,
        "order_number": r.order_number,
        "provider_order_number": r.order_number,
        "state": r.state,
        "customer_email": r.customer,
        "title": p.title,
        "purchase_price": money(p.price - line.discount),
        "sku": p.sku,
        "barcode": p.shop_barcode,
        "carrier": label.carrier if label else None,
        "service": label.service if label else None,
        "label_status": label.status if label else None,
        "tracking_number": label.tracking_number if label else None,
        "integration_tracking_url": None,
        "restock_status": None,
        "currency": r.currency,
        "label_updated_at": stamp(label.updated_at, style) if label else None,
        "label_url": label.url if label else None,
        "label_rate": money(label.rate) if label else None,
        "closed_at": stamp(r.closed_at, style),
        "updated_at": stamp(r.updated_at, style),
        "created_at": stamp(r.created_at, style),
        "return_reason": line.reason,
        "actioned_by": "api" if r.closed_at else None,
        "return_method": method["name"] if isinstance(method, dict) else method,
        "return_method_rma_code": None,
        "return_method_state": None,
        "date_delivered": None,
        "outcome": line.outcome,
        "scannable_id": f"LOOP-{r.id}",
        "package_reference": r.package_reference,
        "shipping_box_barcode": None,
        "provider_created_at": stamp(r.created_at, style),
        "destination_id": r.destination_id,
        "destination_name": "Bergen Logistics NJ" if r.destination_id else None,
    }


def hook_return(brand: Brand, r: LoopReturn, trigger: str, style: str) -> dict[str, Any]:
    """Payload of topic `return`. Review is called `needs review` here, and ids are integers."""
    body = return_json(brand, r, style)
    first, _, last = r.customer_name.partition(" ")
    return {
        "topic": "return",
        "trigger": trigger,
        "shop_id": brand.shop_id,
        **body,
        "id": int(r.id),
        "state": "needs review" if r.state == REVIEW else r.state,
        "customer_detail": {"email": r.customer, "first_name": first, "last_name": last},
        "address": {"name": r.customer_name, "country": r.country, "country_code": r.country_code},
    }


def hook_label(brand: Brand, r: LoopReturn, trigger: str, style: str) -> dict[str, Any]:
    """Payload of topic `label`; before there is a label its fields are null."""
    label = r.label
    return {
        "topic": "label",
        "trigger": trigger,
        "shop_id": brand.shop_id,
        "return_id": int(r.id),
        "carrier": label.carrier if label else None,
        "tracking_number": label.tracking_number if label else None,
        "label_status": label.status if label else None,
        "label_url": label.url if label else None,
        "label_rate": money(label.rate) if label else None,
        "label_updated_at": stamp(label.updated_at, style) if label else None,
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
