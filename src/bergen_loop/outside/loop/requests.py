"""Building requests to Loop: pure functions from arguments to method, path, query and body.

Wrong arguments raise ValueError with a message that says what to do. Nothing is sent here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any, Literal
from urllib.parse import quote, urlencode

from bergen_loop.domain.decision import NOTE_LIMIT
from bergen_loop.domain.returns import LoopState
from bergen_loop.outside.loop.json_values import brief

ListFilter = Literal["created_at", "updated_at"]
CurrencyType = Literal["shop", "presentment"]
WebhookStatus = Literal["active", "inactive"]

TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
MAX_PAGE_SIZE = 750
MAX_BATCH = 30
"""Items of one dispositioning call."""
OBJECT_CONDITIONS_SINCE = "2026-10"
"""The first version in which `condition_category` is an object."""


@dataclass(frozen=True, slots=True)
class LoopRequest:
    """One call, complete except for the base URL, version and key."""

    call: str
    """What the call is named in errors, records and metrics."""
    method: str
    path: str
    """Below the version, percent-encoded."""
    query: tuple[tuple[str, str], ...] = ()
    body: Mapping[str, Any] | None = None
    return_id: str | None = None

    @property
    def changes(self) -> bool:
        """True for a call that may change something, which is never repeated on its own."""
        return self.method != "GET"

    @property
    def target(self) -> str:
        """Path and query string. Commas and colons stay readable."""
        return self.path + ("?" + urlencode(self.query, safe=",:") if self.query else "")


def id_problem(value: str) -> str | None:
    """Why an id cannot be used in a path, or None if it can."""
    if not value.strip():
        return "is empty"
    if value in (".", ".."):
        return "is a path step"
    if "/" in value or not value.isprintable():
        return "contains a slash or a control character"
    return None


def path_segment(kind: str, value: str) -> str:
    problem = id_problem(value)
    if problem:
        raise ValueError(f"the {kind} {brief(value)} {problem}; use the id exactly as Loop gave it")
    return quote(value, safe="")


@dataclass(frozen=True, slots=True)
class Listing:
    """What the list of returns is asked for."""

    filter: ListFilter = "updated_at"
    state: str | None = None
    page_size: int = MAX_PAGE_SIZE
    time_format: str = TIME_FORMAT


def list_returns(
    window: tuple[datetime, datetime], listing: Listing, cursor: str | None = None
) -> LoopRequest:
    """One page of the Detailed Returns List. The window must be within Loop's 120 days."""
    (since, until), filter, state = window, listing.filter, listing.state
    page_size, time_format = listing.page_size, listing.time_format
    if filter not in ("created_at", "updated_at"):
        raise ValueError(f"filter is {filter!r}; use created_at or updated_at")
    if state is not None and state not in set(LoopState):
        raise ValueError(f"state is {state!r}; use one of {', '.join(LoopState)}, or none")
    if not 1 <= page_size <= MAX_PAGE_SIZE:
        raise ValueError(f"page_size is {page_size}; use 1 to {MAX_PAGE_SIZE}")
    query = [
        ("from", since.astimezone(UTC).strftime(time_format)),
        ("to", until.astimezone(UTC).strftime(time_format)),
        ("filter", filter),
        *([("state", str(state))] if state else []),
        ("paginate", "true"),
        ("pageSize", str(page_size)),
        *([("cursor", cursor)] if cursor else []),
    ]
    return LoopRequest("list_returns", "GET", "/warehouse/return/list", tuple(query))


def details(
    return_id: str | None = None,
    *,
    order_id: str | None = None,
    order_name: str | None = None,
    currency_type: CurrencyType | None = None,
) -> LoopRequest:
    """The details of one return, asked for by exactly one of the three."""
    asked = {"return_id": return_id, "order_id": order_id, "order_name": order_name}
    query = [(name, value) for name, value in asked.items() if value is not None]
    if len(query) != 1:
        raise ValueError("give exactly one of return_id, order_id and order_name")
    if return_id is not None:
        path_segment("return id", return_id)
    elif not query[0][1].strip():
        raise ValueError(f"{query[0][0]} is empty")
    _check_encodable(query[0][0], query[0][1])
    if currency_type is not None:
        query.append(("currency_type", currency_type))
    return LoopRequest(
        "details", "GET", "/warehouse/return/details", tuple(query), return_id=return_id
    )


def asn_report(from_: date, to: date) -> LoopRequest:
    """The Advanced Shipping Notice. Loop takes an unparsable date for 1970 without a word, so
    the dates are written in the one form it documents, also when given as datetimes."""
    query = (("from", f"{from_:%Y-%m-%d}"), ("to", f"{to:%Y-%m-%d}"))
    return LoopRequest("asn_report", "GET", "/warehouse/reporting/asn", query)


