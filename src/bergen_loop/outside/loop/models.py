"""From Loop's JSON to this project's terms. Pure; nothing here raises on odd data.

What cannot be read is said in words (`problem`), and the raw element is kept with it. A
problem is a doubt: a return that has one must not be processed, even where `value` is set.
"""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

from bergen_loop.domain import codes
from bergen_loop.domain.codes import given_code, normal_code, normal_upc, normal_word
from bergen_loop.domain.returns import Label, LoopState, Return, ReturnLine, ReturnTotals
from bergen_loop.outside.loop.json_values import (
    Odd,
    as_array,
    as_object,
    as_text,
    brief,
    loads_element,
)
from bergen_loop.outside.loop.requests import id_problem

_MONEY = re.compile(r"[+-]?\d{1,18}(\.\d{1,12})?", re.ASCII)
_GROUPED = re.compile(r"[+-]?\d{1,3}(,\d{3})+\.\d{1,2}|[+-]?\d{1,3}(\.\d{3})+,\d{1,2}", re.ASCII)
"""With both marks there is no doubt which is which: `1,240.00` (as PHP writes it), `1.240,00`."""
_TIME = re.compile(
    r"\d{4}-\d{2}-\d{2}"
    r"([Tt ]\d{2}:\d{2}(:\d{2}(\.\d{1,20})?)?( ?(Z|z|UTC|GMT|[+-]\d{2}(:?\d{2})?))?)?",
    re.ASCII,
)

_QUANTITY = re.compile(r"(return_|returned_|returning_)?(quantity|qty|units)(_returned)?")
_LINE_OFF = re.compile(
    r"(is_)?(deleted|removed|cancell?ed|rejected|kept)(_at)?|(refunded|processed|paid)(_at)?"
    r"|keep|keep_?item|is_(refunded|processed)|returnless"
)
_RETURN_OFF = re.compile(r"(is_)?(deleted|cancell?ed|refunded|merged)_(at|into|to)")
"""Names of fields, and words of a state, by which a unit, or an open return, may be over."""
_WORDS = ("state", "status", "return_method", "method_type")
_SAYS_NO = frozenset({"false", "0", "no", "none", "null", "N/A"})

_NO_DATE = re.compile(r"(0000|0001|1970-01-01)(?!\d)", re.ASCII)
_NOTHING = frozenset(
    {"", "n/a", "n.a.", "na", "none", "null", "nil", "-", "--", "pending", "tbd", "unknown", "0"}
)
"""How carriers and tracking numbers say that there is none yet."""

_RETURN = {
    "edited_at": "edited_at",
    "outcome": "outcome",
    "order_id": "order_id",
    "order_name": "order_name",
    "order_number": "order_number",
    "customer_email": "customer",
    "country_code": "origin_country_code",
    "currency": "currency",
    "destination_id": "destination_id",
    "return_method": "return_method",
    "package_reference": "package_reference",
    "status_page_url": "status_page_url",
}
"""Attribute -> Loop's field; so the following."""
_TOTALS = {
    "total": "total",
    "return_total": "return_total",
    "product_total": "return_product_total",
    "credit_total": "return_credit_total",
    "exchange_total": "exchange_total",
    "refund": "refund",
    "gift_card": "gift_card",
    "handling_fee": "handling_fee",
    "upsell": "upsell",
}
_LABEL = {
    "carrier": "carrier",
    "tracking_number": "tracking_number",
    "status": "label_status",
    "url": "label_url",
    "updated_at": "label_updated_at",
}
_LINE = {
    "sku": "sku",
    "barcode": "barcode",
    "price": "price",
    "discount": "discount",
    "tax": "tax",
    "refund": "refund",
    "exchange_variant": "exchange_variant",
    "outcome": "outcome",
    "reason": "return_reason",
    "parent_reason": "parent_return_reason",
    "comment": "return_comment",
    "product_id": "product_id",
    "variant_id": "variant_id",
    "provider_line_item_id": "provider_line_item_id",
    "returned_at": "returned_at",
}


