"""A condition's tree held against the facts: of what kind every part is, what it can cost at
most, and how it is handed to the evaluator. Nothing is evaluated here.

Cost is counted in steps, one for each part that is looked at, on the largest case there can be:
loops multiply by `LARGEST`, lists and patterns count with their size. A step takes about a
tenth of a microsecond.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bergen_loop.domain.criteria.syntax import (
    METHODS,
    WORDS,
    Call,
    Chain,
    ExpressionError,
    Field,
    Index,
    Listed,
    Literal,
    Loop,
    Name,
    Node,
    Unary,
)
from bergen_loop.domain.criteria.vocabulary import (
    BOOL,
    DECIMAL,
    MOMENT,
    MOMENT_TEXT,
    NUMBER,
    SPAN,
    TEXT,
    Kind,
    list_of,
)

MAX_COST = 3_000_000
"""Steps of a condition, and of all conditions of a file together, for one return at most."""
MAX_LOOPS = 2
"""Loops within each other."""
MAX_PATTERN = 60
"""Characters of a pattern. The evaluator's patterns never go back (their time is linear in the
text), but it reads a pattern anew each time."""

_PATTERN_STEPS = 40  # for each character of a pattern, over the longest text
_TEXT_STEPS = 2  # two of the longest texts held against each other
_PER_STEP = 4  # entries of a list that one step compares


@dataclass(frozen=True, slots=True)
class Checked:
    """What is known of a part. `text` is it, written so that it can be read in one way only."""

    kind: Kind
    cost: int
    text: str


@dataclass(frozen=True, slots=True)
class Probe:
    """A text that only the evaluator can tell to be well-formed, with an expression to try."""

    offset: int
    text: str
    what: str


class Checker:
    """Checks one condition; raises ExpressionError at the first mistake."""

    def __init__(self, facts: Mapping[str, Kind]) -> None:
        self._facts = facts
        self._bound: dict[str, Kind] = {}
        self.uses: dict[str, frozenset[str] | None] = {}
        """The facts it names: top-level name -> its fields, None for all of them."""
        self.names: set[str] = set()
        """Every name in it."""
        self.constants: list[int | str] = []
        """The numbers and texts that stand in it."""
        self.probes: list[Probe] = []

    def condition(self, tree: Node) -> Checked:
        """The whole: true or false, and not too dear."""
        checked = self._part(tree)
        if checked.kind != BOOL:
            remedy = "Write what is true or false, such as receipt.damaged > 0"
            message = f"it gives {checked.kind.name}, not true or false"
            raise ExpressionError(message, 0, remedy)
        if checked.cost > MAX_COST:
            raise too_dear(checked.cost, _dearest(tree))
        return checked

    # -- parts

    def _part(self, node: Node) -> Checked:
        match node:
            case Literal():
                return self._literal(node)
            case Name():
                return self._name(node)
            case Field():
                return self._field(node)
            case Index():
                return self._index(node)
            case Listed():
                return self._listed(node)
            case Unary():
                return self._unary(node)
            case Chain():
                return self._chain(node)
            case Call():
                return self._call(node)
            case Loop():
                return self._loop(node)

    def _literal(self, node: Literal) -> Checked:
        value = node.value
        if isinstance(value, bool):
            return Checked(BOOL, 1, "true" if value else "false")
        if isinstance(value, float):
            return Checked(DECIMAL, 1, f"({value:.15f})")
        self.constants.append(value)
        if isinstance(value, int):
            return Checked(NUMBER, 1, f"({value})")
        return Checked(TEXT, 1, _quoted(value))

    def _name(self, node: Name) -> Checked:
        kind = self._bound.get(node.name) or self._facts.get(node.name)
        if kind is None:
            raise _no_fact(f"there is no fact {node.name[:40]}", node.offset, self._facts)
        self.names.add(node.name)
        if node.name not in self._bound:
            # A field that is named after it says which ones are used; see `_field`.
            self.uses[node.name] = None
        return Checked(kind, 1, node.name)

    def _field(self, node: Field) -> Checked:
        root = node.of.name if isinstance(node.of, Name) else ""
        before = self.uses.get(root, frozenset())
        of = self._part(node.of)
        if not of.kind.fields and of.kind.name != "settings":
            message = f"{of.kind.name} has no fact {node.name[:40]}"
            raise ExpressionError(message, node.offset, "Name a fact of ret, receipt or a unit")
        kind = of.kind.fields.get(node.name)
        if kind is None:
            owner = root or of.kind.name
            message = f"{owner} has no fact {node.name[:40]}"
            raise _no_fact(message, node.offset, of.kind.fields)
        if root and root not in self._bound:
            self.uses[root] = None if before is None else before | {node.name}
        self.names.add(node.name)
        return Checked(kind, of.cost + 1, f"{of.text}.{node.name}")

    def _index(self, node: Index) -> Checked:
        of = self._part(node.of)
        if of.kind.entry is None:
            message = f"{of.kind.name} has no entries"
            raise ExpressionError(message, node.offset, "Only lists have entries")
        self.constants.append(node.number)
        return Checked(of.kind.entry, of.cost + 1, f"{of.text}[{node.number}]")

    def _listed(self, node: Listed) -> Checked:
        entries = [self._part(entry) for entry in node.entries]
        kinds = {entry.kind for entry in entries}
        if len(kinds) != 1 or not kinds <= {TEXT, NUMBER}:
            remedy = "Write a list of texts or a list of whole numbers"
            raise ExpressionError("a list cannot have these entries", node.offset, remedy)
        text = f"[{', '.join(entry.text for entry in entries)}]"
        return Checked(list_of(kinds.pop(), len(entries)), 1 + _sum(entries), text)

    def _unary(self, node: Unary) -> Checked:
        part = self._part(node.part)
        allowed = (BOOL,) if node.operator == "!" else (NUMBER, DECIMAL)
        if part.kind not in allowed:
            what = "true or false" if node.operator == "!" else "a number"
            message = f"{node.operator} needs {what}, not {part.kind.name}"
            raise ExpressionError(message, node.offset, f"Write {node.operator} before {what}")
        return Checked(part.kind, part.cost + 1, f"{node.operator}({part.text})")

    # -- operators

    def _chain(self, node: Chain) -> Checked:
        parts = [self._part(part) for part in node.parts]
        kind, extra = parts[0].kind, 0
        for operator, place, right in zip(node.operators, node.places, parts[1:], strict=True):
            found = _joined(operator, kind, right.kind)
            if found is None:
                raise _cannot_join(operator, kind, right.kind, place)
            extra += 1 + _extra(kind, right.kind)
            kind = found
        words = [parts[0].text]
        for operator, part in zip(node.operators, parts[1:], strict=True):
            words += [operator, part.text]
        return Checked(kind, _sum(parts) + extra, f"({' '.join(words)})")

    # -- calls and loops

    def _call(self, node: Call) -> Checked:
        if node.name == "has":
            return self._has(node)
        parts = [self._part(part) for part in node.parts]
        kinds = tuple(part.kind for part in parts)
        given = tuple("a list" if kind.entry else kind for kind in kinds)
        result = _RESULTS.get((node.name, *given))
        if result is None:
            message = f"{node.name}() does not take {' and '.join(k.name for k in kinds) or 'that'}"
            raise ExpressionError(message, node.offset, _REMEDIES[node.name])
        extra = 1 + _TEXT_STEPS
        if node.name == "matches":
            extra += self._pattern(node)
        elif node.name in ("timestamp", "duration") and kinds[0] == TEXT:
            self._moment(node, parts[0])
        if node.name in METHODS:
            text = f"{parts[0].text}.{node.name}({parts[1].text})"
        else:
            text = f"{node.name}({parts[0].text})"
        return Checked(result, _sum(parts) + extra, text)

    def _has(self, node: Call) -> Checked:
        if len(node.parts) != 1 or not isinstance(node.parts[0], Field):
            message = "has() asks for one fact"
            raise ExpressionError(message, node.offset, _REMEDIES["has"])
        part = self._part(node.parts[0])
        return Checked(BOOL, part.cost + 1, f"has({part.text})")

    def _pattern(self, node: Call) -> int:
        pattern = node.parts[1]
        if not isinstance(pattern, Literal) or not isinstance(pattern.value, str):
            remedy = "Write the pattern as a text in quotes"
            raise ExpressionError("a pattern cannot be a fact", pattern.offset, remedy)
        fault = _UNSAFE.search(pattern.value)
        if fault or len(pattern.value) > MAX_PATTERN:
            what = f"{fault[0]} in it" if fault else f"more than {MAX_PATTERN} characters"
            message = f"a pattern cannot have {what}"
            raise ExpressionError(message, pattern.offset, _REMEDIES["matches"])
        quoted = _quoted(pattern.value)
        self.probes.append(Probe(pattern.offset, f'"".matches({quoted})', "a pattern"))
        return _PATTERN_STEPS * (1 + len(pattern.value))

    def _moment(self, node: Call, part: Checked) -> None:
        if not isinstance(node.parts[0], Literal):
            remedy = _REMEDIES[node.name]
            raise ExpressionError("this text is no time", node.parts[0].offset, remedy)
        probe = f"{node.name}({part.text}) == {node.name}({part.text})"
        what = "a time" if node.name == "timestamp" else "a span of time"
        self.probes.append(Probe(node.parts[0].offset, probe, what))

    def _loop(self, node: Loop) -> Checked:
        over = self._part(node.over)
        if over.kind.entry is None or isinstance(node.over, Listed):
            remedy = "Use it on lines, receipt.skus, receipt.unexpected and the like"
            message = f"{node.name} goes over a list of facts only"
            raise ExpressionError(message, node.offset, remedy)
        name = node.variable
        if name in self._bound or name in self._facts or name in WORDS:
            message = f"{name[:40]} is the name of something else"
            raise ExpressionError(message, node.offset, "Give the entries a name of their own")
        if len(self._bound) >= MAX_LOOPS:
            message = f"more than {MAX_LOOPS} loops within each other"
            raise ExpressionError(message, node.offset, "Write it as two rules")
        self._bound[name] = over.kind.entry
        body = self._part(node.body)
        del self._bound[name]
        if body.kind != BOOL:
            message = f"{node.name} needs what is true or false of each entry"
            raise ExpressionError(message, node.offset, f"Write {node.name}(l, l.short > 0)")
        cost = over.cost + 1 + over.kind.most * (body.cost + 2)
        return Checked(BOOL, cost, f"{over.text}.{node.name}({name}, {body.text})")


def too_dear(cost: int, offset: int) -> ExpressionError:
    """It could take too long."""
    remedy = "Leave out loops within loops, shorten lists and patterns, or write fewer rules"
    message = f"it could take {cost:,} steps for one return, more than {MAX_COST:,}"
    return ExpressionError(message, offset, remedy)


_UNSAFE = re.compile(r"[{}]|\\[A-Za-z0-9]|\(\?|[^\x20-\x7e]")
"""Of a pattern: repetitions by number, classes and flags that the evaluator makes large."""

_ORDERED = (NUMBER, DECIMAL, TEXT, MOMENT, SPAN)
_RESULTS: dict[tuple[object, ...], Kind] = {
    ("size", "a list"): NUMBER,
    ("int", DECIMAL): NUMBER,
    ("int", NUMBER): NUMBER,
    ("double", NUMBER): DECIMAL,
    ("double", DECIMAL): DECIMAL,
    ("timestamp", TEXT): MOMENT,
    ("timestamp", MOMENT_TEXT): MOMENT,
    ("duration", TEXT): SPAN,
    **{(method, TEXT, TEXT): BOOL for method in METHODS},
}
_REMEDIES = {
    "has": "Write has(ret.country)",
    "size": "size() counts the entries of a list",
    "int": "int() takes a number",
    "double": "double() takes a number",
    "timestamp": "Write timestamp(receipt.arrived_at) or timestamp('2026-11-03T09:30:00Z')",
    "duration": "Write duration('36h')",
    "contains": "Write l.title.contains('Watch')",
    "startsWith": "Write l.sku.startsWith('FS-')",
    "endsWith": "Write l.sku.endsWith('-S')",
    "matches": (
        f"Use at most {MAX_PATTERN} plain characters with . * + ? | ( ) [ ] ^ $ and [0-9] or "
        "[A-Za-z]; or startsWith, endsWith, contains"
    ),
}


def _joined(operator: str, left: Kind, right: Kind) -> Kind | None:
    """What two parts give; None where they cannot be joined so."""
    match operator:
        case "&&" | "||":
            return BOOL if left == right == BOOL else None
        case "==" | "!=":
            return BOOL if _comparable(left, right) else None
        case "<" | "<=" | ">" | ">=":
            return BOOL if left in _ORDERED and _comparable(left, right) else None
        case "in":
            return BOOL if right.entry == left and left in (TEXT, NUMBER) else None
        case "+" | "-":
            return _SUMS.get((operator, left, right))
        case "%":
            return NUMBER if left == right == NUMBER else None
        case _:
            return left if left == right and left in (NUMBER, DECIMAL) else None


_SUMS = {
    **{(op, kind, kind): kind for op in "+-" for kind in (NUMBER, DECIMAL, SPAN)},
    **{(op, MOMENT, SPAN): MOMENT for op in "+-"},
    ("+", SPAN, MOMENT): MOMENT,
    ("-", MOMENT, MOMENT): SPAN,
}


def _comparable(left: Kind, right: Kind) -> bool:
    if left.entry or right.entry:
        return left.entry == right.entry and left.entry in (TEXT, NUMBER)
    numbers = (NUMBER, DECIMAL)
    return (left == right and left in (BOOL, *_ORDERED)) or (left in numbers and right in numbers)


def _cannot_join(operator: str, left: Kind, right: Kind, offset: int) -> ExpressionError:
    remedy = "Compare and combine things of one kind only"
    if MOMENT_TEXT in (left, right):
        remedy = "Write timestamp(...) around it"
    elif operator == "+" and (TEXT in (left, right) or left.entry or right.entry):
        remedy = "Texts and lists cannot be joined; compare each by itself"
    elif {left, right} == {NUMBER, DECIMAL}:
        remedy = "Write double(...) around the whole number"
    elif operator == "in":
        remedy = "Write a text before in and a list of texts behind it"
    message = f"{operator} cannot stand between {left.name} and {right.name}"
    return ExpressionError(message, offset, remedy)


def _extra(left: Kind, right: Kind) -> int:
    """The steps that an operator takes because of the size of what it compares."""
    entries = max(left.most, right.most)
    return entries // _PER_STEP + (_TEXT_STEPS if TEXT in (left, right, left.entry) else 0)


def _sum(parts: Sequence[Checked]) -> int:
    return sum(part.cost for part in parts)


def _quoted(value: str) -> str:
    """As JSON writes it: CEL reads its escapes alike."""
    return json.dumps(value, ensure_ascii=False)


def _no_fact(message: str, offset: int, known: Mapping[str, Kind]) -> ExpressionError:
    names = ", ".join(sorted(known)) or "none (there are none)"
    return ExpressionError(message, offset, f"Use one of {names}")


def _dearest(tree: Node) -> int:
    """The offset of the first loop, which is what makes a condition dear."""
    match tree:
        case Loop():
            return tree.offset
        case Chain() | Call():
            return next((n for n in map(_dearest, tree.parts) if n), 0)
        case Unary():
            return _dearest(tree.part)
        case _:
            return 0
