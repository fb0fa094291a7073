"""Domain objects to and from JSON, as the ledger stores it.

What is stored is our own and was clean when it went in, so it is decoded straight into the domain's
dataclasses (msgspec), without being validated or walked again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from bergen_loop.domain.returns import Return
from bergen_loop.domain.rma import Receipt, RmaItem
from bergen_loop.domain.shipment import ShipmentUnit
from bergen_loop.ledger.packed import unpack

LONGEST_NAME = 600
"""Characters of a name, id, SKU or address: far more than any has, and few enough for an index."""
LONGEST_WORDS = 8000
_WORDS = frozenset(
    {"comment", "comments", "description", "title", "memo", "url", "status_page_url"}
)
"""Fields that hold what people write, or that nothing is found by."""
LONGEST_SENTENCE = 8000
LONGEST_BODY = 1_000_000

T = TypeVar("T")

_json = msgspec.json.Decoder()


def _plain(value: object) -> str:
    """A text of a kind of its own (`Odd`: a number as it was written) is a text."""
    if isinstance(value, str):
        return str(value)
    raise TypeError(f"{type(value).__name__} is no plain data")


_encoder = msgspec.json.Encoder(enc_hook=_plain)
_sorted = msgspec.json.Encoder(enc_hook=_plain, order="sorted")
_NUMBER = re.compile(r"[:,\[]\s*(-?\d+[.eE]|-?\d{16}|NaN|-?Infinity)")
_decoders: dict[type[Any], msgspec.json.Decoder[Any]] = {
    Return: msgspec.json.Decoder(Return),
    Receipt: msgspec.json.Decoder(Receipt),
    ShipmentUnit: msgspec.json.Decoder(ShipmentUnit),
}


class Document(Mapping[str, Any]):
    """A JSON object of the ledger, decoded when it is looked into: most rows are read for their
    other columns."""

    __slots__ = ("_data", "_object", "_stored")

    def __init__(self, stored: str | bytes, value: Any = None) -> None:
        """`stored`: its JSON, or the same `packed`; `value` the domain object it says, where that
        is at hand."""
        self._stored = stored
        self._data: dict[str, Any] | None = None
        self._object = value

    @property
    def text(self) -> str:
        """Its JSON."""
        if isinstance(self._stored, bytes):
            self._stored = unpack(self._stored)
        return self._stored

    @property
    def data(self) -> dict[str, Any]:
        """As plain data. Shared: not to be changed."""
        if self._data is None:
            self._data = decode(self.text)
        assert self._data is not None
        return self._data

    def as_(self, kind: type[T]) -> T:
        """As a domain object."""
        if self._object is None:
            try:
                self._object = _decoded(self.text, kind)
            except msgspec.MsgspecError:
                self._object = _convert(self.data, kind)  # says what is wrong with it
        return self._object

    def canonical(self) -> bytes | None:
        """With sorted keys, as Python's own encoder would write it; None where that may differ:
        where there is something to be escaped, or another number than a short whole one."""
        if "\\" in self.text or not self.text.isascii() or _NUMBER.search(self.text):
            return None
        return _sorted.encode(self.data if self._object is None else self._object)

    def __getitem__(self, key: str) -> Any:
        return self.data[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Document):
            return self.text == other.text or self.data == other.data
        return self.data == other

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Document({self.text!r})"


@lru_cache(1024)
def _decoded(text: str, kind: type[Any]) -> Any:
    """Frozen, and so shared: a step after the other reads the same rows."""
    return _decoders[kind].decode(text)


def document(value: Return | Receipt | ShipmentUnit) -> Document:
    """A domain object as a document; money as decimal strings, times as ISO 8601 UTC."""
    try:
        text = _encoder.encode(value).decode()
    except UnicodeEncodeError:  # a lone surrogate
        text = None
    # Nearly all have neither an escape (a quote or a control character) nor a long field.
    if text is None or "\\" in text or max(map(len, text.split('"'))) > LONGEST_NAME:
        return Document(encode(_bounded(msgspec.to_builtins(value))))
    return Document(text, value)


def load_return(data: Mapping[str, Any]) -> Return:
    """The inverse of `document`. ValueError for what is none."""
    return _load(data, Return)


def load_receipt(data: Mapping[str, Any]) -> Receipt:
    """The inverse of `document`. ValueError for what is none."""
    return _load(data, Receipt)


def dump_item(value: RmaItem) -> dict[str, Any]:
    """An RMA item as plain JSON."""
    return storable(msgspec.to_builtins(value))


def load_item(data: Mapping[str, Any]) -> RmaItem:
    """The inverse of `dump_item`. ValueError for what is none."""
    return _convert(data, RmaItem)


def load_items(data: Sequence[Mapping[str, Any]]) -> tuple[RmaItem, ...]:
    """The items of an RMA, as its row has them."""
    return tuple(_convert(data, list[RmaItem]))


def load_unit(data: Mapping[str, Any]) -> ShipmentUnit:
    """The inverse of `document`. ValueError for what is none."""
    return _load(data, ShipmentUnit)


def _load(data: Mapping[str, Any], kind: type[T]) -> T:
    return data.as_(kind) if isinstance(data, Document) else _convert(data, kind)


def _convert(data: object, kind: type[T]) -> T:
    """Of plain data, which may be a person's file."""
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None


