"""Reading JSON from outside without trusting it: one odd value spoils only itself."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any, cast

_DIGITS = 40
"""Of a whole number: more are no id and no amount."""
_PLACE = re.compile("[0-9]{1,9}")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},]', re.DOTALL)


class Odd(str):
    """What JSON or this program has no place for: a number (NaN, 1e999, an endless one) as it was
    written, or both values of a field that an object gives twice. It can be stored again, and is
    neither text nor an amount."""


def loads(text: str | bytes) -> object:
    """Parse JSON. ValueError with a short reason for anything that is not JSON.

    Lenient where one value is bad and the rest is not: raw control characters in strings are
    taken; numbers that cannot be, and fields that are given twice and differ, are `Odd`.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8-sig")
    try:
        return json.loads(
            text,
            strict=False,
            parse_constant=Odd,
            parse_float=_finite,
            parse_int=_whole,
            object_pairs_hook=_object,
        )
    except RecursionError as exc:
        raise ValueError("the JSON is nested too deeply") from exc


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        for name, value in pairs:
            if value != fields[name] and not isinstance(fields[name], Odd):
                fields[name] = Odd(f"two values: {brief(value)} and {brief(fields[name])}")
    return fields


def loads_element(text: str) -> object:
    """The same for one element of a list, which spoils only itself: what is no JSON is a text."""
    try:
        return loads(text)
    except ValueError:
        return f"(no JSON) {text}"


def _finite(text: str) -> float | Odd:
    value = float(text)
    return value if math.isfinite(value) else Odd(text)


def _whole(text: str) -> int | Odd:
    return int(text) if len(text) <= _DIGITS else Odd(text)


def elements(text: str, start: int) -> tuple[list[str], int]:
    """The elements of the array whose bracket stands at `start`, each as it is written, and where
    the array ends: for text that as a whole is no JSON. ValueError where brackets do not fit, so
    that one element could be taken for several, or several for one."""
    found: list[str] = []
    begin, within = start + 1, list[str]()
    for at, mark in _marks(text, start):
        if len(within) == 1 and mark in ",]":
            if (element := text[begin:at].strip()) or mark == ",":
                found.append(element)
            begin = at + 1
        if mark in "[{":
            within.append("]" if mark == "[" else "}")
        elif mark in "]}" and within.pop() != mark:
            raise ValueError("a bracket does not fit")
        if not within:
            return found, at + 1
    raise ValueError("the array has no end")


def _marks(text: str, start: int) -> Iterator[tuple[int, str]]:
    for token in _TOKEN.finditer(text, start):
        if not token[0].startswith('"'):
            yield token.start(), token[0]


def as_object(value: object) -> dict[str, Any] | None:
    """The value as a JSON object, or None if it is something else."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def as_array(value: object) -> list[Any] | None:
    """The value as a JSON array, or None if it is something else. PHP writes a list that it has
    taken elements out of as an object of numbered fields."""
    if isinstance(value, list):
        return cast("list[Any]", value)
    fields = as_object(value)
    return list(fields.values()) if fields and all(map(_PLACE.fullmatch, fields)) else None


def as_text(value: object) -> str | None:
    """A string without outer blanks, or a whole number as text; None for all else and for
    blanks. Loop gives ids both ways."""
    if isinstance(value, str):
        return None if isinstance(value, Odd) else value.strip() or None
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**40:
        return str(value)
    return None


def brief(value: object, limit: int = 60) -> str:
    """The value as quoted in a message for people, in about `limit` characters at most.

    Objects and arrays are only named: to spell one out may be long, and fails when it is deep.
    """
    fields, array = as_object(value), as_array(value)
    if fields is not None:
        return f"an object with {len(fields)} fields"
    if array is not None:
        return f"an array of {len(array)}"
    if isinstance(value, str):
        return repr(value if len(value) <= limit else value[: limit - 3] + "...")
    if isinstance(value, int) and abs(value) >= 10**40:
        return "a huge number"
    return "null" if value is None else str(value).lower()
