"""Keeping passwords and tokens out of everything that is kept or shown."""

from __future__ import annotations

import re
from collections.abc import Iterable

from bergen_loop.outside.http import HIDDEN, redact

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
