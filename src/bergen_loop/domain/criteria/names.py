"""What products are called in sentences for people: no two that differ may look alike."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile

from bergen_loop.domain.comparison import SkuCount

_TWINS = str.maketrans(
    "авеікмнорстухѕјαβεζηικμνορτυχ",
    "abeikmhopctyxsjabezhikmnoptyx",
)
"""Cyrillic and Greek letters to the Latin ones that look like them, in small letters."""


def plain(text: str) -> str:
    """One line: control, format and unpaired surrogate characters out, blanks collapsed."""
    if text.isascii() and text.isprintable() and "  " not in text:
        return text.strip()
    kept = (" " if unicodedata.category(c)[0] in "CZ" else c for c in text)
    return " ".join("".join(kept).split())


def looks(text: str) -> str:
    """What a reader sees of a text: equal for texts that cannot be told apart by eye."""
    seen = unicodedata.normalize("NFKC", text)
    kept = (c for c in seen if c == " " or unicodedata.category(c)[0] not in "CZ")
    dashed = ("-" if unicodedata.category(c) == "Pd" else c for c in kept)
    return " ".join("".join(dashed).casefold().translate(_TWINS).split())


def names_of(products: Sequence[SkuCount], limit: int | None = None) -> list[str]:
    """The name of each, in the same order: its SKU or UPC, and where two look alike what tells
    them apart. `limit` is the most characters of one, roughly; None: nothing is cut."""
    codes = [p.name for p in products]
    # As the codes are, for making them plain can hide what they have in common, and as they
    # would be shown, for it can make them alike.
    names = _told_apart(codes, lambda i: spelled(codes[i]), plain)
    names = _told_apart(names, lambda i: spelled(codes[i]))
    names = _told_apart(names, lambda i: _with_upc(names[i], products[i]))
    if limit is not None:
        whole = names
        names = [_cut(name, limit) for name in whole]
        for alike in _groups(names):
            for i, part in zip(alike, _differing([whole[i] for i in alike], limit), strict=True):
                names[i] = part
    for _ in products:
        alike = [i for group in _groups(names) for i in group]
        if not alike:
            break
        for i in alike:
            names[i] = f"{names[i]} (no. {i + 1})"
    return names


def spelled(text: str) -> str:
    """A text with every character that may deceive the eye by its number: `AB<U+000B>-1`."""
    return "".join(
        c if 0x20 < ord(c) < 0x7F or _inner_blank(text, i) else f"<U+{ord(c):04X}>"
        for i, c in enumerate(text)
    )


def _inner_blank(text: str, index: int) -> bool:
    around = text[index - 1 : index] + text[index + 1 : index + 2]
    return text[index] == " " and len(around) == 2 and " " not in around


def _with_upc(name: str, product: SkuCount) -> str:
    return f"{name} (UPC {spelled(product.upc)})" if product.upc and product.sku else name


def _told_apart(
    names: Sequence[str], other: Callable[[int], str], own: Callable[[str], str] = str
) -> list[str]:
    """The names, each that looks like another one replaced; `own` is for those that do not."""
    alike = {i for group in _groups(names) for i in group}
    return [other(i) if i in alike else own(name) or other(i) for i, name in enumerate(names)]


def _groups(names: Sequence[str]) -> Iterator[list[int]]:
    """The places of names that look alike, where there are several."""
    if len(names) < 2:
        return
    by_looks: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        by_looks.setdefault(looks(name), []).append(index)
    yield from (group for group in by_looks.values() if len(group) > 1)


def _cut(name: str, limit: int) -> str:
    """Beginning and end."""
    head = limit * 2 // 3
    return name if len(name) <= limit else f"{name[:head]}…{name[head + 1 - limit :]}"


def _differing(names: list[str], limit: int) -> Iterator[str]:
    """Of long names that look alike when cut: the part where they begin to differ."""
    same = sum(1 for _ in takewhile(lambda chars: len(set(chars)) == 1, zip(*names, strict=False)))
    start = max(0, same - limit // 4)
    for name in names:
        end = start + limit - 2
        yield f"{'…' if start else ''}{name[start:end]}{'…' if end < len(name) else ''}"
