"""What Loop says of the units of a return: grades and dispositions, ours and other people's, for
people to look at. Nothing is decided by it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from bergen_loop.outside.loop.json_values import as_array, as_object, as_text

MOST_IMAGES = 30


@dataclass(frozen=True, slots=True)
class Image:
    """A picture somewhere on the web."""

    url: str
    host: str


@dataclass(frozen=True, slots=True)
class Grade:
    """What somebody found of one unit. Empty where Loop does not say."""

    line_item_id: str
    product: str
    category: str
    description: str
    note: str
    who: str
    at: str
    """As Loop writes it."""
    disposition: str
    images: tuple[Image, ...]


def grades(details: Mapping[str, Any]) -> list[Grade]:
    """The graded units of a return, from its details as they came. What cannot be read is left
    out; only https addresses are pictures."""
    return [one for line in as_array(details.get("line_items")) or () for one in _grade(line)]


def _grade(element: object) -> Iterator[Grade]:
    line = as_object(element) or {}
    found, made = as_object(line.get("condition")) or {}, as_object(line.get("disposition")) or {}
    if not found and not made:
        return
    category = found.get("condition_category")
    named = as_object(category) or {}
    yield Grade(
        line_item_id=_text(line.get("line_item_id")),
        product=_text(line.get("sku")) or _text(line.get("title")),
        category=_text(named.get("title")) or _text(named.get("grade")) or _text(category),
        description=_text(found.get("description")),
        note=_text(found.get("note")) or _text(made.get("note")),
        who=_text(found.get("return_processor")) or _text(made.get("return_processor")),
        at=_text(found.get("inspected_at")) or _text(made.get("inspected_at")),
        disposition=_text(made.get("disposition_outcome")),
        images=tuple(_images(found.get("images"))),
    )


def _images(value: object) -> Iterator[Image]:
    for one in (as_array(value) or [])[:MOST_IMAGES]:
        url = _text(one) or _text((as_object(one) or {}).get("url"))
        try:
            parts = urlsplit(url)
            host = parts.hostname
        except ValueError:
            continue
        if host and parts.scheme == "https" and url.isprintable():
            yield Image(url, host)


def _text(value: object) -> str:
    return as_text(value) or ""
