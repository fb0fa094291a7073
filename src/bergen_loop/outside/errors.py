"""What can go wrong with a call to another system, said once for all systems.

An error carries the decision: `effect` says what became of the call, `scope` whom it concerns.
Both are set where the answer is read (each client's `responses`, or the transport), and nothing
else ever derives them again from an error's class, status or words.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar


class Effect(StrEnum):
    """What became of the call."""

    NOT_SENT = "not_sent"
    """Certainly not carried out: it may be made again, after a pause."""
    REFUSED = "refused"
    """Understood and turned down, nothing was changed: the same call will never succeed."""
    DOUBT = "doubt"
    """It may have been carried out: look before it is made again."""


class Scope(StrEnum):
    """Whom the error concerns."""

    CALL = "call"
    """This call and what it is about; others may well succeed."""
    ACCESS = "access"
    """The brand's credentials or their rights: every call of this kind will fare the same."""
    SYSTEM = "system"
    """The system is not there or has no time: no call to it will get through now."""


class OutsideError(Exception):
    """Base of every failure of a call to another system.

    `system` (Loop, REX11 ...), `brand`, `call` and `subject` (return, ticket, PO or UPC) say
    where it happened. `status` is HTTP's. `raw` is the answer as it came, if one came, without
    credentials: it is kept for people to look at. `retry_after`: seconds the system asked to
    wait. Errors survive pickling, so that they can be kept with a recorded step.
    """

    effect: ClassVar[Effect]
    scope: Scope = Scope.CALL

    def __init__(
        self,
        message: str,
        *,
        system: str,
        brand: str,
        call: str,
        subject: str | None = None,
        **more: Any,
    ) -> None:
        """`more`: status, raw, retry_after, and what a class adds."""
        super().__init__(message)
        self.message = message
        self.system = system
        self.brand = brand
        self.call = call
        self.subject = subject
        self.status: int | None = more.pop("status", None)
        self.raw: str | None = more.pop("raw", None)
        self.retry_after: float | None = more.pop("retry_after", None)
        self.codes: tuple[int | str, ...] = tuple(more.pop("codes", ()))
        """The system's own error codes, if it gave any."""
        if "scope" in more:
            self.scope = more.pop("scope")
        if more:
            raise TypeError(f"unknown fields of an error: {', '.join(more)}")

    def __str__(self) -> str:
        noun = "return " if self.system == "Loop" else ""
        about = f" for {noun}{self.subject}" if self.subject else ""
        return f"{self.system} {self.call}{about} (brand {self.brand}): {self.message}"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, dict(self.__dict__))


def _rebuild(kind: type[OutsideError], message: str, fields: dict[str, Any]) -> OutsideError:
    """Unpickling: the constructor's keyword-only arguments would not be given back."""
    error = kind.__new__(kind, message)
    error.__dict__.update(fields)
    return error


class Unauthorized(OutsideError):
    """The key or login is wrong, or lacks the right this call needs (after one new token, where
    the system has tokens). Nothing was changed."""

    effect = Effect.NOT_SENT
    scope = Scope.ACCESS


class RateLimited(OutsideError):
    """Too many calls, still so after the repeats; or no turn within the time allowed, or the
    breaker is open (then without a status). Not carried out."""

    effect = Effect.NOT_SENT
    scope = Scope.SYSTEM


class Unavailable(OutsideError):
    """Not reached, or a read that failed. Nothing was changed."""

    effect = Effect.NOT_SENT
    scope = Scope.SYSTEM


class OutcomeUnknown(OutsideError):
    """A call that changes something may have taken effect (timeout, reset, 5xx)."""

    effect = Effect.DOUBT
    scope = Scope.SYSTEM


class Unreadable(OutsideError):
    """An answer came that could not be understood, or that is about something else than was
    asked; `raw` keeps it. An action may have taken effect."""

    effect = Effect.DOUBT


class InvalidRequest(OutsideError):
    """The request itself is wrong, by the system's word or refused here before it was sent (then
    without a status): the same one can never succeed."""

    effect = Effect.REFUSED


class Refused(OutsideError):
    """The system understood and said no. Nothing was changed.

    `state`: the state of a return that Loop's words name ("Return is closed and ..."), or None.
    `items`: places in the request (counted from 0) that the words name ("COLOR[item 1] ...").
    """

    effect = Effect.REFUSED

    def __init__(
        self, message: str, *, state: str | None = None, items: tuple[int, ...] = (), **more: Any
    ) -> None:
        super().__init__(message, **more)
        self.state = state
        self.items = items


class NotFound(Refused):
    """No such return, order, webhook, ticket or shipment for this account."""
