"""Reading YAML as nodes that know their line and column, collecting every problem on the way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, cast

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from bergen_loop import yaml_source
from bergen_loop.domain.criteria.model import CriteriaError, CriteriaProblem

MAX_SIZE = 64 * 1024
"""Characters of a criteria file."""
MAX_PROBLEMS = 100
"""Mistakes listed at most: finding them must not cost more than the file."""


@dataclass(slots=True)
class Problems:
    """The mistakes found so far in one file."""

    source: str
    text: str
    found: list[CriteriaProblem] = field(default_factory=list[CriteriaProblem])

    def add(self, node: Node, path: str, message: str, remedy: str) -> None:
        """A mistake at the beginning of a node."""
        self.add_at(*place(node), path, message, remedy)

    def add_at(self, line: int, column: int, path: str, message: str, remedy: str) -> None:
        """A mistake at a line and column, both from 1. CriteriaError once there are too many."""
        self.found.append(CriteriaProblem(self.source, line, column, path, message, remedy))
        if len(self.found) >= MAX_PROBLEMS:
            self.raise_if_any()

    def add_inside(
        self, node: ScalarNode, offset: int, path: str, message: str, remedy: str
    ) -> None:
        """A mistake at a character of a scalar's value."""
        self.add_at(*self._place_inside(node, offset), path, message, remedy)

    def raise_if_any(self) -> None:
        """CriteriaError with all of them, in the file's order."""
        if self.found:
            raise CriteriaError(tuple(sorted(self.found, key=lambda p: (p.line, p.column))))

    def _place_inside(self, node: ScalarNode, offset: int) -> tuple[int, int]:
        """Exact for one-line scalars without escapes and for `|` blocks, else the beginning."""
        line, column = place(node)
        value = str(cast("Any", node).value)
        lines = self.text.splitlines()
        style = cast("Any", node).style
        if style == "|":
            before = value[:offset]
            line += 1 + before.count("\n")
            within = offset - (before.rfind("\n") + 1)
            raw = lines[line - 1] if line <= len(lines) else ""
            content = value.split("\n")[before.count("\n")]
            return line, max(raw.find(content), 0) + within + 1
        quote = 1 if style in ("'", '"') else 0
        raw = lines[line - 1][column - 1 + quote :] if line <= len(lines) else ""
        return line, column + (quote + offset if raw.startswith(value) else 0)


def place(node: Node) -> tuple[int, int]:
    """Line and column of a node, from 1."""
    mark = cast("Any", node).start_mark
    return int(mark.line) + 1, int(mark.column) + 1


def parse(text: str, source: str) -> tuple[Node, Problems]:
    """The root node of a YAML text; `CriteriaError` where it is no YAML at all."""
    problems = Problems(source, text)
    root = None
    if len(text) > MAX_SIZE:
        remedy = "Split it, or shorten it"
        problems.add_at(1, 1, "file", f"it has more than {MAX_SIZE} characters", remedy)
    else:
        try:
            root = yaml_source.compose(text)
        except yaml_source.YamlMistake as error:
            problems.add_at(error.line, error.column, "file", error.message, error.remedy)
    if root is None and not problems.found:
        problems.add_at(1, 1, "file", "it is empty", "Write name: and rules:")
    problems.raise_if_any()
    assert root is not None
    return root, problems


def mapping(
    node: Node, path: str, problems: Problems, required: Iterable[str], optional: Iterable[str]
) -> dict[str, Node]:
    """The fields of a mapping; unknown, repeated and missing ones are problems."""
    required = tuple(required)
    known = (*required, *optional)
    fields: dict[str, Node] = {}
    for key, name, value in _pairs(node, path, problems):
        if known and name not in known:
            expected = f"Use one of {', '.join(known)}"
            problems.add(key, _join(path, name), f"there is no field {name} here", expected)
        else:
            fields[name] = value
    if isinstance(node, MappingNode):
        for name in required:
            if name not in fields:
                problems.add(node, _join(path, name), f"{name} is missing", f"Write {name}:")
    return fields


def _pairs(node: Node, path: str, problems: Problems) -> list[tuple[Node, str, Node]]:
    if not isinstance(node, MappingNode):
        problems.add(node, path, f"it is {kind(node)}, not fields", "Write it as name: value")
        return []
    pairs: list[tuple[Node, str, Node]] = []
    seen: set[str] = set()
    for key, value in cast("list[tuple[Node, Node]]", cast("Any", node).value):
        name = scalar(key)
        if name in seen:
            message = f"{name} is there twice"
            problems.add(key, _join(path, name), message, "Keep one of them")
            continue
        seen.add(name)
        if isinstance(value, ScalarNode) and tag(value) == "null" and not scalar(value):
            # YAML puts a value that is not there at the next thing that is.
            cast("Any", value).start_mark = cast("Any", key).start_mark
        pairs.append((key, name, value))
    return pairs


def items(node: Node, path: str, problems: Problems) -> list[Node]:
    """The entries of a list."""
    if not isinstance(node, SequenceNode):
        problems.add(node, path, f"it is {kind(node)}, not a list", "Begin each entry with '- '")
        return []
    return cast("list[Node]", cast("Any", node).value)


def text_of(node: Node, path: str, problems: Problems) -> str:
    """A text that is not empty; "" after noting the problem."""
    value = scalar(node).strip() if isinstance(node, ScalarNode) else ""
    if not isinstance(node, ScalarNode):
        problems.add(node, path, f"it is {kind(node)}, not a text", "Write one text")
    elif not value or tag(node) == "null":
        problems.add(node, path, "it is empty", "Write a text")
        return ""
    return value


def scalar(node: Node) -> str:
    """The characters of a scalar; for anything else what it is."""
    return str(cast("Any", node).value) if isinstance(node, ScalarNode) else kind(node)


def tag(node: Node) -> str:
    """What YAML takes a node for: str, int, float, bool, null, map or seq."""
    return str(cast("Any", node).tag).rsplit(":", 1)[-1]


def kind(node: Node) -> str:
    """The same in words."""
    if isinstance(node, MappingNode):
        return "a group of fields"
    return "a list" if isinstance(node, SequenceNode) else "a single value"


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
