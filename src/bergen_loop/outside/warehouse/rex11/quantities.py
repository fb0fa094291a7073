"""Quantities as REX11 writes them: text that should hold a whole number."""

from __future__ import annotations

import re

_WHOLE = re.compile(r"(-?[0-9]{1,9})(?:\.0*)?")


def read_quantity(text: str | None, name: str) -> tuple[int | None, str | None]:
    """The units and, if there is doubt, what stood there instead.

    `2`, `2.0` and `2.00` are 2; a missing value is None without a problem; a negative number is
    given with a problem; anything else is None with one. Never raises.
    """
    if text is None or not text.strip():
        return None, None
    match = _WHOLE.fullmatch(text.strip())
    if match is None:
        return None, f"{name} is {text[:40]!r}, not a whole number"
    units = int(match[1])
    return units, f"{name} is negative: {units}" if units < 0 else None
