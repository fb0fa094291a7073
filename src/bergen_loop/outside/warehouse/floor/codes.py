"""What a scanner may read off a label."""

from __future__ import annotations

from collections.abc import Iterable

from bergen_loop.domain.comparison import normal_code, normal_upc

TAILS = (12, 15, 20, 22)
"""Carriers' barcodes hold more than the tracking number, which is at their end."""


def plain(code: str | None) -> str | None:
    """A code as it is kept and looked for: folded, without blanks inside or around it."""
    return normal_code("".join((code or "").split()))


def product(code: str | None) -> str | None:
    """A UPC as it is kept and looked for: UPC-A, EAN-13 and GTIN-14 are the same."""
    return normal_upc("".join((code or "").split()))


def tracking_candidates(code: str) -> list[str]:
    """The tracking numbers that a scanned text may stand for, the likeliest first."""
    whole = plain(code)
    if whole is None:
        return []
    return list(dict.fromkeys([whole, *_tails(whole)]))


def _tails(whole: str) -> Iterable[str]:
    return (whole[-size:] for size in TAILS if len(whole) > size and whole.isdigit())
