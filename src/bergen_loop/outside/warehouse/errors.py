"""What can go wrong with a warehouse system, in terms that do not depend on which it is."""

from __future__ import annotations

from typing import Any


class WarehouseError(Exception):
    """Base. `brand`, `call` and `subject` (ticket, PO or UPC) say where it happened.

    `raw` is the answer as it came, if one came: it is kept for people to look at. Credentials
    and tokens never are in it.
    """

    def __init__(
        self,
        message: str,
        *,
        brand: str,
        call: str,
        subject: str | None = None,
        raw: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.brand = brand
        self.call = call
        self.subject = subject
        self.raw = raw

    def __str__(self) -> str:
        about = f" for {self.subject}" if self.subject else ""
        return f"REX11 {self.call}{about} (brand {self.brand}): {self.message}"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, dict(self.__dict__))


def _rebuild(kind: type[WarehouseError], message: str, fields: dict[str, Any]) -> WarehouseError:
    """Unpickling: the constructor's keyword-only arguments would not be given back."""
    error = kind.__new__(kind, message)
    error.__dict__.update(fields)
    return error


class WarehouseUnauthorized(WarehouseError):
    """Credentials or token refused, also after one renewal."""


class WarehouseRejected(WarehouseError):
    """The system understood and said no (notifications with an error). Nothing was changed."""

    def __init__(
        self,
        message: str,
        *,
        brand: str,
        call: str,
        subject: str | None = None,
        raw: str | None = None,
        codes: tuple[int, ...] = (),
    ) -> None:
        super().__init__(message, brand=brand, call=call, subject=subject, raw=raw)
        self.codes = codes


class WarehouseNotFound(WarehouseRejected):
    """No such ticket."""


class WarehouseUnavailable(WarehouseError):
    """Not reached, or it failed before it can have changed anything. Safe to repeat."""


class WarehouseOutcomeUnknown(WarehouseError):
    """The request may have taken effect: look before repeating (timeout, reset, 5xx)."""


class WarehouseUnreadable(WarehouseError):
    """An answer came that could not be understood; `raw` keeps it. A call that changes
    something may have taken effect."""
