"""Loop's API: who calls, how often, and which operation it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loop_sandbox import (
    loop_actions,
    loop_errors,
    loop_grading,
    loop_happy,
    loop_hooks,
    loop_lists,
)
from loop_sandbox.calls import Call
from loop_sandbox.model import Brand
from loop_sandbox.wire import Answer, WireRequest

if TYPE_CHECKING:
    from loop_sandbox.world import SandboxWorld

VERSIONS = ("2026-07", "2026-10", "v1", "latest", "unstable")
_READS: dict[tuple[str, ...], str] = {
    ("warehouse", "return", "list"): "list",
    ("warehouse", "return", "details"): "details",
    ("warehouse", "reporting", "asn"): "asn",
}
_ACTIONS = ("process", "flag", "note", "remove", "close", "cancel")
_ITEMS: dict[tuple[str, ...], str] = {
    ("dispositioning", "grade"): "grade",
    ("dispositioning", "assess"): "assess",
}
UNKNOWN = "unknown"


def identify(world: SandboxWorld, request: WireRequest) -> Call:
    """Whose call it is and which operation, without doing anything."""
    key = request.headers.get("x-authorization", "")
    brand = next((b.slug for b in world.brands.values() if key and b.loop_key == key), None)
    operation, subject = _operation(request)
    return Call("loop", operation, brand, subject)


def _operation(request: WireRequest) -> tuple[str, str | None]:
    parts = request.parts()
    if len(parts) < 3 or parts[0] != "api" or parts[1] not in VERSIONS:
        return UNKNOWN, None
    path, method = tuple(parts[2:]), request.method
    if method == "GET" and path in _READS:
        query = request.query
        subject = query.get("return_id") or query.get("order_id") or query.get("order_name")
        return _READS[path], subject or None
    if len(path) == 4 and path[:2] == ("warehouse", "return"):
        if method == "POST" and path[3] in _ACTIONS:
            return path[3], path[2]
        if method == "GET" and path[3] == "notes":
            return "notes", path[2]
    if method == "POST" and path in _ITEMS:
        return _ITEMS[path], None
    if method == "GET" and path[:2] == ("happy-returns", "shipments"):
        if len(path) == 3:
            return "happy_returns.shipment", path[2]
        if len(path) == 4 and path[3] == "items":
            return "happy_returns.items", path[2]
    return _hook_operation(method, path)


def _hook_operation(method: str, path: tuple[str, ...]) -> tuple[str, str | None]:
    if path[0] == "webhooks" and len(path) == 1 and method in ("GET", "POST"):
        return ("webhooks.list" if method == "GET" else "webhooks.create"), None
    if path[0] == "webhooks" and len(path) == 2 and method in ("PUT", "DELETE"):
        return ("webhooks.update" if method == "PUT" else "webhooks.delete"), path[1]
    return UNKNOWN, None


def _area(operation: str) -> str:
    """What a key must be for to be allowed this, as `missing_scopes` names it."""
    if operation in (*_ACTIONS, "notes"):
        return "actions"
    if operation in _ITEMS.values():
        return "grading"
    return operation.partition(".")[0] if "." in operation else "returns"


def execute(world: SandboxWorld, request: WireRequest, call: Call, quirk: str | None) -> Answer:
    """Do it. `quirk` is the fault that the operation itself must act out, if there is one."""
    if call.brand is None or world.settings.lacks(call.brand, _area(call.operation)):
        quiet = call.operation in _ACTIONS and world.settings.unauthorized_action == "200"
        return loop_errors.unauthorized_action() if quiet else loop_errors.unauthorized()
    limited = _rate_limit(world, call.brand)
    if limited:
        return limited
    brand = world.brands[call.brand]
    version = request.parts()[1] if len(request.parts()) > 1 else ""
    if call.operation in (*_ACTIONS, "notes"):
        return _act(world, brand, request, call, quirk)
    match call.operation:
        case "list":
            try:
                return loop_lists.returns_list(world, brand, request, call, quirk)
            except loop_lists.BadQuery as bad:
                return loop_errors.invalid(bad.field, bad.message)
        case "details":
            return loop_lists.details(world, brand, request, call)
        case "asn":
            return loop_lists.asn(world, brand, request, version)
        case "grade":
            return loop_grading.grade(world, brand, call, request, version)
        case "assess":
            return loop_grading.assess(world, brand, call, request)
        case "happy_returns.shipment":
            return loop_happy.shipment(world, brand, call.subject or "")
        case "happy_returns.items":
            return loop_happy.items(brand, request, call.subject or "")
        case "webhooks.list":
            return loop_hooks.listing(brand)
        case "webhooks.create":
            return loop_hooks.create(world, brand, call, request)
        case "webhooks.update":
            return loop_hooks.update(brand, call, request, call.subject or "")
        case "webhooks.delete":
            return loop_hooks.delete(brand, call, call.subject or "")
        case _:
            return loop_errors.not_found()


def _act(
    world: SandboxWorld, brand: Brand, request: WireRequest, call: Call, quirk: str | None
) -> Answer:
    r = brand.returns.get(call.subject or "")
    if r is None:
        if world.settings.not_found == "200":
            return loop_errors.no_return("200", "errors")
        return loop_errors.not_found(what="Return not found.")
    match call.operation:
        case "process":
            return loop_actions.process(world, r, call, quirk)
        case "flag":
            return loop_actions.flag(world, r, call, quirk)
        case "note":
            return loop_actions.note(world, r, call, request)
        case "remove":
            return loop_actions.remove(world, brand, r, call, request)
        case "close":
            return loop_actions.close(world, r, call, quirk)
        case "cancel":
            return loop_actions.cancel(world, r, call, quirk)
        case _:
            return loop_actions.notes(world, r)


def _rate_limit(world: SandboxWorld, key: str) -> Answer | None:
    """A window of a minute from its first call, per API key; refused calls do not count."""
    now, limit = world.now(), world.settings.rate_limit_per_minute
    start, used = world.rate_windows.get(key, (now, 0))
    if now - start >= 60:
        start, used = now, 0
    if used >= limit:
        wait = int(60 - (now - start)) + 1 if world.settings.send_retry_after else None
        return loop_errors.too_many(wait)
    world.rate_windows[key] = (start, used + 1)
    return None
