"""What the floor page needs behind it. The page and every back end know only this.

There are two: `EmbeddedFloor`, and the sandbox's, which shares nothing with this package and
answers the same questions for its own tickets. All values are plain JSON, as they travel.

A ticket: `{"brand", "ticket", "po", "status", "memo", "carrier", "tracking": [str], "due",
"finished": bool, "finished_at": str | null, "items": [item]}`; an item: `{"sku", "upc",
"description", "expected", "counted", "damaged", "note", "picture"}`, where a unit is either
counted (good) or damaged, and the picture is an address or null. `due` of a ticket is the day on
which it is expected, or null.

A ticket of a consolidated shipment that was found by the barcode of a bag has `"bag": {"barcode",
"return_id", "items": [item]}` too: what was to come, and was counted, in this bag.

A counting: `{"key", "brand", "ticket", "finish": bool, "bag": str | null, "reopen": "more" |
"anew" | null, "lines": [{"upc", "sku", "counted", "damaged", "reasons": [str]}], "photos":
[{"code", "data": "data:image/jpeg;base64,..."}]}`. Its numbers are added to what was counted
before; `key` is unique to the counting, so that sending it again changes nothing. One of a ticket
that is finished is taken only with `reopen`: "more" of it has come, or all is counted "anew".
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

Json = dict[str, Any]


class FloorRefused(Exception):
    """A counting that cannot be taken. The message tells the worker why and what to do."""

    def __init__(self, message: str, status: int = 422) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        """404: no such ticket; 409: it is finished; 422: the counting is not right."""


@runtime_checkable
class FloorBackend(Protocol):
    """Tickets to be counted, and countings of them."""

    def find(self, code: str) -> list[Json]:
        """Tickets of the shipment that has a bag with this barcode; else with this number, PO or
        tracking number; else open tickets that expect a product with this UPC. At most 20, the
        likeliest first."""
        ...

    def expected(self) -> list[Json]:
        """Open tickets, those that are due first, at most 300: kept by the page, so that parcels
        can be counted without a network."""
        ...

    def count(self, counting: Json, who: str) -> Json:
        """Take a counting: `{"ticket": ticket, "repeated": bool}`. Raises FloorRefused."""
        ...
