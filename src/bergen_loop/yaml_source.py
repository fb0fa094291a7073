"""YAML text, read in one way: whatever is wrong with it becomes a mistake with its place."""

# ruamel.yaml carries no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import Node


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


def _read(read: Any, text: str) -> Any:
    remedy = "Correct the YAML; quote texts that contain ': ', '#', '{' or '['"
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
