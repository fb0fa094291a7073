"""The facts a condition may name and the kind of each, and how large they can get."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeAlias

SettingValue: TypeAlias = int | str | timedelta | tuple[str, ...]

LARGEST = 500
"""Entries of a list of facts (units, products, tickets). A larger return is judged by a person:
what conditions cost is reckoned with this many."""
LONGEST = 1000
"""Characters of a text among the facts. A longer one is left out, like one that is missing."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a fact or a part of a condition is. Lists have `entry`, groups of facts `fields`."""

    name: str
    entry: Kind | None = None
    most: int = 0
    """Entries of a list, at most."""
    fields: Mapping[str, Kind] = field(default_factory=dict[str, "Kind"], compare=False, repr=False)


BOOL = Kind("true or false")
NUMBER = Kind("a whole number")
DECIMAL = Kind("a decimal number")
TEXT = Kind("a text")
MOMENT_TEXT = Kind("a time that is a text still")
MOMENT = Kind("a time")
SPAN = Kind("a span of time")


def list_of(entry: Kind, most: int = LARGEST) -> Kind:
    """A list of at most so many entries of one kind."""
    return Kind("a list", entry, most)


def _facts(kind: Kind, *names: str) -> dict[str, Kind]:
    return dict.fromkeys(names, kind)


MONEY = (
    "total_cents",
    "return_total_cents",
    "product_total_cents",
    "credit_total_cents",
    "exchange_total_cents",
    "refund_cents",
    "gift_card_cents",
    "handling_fee_cents",
    "upsell_cents",
)
RETURN = {
    **_facts(TEXT, "id", "state", "outcome", "order", "customer", "country", "currency", "method"),
    **_facts(TEXT, "destination", "label_status"),
    **_facts(NUMBER, "age_days", "units", *MONEY),
    **_facts(list_of(TEXT), "reasons", "outcomes"),
}
SKU = {
    **_facts(TEXT, "sku", "upc"),
    **_facts(NUMBER, "expected", "counted", "damaged", "short", "extra"),
}
RECEIPT = {
    **_facts(NUMBER, "expected", "counted", "damaged", "short", "extra", "wrong"),
    **_facts(BOOL, "complete"),
    **_facts(list_of(Kind("a product", fields=SKU)), "skus", "unexpected"),
    **_facts(list_of(TEXT), "unclear", "tickets", "warehouses"),
    **_facts(NUMBER, "open_tickets", "waited_hours", "waited_days"),
    **_facts(MOMENT_TEXT, "first_received_at", "arrived_at", "finished_at"),
}
LINE = {
    **_facts(TEXT, "id", "sku", "upc", "title", "reason", "parent_reason", "outcome"),
    **_facts(TEXT, "product_id"),
    **_facts(BOOL, "in_parcel"),
    **_facts(NUMBER, "price_cents", "refund_cents"),
    **_facts(NUMBER, "expected", "counted", "damaged", "short", "extra"),
}


def roots(settings: Mapping[str, SettingValue]) -> dict[str, Kind]:
    """What a condition can start with."""
    own = {name: _kind_of_setting(value) for name, value in settings.items()}
    return {
        "lines": list_of(Kind("a unit", fields=LINE)),
        "receipt": Kind("receipt", fields=RECEIPT),
        "ret": Kind("ret", fields=RETURN),
        "settings": Kind("settings", fields=own),
    }


def _kind_of_setting(value: SettingValue) -> Kind:
    """A duration is the number of its whole hours."""
    if isinstance(value, (int, timedelta)):
        return NUMBER
    return TEXT if isinstance(value, str) else list_of(TEXT, len(value))
