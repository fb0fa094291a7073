"""SKU, UPC and the other words two systems must agree on: one normal form for each.

Announcing, product look-up and adding, receipts and scanning all compare normal forms; what is
sent is the sent form, what people see is the original. REX11 lower-cases values, shops and
spreadsheets drop zeros and leave invisible characters behind, XML cannot carry all of Unicode.
"""

from __future__ import annotations

import re
import unicodedata
from enum import StrEnum
from functools import lru_cache

CODE_LIMIT = 50
"""Characters of a SKU or UPC. How long REX11's fields are is not documented."""


class CodeKind(StrEnum):
    """What a code is."""

    SKU = "SKU"
    UPC = "UPC"


# -- normal forms, for comparing --------------------------------------------------------------


@lru_cache(8192)
def normal_code(code: str | None) -> str | None:
    """A SKU (or a PO, a colour, a size) for comparing; None where nothing is left of it.

    Case, blanks, Unicode form and what cannot be seen do not count. Idempotent.
    """
    text = code or ""
    if text.isascii() and text.isprintable() and " " not in text:
        return text.lower() or None
    before = None
    while text != before:  # folding can compose anew, and composing can bring blanks
        before = text
        text = unicodedata.normalize("NFKC", before).casefold()
        text = "".join(c for c in text if not c.isspace() and not _invisible(c))
    return text or None


@lru_cache(8192)
def normal_upc(code: str | None) -> str | None:
    """A UPC/EAN for comparing: UPC-A, EAN-13 and GTIN-14 differ in leading zeros only. None for
    zeros alone and for words such as `N/A`, which stand in shops for "none"."""
    normal = normal_code(code)
    if normal is None or normal in _NO_CODE:
        return None
    return normal.lstrip("0") or None if normal.isascii() and normal.isdigit() else normal


def given_code(code: str | None) -> str | None:
    """A SKU or UPC as it came; None for the words that stand in shops and warehouses for "none":
    two products that have none are not one."""
    return None if normal_code(code) in _NO_CODE else code


_NO_CODE = frozenset(
    {None, "n/a", "#n/a", "na", "none", "null", "nil", "nan", "undefined", "tbd", "tbc", "-", "--",
     "0", "unknown", "nobarcode", "doesnotapply", "notapplicable", "nosku", "default",
     "defaulttitle", "[objectobject]", "#ref!", "#value!", "#name?", "#error!", "?", "??", "???",
     ".", "...", "xxx", "(null)", "[null]"}
)  # fmt: skip


@lru_cache(8192)
def normal_word(text: str | None) -> str:
    """A word of a closed list (outcome, method, status) for comparing: `In-Store`, `in_store`
    and `in store` are the same. Empty where there is none."""
    return (normal_code(text) or "").replace("-", "").replace("_", "")


# -- the sent form ----------------------------------------------------------------------------


def sent_code(code: str | None) -> str | None:
    """A code as it is written into a request: as the shop has it, without outer blanks and what
    cannot be seen. Its normal form is that of the original."""
    text = code or ""
    if not (text.isascii() and text.isprintable()):
        text = "".join(" " if c.isspace() else c for c in text if not _invisible(c))
    return " ".join(text.split()) or None


def tracking_numbers(text: str | None) -> tuple[str, ...]:
    """The tracking numbers in a field: several where it lists them, none for words (`N/A`,
    `not available`, `pending`) and zeros: every carrier's numbers have digits."""
    found = (sent_code(one) for one in re.split(r"[,;|\n]", text or ""))
    return tuple(dict.fromkeys(n for n in found if n and any(c in "123456789" for c in n)))


NO_NUMBER = frozenset(
    map(normal_word, ("", "n/a", "na", "none", "null", "pending", "unknown", "0"))
)
"""Normal words that stand for no number, and no carrier."""


def sent_upc(code: str | None) -> str | None:
    """As `sent_code`; None where the shop has no barcode (`normal_upc`)."""
    return sent_code(code) if normal_upc(code) else None


def unsendable(code: str | None, kind: CodeKind, limit: int = CODE_LIMIT) -> str | None:
    """Why a code cannot be sent so that it stays what it is, in words; None: it can."""
    text = code or ""
    shown = f"the {kind} {in_ascii(text.strip()[: 2 * CODE_LIMIT])}"
    if (normal_upc if kind is CodeKind.UPC else normal_code)(text) is None:
        return f"the {kind} is empty"
    for place, character in enumerate(text.strip(), start=1):
        if _uncarried(character):
            return (
                f"{shown} holds the character U+{ord(character):04X} at place {place}, which "
                "cannot be sent"
            )
    size = len(sent_code(text) or "")
    if size > limit:
        return f"{shown} is {size} characters long, more than {limit}"
    if spreadsheet_number(text, kind):
        return f"{shown} looks like a number that a spreadsheet has rounded"
    if kind is CodeKind.UPC and not any(c.isdigit() for c in text):
        return f"{shown} has no digit"
    return None


def spreadsheet_number(code: str | None, kind: CodeKind) -> bool:
    """True for what spreadsheets make of long numbers: `8.85E+11`, `885909950805.0`,
    `'885909950805`, `="885909950805"`."""
    return bool(_SPREADSHEET[kind].match(normal_code(code) or ""))


_SPREADSHEET = {
    CodeKind.UPC: re.compile(r"\d+([.,]\d+)?e[+-]?\d+$|\d+[.,]0*$|['\"=`]+\d+[\"']?$"),
    CodeKind.SKU: re.compile(r"\d+[.,]\d+e[+-]?\d+$|\d+e\+\d+$|=\".*\"$"),
}


