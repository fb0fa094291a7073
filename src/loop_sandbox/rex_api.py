"""REX11's endpoint: one address for all brands, told apart by credentials and token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loop_sandbox import rex_ops
from loop_sandbox import rex_render as render
from loop_sandbox.calls import Call
from loop_sandbox.rex_parse import ParsedCall, SoapFault, parse_call, peek_operation
from loop_sandbox.wire import Answer, WireRequest

if TYPE_CHECKING:
    from loop_sandbox.world import SandboxWorld

PATH = "/ws/v3prod/publicapiws.asmx"
XML = "text/xml; charset=utf-8"
_SUBJECTS = {
    "GetStyleMasterProductAddStatus": "UPC",
    "GetReceivingTicketAddStatus": "receivingTicketId",
    "GetReceivingTicketsByPO": "customerPO",
    "GetReceivingTicketObjectByTicketNo": "AsnTicketNumber",
}


def identify(world: SandboxWorld, request: WireRequest) -> tuple[Call, ParsedCall | SoapFault]:
    """Whose call it is, which operation and what about, without doing anything."""
    try:
        action, strict = request.headers.get("soapaction"), world.settings.schema_check
        parsed = parse_call(request.body, action, by_schema=strict)
    except SoapFault as error:
        return Call("rex11", peek_operation(request.body) or "unknown"), error
    call = Call("rex11", parsed.operation, _brand(world, parsed), _subject(parsed))
    call.products = _products(parsed)
    return call, parsed


def _products(parsed: ParsedCall) -> frozenset[str]:
    named = [*(parsed.ticket.items if parsed.ticket else []), *parsed.products]
    codes = {x[n].lower() for x in named for n in ("Sku", "UPC", "Style") if x.get(n)}
    return frozenset(codes | {x.lower() for x in parsed.upcs})


def _brand(world: SandboxWorld, parsed: ParsedCall) -> str | None:
    if parsed.operation == "AuthenticationTokenGet":
        user = parsed.values.get("UserName", "")
        return next((b.slug for b in world.brands.values() if b.user_name == user), None)
    return rex_ops.token_brand(world, _token(parsed))


def _token(parsed: ParsedCall) -> str:
    values = parsed.values
    return values.get("AuthenticationString") or values.get("authenticationString") or ""


def _subject(parsed: ParsedCall) -> str | None:
    if parsed.ticket:
        return parsed.ticket.fields.get("CustomerPO")
    if parsed.products:
        return parsed.products[0].get("UPC")
    return parsed.values.get(_SUBJECTS.get(parsed.operation, ""))


def execute(
    world: SandboxWorld,
    request: WireRequest,
    call: Call,
    parsed: ParsedCall | SoapFault,
    quirk: str | None,
) -> Answer:
    """Do it, or refuse with a fault."""
    if request.path != PATH:
        return Answer(404, b"The resource cannot be found.", "text/html")
    if request.method != "POST":
        return Answer(405, b"Method not allowed; POST a SOAP envelope.", "text/html")
    if not request.headers.get("content-type", "").lower().startswith("text/xml"):
        return Answer(415, b"", "text/html")
    if isinstance(parsed, SoapFault):
        return Answer(500, render.fault(str(parsed)), XML)
    if parsed.operation == "AuthenticationTokenGet":
        answer = render.result(parsed.operation, rex_ops.token(world, parsed))
        return Answer(200, answer, XML)
    token = _token(parsed)
    if quirk == "expired_token":
        rex_ops.expire_token(world, token)
    if call.brand is None or not rex_ops.token_valid(world, token):
        return _not_authenticated(world, parsed.operation)
    asked = rex_ops.Asked(world, world.brands[call.brand], parsed, call, quirk == "other_ticket")
    inner = rex_ops.perform(asked)
    return Answer(200, render.result(parsed.operation, inner), XML)


def _not_authenticated(world: SandboxWorld, operation: str) -> Answer:
    """How the service says so is not documented, hence the settings."""
    settings = world.settings
    message = settings.auth_failure_message
    if settings.auth_failure == "soap_fault":
        return Answer(500, render.fault(message), XML)
    note = render.Note(settings.auth_failure_code, settings.auth_failure_severity, message)
    return Answer(200, render.result(operation, render.notifications([note])), XML)