@dataclass(frozen=True, slots=True)
class ParsedReturn:
    """One element of Loop's answer. `value` is None where the return's id, state, created_at
    or updated_at cannot be read."""

    raw: dict[str, Any]
    """As it came. Something that is no JSON object is kept under `not_an_object`."""
    value: Return | None
    problem: str | None
    """Everything that stands in doubt, in words; None if all is clear."""
    return_id: str | None
    refunded: tuple[str, ...] = ()
    """Amounts of refunds that it lists. Loop's own example of an open return lists one, so by
    itself it tells nothing of whether a return was paid."""
    oddities: tuple[str, ...] = ()
    """Harmless differences from the docs (an unreadable label date ...), to be logged."""
    missing: frozenset[str] = field(default=frozenset(), compare=False, repr=False)
    """Attributes of the return, its totals and its label that the answer does not mention, `lines`
    and `labels` among them: for `merge`."""
    lines_missing: Mapping[str, frozenset[str]] = field(
        default_factory=dict[str, frozenset[str]], compare=False, repr=False
    )
    """The same of each line, by its id."""
    fingerprint: bytes | None = field(default=None, compare=False, repr=False)
    """Of the bytes it stood in, where it stood in a list."""


class Listed:
    """An element of a list, as it stands there. Most of what a list shows is what it showed a
    minute ago, so it is read only where somebody asks what it says."""

    __slots__ = ("_read", "_text", "fingerprint")

    def __init__(self, text: bytes) -> None:
        """`text`: its JSON. What is none becomes an element that cannot be read."""
        self._text = text
        self._read: ParsedReturn | None = None
        self.fingerprint: bytes | None = hashlib.blake2b(text, digest_size=16).digest()
        """The same for the very same bytes; None where they are not at hand."""

    @classmethod
    def of(cls, element: object) -> Listed:
        """What has been taken apart already."""
        listed = cls(b"")
        listed._read, listed.fingerprint = parse_return(element), None
        return listed

    @property
    def read(self) -> ParsedReturn:
        """What it says."""
        if self._read is None:
            read = parse_return(loads_element(self._text.decode()))
            self._read = replace(read, fingerprint=self.fingerprint)
        return self._read

    @property
    def name(self) -> object:
        """What tells it from the others of its page: its id, as it is written."""
        if self._read is not None:
            return self._read.return_id
        try:
            return bytes(_id_of.decode(self._text).id)
        except msgspec.MsgspecError:
            return self.fingerprint


class _Named(msgspec.Struct):
    id: msgspec.Raw = msgspec.Raw()


_id_of = msgspec.json.Decoder(_Named)


@dataclass(frozen=True, slots=True)
class AsnRow:
    """One returned line item of the Advanced Shipping Notice. Times are UTC."""

    raw: dict[str, Any]
    problem: str | None = None
    return_id: str | None = None
    line_item_id: str | None = None
    state: LoopState | None = None
    order_name: str | None = None
    sku: str | None = None
    barcode: str | None = None
    title: str | None = None
    outcome: str | None = None
    carrier: str | None = None
    tracking_number: str | None = None
    label_status: str | None = None
    restock_status: str | None = None
    package_reference: str | None = None
    destination_id: str | None = None
    destination_name: str | None = None
    delivered_at: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    closed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Note:
    """A note on a return. `content` is empty where the element holds no text we know of."""

    content: str
    created_at: datetime | None
    raw: Any


@dataclass(frozen=True, slots=True)
class Subscription:
    """A webhook subscription as Loop lists it."""

    id: str
    topic: str
    trigger: str
    url: str
    status: str
    raw: dict[str, Any]

    @property
    def active(self) -> bool:
        return self.status.casefold() == "active"


def parse_state(value: object) -> LoopState | None:
    """A state as Loop spells it; webhooks and messages say `needs review` or `flagged` for
    review."""
    return _STATES.get(normal_word(as_text(value)))


_STATES = {
    **{state.value: state for state in LoopState},
    **dict.fromkeys(("needsreview", "inreview", "flagged"), LoopState.REVIEW),
    "canceled": LoopState.CANCELLED,
}


def parse_money(value: object) -> Decimal | None:
    """A decimal string or number. ValueError if it is neither; null and blanks, which say no
    amount, are None."""
    if value is None or _blank(value):
        return None
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        # A float's shortest spelling is the number as it stood in the JSON.
        text = value.strip() if isinstance(value, str) else _number_text(value)
        if _GROUPED.fullmatch(text):
            whole, _, cents = text.replace(",", ".").rpartition(".")
            text = f"{whole.replace('.', '')}.{cents}"
        if _MONEY.fullmatch(text):
            return Decimal(text)
    raise ValueError(f"{brief(value)} is not an amount")


