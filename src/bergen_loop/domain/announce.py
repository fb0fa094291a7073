"""From a return to the RMA that announces it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from bergen_loop.domain.comparison import normal_code, normal_upc
from bergen_loop.domain.returns import LoopState, Return, ReturnLine
from bergen_loop.domain.rma import Product, RmaItem, RmaRequest, Supplier


@dataclass(frozen=True, slots=True)
class AnnounceRules:
    """A brand's settings for RMAs.

    Loop's documentation does not say how a return without a parcel is marked, nor does
    Bergen's say how long a CustomerPO may be or which reason codes it knows: all of these are
    settings.
    """

    warehouse: str = "BERGEN LOGISTICS NJ"
    destinations: Mapping[str, str | None] = field(default_factory=dict[str, str | None])
    """Loop destination id -> warehouse name, or None for 'not Bergen: leave it alone'."""
    po_template: str = "LR-{return_id}"
    no_parcel_methods: frozenset[str] = frozenset(
        {"keep", "keep_item", "keep item", "donate", "donation", "green_return", "no_return"}
    )
    no_parcel_outcomes: frozenset[str] = frozenset({"keep", "keep_item", "donate"})
    label_wait: timedelta = timedelta(hours=1)
    """How long an RMA waits for the label: a ticket cannot be changed once it exists."""
    reason_codes: Mapping[str, str] = field(default_factory=dict[str, str])
    """Loop return reason -> the code Bergen wants; unmapped reasons are sent as they are."""
    expected_days: int = 14
    time_zone: str = "America/New_York"
    start: datetime | None = None
    """Returns created before are not this connection's."""
    supplier: Supplier | None = None


@dataclass(frozen=True, slots=True)
class Skip:
    """Why there is no RMA for a return."""

    reason: str
    no_parcel: bool


def physical_lines(return_: Return, rules: AnnounceRules) -> tuple[ReturnLine, ...]:
    """The units that will really come in a parcel."""
    if _word(return_.return_method) in rules.no_parcel_methods:
        return ()
    stays = rules.no_parcel_outcomes
    return tuple(x for x in return_.lines if _word(return_.outcome_of(x)) not in stays)


def why_not_announced(return_: Return, rules: AnnounceRules) -> Skip | None:
    """None if the return is to be announced, else why it is not."""
    if rules.start and return_.created_at < rules.start:
        return Skip(f"created before this connection's start ({rules.start:%Y-%m-%d})", False)
    destination = return_.destination_id or ""
    if destination in rules.destinations and rules.destinations[destination] is None:
        return Skip(f"destination {destination} is not Bergen", False)
    if return_.state is LoopState.CANCELLED:
        return None
    if not physical_lines(return_, rules):
        if not return_.lines:
            return Skip("the return lists no items to send back", True)
        return Skip("nothing is sent back (keep item or donate)", True)
    return None


def ready_at(return_: Return, rules: AnnounceRules) -> datetime:
    """When the RMA may be made: at once with a tracking number, else after the label wait."""
    if return_.label.tracking_number:
        return return_.created_at
    return return_.created_at + rules.label_wait


def customer_po(return_: Return, rules: AnnounceRules, attempt: int = 1) -> str:
    """The unique PO of the n-th RMA of this return."""
    suffix = "" if attempt == 1 else f"-{attempt}"
    return (
        rules.po_template.format(return_id=return_.id, order_name=return_.order_name or "") + suffix
    )


@dataclass(frozen=True, slots=True)
class Parcel:
    """What of a return travels together: one label, one RMA."""

    lines: tuple[ReturnLine, ...]
    tracking_numbers: tuple[str, ...]


def parcels(
    return_: Return, rules: AnnounceRules, tracking: Mapping[str, str] | None = None
) -> tuple[Parcel, ...]:
    """The parcels of a return. `tracking` gives the label of each line item, where it is known
    by line (from Loop's ASN report); lines without one travel with the first parcel."""
    lines = physical_lines(return_, rules)
    own = return_.label.tracking_number
    labels = list(dict.fromkeys(t for x in lines if (t := (tracking or {}).get(x.line_item_id))))
    if len(labels) < 2:
        numbers = dict.fromkeys(n for n in (own, *labels) if n)
        return (Parcel(lines, tuple(numbers)),)
    of = {x.line_item_id: (tracking or {}).get(x.line_item_id) or labels[0] for x in lines}
    return tuple(
        Parcel(tuple(x for x in lines if of[x.line_item_id] == label), (label,)) for label in labels
    )


def rma_request(
    return_: Return, rules: AnnounceRules, po: str, now: datetime, parcel: Parcel | None = None
) -> RmaRequest:
    """The notice for the warehouse: units grouped by SKU, tracking, reasons. `parcel` None: all
    units in one."""
    parcel = parcel or parcels(return_, rules)[0]
    today = now.astimezone(ZoneInfo(rules.time_zone)).date()
    warehouse = rules.destinations.get(return_.destination_id or "") or rules.warehouse
    return RmaRequest(
        customer_po=po,
        warehouse=warehouse,
        items=_grouped(parcel.lines, rules),
        created_on=today,
        expected_on=today + timedelta(days=rules.expected_days),
        authorized_number=po,
        memo=f"Loop return {return_.id}, order {return_.order_name or return_.order_id or '?'}",
        carrier=return_.label.carrier,
        tracking_numbers=parcel.tracking_numbers,
        supplier=rules.supplier,
    )


def products(return_: Return, rules: AnnounceRules) -> tuple[Product, ...]:
    """The products the warehouse must know before the ticket; lines without UPC are left out."""
    found: dict[str, Product] = {}
    for line in physical_lines(return_, rules):
        if line.barcode and line.barcode.strip():
            found.setdefault(
                line.barcode.strip(),
                Product(
                    upc=line.barcode.strip(),
                    sku=line.sku,
                    style=line.sku,
                    description=line.title,
                    price=line.price,
                ),
            )
    return tuple(found.values())


def _grouped(lines: tuple[ReturnLine, ...], rules: AnnounceRules) -> tuple[RmaItem, ...]:
    groups: dict[tuple[str | None, str | None], list[ReturnLine]] = {}
    for line in lines:
        groups.setdefault((normal_code(line.sku), normal_upc(line.barcode)), []).append(line)
    return tuple(_item(group, rules) for group in groups.values())


def _item(lines: list[ReturnLine], rules: AnnounceRules) -> RmaItem:
    first = lines[0]
    reasons = list(dict.fromkeys(x.reason for x in lines if x.reason))
    code = rules.reason_codes.get(reasons[0], reasons[0]) if reasons else None
    return RmaItem(
        sku=first.sku,
        upc=first.barcode,
        expected=len(lines),
        description=first.title,
        unit_cost=first.price,
        reason_code=code,
        comments="; ".join(reasons) if len(reasons) > 1 else None,
    )


def _word(text: str | None) -> str:
    return (text or "").strip().casefold()