def action(
    call: str,
    return_id: str,
    step: str | None = None,
    *,
    query: tuple[tuple[str, str], ...] = (),
    body: Mapping[str, Any] | None = None,
) -> LoopRequest:
    """A call about one return: process, flag, close, cancel, notes, or another whose `step` in
    the path is called otherwise."""
    path = f"/warehouse/return/{path_segment('return id', return_id)}/{step or call}"
    method = "GET" if call == "notes" else "POST"
    return LoopRequest(call, method, path, query, body, return_id)


def add_note(return_id: str, content: str) -> LoopRequest:
    """A note of 1 to 254 characters; Loop refuses longer ones."""
    if not content.strip():
        raise ValueError("the note is empty")
    if len(content) > NOTE_LIMIT:
        raise ValueError(f"the note has {len(content)} characters; Loop takes {NOTE_LIMIT}")
    _check_encodable("the note", content)
    return action("add_note", return_id, "note", body={"content": content})


def remove_lines(return_id: str, line_item_ids: Sequence[str]) -> LoopRequest:
    """Remove lines from the return. Loop then PROCESSES the rest of it."""
    ids = list(dict.fromkeys(line_item_ids))
    if isinstance(line_item_ids, str) or not ids:
        raise ValueError("give a list of at least one line item id to remove")
    for line_id in ids:
        if id_problem(line_id) or "," in line_id:
            raise ValueError(f"the line item id {brief(line_id)} cannot be sent in a list")
    query = (("line_item_id", ",".join(ids)),)
    return action("remove_lines", return_id, "remove", query=query)


