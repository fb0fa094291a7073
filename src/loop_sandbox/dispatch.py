"""From a request to what goes out: find the fault, do the work, spoil the answer, log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from loop_sandbox import loop_api, loop_errors, rex_api
from loop_sandbox import rex_render as render
from loop_sandbox.calls import Call
from loop_sandbox.faults import QUIRKS, TRANSPORT, FaultRule
from loop_sandbox.wire import Answer, WireRequest

if TYPE_CHECKING:
    from loop_sandbox.world import SandboxWorld

HTML = (
    b"<!DOCTYPE html><html><head><title>Just a moment...</title></head>"
    b"<body><h1>We will be back shortly</h1></body></html>"
)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What is sent: `sent` bytes of the answer's body (None for all), after `hang` seconds,
    and with the connection dropped when `drop` is set."""

    answer: Answer
    hang: float = 0.0
    drop: bool = False
    sent: int | None = None


def handle_loop(world: SandboxWorld, request: WireRequest) -> Outgoing:
    """A call of Loop's API."""
    with world.lock:
        world.run_due()
        call = loop_api.identify(world, request)
        return _handle(world, call, lambda quirk: loop_api.execute(world, request, call, quirk))


def handle_rex11(world: SandboxWorld, request: WireRequest) -> Outgoing:
    """A call of REX11's web service."""
    with world.lock:
        world.run_due()
        call, parsed = rex_api.identify(world, request)
        return _handle(
            world, call, lambda quirk: rex_api.execute(world, request, call, parsed, quirk)
        )


def _handle(world: SandboxWorld, call: Call, work: Callable[[str | None], Answer]) -> Outgoing:
    rule = _pick(world, tuple(TRANSPORT), call)
    if rule and not rule.takes_effect:
        out = _spoilt(world, call, rule, None)
    else:
        quirk = _pick(world, QUIRKS, call)
        call.fault = quirk.kind if quirk else None
        answer = work(quirk.kind if quirk else None)
        out = _spoilt(world, call, rule, answer) if rule else Outgoing(answer)
    if rule:
        call.fault = f"{rule.kind}+{call.fault}" if call.fault else rule.kind
    dropped = out.drop and out.sent == 0
    call.outcome = "no answer" if dropped else str(out.answer.status)
    world.log(call)
    return out


def _pick(world: SandboxWorld, group: tuple[str, ...], call: Call) -> FaultRule | None:
    return world.faults.pick(
        group,
        system=call.system,
        operation=call.operation,
        brand=call.brand,
        subject=call.subject,
        products=call.products,
    )


def _spoilt(world: SandboxWorld, call: Call, rule: FaultRule, answer: Answer | None) -> Outgoing:
    """The answer as the fault lets it out; `answer` is None when nothing was done."""
    rex = call.system == "rex11"
    whole = answer or Answer(200, b"", rex_api.XML if rex else "application/json")
    match rule.kind:
        case "timeout_before" | "timeout_after":
            hang = world.settings.hang_seconds if rule.seconds is None else rule.seconds
            return Outgoing(whole, hang=hang, drop=True, sent=0)
        case "reset_before":
            return Outgoing(whole, drop=True, sent=0)
        case "reset_mid_body":
            return Outgoing(whole, drop=True, sent=len(whole.body) // 2)
        case "truncated":
            half = whole.body[: len(whole.body) // 2]
            return Outgoing(Answer(whole.status, half, whole.content_type, whole.headers))
        case "status_401" if not rex:
            return Outgoing(loop_errors.unauthorized())
        case "status_403" if not rex:
            return Outgoing(loop_errors.forbidden())
        case "unauthorized_200":
            return Outgoing(loop_errors.unauthorized_action())
        case "status_429":
            return Outgoing(loop_errors.too_many(None))
        case "status_401" | "status_403" | "status_502" | "status_504":
            status = int(rule.kind.removeprefix("status_"))
            return Outgoing(loop_errors.page(status))
        case "blank_before_xml":
            return Outgoing(replace(whole, body=b"\r\n" + whole.body))
        case "utf16_declared":
            return Outgoing(replace(whole, body=whole.body.replace(b"utf-8", b"utf-16", 1)))
        case "html":
            return Outgoing(Answer(200, HTML, "text/html; charset=utf-8"))
        case _:
            body = render.fault("Server was unable to process request.", "Server")
            return Outgoing(Answer(500, body, rex_api.XML) if rex else loop_errors.unexpected())
