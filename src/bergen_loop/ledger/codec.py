"""Domain objects to and from plain JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter

from bergen_loop.domain.receipt import Receipt
from bergen_loop.domain.returns import Return
from bergen_loop.domain.rma import RmaItem

LONGEST_NAME = 600
"""Characters of a name, id, SKU or address: far more than any has, and few enough for an index."""
LONGEST_WORDS = 8000
_WORDS = frozenset(
    {"comment", "comments", "description", "title", "memo", "url", "status_page_url"}
)
"""Fields that hold what people write, or that nothing is found by."""
LONGEST_SENTENCE = 8000
LONGEST_BODY = 1_000_000

_RETURN = TypeAdapter(Return)
_RECEIPT = TypeAdapter(Receipt)
_ITEM = TypeAdapter(RmaItem)


def dump_return(value: Return) -> dict[str, Any]:
    """A return as plain JSON; money as decimal strings, times as ISO 8601 UTC."""
    return _bounded(_RETURN.dump_python(value, mode="json"))


def load_return(data: dict[str, Any]) -> Return:
    """The inverse of `dump_return`."""
    return _RETURN.validate_python(data)


def dump_receipt(value: Receipt) -> dict[str, Any]:
    """A receipt as plain JSON."""
    return _bounded(_RECEIPT.dump_python(value, mode="json"))


def load_receipt(data: dict[str, Any]) -> Receipt:
    """The inverse of `dump_receipt`."""
    return _RECEIPT.validate_python(data)


def dump_item(value: RmaItem) -> dict[str, Any]:
    """An RMA item as plain JSON."""
    return _ITEM.dump_python(value, mode="json")


def load_item(data: dict[str, Any]) -> RmaItem:
    """The inverse of `dump_item`."""
    return _ITEM.validate_python(data)


def load_items(data: Sequence[dict[str, Any]]) -> tuple[RmaItem, ...]:
    """The items of an RMA, as its row has them."""
    return tuple(load_item(item) for item in data)


def storable(data: Any, most: int | None = None) -> Any:
    """Plain data without what PostgreSQL refuses in text, NUL and lone surrogates; texts of more
    than `most` characters cut as by `cut`."""
    if isinstance(data, str):
        text = data.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
        return text if most is None else cut(text, most)
    if isinstance(data, dict):
        return {storable(k, most): storable(v, most) for k, v in data.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(data, list):
        return [storable(v, most) for v in data]  # pyright: ignore[reportUnknownVariableType]
    return data


def _bounded(data: Any, most: int = LONGEST_NAME) -> Any:
    """What comes in, storable, no field longer than it may be."""
    if isinstance(data, dict):
        return {  # pyright: ignore[reportUnknownVariableType]
            k: _bounded(v, LONGEST_WORDS if k in _WORDS else LONGEST_NAME)
            for k, v in data.items()  # pyright: ignore[reportUnknownVariableType]
        }
    if isinstance(data, list):
        return [_bounded(v, most) for v in data]  # pyright: ignore[reportUnknownVariableType]
    return storable(data, most)


def sentence(text: str) -> str:
    """A text for people as it may be kept: it may quote what another system said."""
    return storable(text, LONGEST_SENTENCE)


def cut(text: str, most: int) -> str:
    """`text`, of at most `most` characters. What is cut ends in a digest of the whole, so that two
    texts that differ, such as SKUs, still do."""
    if len(text) <= most:
        return text
    mark = f"... [cut, {hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:32]}]"
    return text[: most - len(mark)] + mark


def digest(data: object) -> str:
    """SHA-256 of the canonical JSON of plain data."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()
