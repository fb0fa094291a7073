"""Loop's return actions: process, flag, note, remove, close, cancel.

Refusals have status 200. A process that is accepted is only queued; its end comes later.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from loop_sandbox import loop_errors, loop_events, loop_json
from loop_sandbox.calls import Call
from loop_sandbox.model import CANCELLED, CLOSED, OPEN, REVIEW, Brand, Line, LoopReturn
from loop_sandbox.wire import Answer, WireRequest, json_answer

if TYPE_CHECKING:
    from loop_sandbox.world import SandboxWorld

NOTE_LIMIT = 255
"""Content must be under this."""
FAILED = "Something went wrong during processing"


def success(r: LoopReturn) -> Answer:
    """`true` for some returns and the string `"true"` for others."""
    return json_answer(True if int(r.id) % 2 else "true")


def process(world: SandboxWorld, r: LoopReturn, call: Call, quirk: str | None) -> Answer:
    """Queue the outcomes. A second process of a return still queued is accepted as well, and
    moves the money again: nothing here saves a client that repeats itself."""
    if quirk == "refusal":
        r.effects.refused += 1
        return loop_errors.refusal(r.state, "processed", code="UNPROCESSABLE_RETURN")
    if r.state != OPEN and not (r.state == REVIEW and world.settings.allow_process_flagged):
        r.effects.refused += 1
        by_code = r.state == REVIEW and world.settings.flagged_refusal == "code"
        code = "UNPROCESSABLE_FLAGGED_RETURN" if by_code else None
        return loop_errors.refusal(r.state, "processed", code=code)
    _queue(world, r, call, quirk)
    return success(r)


def _queue(world: SandboxWorld, r: LoopReturn, call: Call, quirk: str | None) -> None:
    r.effects.process_accepted += 1
    r.effects.accepted_after_flag |= r.effects.flags > 0
    r.processing += 1
    call.effect = "process accepted"
    if quirk == "process_never_ends":
        return
    settings = world.settings
    dice = world.dice("process", r.id, r.effects.process_accepted)
    delay = dice.between(settings.processing_min_seconds, settings.processing_max_seconds)
    world.later(delay, lambda: finish_processing(world, r, fails=quirk == "process_fails"))


def finish_processing(world: SandboxWorld, r: LoopReturn, *, fails: bool) -> None:
    """The queued processing ends: money moves and the return closes, or it stays as it is."""
    r.processing -= 1
    allowed = r.state == REVIEW and world.settings.allow_process_flagged
    repeated = r.state == CLOSED and r.effects.money_moved > 0
    if fails or not (r.state == OPEN or allowed or repeated):
        r.effects.process_failed += 1
        loop_events.emit(world, r, "return.processing.failed", FAILED if fails else None)
        return
    r.effects.money_moved += 1
    r.effects.moved_after_flag |= r.effects.flags > 0
    effect = f"money moved ({r.effects.money_moved})"
    world.log(Call("loop", "processed", r.brand, r.id, "closed", effect=effect))
    if r.state != CLOSED:
        loop_events.change_state(world, r, CLOSED)


def flag(world: SandboxWorld, r: LoopReturn, call: Call, quirk: str | None) -> Answer:
    """Set to review."""
    if r.state != OPEN or quirk == "refusal":
        r.effects.refused += 1
        return loop_errors.refusal(r.state, "flagged", code="UNPROCESSABLE_RETURN")
    r.effects.flags += 1
    call.effect = "flagged"
    loop_events.change_state(world, r, REVIEW)
    return success(r)


def note(world: SandboxWorld, r: LoopReturn, call: Call, request: WireRequest) -> Answer:
    """Add a note; its content is required and must be under 255 characters."""
    content = (request.json_object() or {}).get("content")
    if not isinstance(content, str) or not content.strip() or len(content) >= NOTE_LIMIT:
        message = "Content is required and must be less than 255 characters."
        return json_answer({"errors": {"message": message}}, 422)
    world.note_number += 1
    r.notes.append(
        {
            "id": world.note_number,
            "content": content,
            "created_at": loop_json.stamp(
                world.loop_now(), loop_json.time_style(r, world.settings)
            ),
        }
    )
    call.effect = "note added"
    return success(r)


def notes(world: SandboxWorld, r: LoopReturn) -> Answer:
    """All notes, oldest first. A return without any answers 422 with `"false"` by default."""
    if not r.notes and world.settings.empty_notes == "refused":
        return json_answer("false", 422)
    if not world.settings.notes_escaped:
        return json_answer({"notes": r.notes})
    return json_answer({"notes": [{**n, "content": escape(n["content"])} for n in r.notes]})


def remove(
    world: SandboxWorld, brand: Brand, r: LoopReturn, call: Call, request: WireRequest
) -> Answer:
    """Remove refund or credit lines and process the rest, in one step."""
    wanted = [x.strip() for x in request.query.get("line_item_id", "").split(",") if x.strip()]
    if not wanted:
        return json_answer({"error": {"message": "The line item id field is required."}}, 422)
    if r.processing:
        return json_answer({"message": "An error was encountered during processing."}, 500)
    if r.state != OPEN:
        r.effects.refused += 1
        return json_answer({"message": "Return cannot be modified."}, 422)
    qualify: list[Line] = [
        x for x in r.lines if str(x.id) in wanted and x.outcome in ("refund", "credit")
    ]
    if not qualify:
        return json_answer({"message": "There are no line items that qualify for removal"}, 422)
    if len(qualify) < len(set(wanted)):
        return json_answer({"message": "Not all line items qualify for removal"}, 422)
    for line in qualify:
        r.lines.remove(line)
        del brand.lines[line.id]
    r.effects.removed_lines += len(qualify)
    world.touch(r)
    _queue(world, r, call, None)
    call.effect = f"{len(qualify)} lines removed, process accepted"
    return success(r)


def close(world: SandboxWorld, r: LoopReturn, call: Call, quirk: str | None) -> Answer:
    """Close without any outcome."""
    if r.state in (CLOSED, CANCELLED) or quirk == "refusal":
        r.effects.refused += 1
        return loop_errors.refusal(r.state, "processed")
    r.effects.closes += 1
    call.effect = "closed without outcomes"
    loop_events.change_state(world, r, CLOSED)
    return success(r)


def cancel(world: SandboxWorld, r: LoopReturn, call: Call, quirk: str | None) -> Answer:
    """Cancel. Flagged and expired ones are refused in a shape of their own, again as 200."""
    if r.state != OPEN or quirk == "refusal":
        r.effects.refused += 1
        word = {REVIEW: "flagged", "expired": "expired"}.get(r.state)
        if word:
            return json_answer({"content": f"Return is {word} and cannot be processed."})
        return loop_errors.refusal(r.state, "processed", code="UNPROCESSABLE_RETURN")
    r.effects.cancels += 1
    call.effect = "cancelled"
    loop_events.change_state(world, r, CANCELLED)
    return success(r)
