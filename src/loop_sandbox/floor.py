"""The warehouse floor page over the sandbox's tickets: countings by hand instead of by plan.

The page itself are files that the service serves too; what answers it here is the sandbox's own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qs

from loop_sandbox import parcels, tickets
from loop_sandbox.dispatch import Outgoing
from loop_sandbox.model import Ticket
from loop_sandbox.wire import Answer, WireRequest, json_answer

if TYPE_CHECKING:
    from loop_sandbox.world import SandboxWorld

FOLDER = Path(__file__).parents[1] / "bergen_loop" / "console" / "floor_page"
FILES = {
    "": ("index.html", "text/html; charset=utf-8"),
    "floor.js": ("floor.js", "text/javascript; charset=utf-8"),
    "sw.js": ("sw.js", "text/javascript; charset=utf-8"),
    "barcodes.js": ("barcodes.js", "text/javascript; charset=utf-8"),
    "zxing_reader.wasm": ("zxing_reader.wasm", "application/wasm"),
    "floor.css": ("floor.css", "text/css; charset=utf-8"),
}
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; "
    "style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'"
}
BEFORE_COUNT = ("PendingCSR", "PendingPrinting", "PrintedPendingCount", "CountingInProgress")
AFTER_COUNT = ("PendingPutaway", "PutAwayInProgress", "AddedToInventory")
MOST_FOUND, MOST_EXPECTED = 20, 300

Json = dict[str, Any]


class Refused(Exception):
    """A counting that the floor cannot take; `status` is the answer's."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def handle_floor(world: SandboxWorld, request: WireRequest) -> Outgoing:
    """The page, its files and its calls."""
    match request.method, request.parts():
        case "GET", []:
            return _file("")
        case "GET", [name] if name in FILES:
            return _file(name)
        case "GET", ["api", "me"]:
            return Outgoing(json_answer({"who": "sandbox", "csrf": "-"}))
        case "GET", ["api", "find"]:
            found = SandboxFloor(world).find(request.query.get("code", ""))
            return Outgoing(json_answer({"tickets": found}))
        case "GET", ["api", "expected"]:
            return Outgoing(json_answer({"tickets": SandboxFloor(world).expected()}))
        case "POST", ["api", "count"]:
            return Outgoing(_count(world, request))
        case _:
            return Outgoing(json_answer({"error": f"no floor page {request.path}"}, 404))


def _file(name: str) -> Outgoing:
    file, kind = FILES[name]
    return Outgoing(Answer(200, (FOLDER / file).read_bytes(), kind, HEADERS))


def _count(world: SandboxWorld, request: WireRequest) -> Answer:
    fields = parse_qs(request.body.decode("utf-8", "replace"))
    try:
        value: Any = json.loads(fields.get("counting", [""])[0])
    except ValueError:
        value = None
    if not isinstance(value, dict):
        return json_answer({"error": "the counting is no JSON object"}, 422)
    try:
        taken = SandboxFloor(world).count(cast("Json", value), "sandbox")
        return json_answer(taken)
    except Refused as error:
        return json_answer({"error": str(error)}, error.status)
    except (KeyError, TypeError, ValueError) as error:
        return json_answer({"error": f"the counting is not right: {error!r}"}, 422)


