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

_RETURN = TypeAdapter(Return)
_RECEIPT = TypeAdapter(Receipt)
_ITEM = TypeAdapter(RmaItem)


def dump_return(value: Return) -> dict[str, Any]:
    """A return as plain JSON; money as decimal strings, times as ISO 8601 UTC."""
    return storable(_RETURN.dump_python(value, mode="json"))


def load_return(data: dict[str, Any]) -> Return:
    """The inverse of `dump_return`."""
    return _RETURN.validate_python(data)


def dump_receipt(value: Receipt) -> dict[str, Any]:
    """A receipt as plain JSON."""
    return storable(_RECEIPT.dump_python(value, mode="json"))


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


def storable(data: Any) -> Any:
    """Plain data without what PostgreSQL refuses in text: NUL and lone surrogates."""
    if isinstance(data, str):
        return data.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
    if isinstance(data, dict):
        return {storable(k): storable(v) for k, v in data.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(data, list):
        return [storable(v) for v in data]  # pyright: ignore[reportUnknownVariableType]
    return data


def digest(data: object) -> str:
    """SHA-256 of the canonical JSON of plain data."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()
