"""How far this machine's clock is from theirs, by the Date header of an answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from bergen_loop.connect.check import Check, Status
from bergen_loop.outside.http import Interrupted, NotSent, Sender

NEGLIGIBLE = timedelta(seconds=30)
HARMFUL = timedelta(minutes=5)
"""Reads reach this far ahead of our clock: what is beyond could be seen late."""


def check_clock(system: str, url: str, http: Sender) -> Check:
    """Ask for the host's front page, without credentials: any answer carries a date."""
    name = f"Clock against {system}"
    skew = measure(url, http)
    if skew is None:
        return Check(name, Status.UNKNOWN, "unknown: its answers carry no usable Date")
    way = "ahead" if skew > timedelta(0) else "behind"
    text = f"this machine is {abs(skew.total_seconds()):.0f} s {way}"
    if abs(skew) <= NEGLIGIBLE:
        return Check(name, Status.OK, text)
    status = Status.FAILED if abs(skew) > HARMFUL else Status.WARNING
    return Check(
        name, status, text, "Ask whoever runs this machine to have its clock set by NTP (chrony)"
    )


def measure(url: str, http: Sender) -> timedelta | None:
    """Our time less theirs, to about a second; None where it cannot be told."""
    parts = urlsplit(url)
    sent = datetime.now(UTC)
    try:
        answer = http.send("GET", f"{parts.scheme}://{parts.netloc}/", {}, None)
        middle = sent + (datetime.now(UTC) - sent) / 2
        theirs = parsedate_to_datetime(answer.headers.get("date", ""))
    except (NotSent, Interrupted, ValueError):
        return None
    theirs = theirs if theirs.tzinfo else theirs.replace(tzinfo=UTC)
    # The header is cut to whole seconds: on average half of one is missing.
    return middle - (theirs + timedelta(seconds=0.5))
