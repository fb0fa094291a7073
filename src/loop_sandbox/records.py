"""One bad record in an otherwise good answer: what the faults on single returns and tickets do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from loop_sandbox.calls import Call
from loop_sandbox.faults import RETURN_RECORD, TICKET_RECORD, FaultRule
from loop_sandbox.wire import Answer

if TYPE_CHECKING:
    from loop_sandbox.world import SandboxWorld

ABSENT = "$absent"
_RAW = {"\ue000": b"\t", "\ue001": b"\n", "\ue002": b"\x0b"}
"""Stand-ins (of the private use area) for characters that JSON forbids raw."""
_BAD_XML = {
    "bad_char_ref": "Tag &#x1D; cut",
    "html_entity": "Cr&eacute;me",
    "bare_ampersand": "Wash & wear",
}

Row = dict[str, Any]


def spoil_return(world: SandboxWorld, call: Call, return_id: str, row: Row) -> Row:
    """The row of a list or of details as the fault plan wants it."""
    rule = _pick(world, RETURN_RECORD, call, return_id)
    if rule is None:
        return row
    lines: Any = row.get("line_items")
    first: Row = lines[0] if lines else {}
    match rule.kind:
        case "lines_null":
            row["line_items"] = None
        case "lines_absent":
            row.pop("line_items", None)
        case "line_twice":
            row["line_items"] = [*lines, dict(first)]
        case "raw_control":
            first["return_comment"] = "one\ue000two\ue001three\ue002four"
        case "nan_price":
            first["price"] = float("nan")
        case _:
            for path, value in (rule.patch or {}).items():
                put(row, path, value)
    return row


def put(row: Row, path: str, value: Any) -> None:
    """Put a value at a dotted path, such as `line_items.0.price`; a path that leads nowhere in
    this record changes nothing."""
    *way, last = path.split(".")
    here: Any = row
    for name in way:
        here = _at(here, name)
    if isinstance(here, dict):
        known = cast("Row", here)
        if value == ABSENT:
            known.pop(last, None)
        else:
            known[last] = value
    elif isinstance(here, list) and last.isdigit() and int(last) < len(cast("list[Any]", here)):
        items = cast("list[Any]", here)
        if value == ABSENT:
            items.pop(int(last))
        else:
            items[int(last)] = value


def _at(here: Any, name: str) -> Any:
    if isinstance(here, dict):
        return cast("Row", here).get(name)
    if isinstance(here, list) and name.isdigit():
        items = cast("list[Any]", here)
        return items[int(name)] if int(name) < len(items) else None
    return None


def raw_answer(value: Any) -> Answer:
    """JSON as `spoil_return` meant it, with raw control characters where it put stand-ins."""
    body = json.dumps(value, separators=(",", ":")).encode()
    for stand_in, raw in _RAW.items():
        body = body.replace(json.dumps(stand_in)[1:-1].encode(), raw)
    return Answer(200, body)


def ticket_text(world: SandboxWorld, call: Call, ticket_id: str) -> str | None:
    """XML text, not well-formed, that a rule puts into this ticket; None leaves it alone."""
    rule = _pick(world, TICKET_RECORD, call, ticket_id)
    return _BAD_XML[rule.kind] if rule else None


def _pick(
    world: SandboxWorld, group: tuple[str, ...], call: Call, subject: str
) -> FaultRule | None:
    if not world.faults.waits_for(group):
        return None
    rule = world.faults.pick(
        group, system=call.system, operation=call.operation, brand=call.brand, subject=subject
    )
    if rule:
        call.fault = f"{call.fault}+{rule.kind}" if call.fault else rule.kind
    return rule
