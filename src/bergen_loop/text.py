"""Text from outside as text: what could steer a terminal, forge a line or turn the reading
direction is shown, not obeyed. Each medium has one way out, and all of them begin here."""

from __future__ import annotations

import json
import os
import re

_KEPT = (0x09, 0x0A)
_STEERING = (
    *range(0x80, 0xA0),  # C1: one of them is a whole escape sequence for some terminals
    0x061C, 0x200B, 0x200E, 0x200F, 0x2028, 0x2029,
    *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0xFEFF, *range(0xFFF9, 0xFFFC),
    *range(0xD800, 0xE000),  # lone surrogates: no encoding has them
    *range(0xE0000, 0xE0080),
)  # fmt: skip
_PICTURES = {c: 0x2400 + c for c in range(0x20)} | {0x7F: 0x2421}
_ONE_LINE = _PICTURES | dict.fromkeys(_STEERING, 0xFFFD)
_LINES = {code: to for code, to in _ONE_LINE.items() if code not in _KEPT}
_ESCAPES = {code: json.dumps(chr(code))[1:-1] for code in (0x7F, *_STEERING)}
_DOMAIN = re.compile(r"@[\w-]++(?:\.[\w-]++)++")

LONGEST = 2000
"""Characters of one text in a message to people."""


def visible(text: str) -> str:
    """`text` as it may stand within a line. One character for one; takes time in proportion."""
    return text.translate(_ONE_LINE)


def visible_lines(text: str) -> str:
    """`text` as it may be shown on several lines."""
    return text.translate(_LINES)


def json_escaped(document: str) -> str:
    """A JSON document with what steers as escapes: the same document, safe to look at."""
    return document.translate(_ESCAPES)


def shortened(text: str, most: int = LONGEST) -> str:
    """`text`, cut where it is longer, and said so."""
    return text if len(text) <= most else f"{text[:most]}... ({len(text)} characters)"


def without_addresses(text: str, instead: str) -> str:
    """`text` with e-mail addresses replaced. Takes time in proportion, whatever the text is."""
    pieces: list[str] = []
    start = 0
    for domain in _DOMAIN.finditer(text):
        local = domain.start()
        while local > start and (text[local - 1].isalnum() or text[local - 1] in "_.+%-"):
            local -= 1
        if local < domain.start():
            pieces += (text[start:local], instead)
            start = domain.end()
    return "".join((*pieces, text[start:]))


def failure(error: BaseException) -> str:
    """What an error may tell people and logs: its class, and its words only where they are ours
    or the operating system's. A library's words may quote a database, a peer or a secret."""
    name = type(error).__name__
    if type(error).__module__.partition(".")[0] == __package__:
        words = str(error)
    elif isinstance(error, OSError) and type(error).__module__ == "builtins" and error.errno:
        words = os.strerror(error.errno)
    else:
        cause = getattr(error, "orig", None)
        code = getattr(cause, "sqlstate", None) or getattr(cause, "sqlite_errorname", None)
        words = " ".join(filter(None, (type(cause).__name__ if cause else "", code)))
    return visible(shortened(f"{name}: {words}" if words else name))
