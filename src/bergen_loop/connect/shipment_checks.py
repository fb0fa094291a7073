"""Does the brand have box-free returns, and may its shipments be read?"""

from __future__ import annotations

from collections.abc import Sequence

from bergen_loop.config.shipments import ShipmentSettings
from bergen_loop.connect.check import Check, Status
from bergen_loop.connect.faults import loop_fault
from bergen_loop.domain.announce import words
from bergen_loop.domain.returns import Return
from bergen_loop.outside.errors import NotFound, OutsideError
from bergen_loop.outside.loop.client import LoopClient

SHIPMENTS = "Happy Returns shipments"
NOBODYS = "bergen-loop-check"
"""A shipment that nobody has: asking for it shows whether the key may ask."""


def seen(returns: Sequence[Return]) -> int:
    """How many of these returns were dropped off box-free."""
    methods = words(*ShipmentSettings().methods)
    return sum(1 for r in returns if r.return_method and r.is_box_free(methods))


def check_shipments(loop: LoopClient, returns: Sequence[Return], *, on: bool) -> Check:
    """Is `loop.happy_returns` what the brand's returns show, and does the key have the scope?"""
    number = seen(returns)
    if not on:
        return Check(
            SHIPMENTS,
            Status.WARNING,
            f"{number} of the recent returns were dropped off box-free at Happy Returns, but "
            "loop.happy_returns is off: each would get an RMA of its own, and its parcel never "
            "comes",
            "Ask the brand's Loop admin; then set loop.happy_returns: true, and give the key the "
            "scope Happy Returns Shipments (read)",
        )
    try:
        loop.shipment(NOBODYS)
    except NotFound:
        pass
    except OutsideError as error:
        return loop_fault(SHIPMENTS, error, "Happy Returns Shipments (read)")
    return Check(SHIPMENTS, Status.OK, f"they may be read; {number} recent return(s) are box-free")
