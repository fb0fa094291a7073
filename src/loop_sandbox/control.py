"""The control side: what a person or a test does to the sandbox's world. JSON, no auth."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

from loop_sandbox import control_views, loop_events, loop_happy, parcels, tickets
from loop_sandbox.dispatch import Outgoing
from loop_sandbox.faults import parse_rule
from loop_sandbox.model import (
    CANCELLED,
    CLOSED,
    EXPIRED,
    OPEN,
    REVIEW,
    LoopReturn,
    Ticket,
    TicketItem,
)
from loop_sandbox.wire import Answer, WireRequest, json_answer

if TYPE_CHECKING:
    from loop_sandbox.world import SandboxWorld

_STATES = {
    "cancel": CANCELLED,
    "expire": EXPIRED,
    "reopen": OPEN,
    "close": CLOSED,
    "flag": REVIEW,
}
Values = dict[str, Any]


class Missing(Exception):
    """What was asked for does not exist (404)."""


def handle_control(world: SandboxWorld, request: WireRequest) -> Outgoing:
    """A control call. What is wrong with it comes back as {"error": sentence}."""
    with world.lock:
        world.run_due()
        try:
            return Outgoing(_route(world, request))
        except Missing as error:
            return Outgoing(json_answer({"error": str(error)}, 404))
        except KeyError as error:
            return Outgoing(json_answer({"error": str(error.args[0])}, 404))
        except (ValueError, TypeError) as error:
            return Outgoing(json_answer({"error": str(error)}, 422))


def _route(world: SandboxWorld, request: WireRequest) -> Answer:
    parts, query = request.parts(), dict(request.query)
    if request.method == "GET":
        view = control_views.VIEWS.get("/".join(parts))
        if view is None:
            raise Missing(f"no control page {request.path}")
        return json_answer(view(world, query, request.root))
    if request.method == "DELETE" and parts == ["faults"]:
        world.faults.clear()
        return json_answer({"rules": []})
    if request.method != "POST":
        raise Missing(f"no control call {request.method} {request.path}")
    values = request.json_object()
    if values is None and parts == ["faults"]:
        return _add_faults(world, request.json_list())
    if values is None:
        raise ValueError("the body must be a JSON object")
    return _post(world, parts, values)


def _post(world: SandboxWorld, parts: list[str], values: Values) -> Answer:
    match parts:
        case ["returns"]:
            return _new_returns(world, values)
        case ["returns", return_id, action]:
            return _change_return(world, _return(world, return_id), action, values)
        case ["tickets"]:
            return _hand_made_ticket(world, values)
        case ["tickets", ticket_id, action]:
            return _change_ticket(world, _ticket(world, ticket_id), action, values)
        case ["happy-returns"]:
            return _happy_shipment(world, values)
        case ["happy-returns", happy_id, "arrive"]:
            return _happy_arrival(world, happy_id, values)
        case ["parcels"]:
            return _parcel(world, values)
        case ["parcels", "auto"]:
            return _auto_parcels(world, values)
        case ["faults"]:
            return _add_faults(world, [values])
        case ["settings"]:
            return _settings(world, values)
        case _:
            raise Missing(f"no control call /{'/'.join(parts)}")


def _only(values: Values, *names: str) -> None:
    for name in values:
        if name not in names:
            raise ValueError(f"no field {name!r}; there are: {', '.join(names) or 'none'}")


def _whole(values: Values, name: str, default: int | None, low: int, high: int) -> int | None:
    value: Any = values.get(name, default)
    if value is not None and (type(value) is not int or not low <= value <= high):
        raise ValueError(f"{name} must be a whole number from {low} to {high}, not {value!r}")
    return value


def _return(world: SandboxWorld, return_id: str) -> LoopReturn:
    found = world.find_return(return_id)
    if found is None:
        raise Missing(f"no return {return_id}")
    return found


def _ticket(world: SandboxWorld, ticket_id: str) -> Ticket:
    found = tickets.find_ticket(world, ticket_id)
    if found is None:
        raise Missing(f"no ticket {ticket_id}")
    return found


def _new_returns(world: SandboxWorld, values: Values) -> Answer:
    _only(values, "brand", "count", "units", "outcome", "late_label", "no_parcel", "held", "method")
    method: Any = values.get("method")
    if method is not None and (not isinstance(method, str) or not method):
        raise ValueError(f"method must be text, such as mail or in_store, not {method!r}")
    count = _whole(values, "count", 1, 1, 10_000) or 1
    units = _whole(values, "units", None, 1, 9)
    outcome: Any = values.get("outcome")
    if outcome not in (None, "refund", "credit", "exchange", "gift"):
        raise ValueError(f"outcome must be refund, credit, exchange or gift, not {outcome!r}")
    made = [
        world.new_return(
            str(values.get("brand")),
            units=units,
            outcome=outcome,
            late_label=values.get("late_label"),
            no_parcel=values.get("no_parcel", False),
            held=values.get("held"),
            method=method,
        )
        for _ in range(count)
    ]
    return json_answer({"returns": [control_views.return_row(r) for r in made]}, 201)


def _change_return(world: SandboxWorld, r: LoopReturn, action: str, values: Values) -> Answer:
    if action == "edit":
        _only(values, "add", "remove")
        add, remove = _whole(values, "add", 1, 0, 9), _whole(values, "remove", 0, 0, 9)
        loop_events.edit(world, r, add=add or 0, remove=remove or 0)
    elif action == "label":
        _only(values, "status")
        if values.get("status"):
            loop_events.update_label(world, r, str(values["status"]))
        else:
            loop_events.add_label(world, r)
    elif action in _STATES:
        _only(values)
        loop_events.change_state(world, r, _STATES[action])
    else:
        raise Missing(f"no action {action!r}; there are: edit, label, {', '.join(_STATES)}")
    return json_answer(control_views.return_row(r))


def _hand_made_ticket(world: SandboxWorld, values: Values) -> Answer:
    """A ticket that the warehouse opens by itself, such as for a parcel without notice."""
    _only(values, "brand", "customer_po", "memo", "items", "tracking_numbers")
    brand = world.brand(str(values.get("brand")))
    raw: Any = values.get("items", [])
    if not isinstance(raw, list):
        raise ValueError('items must be a list of {"sku", "expected"}')
    items: list[TicketItem] = []
    for number, row in enumerate(cast("list[Any]", raw)):
        entry = cast("Values", row) if isinstance(row, dict) else {}
        product = next((p for p in brand.catalogue if p.sku == entry.get("sku")), None)
        if product is None:
            raise ValueError(f"items[{number}]: no SKU {entry.get('sku')!r} at {brand.slug}")
        expected = _whole(entry, "expected", 1, 1, 999) or 1
        fields = {"Sku": product.sku, "Style": product.style, "Color": product.color}
        fields |= {"UPC": product.upc, "Size": product.size}
        items.append(TicketItem(fields, expected))
    tracking: Any = values.get("tracking_numbers", [])
    ticket = tickets.add_ticket(
        world,
        brand,
        fields={
            "Warehouse": brand.warehouse,
            "CustomerPO": str(values.get("customer_po", "")),
            "Memo": str(values.get("memo", "made by hand")),
        },
        items=items,
        tracking_numbers=[str(x) for x in tracking],
    )
    return json_answer(control_views.ticket_row(ticket), 201)


def _change_ticket(world: SandboxWorld, ticket: Ticket, action: str, values: Values) -> Answer:
    kind = str(values.get("kind", "none"))
    detail: Values = {n: values[n] for n in ("lines", "seconds") if n in values}
    if action == "cancel":
        _only(values)
        if ticket.status in ("AddedToInventory", "Cancelled"):
            raise ValueError(f"ticket {ticket.id} is {ticket.status} already")
        tickets.set_status(world, ticket, "Cancelled")
    elif action == "reopen":
        _only(values, "kind", "lines", "seconds")
        parcels.reopen(world, ticket, kind, detail)
    elif action == "correct":
        _only(values, "kind", "lines")
        if kind not in parcels.REOPENINGS:
            raise ValueError(f"kind must be one of {', '.join(parcels.REOPENINGS)}, not {kind!r}")
        parcels.correct(world, ticket, kind, values.get("lines"))
    else:
        raise Missing(f"no action {action!r}; there are: cancel, correct, reopen")
    return json_answer(control_views.ticket_row(ticket))


def _happy_shipment(world: SandboxWorld, values: Values) -> Answer:
    """A consolidated shipment of these returns (all that wait) leaves Happy Returns' hub."""
    _only(values, "brand", "returns", "boxes", "split", "webhook")
    brand, ids = world.brand(str(values.get("brand"))), values.get("returns")
    boxes = _whole(values, "boxes", 1, 1, 20) or 1
    how: Values = {"boxes": boxes, "split": _texts(values, "split")}
    how["webhook"] = values.get("webhook", True) is not False
    if ids is None:
        left = loop_happy.ship_waiting(world, brand, **how)
        if left is None:
            raise Missing(f"no return of {brand.slug} waits at the hub")
        return json_answer(asdict(left), 201)
    if not isinstance(ids, list) or not ids:
        raise ValueError("returns must be a list of return ids")
    chosen = [_return(world, str(x)) for x in cast("list[Any]", ids)]
    for r in chosen:
        if r.brand != brand.slug:
            raise ValueError(f"return {r.id} is of {r.brand}, not of {brand.slug}")
    made = loop_happy.ship(world, brand, chosen, **how)
    return json_answer(asdict(made), 201)


