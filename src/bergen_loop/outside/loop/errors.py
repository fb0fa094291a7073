"""Typed errors of the Loop client. Each names the brand, the call and the return."""

from __future__ import annotations

from typing import Any


class LoopError(Exception):
    """Base of all. `raw` is the answer's body, if one came, for people to look at.

    `retry_after` is the number of seconds Loop asked to wait, if it did. Errors survive
    pickling, so that they can be kept with a recorded step and raised again.
    """

    retry_after: float | None = None

    def __init__(
        self,
        message: str,
        *,
        brand: str,
        call: str,
        return_id: str | None = None,
        status: int | None = None,
        raw: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.brand = brand
        self.call = call
        self.return_id = return_id
        self.status = status
        self.raw = raw

    def __str__(self) -> str:
        about = f" for return {self.return_id}" if self.return_id else ""
        return f"Loop {self.call}{about} (brand {self.brand}): {self.message}"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, dict(self.__dict__))


def _rebuild(kind: type[LoopError], message: str, fields: dict[str, Any]) -> LoopError:
    error = kind.__new__(kind, message)
    error.__dict__.update(fields)
    return error


class LoopUnauthorized(LoopError):
    """401/403: the key is wrong, or lacks the scope this call needs."""


class LoopRateLimited(LoopError):
    """429 still after the retries, or no turn within the time allowed (then without a
    status). The call was not carried out."""


class LoopUnavailable(LoopError):
    """Not reached, or a read failed. Nothing was changed: safe to repeat."""


class LoopOutcomeUnknown(LoopError):
    """A call that changes something may have taken effect: look before repeating."""


class LoopInvalidRequest(LoopError):
    """422 and other 4xx, or refused here before sending (then without a status): the request
    itself is wrong; repeating it cannot help."""


class LoopNotFound(LoopError):
    """404: no such return, order or webhook for this key."""


class LoopRefused(LoopError):
    """A refusal of an action, which Loop sends with status 200. Nothing was changed.

    `code` is Loop's (UNPROCESSABLE_RETURN ...) or None; `state` is the state the message names
    ("Return is closed and ..."), or None.
    """

    def __init__(
        self,
        message: str,
        *,
        brand: str,
        call: str,
        return_id: str | None = None,
        status: int | None = None,
        raw: str | None = None,
        code: str | None = None,
        state: str | None = None,
    ) -> None:
        super().__init__(
            message, brand=brand, call=call, return_id=return_id, status=status, raw=raw
        )
        self.code = code
        self.state = state


class LoopUnreadable(LoopError):
    """An answer came that could not be understood; `raw` keeps it. An action may have
    taken effect."""
