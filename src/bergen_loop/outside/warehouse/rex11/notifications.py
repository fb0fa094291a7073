"""The Notifications of an answer, and the errors they stand for.

REX11 reports errors with HTTP 200, several per answer; an empty list means success. Errors about
items name them in words, such as "COLOR[item 1] is not valid" or
"ReceivingTicket/Shipmentitemslist/Size[item 1] is not valid". It is documented nowhere what it
counts from; recorded answers begin with item 1, so 1 is taken for the first, unless the answer
names an item 0.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bergen_loop.outside.errors import NotFound, OutsideError, Refused, Unreadable
from bergen_loop.outside.warehouse.rex11 import soap
from bergen_loop.outside.warehouse.rex11.call import Call
from bergen_loop.outside.warehouse.rex11.soap import Element

INVALID_ASN = 41
_INTEGER = re.compile(r"-?[0-9]{1,9}")
_ITEM = re.compile(r"\[item ([0-9]{1,6})\]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Notification:
    """ErrorCode (None if missing or no number), Severity and Message of one."""

    code: int | None
    severity: str | None
    message: str | None

    @property
    def ok(self) -> bool:
        """ErrorCode 0 and Severity Success, as far as both are there (and one is)."""
        fine = self.code in (None, 0) and (self.severity or "success").casefold() == "success"
        return fine and not (self.code is None and self.severity is None)

    def __str__(self) -> str:
        code = "" if self.code is None else f"{self.code} "
        return f"{code}{self.severity or 'error'}: {self.message or 'no message'}"


def read_notifications(result: Element) -> list[Notification]:
    """All notifications of a result that say anything."""
    found: list[Notification] = []
    for group in soap.children(result, "Notifications"):
        for element in soap.children(group, "Notification"):
            code, severity = soap.text(element, "ErrorCode"), soap.text(element, "Severity")
            message = soap.text(element, "Message")
            if code and (not _INTEGER.fullmatch(code) or soap.mended(element, "ErrorCode")):
                # An unreadable code is an error in itself, so Severity must not excuse it.
                severity = f"{severity or 'error'} (ErrorCode {code[:20]!r})"
                code = None
            if code or severity or message:
                found.append(Notification(int(code) if code else None, severity, message))
    return found


def refusal(
    notifications: Sequence[Notification], call: Call, raw: bytes, *, done: bool = False
) -> OutsideError | None:
    """The error these notifications stand for; None if there is none.

    `done`: the answer also holds what a success would (a ticket id). Success and error in one
    answer to a change are a contradiction, so a doubt (Unreadable), not a refusal.
    """
    errors = [n for n in notifications if not n.ok]
    if not errors:
        return None
    message = "; ".join(str(n) for n in errors)
    codes = tuple(n.code for n in errors if n.code is not None)
    if call.changes and (done or len(errors) < len(notifications)):
        return call.error(
            Unreadable,
            f"the answer reports both success and errors ({message}); look before repeating",
            raw,
        )
    if any(call.signs.match(n.message, n.code) for n in errors):
        return call.unauthorized(f"REX11 refused the token: {message}", raw)
    gone = len(codes) == len(errors) and set(codes) == {INVALID_ASN}
    kind = NotFound if gone else Refused
    return call.error(kind, message, raw, codes=codes, items=_items(message, call.sent))


def _items(message: str, sent: int) -> tuple[int, ...]:
    """The places (from 0) of the items the words name, as far as the request has them."""
    named = {int(number) for number in _ITEM.findall(message)}
    first = 0 if 0 in named else 1
    return tuple(sorted(n - first for n in named if n - first < sent))