# -- for people -------------------------------------------------------------------------------


def tell_apart(a: str, b: str) -> tuple[str, str]:
    """Both as people can tell them apart: as they are where they look different, else with
    everything unusual spelled out (`AB\\u200b-100`)."""
    one, two = " ".join(a.split()), " ".join(b.split())
    if one == two or look_alike(a, b):
        return in_ascii(a), in_ascii(b)
    return one, two


def look_alike(a: str, b: str) -> bool:
    """True for two texts that differ, and do not look it."""
    return a != b and _look(a) == _look(b)


def may_be_one(a: str, b: str) -> bool:
    """True for two codes that differ, and may be one that was changed on its way: they look alike,
    or differ in dashes, leading zeros, a letter O for a zero, what stands before a barcode, or
    in an end that is missing."""
    if look_alike(a, b):
        return True
    less, more = sorted((_bones(a), _bones(b)), key=len)
    if less == more:
        return a != b
    if _gtin(less) is not None and _gtin(less) == _gtin(more):
        return True
    long_enough = len(less) >= (_CUT_DIGITS if less.isdigit() else _CUT)
    return long_enough and (more.startswith(less) or more.endswith(less))


def is_left_of(code: str, whole: str) -> bool:
    """Whether a SKU is a whole one, dashes and zeros aside, or what a short field leaves of it."""
    left, bones = _bones(code), _bones(whole)
    return left == bones or (len(left) >= _LEFT and bones.startswith(left))


def _gtin(digits: str) -> str | None:
    """What all barcodes of one product have in common, without zeros in front and check digit:
    UPC-A, UPC-E (which leaves zeros out), and GTIN-14, which begins with how many are packed."""
    if not digits.isdigit() or not 5 <= len(digits) <= 14 or len(digits) == 8:
        return None
    if len(digits) > 8:
        return digits.zfill(14)[1:13].lstrip("0")
    short = digits[:6] if len(digits) == 7 else digits.zfill(6)
    maker, last = short[:5], short[5]
    if last in "012":
        return f"{maker[:2]}{last}0000{maker[2:]}".lstrip("0")
    if last in "34":
        return f"{maker[: int(last)]}00000{maker[int(last) :]}".lstrip("0")
    return f"{maker}0000{last}".lstrip("0")


def is_short_number(code: str | None) -> bool:
    """True for digits that are too few for a barcode: a SKU and a UPC may have them by chance."""
    normal = normal_upc(code) or ""
    return normal.isdigit() and len(normal) < _CUT_DIGITS


_LEFT = 8
_CUT, _CUT_DIGITS = 15, 8
"""From how many characters (of digits only) on a code may be the rest of a longer one."""


def _bones(code: str) -> str:
    """Letters and digits alone; of a number, what hands write for digits too."""
    kept = "".join(c for c in _look(code).casefold() if c.isalnum())
    digits = kept.translate(_CONFUSED)
    return digits.lstrip("0") if digits.isdigit() else kept


_CONFUSED = str.maketrans("oil", "011")


def in_ascii(text: str) -> str:
    """Everything but plain ASCII, and every blank but a single one inside, spelled out. Texts
    that differ stay different."""
    escaped = text.encode("unicode_escape").decode("ascii")
    return re.sub(r"^ | $|(?<= ) ", r"\\x20", escaped)


def _look(text: str) -> str:
    """About what is seen of it: marks, kinds of dashes and alphabets aside."""
    parts = unicodedata.normalize("NFKD", text)
    digits = (str(unicodedata.decimal(c, c)) for c in parts)  # of any script
    kept = (c for c in digits if not _invisible(c) and unicodedata.category(c) != "Mn")
    dashed = ("-" if unicodedata.category(c) == "Pd" else c for c in kept)
    return " ".join("".join(dashed).translate(_HOMOGLYPHS).split())


_HOMOGLYPHS = str.maketrans(
    "АВЕКМНОРСТУХЅІЈаеорсухѕіј" + "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧο" + "−",
    "ABEKMHOPCTYXSIJaeopcyxsij" + "ABEZHIKMNOPTYXo" + "-",
)
"""Cyrillic and Greek letters that look like Latin ones, and the minus."""


# -- characters -------------------------------------------------------------------------------


def _invisible(character: str) -> bool:
    """Nothing is seen of it: control, format and default-ignorable characters, half a pair."""
    if " " <= character <= "~":
        return False
    category = unicodedata.category(character)
    if category in ("Cc", "Cf", "Cs"):
        return character not in "\t\n\r"
    return _uncarried(character) or any(a <= character <= b for a, b in _IGNORABLE)


_IGNORABLE = (
    ("\u034f", "\u034f"),
    ("\u115f", "\u1160"),
    ("\u17b4", "\u17b5"),
    ("\u180b", "\u180f"),
    ("\u2065", "\u2065"),
    ("\u3164", "\u3164"),
    ("\ufe00", "\ufe0f"),
    ("\uffa0", "\uffa0"),
    ("\ufff0", "\ufff8"),
    ("\U000e0000", "\U000e0fff"),
)
"""Unicode's default-ignorable characters outside Cc and Cf."""


def _uncarried(character: str) -> bool:
    """XML 1.0 cannot carry it, or it already stands for one that was lost."""
    return (
        unicodedata.category(character) in ("Cc", "Cs")
        or character == "\N{REPLACEMENT CHARACTER}"
        or ord(character) & 0xFFFE == 0xFFFE
    )
