"""What a scanner may read off a label."""

from __future__ import annotations

from collections.abc import Iterable

from bergen_loop.domain.codes import normal_code

TAILS = (12, 15, 20, 22)
"""Carriers' barcodes hold more than the tracking number, which is at their end."""


def tracking_candidates(code: str) -> list[str]:
    """The tracking numbers that a scanned text may stand for, the likeliest first."""
    whole = normal_code(code)
    if whole is None:
        return []
    return list(dict.fromkeys([whole, *_tails(whole)]))


def _tails(whole: str) -> Iterable[str]:
    return (whole[-size:] for size in TAILS if len(whole) > size and whole.isdigit())