def _number_text(value: float) -> str:
    if isinstance(value, int):
        return str(value) if abs(value) < 10**18 else ""
    return format(Decimal(repr(value)), "f")


def parse_time(value: object) -> datetime | None:
    """ISO 8601 with Z or offset, `YYYY-MM-DD HH:MM:SS` or `yyyy-mm-dd`, the last two taken as
    UTC. ValueError if it is none of them; null, blanks and dates that stand for none (year 0 or 1,
    the Unix epoch) are None."""
    if value is None or _blank(value):
        return None
    text = value.strip() if isinstance(value, str) else ""
    if _NO_DATE.match(text):
        return None
    if not _TIME.fullmatch(text):
        raise ValueError(f"{brief(value)} is not a time")
    try:
        clock = text[10:].upper().replace(" ", "T", 1).replace(" ", "")
        at = datetime.fromisoformat(text[:10] + re.sub("UTC|GMT", "Z", clock))
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        raise ValueError(f"{brief(value)} is not a time") from exc


class _Reader:
    """Reads the fields of one object and collects what is wrong with them."""

    def __init__(self, fields: dict[str, Any], where: str = "") -> None:
        self._fields = fields
        self._where = where
        self.problems: list[str] = []
        self.oddities: list[str] = []

    def text(self, name: str) -> str | None:
        return as_text(self._fields.get(name))

    def code(self, name: str, *, needed: bool = False) -> str | None:
        """Text that goods or orders are known by: something unreadable there is a doubt. PHP
        writes what is empty as `[]`."""
        value = self._fields.get(name)
        text = as_text(value)
        none = value is None or _blank(value) or (value in ([], {}) and not needed)
        if text is None and not none:
            self.problems.append(f"{self._where}{name} is {brief(value)}, not text")
        return None if text is not None and text.casefold() == "n/a" else text

    def product_code(self, name: str) -> str | None:
        """A SKU or barcode; None for the words that shops write for "none"."""
        return given_code(self.code(name))

    def needed_id(self, name: str) -> str | None:
        text = self.code(name, needed=True)
        problem = id_problem(text) if text is not None else None
        if text not in (None, "0") and (given_code(text) is None or text.startswith("-")):
            problem = "is no id"
        if problem:
            self.problems.append(f"{self._where}{name} {brief(text)} {problem}")
            return None
        if text is None and not _present(self._fields.get(name)):
            self.problems.append(f"{self._where}{name} is missing")
        return text

    def state(self, name: str = "state") -> LoopState | None:
        value = self._fields.get(name)
        state = parse_state(value)
        if state is None:
            fault = f"is unknown: {brief(value)}" if _present(value) else "is missing"
            self.problems.append(f"{self._where}{name} {fault}")
        return state

    def money(self, name: str) -> Decimal | None:
        try:
            return parse_money(self._fields.get(name))
        except ValueError as exc:
            self.problems.append(f"{self._where}{name}: {exc}")
            return None

    def needed_time(self, name: str) -> datetime | None:
        value = self._fields.get(name)
        try:
            at = parse_time(value)
        except ValueError as exc:
            self.problems.append(f"{self._where}{name}: {exc}")
            return None
        if at is None:
            fault = f"is {brief(value)}, which is no date" if _present(value) else "is missing"
            self.problems.append(f"{self._where}{name} {fault}")
        return at

    def one_unit(self) -> None:
        """A line is one unit; one that says another number cannot be counted against."""
        for name, value in self._fields.items():
            if not _QUANTITY.fullmatch(name) or not _present(value) or value == 1:
                continue
            if as_text(value) not in ("1", "1.0", "1.00"):
                said = f"{name} is {brief(value)}, and a line is one unit"
                self.problems.append(f"{self._where}{said}")

    def still_due(self, taken_back: re.Pattern[str]) -> None:
        """A field that is not documented, and says that it does not come, or was paid already."""
        for name, value in self._fields.items():
            said = normal_word(as_text(value)) if name in _WORDS else name
            if taken_back.fullmatch(said) and value and as_text(value) not in _SAYS_NO:
                words = f"{name} is {brief(value)}, which is not documented"
                self.problems.append(f"{self._where}{words}: is it still to be returned?")

    def refunded(self) -> tuple[str, ...]:
        """The amounts of the refunds that are listed."""
        value = self._fields.get("refunds")
        array = as_array(value)
        amounts = [(as_object(one) or {}).get("amount", one) for one in array or ()]
        if array is None and value and not _blank(value):
            amounts = [value]
        return tuple(brief(amount) for amount in amounts if not _no_amount(amount))

    def time(self, name: str) -> datetime | None:
        try:
            return parse_time(self._fields.get(name))
        except ValueError as exc:
            self.oddities.append(f"{self._where}{name}: {exc}")
            return None


