"""Criteria files: YAML in, checked `Criteria` out, or every mistake with its place."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from ruamel.yaml.nodes import Node, ScalarNode, SequenceNode

from bergen_loop.domain.criteria.actions import ActionReader, canonical_action, duration
from bergen_loop.domain.criteria.checking import MAX_COST, too_dear
from bergen_loop.domain.criteria.expression import Condition, compile_condition, used_facts
from bergen_loop.domain.criteria.model import Criteria, Rule
from bergen_loop.domain.criteria.nodes import (
    Problems,
    items,
    kind,
    mapping,
    parse,
    scalar,
    tag,
    text_of,
)
from bergen_loop.domain.criteria.syntax import ExpressionError
from bergen_loop.domain.criteria.vocabulary import LONGEST, Kind, SettingValue, roots

MAX_RULES = 100
MAX_SETTINGS = 100
MAX_ENTRIES = 1000
"""Entries of a setting that is a list."""
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_SETTING = re.compile(r"[a-z][a-z0-9_]{0,39}")


def load_criteria(text: str, *, source: str) -> Criteria:
    """Read criteria. `source` is the file's name for messages.

    Raises `CriteriaError` with all mistakes: YAML, fields, durations, note variables, and
    conditions that are not allowed, that name a fact that does not exist or cost too much.
    Conditions are read and reckoned, not evaluated.
    """
    root, problems = parse(text, source)
    fields = mapping(root, "", problems, ("name", "rules"), ("description", "settings"))
    name = _name(fields["name"], "name", problems) if "name" in fields else ""
    description = ""
    if "description" in fields:
        description = text_of(fields["description"], "description", problems)
    settings = _settings(fields["settings"], problems) if "settings" in fields else {}
    rules = _rules(fields["rules"], settings, problems) if "rules" in fields else ()
    problems.raise_if_any()
    return Criteria(
        name=name,
        description=description,
        settings=settings,
        rules=rules,
        version=f"{name}@{_digest(name, settings, rules)}",
        uses=used_facts(r.when for r in rules),
    )


def _name(node: Node, path: str, problems: Problems) -> str:
    name = text_of(node, path, problems)
    if name and not _NAME.fullmatch(name):
        remedy = "Use up to 40 small letters, digits and hyphens"
        problems.add(node, path, f"'{name[:60]}' is not a name", remedy)
    return name


def _settings(node: Node, problems: Problems) -> dict[str, SettingValue]:
    settings: dict[str, SettingValue] = {}
    entries = mapping(node, "settings", problems, (), ())
    if len(entries) > MAX_SETTINGS:
        remedy = f"Use at most {MAX_SETTINGS}; texts that belong together can be one list"
        problems.add(node, "settings", f"there are {len(entries)} settings", remedy)
        return {}
    for name, value in entries.items():
        path = f"settings.{name}"
        if not _SETTING.fullmatch(name):
            remedy = "Use small letters, digits and underscores"
            problems.add(value, path, f"'{name[:60]}' is not a setting's name", remedy)
        read = _setting(value, path, problems)
        if read is not None:
            settings[name] = read
    return settings


def _setting(node: Node, path: str, problems: Problems) -> SettingValue | None:
    if isinstance(node, SequenceNode):
        entries = items(node, path, problems)
        if len(entries) > MAX_ENTRIES:
            message, remedy = f"it has {len(entries)} entries", f"Use at most {MAX_ENTRIES}"
            problems.add(node, path, message, remedy)
            return None
        return tuple(_setting_text(text_of(n, path, problems), n, path, problems) for n in entries)
    if tag(node) == "int":
        number = scalar(node)
        if re.fullmatch(r"-?\d{1,15}", number):
            return int(number)
    elif tag(node) == "str" and scalar(node).strip():
        return duration(scalar(node)) or _setting_text(scalar(node).strip(), node, path, problems)
    remedy = "Write a duration (7d, 48h), a whole number (money in hundredths), a text or a list"
    problems.add(node, path, f"a setting cannot be {_shown(node)}", remedy)
    return None


def _setting_text(text: str, node: Node, path: str, problems: Problems) -> str:
    if len(text) > LONGEST:
        message, remedy = f"it has {len(text)} characters", f"Use at most {LONGEST}"
        problems.add(node, path, message, remedy)
    return text


def _shown(node: Node) -> str:
    return f"'{scalar(node)[:60]}'" if isinstance(node, ScalarNode) else kind(node)


def _rules(node: Node, settings: dict[str, SettingValue], problems: Problems) -> tuple[Rule, ...]:
    entries = items(node, "rules", problems)
    if isinstance(node, SequenceNode) and not 1 <= len(entries) <= MAX_RULES:
        message = f"there are {len(entries)} rules"
        problems.add(node, "rules", message, f"Write 1 to {MAX_RULES} rules")
        return ()
    rules: list[Rule] = []
    names: set[str] = set()
    facts, cost = roots(settings), 0
    for index, entry in enumerate(entries):
        path = f"rules[{index + 1}]"
        fields = mapping(entry, path, problems, ("name", "when", "then"), ())
        name = _rule_name(fields, path, names, problems)
        when = _condition(fields.get("when"), f"{path}.when", facts, problems)
        cost += when.cost if when else 0
        if when and cost > MAX_COST >= cost - when.cost:
            error = too_dear(cost, 0)
            message = f"with the rules before it, {error.message}"
            problems.add(fields["when"], f"{path}.when", message, error.remedy)
        then = fields.get("then")
        action = ActionReader(settings, problems).read(then, f"{path}.then") if then else None
        if when and action:
            rules.append(Rule(name, when, action))
    return tuple(rules)


def _rule_name(fields: dict[str, Node], path: str, names: set[str], problems: Problems) -> str:
    node = fields.get("name")
    if node is None:
        return ""
    name = _name(node, f"{path}.name", problems)
    if name in names:
        message = f"another rule is called '{name}' too"
        problems.add(node, f"{path}.name", message, "Give each rule its own name")
    names.add(name)
    return name


def _condition(
    node: Node | None, path: str, facts: Mapping[str, Kind], problems: Problems
) -> Condition | None:
    if node is None:
        return None
    # YAML takes true for a truth value and Yes for a text; both are this condition's text.
    if not text_of(node, path, problems) or not isinstance(node, ScalarNode):
        return None
    text = scalar(node).lower() if tag(node) == "bool" else scalar(node).rstrip()
    try:
        return compile_condition(text, facts)
    except ExpressionError as error:
        message = f"{error.message}, in '{_at(text, error.offset)}'"
        problems.add_inside(node, error.offset, path, message, error.remedy)
        return None


def _at(text: str, offset: int) -> str:
    """The line of a condition that a message is about, as far as it helps."""
    before = text[:offset]
    column = offset - (before.rfind("\n") + 1) + 1
    content = text.split("\n")[before.count("\n")]
    return content if len(content) <= 80 else "…" + content[max(0, column - 40) : column + 40] + "…"


def _digest(name: str, settings: dict[str, SettingValue], rules: tuple[Rule, ...]) -> str:
    content: dict[str, Any] = {
        "name": name,
        "settings": {k: _canonical_setting(v) for k, v in settings.items()},
        "rules": [[r.name, r.when.text, canonical_action(r.then)] for r in rules],
    }
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def _canonical_setting(value: SettingValue) -> object:
    return {"seconds": value.total_seconds()} if isinstance(value, timedelta) else value
