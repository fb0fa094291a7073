"""Making returns that look like those of real customers, the same for the same seed."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any, cast

from loop_sandbox.dice import Dice
from loop_sandbox.model import (
    CANCELLED,
    CLOSED,
    EXPIRED,
    OPEN,
    REVIEW,
    Brand,
    Label,
    Line,
    LoopReturn,
)

DAY = 86_400
WEEKS = 3 * 7 * DAY

STATE_MIX: dict[str, float] = {OPEN: 80, CLOSED: 9, CANCELLED: 4, EXPIRED: 4, REVIEW: 3}
OUTCOME_MIX: dict[str, float] = {"refund": 50, "credit": 20, "exchange": 22, "gift": 8}
_REASONS: dict[str, tuple[str, ...]] = {
    "Fit": ("Too small", "Too large", "Not the shape I wanted"),
    "Quality": ("Arrived damaged", "Feels cheap", "Wrong color in photos"),
    "Changed my mind": ("Ordered two sizes", "No longer needed", "Arrived too late"),
}
_COMMENTS = ("", "", "", "Runs small", "Zip is broken <see photo>", "Not my colour — sorry!")
_FIRST = ("Ada", "Ben", "Chloé", "Dev", "Elena", "Farid", "Grace", "Hiro", "Ines", "Jonas")
_LAST = ("Okafor", "Smith", "Núñez", "Patel", "Rossi", "Haddad", "Kim", "Tanaka", "Berg", "O'Neil")
_COUNTRIES = (("United States", "US"),) * 8 + (("Canada", "CA"), ("United Kingdom", "GB"))
_CARRIERS = (("USPS", "Ground Advantage"), ("UPS", "Ground"), ("FedEx", "Home Delivery"))
_METHODS: tuple[Any, ...] = (
    None,
    "prepaid_label",
    "prepaid_label",
    {"id": 3, "name": "Ship it back", "type": "mail"},
)
_NO_PARCEL: tuple[Any, ...] = ("keep_item", "donate", {"id": 9, "name": "donate", "type": "donate"})


class Numbers:
    """Ids, apart per brand and never alike between kinds (a return id is 8 digits)."""

    def __init__(self, brand: Brand) -> None:
        self._base = brand.shop_id - 4100

    def return_id(self, n: int) -> int:
        return 40_000_000 + self._base * 10_000_000 + n

    def line_id(self, n: int, position: int) -> int:
        return 900_000_000 + self._base * 10_000_000 + n * 10 + position

    def order_id(self, n: int) -> int:
        return 5_100_000_000 + self._base * 10_000_000 + n


def make_return(
    brand: Brand,
    dice: Dice,
    *,
    number: int,
    created_at: int,
    state: str = OPEN,
    units: int | None = None,
    outcome: str | None = None,
    late_label: bool = False,
    no_parcel: bool | None = None,
) -> LoopReturn:
    """A return; its label is left out when it will come later or there is no parcel."""
    ids = Numbers(brand)
    country, code = dice.pick(_COUNTRIES)
    first, last = dice.pick(_FIRST), dice.pick(_LAST)
    keeps = dice.chance(0.04) if no_parcel is None else no_parcel
    lines = _lines(brand, dice, ids, number, units, outcome)
    made = LoopReturn(
        id=str(ids.return_id(number)),
        brand=brand.slug,
        state=state,
        created_at=created_at,
        updated_at=created_at,
        order_id=ids.order_id(number),
        order_name=f"#{brand.prefix}{10_000 + number}",
        order_number=10_000 + number,
        customer=f"customer{number}@example.com",
        customer_name=f"{first} {last}",
        country=country,
        country_code=code,
        lines=lines,
        handling_fee=500 if dice.chance(0.15) else 0,
        return_method=dice.pick(_NO_PARCEL if keeps else _METHODS),
        package_reference=f"PKG-{number:06d}" if dice.chance(0.2) else None,
        destination_id=None if dice.chance(0.3) else 77,
    )
    if not keeps and not late_label:
        made.label = make_label(made, dice, created_at)
    return made


def make_label(return_: LoopReturn, dice: Dice, at: int) -> Label:
    """A shipping label with a tracking number of its own."""
    carrier, service = dice.pick(_CARRIERS)
    number = f"94{int(return_.id):010d}{dice.whole(0, 99_999_999):08d}"
    return Label(
        carrier=carrier,
        service=service,
        tracking_number=f"1Z{number}" if carrier == "UPS" else number,
        status=dice.pick(("new", "pre_transit", "in_transit")),
        rate=dice.whole(450, 1400),
        url=f"https://labels.example.com/{return_.id}.pdf",
        updated_at=at,
    )


def make_line(brand: Brand, dice: Dice, line_id: int, outcome: str | None = None) -> Line:
    """One unit of a random product."""
    product = dice.pick(brand.catalogue)
    parent = dice.pick(tuple(_REASONS))
    kind = outcome or dice.weighted(OUTCOME_MIX)
    return Line(
        id=line_id,
        product=product,
        outcome=kind,
        reason=dice.pick(_REASONS[parent]),
        parent_reason=parent,
        comment=dice.pick(_COMMENTS),
        discount=product.price // 10 if dice.chance(0.2) else 0,
        tax=round(product.price * 0.06625) if dice.chance(0.5) else 0,
        exchange_for=dice.pick(brand.catalogue) if kind == "exchange" else None,
    )


def _lines(
    brand: Brand, dice: Dice, ids: Numbers, number: int, units: int | None, outcome: str | None
) -> list[Line]:
    count = units or int(dice.weighted({"1": 55, "2": 28, "3": 12, "4": 5}))
    whole = outcome or (None if dice.chance(0.3) else dice.weighted(OUTCOME_MIX))
    lines = [make_line(brand, dice, ids.line_id(number, p), whole) for p in range(min(count, 9))]
    for before, line in pairwise(lines):
        # People order the same thing twice; Loop then lists it on two lines.
        if dice.chance(0.3):
            line.product = before.product
    return lines


def real_method(r: LoopReturn) -> Any:
    """The return's method as Loop documents it where that is an object: with a provider, and a
    method_type that says how the goods come, if they come at all."""
    method: Any = r.return_method
    if not isinstance(method, dict) or "type" not in method:
        return cast("Any", method)
    how = "in_store" if cast("dict[str, Any]", method)["type"] == "donate" else "mail"
    return method_object(r, "loop", how)


def method_object(r: LoopReturn, provider: str, how: str) -> dict[str, Any]:
    """`return_method` of this provider and method_type."""
    happy = provider == "happy_returns"
    return {
        "provider": provider,
        "method_type": how,
        "address": None,
        "state": "created",
        "rma_id": f"HR{r.id}" if happy else None,
        "qr_code_url": f"https://labels.example.com/{r.id}.png" if happy else None,
        "scheduled_at": None,
        "scannable_id": f"LOOP-{r.id}",
    }


def split_label(r: LoopReturn, dice: Dice) -> None:
    """Let every other line travel with a second label."""
    if r.label is None or len(r.lines) < 2:
        return
    number = f"{r.label.tracking_number[:-2]}{dice.whole(10, 99)}2"
    lines = tuple(line.id for line in r.lines[1::2])
    r.second_label = replace(r.label, tracking_number=number, rate=r.label.rate + 1, lines=lines)
