"""YAML text, read in one way: whatever is wrong with it becomes a mistake with its place."""

# ruamel.yaml carries no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import re
from typing import Any

import yaml as libyaml
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import Node
from ruamel.yaml.resolver import implicit_resolvers


class YamlMistake(Exception):
    """A text that is no YAML. `line` and `column` count from 1."""

    def __init__(self, message: str, remedy: str, line: int = 1, column: int = 1) -> None:
        super().__init__(message)
        self.message, self.remedy, self.line, self.column = message, remedy, line, column


def compose(text: str) -> Node | None:
    """The text as nodes that know their place; None where it is empty. Raises YamlMistake."""
    return _read(YAML(typ="safe", pure=True).compose, text)


def load(text: str) -> Any:
    """The text as values that know their place and their comments (ruamel's `CommentedMap`
    and the like); None where it is empty. Raises YamlMistake."""
    return _read(YAML(typ="rt").load, text)


def values(text: str) -> Any:
    """As `load`, the values alone: all that most readers want, and 20 times as fast for a text
    in which everything is what it looks like. Raises YamlMistake."""
    if _UNLIKE.search(text) is None:
        try:
            for event in libyaml.parse(text, _Parser):
                if getattr(event, "anchor", None) or getattr(event, "tag", None):
                    return load(text)
            return _values_of(libyaml.compose(text, _Parser))
        except (_NotPlain, libyaml.YAMLError, RecursionError):
            pass  # said with its place by the other reader
    return load(text)


_Parser: Any = getattr(libyaml, "CSafeLoader", libyaml.SafeLoader)
_UNLIKE = re.compile(r"[^\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe]|^%", re.MULTILINE)
"""What YAML 1.1, which libyaml reads, and 1.2 take differently: some breaks of lines, tabs,
directives."""
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_SPECIAL = [pattern for versions, _, pattern, _ in implicit_resolvers if (1, 2) in versions]
_WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}


class _NotPlain(Exception):
    """A text that only the slow reader reads as it must be."""


def _values_of(node: Any) -> Any:
    if isinstance(node, libyaml.ScalarNode):
        if node.style in ("|", ">"):
            return _odd()  # whose first lines libyaml takes less strictly
        return node.value if node.style else _meant(node.value)
    if isinstance(node, libyaml.SequenceNode):
        return [_values_of(item) for item in node.value]
    if node is None:
        return None
    found = {_key_of(key): _values_of(value) for key, value in node.value}
    return found if len(found) == len(node.value) else _odd()


def _key_of(node: Any) -> Any:
    key = _values_of(node) if isinstance(node, libyaml.ScalarNode) else None
    return _odd() if key is None or isinstance(key, bool) else key  # said with its place


def _meant(text: str) -> Any:
    """What a scalar without quotes is."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return _odd() if any(pattern.match(text) for pattern in _SPECIAL) else text


def _odd() -> Any:
    raise _NotPlain


def _check_depth(text: str) -> None:
    """Refuse at once what the slow reader would take half a minute to refuse. YamlMistake."""
    if text.count("[") + text.count("{") <= _DEEPEST:
        return
    depth = 0
    try:
        for event in libyaml.parse(text, _Parser):
            if isinstance(event, libyaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, libyaml.CollectionEndEvent):
                depth -= 1
            if depth > _DEEPEST:
                place = event.start_mark.line + 1, event.start_mark.column + 1
                raise YamlMistake("it is nested too deeply", _REMEDY, *place)
    except libyaml.MarkedYAMLError as error:
        if "nesting" in str(error.problem) and error.problem_mark:
            place = error.problem_mark.line + 1, error.problem_mark.column + 1
            raise YamlMistake("it is nested too deeply", _REMEDY, *place) from None
    except libyaml.YAMLError:
        pass  # said with its place by the other reader


_DEEPEST = 50
"""Parts within each other: nothing that is asked for comes near it."""
_REMEDY = "Correct the YAML; quote texts that contain ': ', '#', '{' or '['"


def _read(read: Any, text: str) -> Any:
    remedy = _REMEDY
    _check_depth(text)
    try:
        return read(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        what = str(error.problem or error.context)
        raise YamlMistake(f"it is not YAML: {what}", remedy, *place) from None
    except YAMLError as error:
        before = text[: int(getattr(error, "position", 0))]
        place = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
        message = "it has a character that YAML does not allow"
        raise YamlMistake(message, "Remove the control character", *place) from None
    except RecursionError:
        raise YamlMistake("it is nested too deeply", remedy) from None
    except (ValueError, TypeError, ArithmeticError, LookupError, AttributeError) as error:
        # A value that YAML allows and its reader cannot make, such as a day of a 13th month.
        what = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
        raise YamlMistake(f"a value cannot be read: {what}", remedy) from None