def _texts(values: Values, name: str) -> tuple[str, ...]:
    found: Any = values.get(name, [])
    if not isinstance(found, list):
        raise ValueError(f"{name} must be a list")
    return tuple(str(x) for x in cast("list[Any]", found))


def _happy_arrival(world: SandboxWorld, happy_id: str, values: Values) -> Answer:
    """A consolidated shipment comes to the dock, as it really is."""
    _only(values, "brand", "boxes", "missing", "late", "misplaced", "damaged")
    brand = world.brand(str(values.get("brand")))
    shipment = loop_happy.find(brand, happy_id)
    if shipment is None:
        raise Missing(f"no shipment {happy_id!r} of {brand.slug}")
    loop_happy.spoil(
        shipment,
        missing=_texts(values, "missing"),
        late=_texts(values, "late"),
        misplaced=_texts(values, "misplaced"),
        damaged=tuple(int(x) for x in _texts(values, "damaged")),
    )
    done = loop_happy.arrive(world, brand, shipment, _texts(values, "boxes"))
    return json_answer({"tickets": [t.id for t in done]})


def _settings(world: SandboxWorld, values: Values) -> Answer:
    tried = deepcopy(world.settings)
    tried.update(values)
    for slug in tried.brands_named():
        world.brand(slug)
    world.settings.update(values)
    return json_answer(world.settings.as_dict())


