"""What the control side shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from loop_sandbox import loop_json, rex_api
from loop_sandbox.model import STATES, Brand, LoopReturn, Ticket

if TYPE_CHECKING:
    from loop_sandbox.world import SandboxWorld

Query = dict[str, str]


def return_row(r: LoopReturn) -> dict[str, Any]:
    """A return in short."""
    return {
        "id": r.id,
        "brand": r.brand,
        "state": r.state,
        "created_at": loop_json.stamp(r.created_at),
        "updated_at": loop_json.stamp(r.updated_at),
        "outcome": loop_json.outcome(r),
        "return_method": r.return_method,
        "tracking_number": r.label.tracking_number if r.label else None,
        "processing": r.processing,
        "lines": [
            {"line_item_id": x.id, "sku": x.product.sku, "upc": x.product.upc} for x in r.lines
        ],
    }


def ticket_row(t: Ticket) -> dict[str, Any]:
    """A ticket in short."""
    return {
        "id": t.id,
        "brand": t.brand,
        "status": t.status,
        "customer_po": t.po,
        "return_id": t.return_id,
        "parcel": t.parcel,
        "corrections": t.corrections,
        "created": t.created.isoformat(),
        "changed": t.changed.isoformat(),
        "items": [
            {
                "sku": x.values.get("Sku", ""),
                "upc": x.values.get("UPC", ""),
                "expected": x.expected,
                "actual": x.actual,
                "damaged": x.damaged,
            }
            for x in t.items
        ],
    }


def _brands(world: SandboxWorld, query: Query) -> list[Brand]:
    return [world.brand(query["brand"])] if query.get("brand") else list(world.brands.values())


def _number(query: Query, name: str, default: int) -> int:
    text = query.get(name) or str(default)
    if not text.isdigit():
        raise ValueError(f"{name} must be a whole number, not {text!r}")
    return int(text)


def config(world: SandboxWorld, query: Query, root: str) -> dict[str, Any]:
    """Everything a client needs to be set up."""
    return {
        "seed": world.seed,
        "loop_base_url": f"{root}/loop/api",
        "rex11_endpoint": f"{root}/rex11{rex_api.PATH}",
        "brands": [
            {
                "slug": b.slug,
                "name": b.name,
                "shop_id": b.shop_id,
                "loop_api_key": b.loop_key,
                "loop_webhook_secret": b.webhook_secret,
                "rex11_web_address": b.web_address,
                "rex11_user_name": b.user_name,
                "rex11_password": b.password,
                "warehouse": b.warehouse,
            }
            for b in world.brands.values()
        ],
    }


def summary(world: SandboxWorld, query: Query, root: str) -> dict[str, Any]:
    """Counts per brand."""
    return {"brands": {b.slug: _summary(b) for b in _brands(world, query)}}


def _summary(brand: Brand) -> dict[str, Any]:
    returns = brand.returns.values()
    by_state = Counter(r.state for r in returns)
    return {
        "returns": {state: by_state[state] for state in STATES},
        "tickets": dict(Counter(t.status for t in brand.tickets.values())),
        "processing": sum(r.processing > 0 for r in returns),
        "processed": sum(r.effects.money_moved > 0 for r in returns),
        "processed_twice": sum(r.effects.money_moved > 1 for r in returns),
        "processed_after_flag": sum(r.effects.moved_after_flag for r in returns),
        "flagged": sum(r.effects.flags > 0 for r in returns),
        "notes": sum(len(r.notes) for r in returns),
    }


def list_returns(world: SandboxWorld, query: Query, root: str) -> dict[str, Any]:
    found = [
        r
        for b in _brands(world, query)
        for r in b.returns.values()
        if not query.get("state") or r.state == query["state"]
    ]
    limit, offset = _number(query, "limit", 1000), _number(query, "offset", 0)
    return {"total": len(found), "returns": [return_row(r) for r in found[offset:][:limit]]}


def list_tickets(world: SandboxWorld, query: Query, root: str) -> dict[str, Any]:
    found = [
        t
        for b in _brands(world, query)
        for t in b.tickets.values()
        if (not query.get("status") or t.status == query["status"])
        and (not query.get("return_id") or t.return_id == query["return_id"])
    ]
    limit, offset = _number(query, "limit", 1000), _number(query, "offset", 0)
    return {"total": len(found), "tickets": [ticket_row(t) for t in found[offset:][:limit]]}


def calls(world: SandboxWorld, query: Query, root: str) -> dict[str, Any]:
    """The call log; page on with `after` = the last seq seen."""
    found = world.calls.find(
        brand=query.get("brand") or None,
        system=query.get("system") or None,
        operation=query.get("operation") or None,
        subject=query.get("subject") or None,
        effects_only=query.get("effects", "") in ("1", "true"),
        after=_number(query, "after", 0),
        limit=_number(query, "limit", 1000),
    )
    return {"total": len(world.calls), "calls": [c.as_dict() for c in found]}


def effects(world: SandboxWorld, query: Query, root: str) -> dict[str, Any]:
    """What was done, per return that anything was done to, and what breaks the rules."""
    rows: dict[str, Any] = {}
    strays: list[dict[str, Any]] = []
    violations: list[str] = []
    for brand in _brands(world, query):
        by_return: dict[str, list[Ticket]] = {}
        for ticket in brand.tickets.values():
            if ticket.return_id is None:
                strays.append(ticket_row(ticket))
            else:
                by_return.setdefault(ticket.return_id, []).append(ticket)
        violations += [
            f"{brand.slug}: PO {po!r} has {len(ids)} tickets: {', '.join(ids)}"
            for po, ids in brand.tickets_by_po.items()
            if po and len(ids) > 1
        ]
        for r in brand.returns.values():
            mine = by_return.get(r.id, [])
            if query.get("return_id") not in (None, "", r.id):
                continue
            if mine or r.notes or r.effects.any():
                rows[r.id] = _effects(r, mine)
                violations += _violations(r)
    return {"returns": rows, "tickets_without_return": strays, "violations": violations}


def _effects(r: LoopReturn, tickets: list[Ticket]) -> dict[str, Any]:
    e = r.effects
    by_po: dict[str, list[str]] = {}
    for ticket in tickets:
        by_po.setdefault(ticket.po, []).append(ticket.id)
    return {
        "brand": r.brand,
        "state": r.state,
        "money_moved": e.money_moved,
        "process_accepted": e.process_accepted,
        "process_failed": e.process_failed,
        "refused": e.refused,
        "flags": e.flags,
        "closes": e.closes,
        "cancels": e.cancels,
        "removed_lines": e.removed_lines,
        "accepted_after_flag": e.accepted_after_flag,
        "moved_after_flag": e.moved_after_flag,
        "notes": [n["content"] for n in r.notes],
        "labels": len(r.labels()),
        "tickets": by_po,
        "parcels": {t.id: t.parcel for t in tickets},
    }


def _violations(r: LoopReturn) -> list[str]:
    found: list[str] = []
    if r.effects.money_moved > 1:
        found.append(f"{r.brand}: return {r.id} moved money {r.effects.money_moved} times")
    if r.effects.moved_after_flag:
        found.append(f"{r.brand}: return {r.id} was processed after it was flagged")
    return found


def faults(world: SandboxWorld, query: Query, root: str) -> dict[str, Any]:
    return {"rules": [r.as_dict() for r in world.faults.rules]}


def settings(world: SandboxWorld, query: Query, root: str) -> dict[str, Any]:
    return world.settings.as_dict()


VIEWS: dict[str, Callable[[SandboxWorld, Query, str], dict[str, Any]]] = {
    "config": config,
    "summary": summary,
    "returns": list_returns,
    "tickets": list_tickets,
    "calls": calls,
    "effects": effects,
    "faults": faults,
    "settings": settings,
}