class SandboxFloor:
    """What the page needs, of every brand of the sandbox."""

    def __init__(self, world: SandboxWorld) -> None:
        self._world = world

    def find(self, code: str) -> list[Json]:
        """By number, PO or tracking number; else Drafts that expect a product with this UPC."""
        wanted = "".join(code.split()).lower()
        with self._world.lock:
            every = [t for b in self._world.brands.values() for t in b.tickets.values()]
            found = [t for t in every if wanted and wanted in _names(t)]
            if not found:
                found = [t for t in every if not _finished(t) and wanted in _products(t)]
            return [_as_json(t) for t in reversed(found[-MOST_FOUND:])]

    def expected(self) -> list[Json]:
        """Tickets that are not finished, the oldest first."""
        with self._world.lock:
            every = [t for b in self._world.brands.values() for t in b.tickets.values()]
            return [_as_json(t) for t in every if not _finished(t)][:MOST_EXPECTED]

    def count(self, counting: Json, who: str) -> Json:
        """Take a counting: {"ticket": ticket, "repeated": bool}."""
        with self._world.lock:
            key, ticket = str(counting["key"]), self._ticket(counting)
            taken = self._world.floor_keys.get(key)
            if taken is not None and taken != ticket.id:
                raise Refused("this counting was sent for another RMA before", 409)
            if taken is not None:
                return {"ticket": _as_json(ticket), "repeated": True}
            reopen = counting.get("reopen")
            if _finished(ticket) and not (reopen and ticket.status == "AddedToInventory"):
                raise Refused(
                    f"RMA {ticket.id} is {ticket.status} and is not counted any more", 409
                )
            lines = [_line(row) for row in cast("list[Json]", counting["lines"])]
            finish = counting["finish"]
            if not isinstance(finish, bool):
                raise TypeError("finish must be true or false")
            self._world.floor_keys[key] = ticket.id
            if _finished(ticket):
                tickets.set_status(self._world, ticket, "CountingInProgress")
            ticket.parcel = "floor"
            for item in ticket.items if reopen == "anew" else ():
                item.actual = item.damaged = "0"
            self._walk(ticket, BEFORE_COUNT)
            for line in lines:
                _add(self._world, ticket, line)
            if finish:
                self._walk(ticket, AFTER_COUNT)
            return {"ticket": _as_json(ticket), "repeated": False}

    def _ticket(self, counting: Json) -> Ticket:
        found = tickets.find_ticket(self._world, str(counting["ticket"]))
        if found is None or found.brand != counting["brand"]:
            raise Refused(f"there is no RMA {counting['ticket']} here", 404)
        return found

    def _walk(self, ticket: Ticket, statuses: tuple[str, ...]) -> None:
        if ticket.status == statuses[-1]:
            return
        for status in statuses:
            tickets.set_status(self._world, ticket, status)


def _line(row: Json) -> Json:
    for name in ("counted", "damaged"):
        if type(row[name]) is not int or row[name] < 0:
            raise ValueError(f"{name} must be a whole number from 0")
    if not (row.get("upc") or row.get("sku")):
        raise ValueError("a line needs upc or sku")
    return row


def _add(world: SandboxWorld, ticket: Ticket, line: Json) -> None:
    known = len(ticket.items)
    codes = {str(line[n]).strip().lower() for n in ("upc", "sku") if line.get(n)}
    item = parcels.item_of(world, ticket, codes)
    if not item.values:
        item.values = {"Sku": str(line.get("sku") or ""), "UPC": str(line.get("upc") or "")}
    if len(ticket.items) > known:
        item.values["Comments"] = "Not on ASN"
    item.actual = str(_number(item.actual) + line["counted"])
    item.damaged = str(_number(item.damaged) + line["damaged"])
    reasons = [str(x) for x in line.get("reasons", []) if x]
    if reasons:
        before = item.values.get("Comments")
        item.values["Comments"] = "; ".join([*([before] if before else []), *reasons])


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0


def _finished(ticket: Ticket) -> bool:
    return ticket.status in ("AddedToInventory", "Cancelled") or (
        ticket.status != "Draft" and ticket.parcel != "floor"
    )


def _names(ticket: Ticket) -> set[str]:
    return {x.lower() for x in (ticket.id, ticket.po, *ticket.tracking_numbers) if x}


def _products(ticket: Ticket) -> set[str]:
    return {item.values.get(n, "").lower() for item in ticket.items for n in ("UPC", "Sku")} - {""}


def _as_json(ticket: Ticket) -> Json:
    return {
        "brand": ticket.brand,
        "ticket": ticket.id,
        "po": ticket.po,
        "status": ticket.status,
        "memo": ticket.fields.get("Memo") or None,
        "carrier": ticket.fields.get("Carrier") or None,
        "tracking": list(ticket.tracking_numbers),
        "due": None,
        "finished": _finished(ticket),
        "finished_at": ticket.added.isoformat() if ticket.added else None,
        "items": [
            {
                "sku": item.values.get("Sku") or None,
                "upc": item.values.get("UPC") or None,
                "description": item.values.get("ProductDescription") or None,
                "expected": item.expected,
                "counted": _number(item.actual),
                "damaged": _number(item.damaged),
                "note": item.values.get("Comments") or None,
                "picture": None,
            }
            for item in ticket.items
        ],
    }
