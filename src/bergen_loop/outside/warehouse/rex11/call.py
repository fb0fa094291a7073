"""One call to REX11, as far as classifying its outcome needs to know it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from bergen_loop.outside.errors import OutcomeUnknown, OutsideError, Unauthorized, Unavailable
from bergen_loop.outside.http import HIDDEN, redact
from bergen_loop.outside.warehouse.rex11.config import AuthSigns

AnyWarehouseError = TypeVar("AnyWarehouseError", bound=OutsideError)


@dataclass(frozen=True, slots=True)
class Call:
    """Context of one call: where it belongs, and whether it changes anything in REX11."""

    brand: str
    operation: str
    subject: str | None = None
    changes: bool = False
    routine: bool = False
    """A look that every tick takes."""
    secrets: tuple[str, ...] = field(default=(), repr=False)
    signs: AuthSigns = field(default_factory=AuthSigns)
    nothing_found_codes: frozenset[int] = frozenset()
    sent: int = 0
    """How many items or products the request lists."""

    def error(
        self,
        kind: type[AnyWarehouseError],
        message: str,
        raw: bytes | None = None,
        **more: Any,
    ) -> AnyWarehouseError:
        """An error of this kind, scrubbed of secrets. `more`: status, scope, codes, items."""
        return kind(self.clean(message), **self.where(raw), **more)

    def no_answer(self, message: str, raw: bytes | None = None, **more: Any) -> OutsideError:
        """Sent, but no usable answer: harmless for a read, a doubt for a change."""
        if self.changes:
            message = f"{message}; it may have been carried out: look before repeating"
            return self.error(OutcomeUnknown, message, raw, **more)
        return self.error(Unavailable, f"{message}; nothing was changed", raw, **more)

    def unauthorized(self, message: str, raw: bytes | None = None) -> OutsideError:
        """The credentials or the token were refused."""
        return self.error(
            Unauthorized,
            f"{message}; check the account's WebAddress, UserName and Password",
            raw,
        )

    def clean(self, message: str) -> str:
        """The message without this call's secrets."""
        return scrub(message, self.secrets)

    def where(self, raw: bytes | None) -> dict[str, Any]:
        """The keyword arguments every OutsideError takes."""
        known = {
            "system": "REX11",
            "brand": self.brand,
            "call": self.operation,
            "subject": self.subject,
            "raw": None if raw is None else raw_text(raw, self.secrets),
        }
        return {k: v for k, v in known.items() if v is not None}


# -- keeping passwords and tokens out of everything that is kept or shown ----------------------

RAW_LIMIT = 1_000_000
"""Characters of an answer that an error keeps."""

_SECRET_ELEMENTS = re.compile(
    r"(<(?:[\w.-]+:)?(AuthenticationString|AuthenticationTokenGetResult|Password)\b[^<>]*(?<!/)>)"
    r"[^<]*",
    re.IGNORECASE,
)


def scrub(text: str, secrets: Iterable[str] = ()) -> str:
    """The text without these secrets and without what stands in elements that hold one."""
    return _SECRET_ELEMENTS.sub(rf"\1{HIDDEN}", redact(text, secrets))


def raw_text(answer: bytes, secrets: Iterable[str] = ()) -> str:
    """An answer's bytes as text fit to keep: scrubbed, without NULs, at most RAW_LIMIT long.

    Dropping the NULs also lays bare (to the scrubbing) what came as UTF-16.
    """
    text = scrub(answer.decode("utf-8", "replace").replace("\x00", ""), secrets)
    return text if len(text) <= RAW_LIMIT else text[:RAW_LIMIT] + "... [cut]"
