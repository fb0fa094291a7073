"""How a sold unit is called in the warehouse: its Style, Color, Size, SKU and UPC; and of which
parts a kit is made there.

The warehouse's own words come first. Where it does not know the product: the brand's mapping of
what the shop says; without one, what can be told for certain from the variant's title.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

from bergen_loop.domain.codes import normal_code, normal_upc, sent_code, sent_upc
from bergen_loop.domain.returns import ReturnLine
from bergen_loop.domain.rma import WarehouseProduct

Known: TypeAlias = Mapping[str, WarehouseProduct]
"""What the warehouse calls products, by normal UPC (`by_upc`)."""


def by_upc(found: Mapping[str, WarehouseProduct]) -> Known:
    """The answer of a look-up, whatever spelling it is keyed by. A product the warehouse knows by
    its UPC alone is called as the shop calls it."""
    return {
        key: product
        for upc, product in found.items()
        if (key := normal_upc(upc))
        and (product.style or product.color or product.size or product.sku)
    }


@dataclass(frozen=True, slots=True)
class NamedProduct:
    """How a product is called in a request."""

    style: str | None = None
    color: str | None = None
    size: str | None = None
    sku: str | None = None
    upc: str | None = None
    description: str | None = None
    price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class KitPart:
    """A product that a kit holds, and how many of it."""

    sku: str | None
    quantity: int = 1
    upc: str | None = None
    style: str | None = None
    color: str | None = None
    size: str | None = None


Kits: TypeAlias = Mapping[str, tuple[KitPart, ...]]
"""The parts of each kit, by the normal form of the SKU it is sold by."""

FIELDS = ("style", "color", "size")
_SOURCE = re.compile(r"(variant|title|sku)(\.[1-9])?|product_id|variant_id")
_PARTS = {
    "variant": re.compile(r"\s+/\s+"),
    "title": re.compile(r"\s+-\s+"),
    "sku": re.compile("-"),
}


def source_fault(source: str) -> str | None:
    """What is wrong with a source of a field (`variant.2`, `title | sku`); None: nothing."""
    for one in source.split("|"):
        if not _SOURCE.fullmatch(one.strip()):
            return (
                f"{one.strip()!r} is none of variant, variant.1, title, title.1, sku, sku.1, "
                "product_id, variant_id (or several with | between: the first that is there)"
            )
    return None


def named_unit(line: ReturnLine, fields: Mapping[str, str], known: Known) -> NamedProduct:
    """What a sold unit is called. `fields`: the brand's mapping (`color: variant.2`); a field it
    does not name, or finds nothing for, is left out, unless there is no mapping at all."""
    ours = known.get(normal_upc(line.barcode) or "")
    if ours is not None:
        return _as_known(ours, line.barcode, line.title, line.price)
    color, size = (None, None) if fields else color_and_size(line)
    told = {name: _value(line, source) for name, source in fields.items()}
    return NamedProduct(
        style=told.get("style") or (None if "style" in fields else sent_code(line.sku)),
        color=told.get("color") or color,
        size=told.get("size") or size,
        sku=sent_code(line.sku),
        upc=sent_upc(line.barcode),
        description=line.title,
        price=line.price,
    )


def named_part(part: KitPart, kit: ReturnLine, known: Known) -> NamedProduct:
    """What a part of a kit is called."""
    words = f"part of {kit.title or 'kit'} ({sent_code(kit.sku)})"
    ours = known.get(normal_upc(part.upc) or "")
    if ours is not None:
        return _as_known(ours, part.upc, words, None)
    return NamedProduct(
        style=part.style or sent_code(part.sku),
        color=part.color,
        size=part.size,
        sku=sent_code(part.sku),
        upc=sent_upc(part.upc),
        description=words,
    )


def _as_known(
    ours: WarehouseProduct, upc: str | None, title: str | None, price: Decimal | None
) -> NamedProduct:
    """The warehouse's words for a product. A SKU it does not have is not sent either."""
    return NamedProduct(
        style=ours.style,
        color=ours.color,
        size=ours.size,
        sku=ours.sku,
        upc=ours.upc or sent_upc(upc),
        description=ours.description or title,
        price=price if ours.price is None else ours.price,
    )


