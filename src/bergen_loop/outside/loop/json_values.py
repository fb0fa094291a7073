"""Reading JSON from outside without trusting it: strict text in, narrow helpers out."""

from __future__ import annotations

import json
import math
from typing import Any, cast


def loads(text: str | bytes) -> object:
    """Parse JSON. ValueError with a short reason for anything that is not JSON.

    NaN and Infinity are refused, and a number too large for a float stays the text it was:
    otherwise the raw body could not be stored as JSON again.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8-sig")
    try:
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except RecursionError as exc:
        raise ValueError("the JSON is nested too deeply") from exc


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float | str:
    value = float(text)
    return value if math.isfinite(value) else text


def as_object(value: object) -> dict[str, Any] | None:
    """The value as a JSON object, or None if it is something else."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def as_array(value: object) -> list[Any] | None:
    """The value as a JSON array, or None if it is something else."""
    return cast("list[Any]", value) if isinstance(value, list) else None


def as_text(value: object) -> str | None:
    """A string without outer blanks, or a whole number as text; None for all else and for
    blanks. Loop gives ids both ways."""
    if isinstance(value, str):
        return value.strip() or None
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
