"""A second reading of answers that are not quite XML.

.NET services let through what XML forbids: control characters (scanners write `&#x1D;` into
comments), entities of HTML, a bare `&`, a wrong encoding in the declaration, a blank line before
it. Only characters are mended, never structure: an answer that is cut off or nested wrongly stays
unreadable. Every mended place carries the mark MENDED, by which a reader knows that this value is
not exactly what was sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.entities import html5

MENDED = "\uf8f3"
"""A private-use character, of no meaning to anyone else; never part of a value."""

_DECLARATION = re.compile(r"^\s*<\?xml\b[^>]*\?>\s*")
_SPOILED = re.compile(
    r"&(?P<entity>[A-Za-z][A-Za-z0-9]{0,40};|\#[0-9]{1,20};|\#x[0-9A-Fa-f]{1,20};)"
    r"|(?P<bare>&)"
    r"|(?P<illegal>[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff])"
    r"|(?P<joined>[\"'](?=xmlns[:=]))"
)
_KNOWN = ("amp;", "lt;", "gt;", "quot;", "apos;")


def mend(answer: bytes) -> bytes | None:
    """The answer with its characters mended, as UTF-8; None if there is nothing to be done."""
    text = _decoded(answer)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        return None
    body = _DECLARATION.sub("", text.replace(MENDED, ""), count=1).lstrip()
    if not body.startswith("<"):
        return None
    return "".join(_pieces(body)).encode()


def _decoded(answer: bytes) -> str:
    """As UTF-16 if its bytes are, else as UTF-8, whatever the declaration says."""
    if answer[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return answer.decode("utf-16", "replace").replace("\ufffd", MENDED)
    try:
        return answer.decode("utf-8-sig")
    except UnicodeDecodeError:
        # Here a replaced byte is a lost character; elsewhere U+FFFD is what was sent.
        return answer.decode("utf-8-sig", "replace").replace("\ufffd", "\x00")


def _pieces(body: str) -> Iterator[str]:
    """The text mended, CDATA sections by rules of their own: there an ampersand is one."""
    at = 0
    while (start := body.find("<![CDATA[", at)) >= 0:
        end = body.find("]]>", start)
        if end < 0:
            break
        yield _SPOILED.sub(_mended, body[at:start])
        yield "".join(c if _legal(ord(c)) else MENDED for c in body[start:end])
        at = end
    yield _SPOILED.sub(_mended, body[at:])


def _mended(match: re.Match[str]) -> str:
    if entity := match["entity"]:
        return _entity(entity)
    if match["bare"]:
        return f"{MENDED}&amp;"
    if match["joined"]:
        return f"{match['joined']} "
    return MENDED


def _entity(name: str) -> str:
    if name in _KNOWN:
        return f"&{name}"
    if name.startswith("#"):
        digits = name[1:-1]
        number = int(digits[1:], 16) if digits[0] == "x" else int(digits)
        return f"&{name}" if _legal(number) else MENDED
    meant = html5.get(name)
    if meant is None:
        return f"{MENDED}&amp;{name}"
    return MENDED + meant.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _legal(number: int) -> bool:
    return (
        number in (0x9, 0xA, 0xD)
        or 0x20 <= number <= 0xD7FF
        or 0xE000 <= number <= 0xFFFD
        or 0x10000 <= number <= 0x10FFFF
    )