def _blank(value: object) -> bool:
    return isinstance(value, str) and not isinstance(value, Odd) and not value.strip()


def _no_amount(value: object) -> bool:
    try:
        return not parse_money(value)
    except ValueError:
        return False


def _present(value: object) -> bool:
    return value is not None and not _blank(value)


def parse_return(raw: object) -> ParsedReturn:
    """One return of a list, details answer or webhook. Never raises."""
    fields = as_object(raw)
    if fields is None:
        problem = f"the return is {brief(raw)}, not an object"
        return ParsedReturn({"not_an_object": raw}, None, problem, None)
    reader = _Reader(fields)
    return_id = reader.needed_id("id")
    state = reader.state()
    if state in (LoopState.OPEN, LoopState.REVIEW):
        reader.still_due(_RETURN_OFF)
    created, updated = reader.needed_time("created_at"), reader.needed_time("updated_at")
    lines, whole = _lines(fields, reader)
    totals = ReturnTotals(**{x: reader.money(key) for x, key in _TOTALS.items()})
    label, labels = _labels(reader, fields)
    who, how = _method(fields.get("return_method"), reader)
    value = None
    if return_id is not None and state is not None and created is not None and updated is not None:
        value = Return(
            id=return_id,
            state=state,
            created_at=created,
            updated_at=updated,
            edited_at=reader.time("edited_at"),
            outcome=reader.text("outcome"),
            order_id=reader.code("order_id"),
            order_name=reader.code("order_name"),
            order_number=reader.code("order_number"),
            customer_email=reader.text("customer"),
            country_code=reader.text("origin_country_code"),
            currency=reader.code("currency"),
            totals=totals,
            lines=tuple(x.value for x in lines.values()),
            label=label,
            labels=labels,
            destination_id=reader.code("destination_id"),
            return_method=who,
            method_type=how,
            package_reference=reader.text("package_reference"),
            status_page_url=reader.text("status_page_url"),
        )
        if reader.problems:
            value = replace(value, doubts=tuple(reader.problems))
    missing = [attribute for attribute, key in _NAMED.items() if key not in fields]
    return ParsedReturn(
        raw=fields,
        value=value,
        problem="; ".join(reader.problems) or None,
        return_id=return_id,
        refunded=(*reader.refunded(), *(x for line in lines.values() for x in line.refunded)),
        oddities=tuple(reader.oddities),
        missing=frozenset(missing if whole else (*missing, "lines")),
        lines_missing={line_id: x.missing for line_id, x in lines.items()},
    )


_NAMED = {**_RETURN, **_TOTALS, **_LABEL, "labels": "labels"}


def _labels(reader: _Reader, fields: Mapping[str, Any]) -> tuple[Label, tuple[Label, ...]]:
    """The label at the return itself (else the first of all), and all where Loop shows them."""
    first, *others = _numbered(
        Label(
            carrier=_named(fields.get("carrier")),
            status=_named(fields.get("label_status"), _NOTHING - {"pending"}),
            url=_named(fields.get("label_url")),
            updated_at=reader.time("label_updated_at"),
        ),
        fields.get("tracking_number"),
    )
    listed = _listed_labels(reader, fields.get("labels"))
    labels = listed or ((first, *others) if others else ())
    if listed and all(fields.get(key) is None for key in _LABEL.values()):
        return replace(listed[0], line_item_ids=()), labels
    return first, labels


