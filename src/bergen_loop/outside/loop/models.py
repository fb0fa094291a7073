"""From Loop's JSON to this project's terms. Pure; nothing here raises on odd data.

What cannot be read is said in words (`problem`), and the raw element is kept with it. A
problem is a doubt: a return that has one must not be processed, even where `value` is set.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from bergen_loop.domain.returns import Label, LoopState, Return, ReturnLine, ReturnTotals
from bergen_loop.outside.loop.json_values import as_array, as_object, as_text, brief
from bergen_loop.outside.loop.requests import id_problem

_MONEY = re.compile(r"[+-]?\d{1,18}(\.\d{1,12})?", re.ASCII)
_TIME = re.compile(
    r"\d{4}-\d{2}-\d{2}"
    r"([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?( ?(Z|[+-]\d{2}(:?\d{2})?))?)?",
    re.ASCII,
)


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
    oddities: tuple[str, ...] = ()
    """Harmless differences from the docs (an unreadable label date ...), to be logged."""


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
    """A state as Loop spells it; webhooks and messages say `needs review` for review."""
    text = (as_text(value) or "").casefold()
    text = "review" if text in ("needs review", "needs_review") else text
    return LoopState(text) if text in set(LoopState) else None


def parse_money(value: object) -> Decimal | None:
    """A decimal string or number. ValueError if it is neither; None stays None."""
    if value is None:
        return None
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        # A float's shortest spelling is the number as it stood in the JSON.
        text = value.strip() if isinstance(value, str) else _number_text(value)
        if _MONEY.fullmatch(text):
            return Decimal(text)
    raise ValueError(f"{brief(value)} is not an amount")


def _number_text(value: float) -> str:
    if isinstance(value, int):
        return str(value) if abs(value) < 10**18 else ""
    return format(Decimal(repr(value)), "f")


def parse_time(value: object) -> datetime | None:
    """ISO 8601 with Z or offset, `YYYY-MM-DD HH:MM:SS` or `yyyy-mm-dd`, the last two taken as
    UTC. ValueError if it is none of them; null and blanks are None."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    text = value.strip() if isinstance(value, str) else ""
    if not _TIME.fullmatch(text):
        raise ValueError(f"{brief(value)} is not a time")
    try:
        at = datetime.fromisoformat(_python_spelling(text))
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        raise ValueError(f"{brief(value)} is not a time") from exc


def _python_spelling(text: str) -> str:
    return text[:10] + text[10:].replace(" ", "T", 1).replace(" ", "")


class _Reader:
    """Reads the fields of one object and collects what is wrong with them."""

    def __init__(self, fields: dict[str, Any], where: str = "") -> None:
        self._fields = fields
        self._where = where
        self.problems: list[str] = []
        self.oddities: list[str] = []

    def text(self, name: str) -> str | None:
        return as_text(self._fields.get(name))

    def code(self, name: str) -> str | None:
        """Text that goods or orders are known by: something unreadable there is a doubt."""
        value = self._fields.get(name)
        text = as_text(value)
        if text is None and value is not None and value != "" and not _blank(value):
            self.problems.append(f"{self._where}{name} is {brief(value)}, not text")
        return text

    def needed_id(self, name: str) -> str | None:
        text = self.code(name)
        problem = id_problem(text) if text is not None else None
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
        try:
            at = parse_time(self._fields.get(name))
        except ValueError as exc:
            self.problems.append(f"{self._where}{name}: {exc}")
            return None
        if at is None:
            self.problems.append(f"{self._where}{name} is missing")
        return at

    def time(self, name: str) -> datetime | None:
        try:
            return parse_time(self._fields.get(name))
        except ValueError as exc:
            self.oddities.append(f"{self._where}{name}: {exc}")
            return None


def _blank(value: object) -> bool:
    return isinstance(value, str) and not value.strip()


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
    created, updated = reader.needed_time("created_at"), reader.needed_time("updated_at")
    lines = _lines(fields.get("line_items"), reader)
    totals, label = _totals(reader), _label(reader)
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
            lines=lines,
            label=label,
            destination_id=reader.code("destination_id"),
            return_method=_method_name(fields.get("return_method")),
            package_reference=reader.text("package_reference"),
            status_page_url=reader.text("status_page_url"),
        )
    problem = "; ".join(reader.problems) or None
    return ParsedReturn(fields, value, problem, return_id, tuple(reader.oddities))


def _totals(reader: _Reader) -> ReturnTotals:
    return ReturnTotals(
        total=reader.money("total"),
        return_total=reader.money("return_total"),
        product_total=reader.money("return_product_total"),
        credit_total=reader.money("return_credit_total"),
        exchange_total=reader.money("exchange_total"),
        refund=reader.money("refund"),
        gift_card=reader.money("gift_card"),
        handling_fee=reader.money("handling_fee"),
        upsell=reader.money("upsell"),
    )


def _label(reader: _Reader) -> Label:
    return Label(
        carrier=reader.text("carrier"),
        tracking_number=reader.text("tracking_number"),
        status=reader.text("label_status"),
        url=reader.text("label_url"),
        updated_at=reader.time("label_updated_at"),
    )


def _method_name(value: object) -> str | None:
    """The name in a return_method; the docs do not fix the keys of its object form."""
    fields = as_object(value)
    if fields is None:
        return as_text(value)
    names = (as_text(fields.get(key)) for key in ("type", "provider", "name", "method"))
    return next((x for x in names if x), None)


def _lines(value: object, reader: _Reader) -> tuple[ReturnLine, ...]:
    """The units. One that cannot be read is left out, and is a problem of the return."""
    elements = [] if value is None else as_array(value)
    if elements is None:
        reader.problems.append(f"line_items is {brief(value)}, not a list")
        return ()
    lines: list[ReturnLine] = []
    seen: set[str] = set()
    for number, element in enumerate(elements, start=1):
        line = _line(element, number, reader)
        if line is None:
            continue
        if line.line_item_id in seen:
            reader.problems.append(f"line item {line.line_item_id} is listed twice")
        seen.add(line.line_item_id)
        lines.append(line)
    return tuple(lines)


def _line(element: object, number: int, owner: _Reader) -> ReturnLine | None:
    fields = as_object(element)
    if fields is None:
        owner.problems.append(f"line item {number} is {brief(element)}, not an object")
        return None
    reader = _Reader(fields, f"line item {number}: ")
    line_id = reader.needed_id("line_item_id")
    line = ReturnLine(
        line_item_id=line_id or "",
        sku=reader.code("sku"),
        barcode=reader.code("barcode"),
        title=reader.text("title"),
        price=reader.money("price"),
        refund=reader.money("refund"),
        outcome=reader.code("outcome"),
        reason=reader.text("return_reason"),
        parent_reason=reader.text("parent_return_reason"),
        comment=reader.text("return_comment"),
        product_id=reader.text("product_id"),
        variant_id=reader.text("variant_id"),
        provider_line_item_id=reader.text("provider_line_item_id"),
        returned_at=reader.time("returned_at"),
    )
    owner.problems.extend(reader.problems)
    owner.oddities.extend(reader.oddities)
    return line if line_id is not None else None


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
        carrier=reader.text("carrier"),
        tracking_number=reader.text("tracking_number"),
        label_status=reader.text("label_status"),
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
