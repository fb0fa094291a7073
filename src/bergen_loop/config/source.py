"""Reading the file, with the line and column of every mistake."""

# ruamel.yaml carries no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from bergen_loop.config.errors import ConfigError, Problem
from bergen_loop.config.models import Settings


def load_settings(path: Path) -> Settings:
    """Read and check a configuration file. Raises ConfigError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigError(
            [Problem(str(path), 1, 1, "(file)", f"cannot be read: {reason}", "check the path")]
        ) from None
    return parse_settings(text, str(path))


def parse_settings(text: str, source: str) -> Settings:
    """Check configuration text. Raises ConfigError; `source` names it in messages."""
    tree = _parse_yaml(text, source)
    try:
        return Settings.model_validate(_plain(tree))
    except ValidationError as error:
        problems = [_problem(source, tree, e["loc"], e) for e in error.errors(include_url=False)]
        raise ConfigError(problems) from None


def _parse_yaml(text: str, source: str) -> CommentedMap:
    yaml = YAML(typ="rt")
    try:
        tree = yaml.load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        what = str(error.problem or error.context or "not valid YAML")
        raise ConfigError(
            [Problem(source, line, column, "(syntax)", what, "correct the YAML at this place")]
        ) from None
    except YAMLError as error:
        raise ConfigError(
            [Problem(source, 1, 1, "(syntax)", str(error), "correct the YAML")]
        ) from None
    if not isinstance(tree, CommentedMap):
        raise ConfigError(
            [Problem(source, 1, 1, "(file)", "is empty or not a mapping", "start with `brands:`")]
        )
    return tree


def _plain(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {str(k): _plain(v) for k, v in node.items()}
    if isinstance(node, list):
        return [_plain(v) for v in node]
    return node


def _problem(
    source: str, tree: CommentedMap, loc: tuple[int | str, ...], error: Mapping[str, Any]
) -> Problem:
    line, column = _position(tree, loc)
    names = [str(part) for part in loc if part != "[key]"]
    message = str(error["msg"]).removeprefix("Value error, ")
    return Problem(
        source, line, column, ".".join(names) or "(file)", message, _fix(error, names, message)
    )


def _position(tree: CommentedMap, loc: tuple[int | str, ...]) -> tuple[int, int]:
    """Line and column (from 1) of the innermost part of `loc` that exists in the file."""
    node: Any = tree
    line, column = 1, 1
    for part in loc:
        if isinstance(node, CommentedMap) and part in node:
            line, column = node.lc.key(part)
        elif isinstance(node, CommentedSeq) and isinstance(part, int) and part < len(node):
            line, column = node.lc.item(part)
        else:
            break
        line, column = line + 1, column + 1
        node = node[part]
    return line, column


_FIXES = {
    "missing": "add `{field}:` here",
    "extra_forbidden": "remove it, or correct its spelling",
    "string_pattern_mismatch": "use the form {pattern}",
    "literal_error": "write one of {expected}",
    "enum": "write one of {expected}",
}


def _fix(error: Mapping[str, Any], names: list[str], message: str) -> str:
    context: Mapping[str, Any] = error.get("ctx") or {}
    template = _FIXES.get(str(error["type"]))
    if template:
        return template.format(
            field=names[-1] if names else "",
            pattern=context.get("pattern", ""),
            expected=context.get("expected", ""),
        )
    if "env:NAME" in message:
        return "write for example env:ACME_LOOP_KEY"
    if "environment variable" in message:
        return "set it for this process, or name another one"
    return "correct this value"
