"""The `then:` of a rule: reading it, and its canonical form."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from bergen_loop.domain.criteria.model import (
    Action,
    Attention,
    Final,
    Flag,
    Irregularity,
    Process,
    RemoveLines,
    Wait,
)
from bergen_loop.domain.criteria.nodes import Problems, items, mapping, scalar, text_of
from bergen_loop.domain.criteria.notes import template_faults
from bergen_loop.domain.criteria.vocabulary import SettingValue

MAX_WAIT = timedelta(days=365)
MAX_REASON = 100
MAX_NOTE = 1000
DEFAULT_NOTE = "{reason}: {problems}"
DEFAULT_ATTENTION = "the criteria ask for a person"

_OUTCOMES = "process, flag, wait, remove_lines or attention"
_DURATION = re.compile(r"(\d{1,5})\s*(s|m|h|d|w)")
_UNIT = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_SELECTABLE = (Irregularity.SHORT, Irregularity.DAMAGED)


def duration(text: str) -> timedelta | None:
    """`90s`, `30m`, `48h`, `7d` or `2w`; None for anything else."""
    match = _DURATION.fullmatch(text.strip())
    return int(match[1]) * _UNIT[match[2]] if match else None


@dataclass(frozen=True, slots=True)
class ActionReader:
    """Reads outcomes; what is wrong goes into `problems` and gives None."""

    settings: dict[str, SettingValue]
    problems: Problems

    def read(self, node: Node, path: str) -> Action | None:
        """An outcome by its name alone (`process`), or with its fields (`flag: {...}`)."""
        found = self._named(node, path)
        if found and found[0] == "wait":
            return self._wait(found[1], f"{path}.wait", node)
        return self._final(node, path, found)

    def _named(self, node: Node, path: str) -> tuple[str, Node | None] | None:
        if isinstance(node, ScalarNode):
            return scalar(node), None
        fields = mapping(node, path, self.problems, (), ())
        if not isinstance(node, MappingNode):
            return None
        if len(fields) != 1:
            message = f"there are {len(fields)} outcomes"
            self.problems.add(node, path, message, f"Write one: {_OUTCOMES}")
            return None
        return next(iter(fields.items()))

    def _final(self, node: Node, path: str, found: tuple[str, Node | None] | None) -> Final | None:
        if found is None:
            return None
        name, content = found
        readers: dict[str, Callable[[Node | None, str, Node], Final | None]] = {
            "process": self._process,
            "flag": self._flag,
            "remove_lines": self._remove,
            "attention": self._attention,
        }
        reader = readers.get(name)
        if reader:
            return reader(content, f"{path}.{name}", node)
        message, remedy = f"there is no outcome '{name[:60]}'", f"Use {_OUTCOMES}"
        if name == "wait":
            message = "a wait cannot be followed by another wait"
            remedy = "Use process, flag, remove_lines or attention"
        self.problems.add(node, path, message, remedy)
        return None

    def _process(self, content: Node | None, path: str, _: Node) -> Process:
        if content is None:
            return Process()
        fields = mapping(content, path, self.problems, (), ("allow",))
        return Process(self._irregularities(fields.get("allow"), f"{path}.allow"))

    def _flag(self, content: Node | None, path: str, node: Node) -> Flag | None:
        if content is None:
            self.problems.add(node, path, "a flag needs a reason", "Write flag: {reason: ...}")
            return None
        fields = mapping(content, path, self.problems, ("reason",), ("note",))
        note = self._note(fields["note"], f"{path}.note") if "note" in fields else DEFAULT_NOTE
        if "reason" not in fields:
            return None
        return Flag(self._short_text(fields["reason"], f"{path}.reason", MAX_REASON), note)

    def _note(self, node: Node, path: str) -> str:
        note = self._short_text(node, path, MAX_NOTE)
        if isinstance(node, ScalarNode):
            leading = len(scalar(node)) - len(scalar(node).lstrip())
            for fault in template_faults(note):
                remedy = "Use {problems}, {skus}, {order} ... (see the guide); for a brace {{ or }}"
                offset = leading + fault.offset
                self.problems.add_inside(node, offset, path, fault.message, remedy)
        return note

    def _short_text(self, node: Node, path: str, limit: int) -> str:
        text = text_of(node, path, self.problems)
        if len(text) > limit:
            message = f"it has {len(text)} characters"
            self.problems.add(node, path, message, f"Use at most {limit}")
        return text

    def _attention(self, content: Node | None, path: str, _: Node) -> Attention:
        if content is None:
            return Attention(DEFAULT_ATTENTION)
        fields = mapping(content, path, self.problems, ("reason",), ())
        if "reason" not in fields:
            return Attention(DEFAULT_ATTENTION)
        return Attention(self._short_text(fields["reason"], f"{path}.reason", MAX_REASON))

    def _remove(self, content: Node | None, path: str, node: Node) -> RemoveLines | None:
        if content is None:
            remedy = "Write remove_lines: {select: [short]}"
            self.problems.add(node, path, "remove_lines needs select", remedy)
            return None
        fields = mapping(content, path, self.problems, ("select",), ("allow",))
        if "select" not in fields:
            return None
        chosen = fields["select"]
        select = self._irregularities(chosen, f"{path}.select", _SELECTABLE)
        if isinstance(chosen, SequenceNode) and not items(chosen, path, self.problems):
            remedy = "Use short or damaged"
            self.problems.add(chosen, f"{path}.select", "it selects nothing", remedy)
        return RemoveLines(select, self._irregularities(fields.get("allow"), f"{path}.allow"))

    def _irregularities(
        self,
        node: Node | None,
        path: str,
        known: tuple[Irregularity, ...] = tuple(Irregularity),
    ) -> frozenset[Irregularity]:
        found: set[Irregularity] = set()
        for entry in items(node, path, self.problems) if node else ():
            name = next((i for i in known if i == scalar(entry)), None)
            if name is None:
                message = f"'{scalar(entry)[:60]}' cannot stand here"
                self.problems.add(entry, path, message, f"Use {', '.join(known)}")
            else:
                found.add(name)
        return frozenset(found)

    def _wait(self, content: Node | None, path: str, node: Node) -> Wait | None:
        if content is None:
            remedy = "Write wait: {for: 7d, then: ...}"
            self.problems.add(node, path, "a wait needs for and then", remedy)
            return None
        fields = mapping(content, path, self.problems, ("for", "then"), ())
        span = self._span(fields["for"], f"{path}.for") if "for" in fields else None
        after = fields.get("then")
        then_path = f"{path}.then"
        then = self._final(after, then_path, self._named(after, then_path)) if after else None
        return Wait(span, then) if span is not None and then else None

    def _span(self, node: Node, path: str) -> timedelta | None:
        """A duration, or the name of a setting that is one."""
        text = text_of(node, path, self.problems)
        value = self.settings.get(text, duration(text))
        if isinstance(value, timedelta) and value <= MAX_WAIT:
            return value
        if text:
            remedy = f"Write 48h, 7d (at most {MAX_WAIT.days}d), or a duration under settings:"
            self.problems.add(node, path, f"'{text[:60]}' is not a duration", remedy)
        return None


def canonical_action(action: Action) -> list[object]:
    """A JSON-able form that says all there is to an outcome, in one way."""
    match action:
        case Process():
            return ["process", sorted(action.allow)]
        case Flag():
            return ["flag", action.reason, action.note]
        case RemoveLines():
            return ["remove_lines", sorted(action.select), sorted(action.allow)]
        case Attention():
            return ["attention", action.reason]
        case Wait():
            return ["wait", action.for_.total_seconds(), canonical_action(action.then)]
