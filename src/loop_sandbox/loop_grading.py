"""Loop's grading and assessing of returned items."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from loop_sandbox import loop_errors
from loop_sandbox.calls import Call
from loop_sandbox.model import Brand, Line
from loop_sandbox.wire import Answer, WireRequest, json_answer

if TYPE_CHECKING:
    from loop_sandbox.world import SandboxWorld

MAX_ITEMS = 30
OUTCOMES = ("back_to_stock", "resale_hold", "recycle", "donate", "missing")
Row = dict[str, Any]


def grade(
    world: SandboxWorld, brand: Brand, call: Call, request: WireRequest, version: str
) -> Answer:
    """Record the condition of items. From 2026-10 on the category is an object."""
    by_object = version not in ("v1", "2026-07")
    return _record(world, brand, call, request, lambda row: _check_grade(row, by_object), "graded")


def assess(world: SandboxWorld, brand: Brand, call: Call, request: WireRequest) -> Answer:
    """Record what became of items."""
    return _record(world, brand, call, request, _check_assessment, "assessed")


def _record(
    world: SandboxWorld,
    brand: Brand,
    call: Call,
    request: WireRequest,
    check: Callable[[Row], tuple[str, str] | None],
    word: str,
) -> Answer:
    rows = _items((request.json_object() or {}).get("items"))
    if rows is None or not 1 <= len(rows) <= MAX_ITEMS:
        return loop_errors.invalid("items", f"The items must have between 1 and {MAX_ITEMS} items.")
    for number, row in enumerate(rows):
        wrong = check(row) or _check_common(row)
        if wrong:
            return loop_errors.invalid(f"items.{number}.{wrong[0]}", wrong[1])
    lines: list[Line] = []
    for number, row in enumerate(rows):
        line = _line(brand, row)
        if line is None:
            if _foreign(world, row):
                errors = {"message": "This action is unauthorized.", "code": "NOT_AUTHORIZED"}
                return json_answer({"errors": errors}, 403)
            field = f"items.{number}.line_item_id"
            return loop_errors.invalid(field, "The selected line item id is invalid.")
        lines.append(line)
    for line, row in zip(lines, rows, strict=True):
        line.gradings.append({"action": word, **row})
    call.effect = f"{len(rows)} items {word}"
    return json_answer({"items": rows})


def _items(value: Any) -> list[Row] | None:
    if not isinstance(value, list):
        return None
    rows = cast("list[Any]", value)
    return rows if all(isinstance(row, dict) for row in rows) else None


def _line_id(row: Row) -> int:
    text = str(row.get("line_item_id", ""))
    return int(text) if text.isdigit() else -1


def _line(brand: Brand, row: Row) -> Line | None:
    found = brand.lines.get(_line_id(row))
    return found[1] if found else None


def _foreign(world: SandboxWorld, row: Row) -> bool:
    return any(_line_id(row) in b.lines for b in world.brands.values())


def _check_grade(row: Row, by_object: bool) -> tuple[str, str] | None:
    category: Any = row.get("condition_category")
    if by_object:
        if not isinstance(category, dict):
            return "condition_category", "The condition category must be an object."
        for name in ("subject", "title"):
            if not cast("Row", category).get(name):
                return f"condition_category.{name}", f"The {name} field is required."
    elif not category:
        return "condition_category", "The condition category field is required."
    if len(str(row.get("description") or "")) > 255:
        return "description", "The description may not be greater than 255 characters."
    return None


def _check_assessment(row: Row) -> tuple[str, str] | None:
    if row.get("disposition_outcome") not in OUTCOMES:
        return "disposition_outcome", "The selected disposition outcome is invalid."
    return None


def _check_common(row: Row) -> tuple[str, str] | None:
    who = str(row.get("return_processor") or "")
    if who and ("@" not in who or len(who) > 100):
        return "return_processor", "The return processor must be an email of up to 100 characters."
    when = row.get("inspected_at")
    if when is not None:
        try:
            datetime.strptime(str(when), "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007 - form only
        except ValueError:
            return "inspected_at", "The inspected at does not match the format Y-m-d H:i:s."
    return None