def _bounded(data: Any, most: int = LONGEST_NAME) -> Any:
    """What comes in, storable, no field longer than it may be."""
    if isinstance(data, dict):
        return {  # pyright: ignore[reportUnknownVariableType]
            k: _bounded(v, LONGEST_WORDS if k in _WORDS else LONGEST_NAME)
            for k, v in data.items()  # pyright: ignore[reportUnknownVariableType]
        }
    if isinstance(data, (list, tuple)):
        return [_bounded(v, most) for v in data]  # pyright: ignore[reportUnknownVariableType]
    return storable(data, most)


# -- plain data -------------------------------------------------------------------------------


def encode(data: Any) -> str:
    """Plain data, or a document, as the ledger's JSON columns hold it."""
    if isinstance(data, Document):
        return data.text
    try:
        return _encoder.encode(data).decode()
    except UnicodeEncodeError:
        return json.dumps(data)  # a lone surrogate: escaped


def decode(text: str | bytes) -> Any:
    """The inverse of `encode`."""
    try:
        return _json.decode(text)
    except msgspec.DecodeError:
        return json.loads(text)  # an earlier release escaped lone surrogates, and wrote NaN


def storable(data: Any, most: int | None = None) -> Any:
    """Plain data without what PostgreSQL refuses in text, NUL and lone surrogates; texts of more
    than `most` characters cut as by `cut`."""
    if isinstance(data, str):
        if data.isascii() and "\x00" not in data:  # nearly all
            return data if most is None else cut(data, most)
        text = data.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
        return text if most is None else cut(text, most)
    if isinstance(data, dict):
        return {storable(k, most): storable(v, most) for k, v in data.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(data, (list, tuple)):
        return [storable(v, most) for v in data]  # pyright: ignore[reportUnknownVariableType]
    return data


def sentence(text: str) -> str:
    """A text for people as it may be kept: it may quote what another system said."""
    if len(text) <= LONGEST_SENTENCE and text.isascii() and "\x00" not in text:
        return text  # nearly all
    return storable(text, LONGEST_SENTENCE)


def particulars(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """What programs go by, as it may be kept; no text in it longer than a `sentence`."""
    try:
        text = _encoder.encode(data).decode()
    except UnicodeEncodeError:  # a lone surrogate
        text = "\\"
    if "\\" in text or len(text) > LONGEST_SENTENCE:
        return storable(data, LONGEST_SENTENCE)
    return Document(text)


def cut(text: str, most: int) -> str:
    """`text`, of at most `most` characters. What is cut ends in a digest of the whole, so that two
    texts that differ, such as SKUs, still do."""
    if len(text) <= most:
        return text
    mark = f"... [cut, {hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:32]}]"
    return text[: most - len(mark)] + mark


def digest(data: object) -> str:
    """SHA-256 of the canonical JSON of plain data, or of a document."""
    if isinstance(data, Document):
        if (canonical := data.canonical()) is not None:
            return hashlib.sha256(canonical).hexdigest()
        data = data.data
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()