def _listed_labels(reader: _Reader, value: object) -> tuple[Label, ...]:
    elements = [] if value is None else as_array(value)
    if elements is None and as_object(value):
        elements = [value]
    if elements is None:
        reader.oddities.append(f"labels is {brief(value)}, not a list")
        return ()
    found: list[Label] = []
    for number, element in enumerate(elements, start=1):
        fields = as_object(element)
        if fields is None:
            reader.oddities.append(f"label {number} is {brief(element)}, not an object")
            continue
        inner = _Reader(fields, f"label {number}: ")
        label = Label(
            carrier=_named(fields.get("carrier")),
            status=_named(fields.get("status"), _NOTHING - {"pending"}),
            url=_named(fields.get("url")),
            updated_at=inner.time("updated_at"),
            line_item_ids=tuple(
                x for y in as_array(fields.get("line_items")) or () if (x := _line_id(y))
            ),
        )
        found.extend(_numbered(label, fields.get("tracking_number")))
        reader.oddities.extend(inner.oddities)
    return tuple(found)


def _line_id(value: object) -> str | None:
    """A unit by its id, or by an object that has it."""
    return as_text((as_object(value) or {"line_item_id": value}).get("line_item_id"))


def _numbered(label: Label, value: object) -> tuple[Label, ...]:
    """A label for each number in one field; its lines go by the first."""
    numbers = tracking_numbers(value)
    first, *others = numbers or (None,)
    one = replace(label, tracking_number=first) if label.tracking_number != first else label
    return one, *(replace(label, tracking_number=n, line_item_ids=()) for n in others)


def tracking_numbers(value: object) -> tuple[str, ...]:
    """The tracking numbers in a field, in which several stand with commas or in a list. Words
    for "none yet" (`N/A`, `pending`) are none."""
    given = as_array(value)
    text = as_text(value) if given is None else ",".join(filter(None, map(as_text, given)))
    return codes.tracking_numbers(text)


def _named(value: object, nothing: Collection[str] = _NOTHING) -> str | None:
    text = as_text(value)
    return None if text is None or text.casefold() in nothing else text


def _method(value: object, reader: _Reader) -> tuple[str | None, str | None]:
    """Who carries it and how it is handed over. A string is who; the docs' object has `provider`
    and `method_type`, others have been seen with other keys. On it hangs whether a parcel comes."""
    fields = as_object(value)
    if fields is None:
        text = as_text(value)
        if (text or "").startswith(("{", "[")) or (text is None and value and not _blank(value)):
            reader.problems.append(f"return_method is {brief(value)}, not text and no object")
            return None, None
        return text, None
    for key in ("provider", "method_type"):
        if as_text(fields.get(key)) is None and fields.get(key) and not _blank(fields[key]):
            reader.problems.append(f"return_method: {key} is {brief(fields[key])}, not text")
    who = (as_text(fields.get(key)) for key in ("provider", "name", "method", "type"))
    how = (as_text(fields.get(key)) for key in ("method_type", "type"))
    return next((x for x in who if x), None), next((x for x in how if x), None)


def _lines(fields: Mapping[str, Any], reader: _Reader) -> tuple[dict[str, _Line], bool]:
    """The units by id, and whether that is all. One that cannot be read is left out, and is a
    problem of the return; so is a list that is not there: only `[]` says that there are none."""
    value = fields.get("line_items")
    elements = as_array(value)
    if elements is None:
        fault = "missing" if value is None else f"{brief(value)}, not a list"
        reader.problems.append(f"line_items is {fault}: which units come back is not known")
        return {}, False
    lines: dict[str, _Line] = {}
    whole = True
    for number, element in enumerate(elements, start=1):
        line = _line(element, number, reader)
        if line is None:
            whole = False
            continue
        line_id = line.value.line_item_id
        if (known := lines.setdefault(line_id, line)) is not line:
            alike = known.value == line.value
            more = "" if alike else ", with different particulars: only the first is kept"
            reader.problems.append(f"line item {line_id} is listed twice{more}")
    return lines, whole


@dataclass(frozen=True, slots=True)
class _Line:
    value: ReturnLine
    missing: frozenset[str]
    refunded: tuple[str, ...]


