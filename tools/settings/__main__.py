"""Writes docs/settings.md from the settings themselves: `python tools/settings`."""

from __future__ import annotations

import ast
import inspect
import textwrap
import types
import typing
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from bergen_loop.config import guide
from bergen_loop.config.kits import KitsFile

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
HEAD = """\
# Settings

Every setting, made from the code by `python tools/settings`; a test holds this page to it. A
duration is written like `30s`, `15m`, `12h`, `14d` or `2w`. A secret is never written into the
file but named: `env:NAME`, `file:PATH`, `ledger:NAME`, `keyring:NAME`. What is left out has its
default; what stands here and is unknown is a mistake, told with its line. How a brand is connected
is told in [connecting](connecting.md), how a service is run in [operations](operations.md).
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for path, model in guide.blocks().items():
        told = " ".join((model.__doc__ or "").split())
        parts.append(f"## {path or 'The file'}\n\n{told}\n")
        rows = [
            f"| `{name}` | {kind(field.annotation, field.metadata)} | {default(field)} "
            f"| {words(model).get(name, '')} |"
            for name, field in model.model_fields.items()
        ]
        parts.append("| setting | may be | default | what it is for |\n|---|---|---|---|")
        parts[-1] += "\n" + "\n".join(rows) + "\n"
    return "\n".join(parts)


def words(model: type[BaseModel]) -> dict[str, str]:
    """What each field is for: the text that stands below it in the code."""
    found: dict[str, str] = {}
    for one in reversed(model.__mro__):
        if one is BaseModel or not issubclass(one, BaseModel):
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(one))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, below in zip(body.body, body.body[1:], strict=False):
            if not isinstance(field, ast.AnnAssign) or not isinstance(below, ast.Expr):
                continue
            if isinstance(below.value, ast.Constant) and isinstance(below.value.value, str):
                found[getattr(field.target, "id")] = _cell(below.value.value)  # noqa: B009
    for name, field in model.model_fields.items():
        if field.description:
            found[name] = _cell(field.description)
    return found


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def kind(annotation: Any, metadata: list[Any]) -> str:
    """What a field may be."""
    if get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        return kind(inner, [*metadata, *more])
    if get_origin(annotation) in (typing.Union, types.UnionType):
        return " or ".join(
            "nothing" if one is type(None) else kind(one, metadata) for one in get_args(annotation)
        )
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{one}`" for one in get_args(annotation))
    if get_origin(annotation) is dict:
        key, value = get_args(annotation)
        return f"for each {kind(key, []).removeprefix('one of ')}: {kind(value, [])}"
    if get_origin(annotation) in (list, tuple, frozenset):
        return f"a list of: {kind(get_args(annotation)[0], [])}"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return ", ".join(f"`{one.value}`" for one in annotation)
    if annotation is KitsFile:
        return "a path"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "a block, below"
    return _plain(annotation, metadata)


def _plain(annotation: Any, metadata: list[Any]) -> str:
    checks = {getattr(getattr(one, "func", None), "__name__", "") for one in metadata}
    if "_http_url" in checks:
        return "an https address"
    if "_zone" in checks:
        return "a time zone"
    names = {
        str: "text", int: "a whole number", float: "a number", bool: "`true`, `false`",
        timedelta: "a duration", SecretStr: "a secret", Path: "a path",
    }  # fmt: skip
    name = names.get(annotation, getattr(annotation, "__name__", str(annotation)))
    if annotation not in (int, float):
        return name
    words = {Ge: ("from", "ge"), Gt: ("above", "gt"), Le: ("to", "le"), Lt: ("below", "lt")}
    bounds = [
        f"{word} {getattr(one, attribute)}"
        for bound, (word, attribute) in words.items()
        for one in metadata
        if isinstance(one, bound)
    ]
    return " ".join([name, *bounds])


def default(field: FieldInfo) -> str:
    """What holds where it is left out."""
    if field.is_required():
        return "needed"
    value = field.get_default(call_default_factory=True)
    if value is None:
        return "none"
    if isinstance(value, BaseModel):
        return "its own"
    if isinstance(value, timedelta):
        return f"`{span(value)}`"
    if isinstance(value, Enum):
        return f"`{value.value}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, (list, tuple, frozenset)):
        return ", ".join(f"`{one}`" for one in value) or "none"
    return f"`{value}`" if value or value == 0 else "none"


def span(value: timedelta) -> str:
    """A duration as it is written."""
    seconds = int(value.total_seconds())
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


if __name__ == "__main__":
    PAGE.write_text(page())
