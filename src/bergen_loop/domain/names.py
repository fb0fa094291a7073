"""Names of accounts and tokens: the journal calls people by them, so no two may look alike, and
none may look like somebody who is no account."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

RESERVED = ("bergen-loop", "bergen loop", "somebody", "nobody", "unknown", "service", "system")
"""What the journal calls the service itself, and those it cannot name."""

_ENDS = ("command line", "no sign-in")
"""What the journal writes, in brackets, behind the names of people who are no account."""

_LIKE = {
    "0": "o", "1": "l", "|": "l", "!": "l",
    "а": "a", "в": "b", "е": "e", "з": "e", "і": "i", "ј": "j", "к": "k", "м": "m", "н": "h",
    "о": "o", "р": "p", "с": "c", "т": "t", "у": "y", "х": "x", "ѕ": "s", "һ": "h", "ԁ": "d",
    "ԛ": "q", "ԝ": "w", "ӏ": "l", "п": "n", "г": "r",
    "α": "a", "β": "b", "ε": "e", "η": "n", "ι": "i", "κ": "k", "μ": "u", "ν": "v", "ο": "o",
    "ρ": "p", "τ": "t", "υ": "u", "χ": "x", "ω": "w", "γ": "y", "ϲ": "c", "ϳ": "j",
    "ա": "w", "ո": "n", "օ": "o", "ս": "u", "ց": "g", "հ": "h", "յ": "j",
    "ı": "i", "ɩ": "i", "ɪ": "i", "ʟ": "l", "ɡ": "g", "ɑ": "a",
}  # fmt: skip
"""Letters of other scripts, and digits, by the Latin letter that they look like. Not Unicode's
whole list: together with one script a name, enough to keep names apart."""


def problem(name: str, reserved: Iterable[str] = ()) -> str | None:
    """What is wrong with a name that somebody chose, in words. `reserved` are further names that
    the journal uses for others."""
    if not 2 <= len(name) <= 80 or not name.isprintable():
        return "a name has 2 to 80 characters"
    if name != unicodedata.normalize("NFKC", name) or name != " ".join(name.split()):
        return "write the name with plain letters and single blanks"
    if any(c in name for c in "()<>[]{}"):
        return "a name has no brackets: they stand for people who are no account here"
    if len({_script(c) for c in name if c.isalpha()}) > 1:
        return "a name is written in letters of one alphabet"
    taken = {skeleton(n) for n in (*RESERVED, *reserved)}
    like, ends = skeleton(name), tuple(map(skeleton, _ENDS))
    if like in taken or like.startswith(skeleton("token ")) or like.endswith(ends):
        return "this name is kept for the service itself; choose another"
    return None


def skeleton(name: str) -> str:
    """The same for names that look the same, at a glance."""
    folded = unicodedata.normalize("NFKD", name).casefold()
    letters = (c for c in folded if not unicodedata.combining(c))
    alike = "".join(_LIKE.get(c, c) for c in letters if c.isalnum() or c in _LIKE)
    # Told apart by nobody in most typefaces: capital I, small l and one; rn and m; vv and w.
    return alike.replace("rn", "m").replace("vv", "w").replace("l", "i")


def _script(letter: str) -> str:
    """LATIN, CYRILLIC, GREEK, ...: the first word of its name. Those that Japanese and Korean
    are written in together count as one."""
    first = unicodedata.name(letter, "?").split()[0]
    return "CJK" if first in ("CJK", "HIRAGANA", "KATAKANA", "HANGUL") else first