class DispositionOutcome(StrEnum):
    """What becomes of a received unit, in the words of Loop's assess call."""

    BACK_TO_STOCK = "back_to_stock"
    RESALE_HOLD = "resale_hold"
    RECYCLE = "recycle"
    DONATE = "donate"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition category, such as subject "Item condition grade", title "Grade A"."""

    subject: str
    title: str
    grade: str | None = None
    category_name: str | None = None
    category_parent: str | None = None


@dataclass(frozen=True, slots=True)
class GradeItem:
    """The condition of one unit. `inspected_at` is sent in UTC (Loop's docs name no zone)."""

    line_item_id: str
    condition: Condition
    description: str | None = None
    return_processor: str | None = None
    note: str | None = None
    images: tuple[str, ...] = ()
    inspected_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AssessItem:
    """What becomes of one unit. `inspected_at` is sent in UTC (Loop's docs name no zone)."""

    line_item_id: str
    outcome: DispositionOutcome
    return_processor: str | None = None
    note: str | None = None
    inspected_at: datetime | None = None


def grade(items: Sequence[GradeItem], version: str) -> list[LoopRequest]:
    """Grading calls, of at most 30 items each."""
    return _batches("grade", [_grade_item(x, version) for x in items])


def assess(items: Sequence[AssessItem]) -> list[LoopRequest]:
    """Assessing calls, of at most 30 items each."""
    return _batches("assess", [_assess_item(x) for x in items])


def _batches(call: str, items: list[dict[str, Any]]) -> list[LoopRequest]:
    if not items:
        raise ValueError(f"there is nothing to {call}; give at least one item")
    ids = [x["line_item_id"] for x in items]
    twice = next((x for x in ids if ids.count(x) > 1), None)
    if twice:
        raise ValueError(f"line item {twice} is given twice")
    return [
        LoopRequest(
            call, "POST", f"/dispositioning/{call}", body={"items": items[at : at + MAX_BATCH]}
        )
        for at in range(0, len(items), MAX_BATCH)
    ]


def _grade_item(item: GradeItem, version: str) -> dict[str, Any]:
    where = f"line item {item.line_item_id}"
    if item.description is not None and len(item.description) > 255:
        raise ValueError(f"{where}: the description is longer than 255 characters")
    if not item.condition.subject.strip() or not item.condition.title.strip():
        raise ValueError(f"{where}: the condition needs a subject and a title")
    fields = {
        "description": item.description,
        "condition_category": _condition(item.condition, version),
        "return_processor": item.return_processor,
        "note": item.note,
        "images": list(item.images) or None,
        "inspected_at": _inspected(item.inspected_at),
    }
    return _checked_item(item.line_item_id, item.return_processor, fields)


def _condition(condition: Condition, version: str) -> str | dict[str, str]:
    """An object since 2026-10 (a string is answered with 422), a string before. Which string
    is not documented: the title."""
    if version == "v1" or version < OBJECT_CONDITIONS_SINCE:
        return condition.title
    fields = {
        "subject": condition.subject,
        "title": condition.title,
        "grade": condition.grade,
        "category_name": condition.category_name,
        "category_parent": condition.category_parent,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _assess_item(item: AssessItem) -> dict[str, Any]:
    if item.outcome not in set(DispositionOutcome):
        raise ValueError(
            f"line item {item.line_item_id}: the outcome is {brief(item.outcome)}; "
            f"use one of {', '.join(DispositionOutcome)}"
        )
    fields = {
        "disposition_outcome": str(item.outcome),
        "return_processor": item.return_processor,
        "note": item.note,
        "inspected_at": _inspected(item.inspected_at),
    }
    return _checked_item(item.line_item_id, item.return_processor, fields)


def _checked_item(
    line_item_id: str, processor: str | None, fields: Mapping[str, Any]
) -> dict[str, Any]:
    problem = id_problem(line_item_id)
    if problem:
        raise ValueError(f"the line item id {brief(line_item_id)} {problem}")
    if processor is not None and (len(processor) > 100 or "@" not in processor):
        raise ValueError(
            f"line item {line_item_id}: return_processor must be an email of at most 100 characters"
        )
    _check_encodable(f"line item {line_item_id}", json.dumps(fields, ensure_ascii=False))
    given = {name: value for name, value in fields.items() if value is not None}
    return {"line_item_id": line_item_id, **given}


def _inspected(at: datetime | None) -> str | None:
    if at is None:
        return None
    if at.tzinfo is None:
        raise ValueError("inspected_at has no time zone")
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def _check_encodable(what: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise ValueError(f"{what} contains half of a character pair (a lone surrogate)") from exc


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """What a webhook subscription consists of."""

    topic: str
    trigger: str
    url: str
    status: WebhookStatus = "active"

    def body(self) -> dict[str, str]:
        for name in ("topic", "trigger", "url"):
            if not getattr(self, name).strip():
                raise ValueError(f"the webhook's {name} is empty")
            _check_encodable(f"the webhook's {name}", getattr(self, name))
        if self.status not in ("active", "inactive"):
            raise ValueError(f"the webhook's status is {self.status!r}; use active or inactive")
        return {
            "topic": self.topic,
            "trigger": self.trigger,
            "url": self.url,
            "status": self.status,
        }


def webhooks() -> LoopRequest:
    return LoopRequest("webhooks", "GET", "/webhooks")


def create_webhook(settings: WebhookSettings) -> LoopRequest:
    """The status is always sent: Loop's default is inactive."""
    return LoopRequest("create_webhook", "POST", "/webhooks", body=settings.body())


def update_webhook(webhook_id: str, settings: WebhookSettings) -> LoopRequest:
    """All four fields are sent: whether a part would do is not documented."""
    path = f"/webhooks/{path_segment('webhook id', webhook_id)}"
    return LoopRequest("update_webhook", "PUT", path, body=settings.body())


def delete_webhook(webhook_id: str) -> LoopRequest:
    path = f"/webhooks/{path_segment('webhook id', webhook_id)}"
    return LoopRequest("delete_webhook", "DELETE", path)


# -- ranges that Loop accepts ----------------------------------------------------------------

MAX_DAYS = 118
"""Loop's docs say 120 at most; exactly 120 have been refused. So pieces stay below by a margin."""


def time_windows(since: datetime, until: datetime) -> list[tuple[datetime, datetime]]:
    """Whole-second UTC windows that cover the range, oldest first; a window starts at the
    second the one before ends, so a return on a boundary may be listed twice, never left out.

    ValueError for a naive time or a range that ends before it starts.
    """
    if since.tzinfo is None or until.tzinfo is None:
        raise ValueError("since and until need a time zone")
    if since > until:
        raise ValueError(f"since ({since.isoformat()}) is after until ({until.isoformat()})")
    start = since.astimezone(UTC).replace(microsecond=0)
    end = until.astimezone(UTC).replace(microsecond=0)
    end += timedelta(seconds=1 if until.microsecond else 0)
    windows: list[tuple[datetime, datetime]] = []
    while True:
        stop = min(end, start + timedelta(days=MAX_DAYS))
        windows.append((start, stop))
        if stop == end:
            return windows
        start = stop


def day_windows(first: date, last: date) -> list[tuple[date, date]]:
    """Windows of at most `MAX_DAYS` calendar days, both ends counted, oldest first.

    Whether Loop counts the last day in is not documented. So a window is never longer even if
    it does, and the next one starts on that day again in case it does not.
    """
    first, last = _day(first), _day(last)
    if first > last:
        raise ValueError(f"from ({first}) is after to ({last})")
    windows: list[tuple[date, date]] = []
    while True:
        stop = min(last, first + timedelta(days=MAX_DAYS - 1))
        windows.append((first, stop))
        if stop == last:
            return windows
        first = stop


def _day(value: date) -> date:
    """The day of a date, or of a datetime (in UTC if it has a zone)."""
    if isinstance(value, datetime):
        return (value.astimezone(UTC) if value.tzinfo else value).date()
    return value
