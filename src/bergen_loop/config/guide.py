"""Where a setting is explained: docs/settings.md, which is made from the settings themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from bergen_loop.config.kits import KitsFile
from bergen_loop.config.models import Settings

PAGE = "docs/settings.md"
_NAMED = {"brands": "BRAND", "kits": "KIT.PART", "groups": "GROUP"}
"""What stands for the names under which there are several of a block."""


def section(field: str) -> str:
    """Where a field (`brands.acme.loop.version`) is explained: the page and its section."""
    given, known = field.split("."), blocks()
    if "criteria" in (given[0], *given[2:3]) and given[-1] != "criteria":
        return "docs/criteria.md"  # a mistake within them
    while given:
        path = ".".join(["brands", "BRAND", *given[2:]] if given[0] == "brands" else given)
        if path in known:
            return f"{PAGE}#{slug(path)}"
        given.pop()
    return PAGE


def slug(path: str) -> str:
    """The anchor of a block's heading."""
    return "".join(c for c in path.lower() if c.isalnum() or c in "-_")


@cache
def blocks() -> Mapping[str, type[BaseModel]]:
    """Every block of the file by its path, in their order; the file itself is empty."""
    return dict(_blocks(Settings, ""))


def _blocks(model: type[BaseModel], path: str) -> Iterator[tuple[str, type[BaseModel]]]:
    yield path, model
    for name, field in model.model_fields.items():
        for inner, several in _models_in(field.annotation):
            step = f"{name}.{_NAMED.get(name, 'NAME')}" if several else name
            yield from _blocks(inner, f"{path}.{step}" if path else step)


def _models_in(annotation: Any, several: bool = False) -> Iterator[tuple[type[BaseModel], bool]]:
    """The blocks that a field may hold; whether several, under names."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if annotation is not KitsFile:  # a path, in the file
            yield annotation, several
        return
    many = several or get_origin(annotation) in (dict, list)
    for inner in get_args(annotation):
        yield from _models_in(inner, many)