def _line(element: object, number: int, owner: _Reader) -> _Line | None:
    fields = as_object(element)
    if fields is None:
        owner.problems.append(f"line item {number} is {brief(element)}, not an object")
        return None
    reader = _Reader(fields, f"line item {number}: ")
    line_id = reader.needed_id("line_item_id")
    reader.one_unit()
    reader.still_due(_LINE_OFF)
    title = reader.text("title") or reader.text("line_item_title")
    line = ReturnLine(
        line_item_id=line_id or "",
        sku=reader.product_code("sku"),
        barcode=reader.product_code("barcode"),
        title=title,
        variant_title=reader.text("variant_title") or _variant_of(title),
        price=reader.money("price"),
        discount=reader.money("discount"),
        tax=reader.money("tax"),
        refund=reader.money("refund"),
        exchange_variant=_exchanged_for(fields.get("exchange_variant")),
        outcome=reader.code("outcome"),
        reason=reader.text("return_reason"),
        parent_reason=reader.text("parent_return_reason"),
        comment=_named(fields.get("return_comment"), {"n/a"}),
        product_id=reader.text("product_id"),
        variant_id=reader.text("variant_id"),
        provider_line_item_id=reader.text("provider_line_item_id"),
        returned_at=reader.time("returned_at"),
    )
    owner.problems.extend(reader.problems)
    owner.oddities.extend(reader.oddities)
    if line_id is None:
        return None
    missing = {x for x, key in _LINE.items() if key not in fields}
    # Details give "" for a barcode that the list tells: no word of there being none.
    missing |= {x for x in ("sku", "barcode") if _blank(fields.get(x))}
    return _Line(line, frozenset(missing), reader.refunded())


def _exchanged_for(value: object) -> str | None:
    """What the unit is exchanged for, by a name of its own: the docs have text, and "" for
    nothing; anything else that is there is something as well."""
    fields = as_object(value)
    if fields is None:
        return as_text(value) or (None if not value or _blank(value) else brief(value))
    keys = ("variant_id", "provider_variant_id", "id", "sku", "title")
    names = (as_text(fields.get(key)) for key in keys)
    return next((x for x in names if x), brief(value) if fields else None)


def _variant_of(title: str | None) -> str | None:
    """What stands at the end of a title: `Earrings - 14K / Yellow`."""
    return (title or "").rpartition(" - ")[2].strip() or None if " - " in (title or "") else None


def merge(known: Return, answer: ParsedReturn) -> Return:
    """The return after an answer that may not mention everything (details are not the list): what
    it leaves out stays as it was known, an explicit null is taken. Units are those of the answer,
    each with what was known of it; where the answer does not say which there are, they stay, in
    doubt. An answer that cannot be read, or is about another return, changes nothing but doubts.
    """
    new = answer.value
    if new is None or new.id != known.id:
        words = answer.problem or f"the answer is about return {new.id if new else '?'}"
        return replace(known, doubts=tuple(dict.fromkeys((*known.doubts, words))))
    kept = {name: getattr(known, name) for name in answer.missing & _RETURN.keys()}
    if "return_method" in kept:
        kept["method_type"] = known.method_type
    totals = {name: getattr(known.totals, name) for name in answer.missing & _TOTALS.keys()}
    kept["totals"] = replace(new.totals, **totals)
    kept["lines"] = known.lines if "lines" in answer.missing else _merged_lines(known, answer)
    kept["label"], kept["labels"] = _merged_labels(known, answer)
    return replace(new, **kept)


def _merged_lines(known: Return, answer: ParsedReturn) -> tuple[ReturnLine, ...]:
    before = {x.line_item_id: x for x in known.lines}
    lines: list[ReturnLine] = []
    for line in answer.value.lines if answer.value else ():
        old = before.get(line.line_item_id)
        if old is not None:
            missing = answer.lines_missing.get(line.line_item_id, frozenset())
            if other := _is_another_product(old, line):
                missing -= _OF_PRODUCT  # what was known is said of the one before
            kept: dict[str, Any] = {name: getattr(old, name) for name in missing}
            if old.title and line.title and old.title.startswith(f"{line.title} - "):
                kept["title"] = old.title  # the same, with its variant
            if line.variant_title is None and not other:
                kept["variant_title"] = old.variant_title
            if any(getattr(line, name) != value for name, value in kept.items()):
                line = replace(line, **kept)
        lines.append(line)
    return tuple(lines)


_OF_PRODUCT = frozenset(("sku", "barcode", "title", "variant_title", "product_id", "variant_id"))