# -- from the shop's words --------------------------------------------------------------------


def _value(line: ReturnLine, source: str) -> str | None:
    return next(filter(None, (_one_value(line, s.strip()) for s in source.split("|"))), None)


def _one_value(line: ReturnLine, source: str) -> str | None:
    name, _, number = source.partition(".")
    text = {
        "variant": _variant(line),
        "title": line.title,
        "sku": line.sku,
        "product_id": line.product_id,
        "variant_id": line.variant_id,
    }[name]
    if not number or text is None:
        return sent_code(text)
    parts = _PARTS[name].split(text.strip())
    return sent_code(parts[int(number) - 1]) if len(parts) >= int(number) else None


def _variant(line: ReturnLine) -> str | None:
    """The variant's title; None for a product without variants."""
    own = (line.variant_title or "").strip()
    return None if own.casefold() == "default title" else own or None


def color_and_size(line: ReturnLine) -> tuple[str | None, str | None]:
    """Colour and size, as far as the variant's title leaves no doubt: of two parts exactly one
    is a size, or there is one part only."""
    variant = _variant(line)
    if variant is None and not line.variant_title:
        return _from_title(line.title)
    parts = _PARTS["variant"].split(variant) if variant else []
    if len(parts) == 1:
        return (None, sent_code(parts[0])) if is_size(parts[0]) else (sent_code(parts[0]), None)
    return _of_two(parts)


def _from_title(title: str | None) -> tuple[str | None, str | None]:
    """Shops write the variant behind the product's name: `Striped Shirt - Small / Navy`. What is
    no size there may be part of the name."""
    name, dash, tail = (title or "").rpartition(" - ")
    if not (name and dash):
        return None, None
    parts = _PARTS["variant"].split(tail.strip())
    if len(parts) == 1:
        return None, sent_code(tail) if is_size(tail) else None
    return _of_two(parts)


def _of_two(parts: Sequence[str]) -> tuple[str | None, str | None]:
    sizes = [p for p in parts if is_size(p)]
    if len(parts) != 2 or len(sizes) != 1:
        return None, None
    color = next(p for p in parts if p != sizes[0])
    return sent_code(color), sent_code(sizes[0])


_LETTER = r"(\d{1,2}|x{0,5})-?\s?(xs|s|m|l|xl)|xx?small|(x+|extra)?[\s-]?(small|large)|medium"
_NUMBER = r"\d{1,3}([.,]5|\s?½)?"
_REGION = rf"(us|uk|eu|eur|au|fr|it|de|jp|cn|w|l)\s?{_NUMBER}"
_SIZE = re.compile(
    rf"({_LETTER}|{_NUMBER}|{_REGION}|one[\s-]?size(\sfits\s(all|most))?|os|o/s|osfa"
    rf"|{_NUMBER}\s?[a-k]{{1,2}}|{_NUMBER}\s?[x-]\s?{_NUMBER}|{_NUMBER}\s?(w|l|t|y|cm|mm|in)"
    rf"|w{_NUMBER}[\s/x-]*l{_NUMBER}|{_NUMBER}\s?(-\s?{_NUMBER})?\s?(m|y|mo|months?|years?))"
)
_LONGEST_SIZE = 30


def is_size(text: str) -> bool:
    """True for what is certainly a size: S, 2XL, 38.5, US 8, AU 4/US 0, One Size, 6-12 months."""
    word = " ".join(text.casefold().split())
    if not 0 < len(word) <= _LONGEST_SIZE:
        return False
    parts = word.split("/")
    return bool(_SIZE.fullmatch(word)) or all(_SIZE.fullmatch(part.strip()) for part in parts)


# -- kits -------------------------------------------------------------------------------------


def kit_parts(line: ReturnLine, kits: Kits) -> tuple[KitPart, ...]:
    """The parts of a unit that is sold as a kit; empty for any other."""
    return kits.get(normal_code(line.sku) or "", ())