def _parcel(world: SandboxWorld, values: Values) -> Answer:
    _only(values, "ticket", "return", "kind", "detail")
    if values.get("ticket"):
        ticket = _ticket(world, str(values["ticket"]))
    else:
        r = _return(world, str(values.get("return")))
        found = tickets.tickets_of_return(world.brands[r.brand], r.id)
        waiting = [t for t in found if t.status == "Draft"]
        if not waiting:
            raise Missing(f"return {r.id} has no Draft ticket (of {len(found)} tickets)")
        ticket = waiting[0]
    detail: Any = values.get("detail")
    if detail is not None and not isinstance(detail, dict):
        raise ValueError("detail must be an object")
    kind = str(values.get("kind", "complete"))
    parcels.receive(world, ticket, kind, cast("Values | None", detail))
    return json_answer(control_views.ticket_row(ticket))


def _auto_parcels(world: SandboxWorld, values: Values) -> Answer:
    _only(values, "mix", "brand", "limit")
    mix: Any = values.get("mix")
    if mix is not None and not isinstance(mix, dict):
        raise ValueError("mix must be an object of kinds and weights")
    if values.get("brand"):
        world.brand(str(values["brand"]))
    limit = _whole(values, "limit", None, 0, 10_000_000)
    weights = cast("dict[str, float] | None", mix)
    done = parcels.auto(world, weights, brand=values.get("brand"), limit=limit)
    kinds = Counter(t.parcel for t in done)
    return json_answer({"received": len(done), "kinds": kinds, "tickets": [t.id for t in done]})


def _add_faults(world: SandboxWorld, rules: list[Any] | None) -> Answer:
    if rules is None or not all(isinstance(x, dict) for x in rules):
        raise ValueError("the body must be a fault rule, or a list of them")
    parsed = [parse_rule(cast("Values", x)) for x in rules]
    for rule in parsed:
        if rule.brand is not None:
            world.brand(rule.brand)
        if rule.kind == "clock_skew":
            # Not bound to a call: it shifts the system's clock from now on.
            world.settings.update({f"{rule.system}_skew_seconds": rule.seconds or 0.0})
        else:
            world.faults.add(rule)
    return json_answer({"rules": [r.as_dict() for r in world.faults.rules]}, 201)