def _is_another_product(old: ReturnLine, new: ReturnLine) -> bool:
    """Whether the shop has put another product into a line: it gives another code or variant."""
    pairs = (
        (normal_code(old.sku), normal_code(new.sku)),
        (normal_upc(old.barcode), normal_upc(new.barcode)),
        (old.variant_id, new.variant_id),
    )
    return any(then and now and then != now for then, now in pairs)


def _merged_labels(known: Return, answer: ParsedReturn) -> tuple[Label, tuple[Label, ...]]:
    new = answer.value
    if new is None:
        return known.label, known.labels
    missing = answer.missing & _LABEL.keys()
    label, labels = new.label, new.labels
    if missing == _LABEL.keys() and "labels" in answer.missing:
        return known.label, known.labels
    same = label.tracking_number == known.label.tracking_number
    if missing == _LABEL.keys():
        # Of labels[]: what it says of the known label is newer, what it leaves out is not.
        filled = {name: getattr(known.label, name) for name in _LABEL if not getattr(label, name)}
        return replace(label, **filled) if same or not labels else label, labels
    if same or "tracking_number" in missing:
        label = replace(label, **{name: getattr(known.label, name) for name in missing})
    if "labels" not in answer.missing or not known.labels or not label.tracking_number:
        return label, known.labels if "labels" in answer.missing and not labels else labels
    return label, labels or _with(known.labels, label)


def _with(labels: tuple[Label, ...], label: Label) -> tuple[Label, ...]:
    """All labels, of which one has moved, or is new."""
    moved = tuple(
        replace(label, line_item_ids=x.line_item_ids)
        if x.tracking_number == label.tracking_number
        else x
        for x in labels
    )
    known = any(x.tracking_number == label.tracking_number for x in labels)
    return moved if known else (*labels, label)


def same_note(one: str, other: str) -> bool:
    """Whether two notes say the same. Loop gives them back HTML-escaped and re-wrapped."""
    return _plain(one) == _plain(other)


def _plain(note: str) -> str:
    return " ".join(html.unescape(html.unescape(note)).split())


def parse_asn_row(raw: object) -> AsnRow:
    """One row of the Advanced Shipping Notice. Never raises."""
    fields = as_object(raw)
    if fields is None:
        return AsnRow({"not_an_object": raw}, f"the row is {brief(raw)}, not an object")
    reader = _Reader(fields)
    row = AsnRow(
        raw=fields,
        return_id=reader.needed_id("id"),
        line_item_id=reader.needed_id("return_line_item_id"),
        state=reader.state(),
        order_name=reader.code("order_name"),
        sku=reader.code("sku"),
        barcode=reader.code("barcode"),
        title=reader.text("title"),
        outcome=reader.text("outcome"),
        carrier=_named(fields.get("carrier")),
        tracking_number=next(iter(tracking_numbers(fields.get("tracking_number"))), None),
        label_status=_named(fields.get("label_status"), _NOTHING - {"pending"}),
        restock_status=reader.text("restock_status"),
        package_reference=reader.text("package_reference"),
        destination_id=reader.text("destination_id"),
        destination_name=reader.text("destination_name"),
        delivered_at=reader.time("date_delivered"),
        created_at=reader.time("created_at"),
        updated_at=reader.time("updated_at"),
        closed_at=reader.time("closed_at"),
    )
    problem = "; ".join(reader.problems + reader.oddities) or None
    return replace(row, problem=problem)


def parse_note(raw: object) -> Note:
    """A note. Its keys are not documented beyond the `content` it is created with."""
    fields = as_object(raw)
    if fields is None:
        return Note(as_text(raw) or "", None, raw)
    texts = (as_text(fields.get(key)) for key in ("content", "note", "message", "text"))
    try:
        at = parse_time(fields.get("created_at"))
    except ValueError:
        at = None
    return Note(next((x for x in texts if x), ""), at, raw)


def parse_subscription(raw: object) -> Subscription | None:
    """A webhook subscription, or None where there is no id to name it by."""
    fields = as_object(raw)
    webhook_id = as_text(fields.get("id")) if fields else None
    if fields is None or webhook_id is None or id_problem(webhook_id):
        return None
    values = {name: as_text(fields.get(name)) or "" for name in ("topic", "trigger", "url")}
    return Subscription(
        id=webhook_id, **values, status=as_text(fields.get("status")) or "", raw=fields
    )
