"""Closing an RMA in Bergen.

REX11 has no operation that closes or cancels a ticket: the warehouse finishes it by bringing it
to AddedToInventory or Cancelled. How an installation closes is therefore a strategy, chosen by
configuration.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, urlsplit

from bergen_loop.domain.rma import CloseEvidence, TicketStatus
from bergen_loop.outside.errors import NotFound, Refused, Unavailable
from bergen_loop.outside.http import (
    Answer,
    Around,
    Connection,
    Limits,
    Request,
    secret_parts,
)
from bergen_loop.outside.warehouse.rex11.call import Call
from bergen_loop.outside.warehouse.rex11.config import check_url

_MAX_BYTES = 1_000_000

Clock = Callable[[], datetime]


class CloseStrategy(Protocol):
    """One way to close an RMA. `closed` is True only where that is certain; errors are
    WarehouseErrors. Called again for the same ticket it does no harm."""

    def close(
        self,
        brand: str,
        ticket_id: str,
        last_status: TicketStatus | None,
        observed_at: datetime | None,
    ) -> CloseEvidence:
        """Close the RMA, or say why it counts as closed, or as not closed."""
        ...


class ConfirmFinished:
    """Default: closed as soon as the warehouse has finished the ticket. Asks and sends nothing."""

    def close(
        self,
        brand: str,
        ticket_id: str,
        last_status: TicketStatus | None,
        observed_at: datetime | None,
    ) -> CloseEvidence:
        """By the status last seen."""
        when = (
            f" at {observed_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
            if observed_at
            else " at an unrecorded time"
        )
        if last_status is None:
            return CloseEvidence(False, f"No status of ticket {ticket_id} is known yet", None)
        seen = f"REX11 showed ticket {ticket_id} as {last_status.value}{when}"
        if last_status.finished:
            return CloseEvidence(True, seen, observed_at)
        return CloseEvidence(False, f"{seen}: the warehouse has not finished it", observed_at)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class FileDrop:
    """For installations that take closes as files: `<brand>_<ticket>.json` in `folder`, holding
    ticket, brand and time. A file appears whole or not at all; one that is there stays."""

    def __init__(self, folder: Path, clock: Clock = _utc_now) -> None:
        self._folder = folder
        self._clock = clock

    def close(
        self,
        brand: str,
        ticket_id: str,
        last_status: TicketStatus | None,
        observed_at: datetime | None,
    ) -> CloseEvidence:
        """Drop the file. Unavailable if it cannot be written."""
        now = self._clock()
        # An underscore is escaped too, so that two pairs never share a name.
        brand_part, ticket_part = (
            quote(part, safe="").replace("_", "%5F") for part in (brand, ticket_id)
        )
        target = self._folder / f"{brand_part}_{ticket_part}.json"
        try:
            fresh = self._write(target, _close_notice(brand, ticket_id, now))
        except OSError as error:
            call = Call(brand, "FileDrop", ticket_id)
            message = f"{target.name} was not written to the close folder: {error.strerror}"
            raise call.error(Unavailable, message) from error
        if fresh:
            return CloseEvidence(True, f"Close file {target.name} dropped", now)
        return CloseEvidence(True, f"Close file {target.name} was there already", now)

    def _write(self, target: Path, content: bytes) -> bool:
        if target.exists():
            return False
        temporary = target.with_name(f".{uuid.uuid4().hex}.tmp")
        try:
            with temporary.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(target.parent)
        return True


def _sync_folder(folder: Path) -> None:
    """Make the new name itself survive a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class HttpCall:
    """For installations with a close endpoint of their own.

    `url` may hold `{ticket}` and `{brand}` after the host, which is fixed; they are put in
    percent-encoded. POST, PUT and PATCH send the JSON {ticket, brand, time}. Any 2xx is a
    close. The endpoint must bear being called again for the same ticket.
    """

    def __init__(
        self,
        url: str,
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
        around: Around | None = None,
        *,
        allow_plain_http: bool = False,
    ) -> None:
        self._method = method.upper()
        if self._method not in ("POST", "PUT", "PATCH", "DELETE"):
            raise ValueError(f"close method {method!r} is none of POST, PUT, PATCH, DELETE")
        check_url("close url", url, allow_plain_http=allow_plain_http)
        parts = urlsplit(url)
        filled = url.replace("{ticket}", "").replace("{brand}", "")
        if "{" in parts.netloc or "{" in filled or "}" in filled:
            raise ValueError("close url: only {ticket} and {brand} are filled in, after the host")
        self._url = url
        self._secrets = secret_parts(headers or {})
        self._connection = Connection(
            "REX11", Limits(_MAX_BYTES), around, headers=headers, secrets=self._secrets
        )
        self._clock = (around or Around()).now

    def close(
        self,
        brand: str,
        ticket_id: str,
        last_status: TicketStatus | None,
        observed_at: datetime | None,
    ) -> CloseEvidence:
        """Call the endpoint. Closed on any 2xx; everything else is a OutsideError."""
        now = self._clock()
        call = Call(brand, "HttpCall", ticket_id, changes=True, secrets=self._secrets)
        content = self._content(brand, ticket_id, now)
        kind = {"Content-Type": "application/json"} if content is not None else {}
        request = Request(
            brand=brand,
            call=call.operation,
            subject=ticket_id,
            method=self._method,
            url=self._address(call),
            headers=kind,
            content=content,
            changes=True,
        )
        status = self._connection.call(request, lambda answer: _read_close(answer, call))
        return CloseEvidence(
            True, f"The close endpoint answered {status} for ticket {ticket_id}", now
        )

    def _address(self, call: Call) -> str:
        # One pass each on disjoint text: an encoded value holds no braces.
        ticket, brand = quote(call.subject or "", safe=""), quote(call.brand, safe="")
        return self._url.replace("{ticket}", ticket).replace("{brand}", brand)

    def _content(self, brand: str, ticket_id: str, now: datetime) -> bytes | None:
        return None if self._method == "DELETE" else _close_notice(brand, ticket_id, now)


def _read_close(answer: Answer, call: Call) -> int:
    """The status of an answer that says yes."""
    if 200 <= answer.status < 300:
        return answer.status
    message = f"the close endpoint answered HTTP {answer.status}"
    if answer.status in (401, 403):
        raise call.error(Refused, f"{message}; check its headers", answer.body)
    if answer.status in (404, 410):
        raise call.error(NotFound, message, answer.body)
    if 400 <= answer.status < 500 and answer.status not in (408, 429):
        raise call.error(Refused, message, answer.body)
    raise call.no_answer(message, answer.body)


def _close_notice(brand: str, ticket_id: str, now: datetime) -> bytes:
    notice = {"ticket": ticket_id, "brand": brand, "time": now.isoformat()}
    return (json.dumps(notice, ensure_ascii=False) + "\n").encode()
