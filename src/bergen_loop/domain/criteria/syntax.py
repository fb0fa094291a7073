"""The part of CEL that conditions may be written in, as a tree: what is not in it is refused here,
with its place and what to write instead, before anything is evaluated.

There is no loop but `all`, `exists` and `exists_one`, nothing that makes a text or a list longer,
and a bound on length, depth and number of parts. `checking` then looks at kinds and cost.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

MAX_LENGTH = 1000
"""Characters of one condition."""
MAX_DEPTH = 16
"""Parts within each other: reading, checking and the native library recurse."""
MAX_NODES = 300
"""Parts of one condition."""
MAX_CHAIN = 64
"""Parts joined side by side (`a && b && ...`): the native library nests them."""

LOOPS = ("all", "exists", "exists_one")
METHODS = ("contains", "endsWith", "matches", "startsWith")
FUNCTIONS = ("double", "duration", "has", "int", "size", "timestamp")
WORDS = frozenset({"true", "false", "null", "in"})

ALLOWED = (
    "Allowed are facts, numbers, texts and lists of them, "
    "== != < <= > >= in, && || !, + - * / % of numbers and times, "
    f"{', '.join(f'{n}()' for n in (*FUNCTIONS, *METHODS, *LOOPS))}"
)


class ExpressionError(Exception):
    """A condition that cannot be used. `offset` counts characters from 0."""

    def __init__(self, message: str, offset: int = 0, remedy: str = ALLOWED) -> None:
        super().__init__(message)
        self.message, self.offset, self.remedy = message, offset, remedy


# -- the tree -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Literal:
    """A value as it is written."""

    offset: int
    value: bool | int | float | str


@dataclass(frozen=True, slots=True)
class Name:
    """A fact, or the variable of a loop."""

    offset: int
    name: str


@dataclass(frozen=True, slots=True)
class Field:
    """`of.name`; the offset is the name's."""

    offset: int
    of: Node
    name: str


@dataclass(frozen=True, slots=True)
class Index:
    """`of[number]`; the offset is the bracket's."""

    offset: int
    of: Node
    number: int


@dataclass(frozen=True, slots=True)
class Listed:
    """A list that is written out."""

    offset: int
    entries: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Unary:
    """`!part` or `-part`."""

    offset: int
    operator: str
    part: Node


@dataclass(frozen=True, slots=True)
class Chain:
    """Parts joined from left to right by `operators`, one less than there are parts. Several
    only where they bind alike: `&&`, `||`, `+ -`, `* / %`; else one of `== != < <= > >= in`."""

    offset: int
    operators: tuple[str, ...]
    places: tuple[int, ...]
    """The operators' offsets."""
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """`name(parts)`; of a method, the first part is what it is called on."""

    offset: int
    name: str
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Loop:
    """`over.name(variable, body)`."""

    offset: int
    name: str
    over: Node
    variable: str
    body: Node


Node: TypeAlias = Literal | Name | Field | Index | Listed | Unary | Chain | Call | Loop


# -- words --------------------------------------------------------------------------------------

_TOKEN = re.compile(
    r"""(?P<text>[rR]?(?:"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
      | (?P<comment>//[^\n]*)
      | (?P<number>\d[\w.]*)
      | (?P<name>[A-Za-z_]\w*)
      | (?P<symbol>==|!=|<=|>=|&&|\|\||\S)
    """,
    re.VERBOSE | re.ASCII,
)
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"'}


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    offset: int


def _tokens(text: str) -> Iterator[_Token]:
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or ""
        if kind != "comment":
            yield _Token(kind, match.group(), match.start())
    yield _Token("end", "", len(text))


def _text_of(token: _Token) -> str:
    raw = token.text[0] in "rR"
    content = token.text[2:-1] if raw else token.text[1:-1]

    def escaped(match: re.Match[str]) -> str:
        value = chr(int(match[1], 16)) if match[1] else _ESCAPED.get(match[2])
        if value is None:
            where = token.offset + 1 + match.start()
            remedy = r"Write \\ \' \" \n \t or \u00e9, or the text as r'...'"
            raise ExpressionError(f"a text cannot have {match[0]!s}", where, remedy)
        return value

    value = content if raw else _ESCAPE.sub(escaped, content)
    if any("\ud800" <= c <= "\udfff" or c == "\0" for c in value):
        raise ExpressionError("a text has a character that is none", token.offset, "Remove it")
    return value


# -- reading ------------------------------------------------------------------------------------


def parse(text: str) -> Node:
    """The tree of a condition. Raises ExpressionError for all that is not allowed."""
    if len(text) > MAX_LENGTH:
        remedy = "Split it into two rules, or put lists under settings:"
        raise ExpressionError(f"it has {len(text)} characters, more than {MAX_LENGTH}", 0, remedy)
    reader = _Reader(tuple(_tokens(text)))
    tree = reader.either()
    reader.end()
    return tree


_SPECIAL = {
    "?": "write two rules instead of a ? b : c",
    "=": "two values are compared by ==",
    "&": "'and' is &&",
    "|": "'or' is ||",
    "{": "there are lists and facts only, no { }",
    '"': "a text ends with the quote it begins with",
    "'": "a text ends with the quote it begins with",
}
_LEVELS = (("+", "-"), ("*", "/", "%"))
_COMPARE = ("==", "!=", "<", "<=", ">", ">=", "in")


class _Reader:
    """Recursive descent; each method reads one level of binding, the loosest first."""

    def __init__(self, tokens: tuple[_Token, ...]) -> None:
        self._tokens, self._at = tokens, 0
        self._depth = self._nodes = 0

    # -- what comes next

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self) -> _Token:
        token = self._next
        self._at += 1
        return token

    def _is(self, *texts: str) -> bool:
        return self._next.text in texts and self._next.kind in ("symbol", "name")

    def _expect(self, text: str) -> None:
        if not self._is(text):
            raise self._unexpected(f"{text} is missing before it")
        self._take()

    def _unexpected(self, what: str) -> ExpressionError:
        token = self._next
        if token.kind == "end":
            return ExpressionError("it ends too early", token.offset, f"Complete it: {what}")
        if token.kind == "symbol" and token.text in _SPECIAL:
            what = _SPECIAL[token.text]
        return ExpressionError(f"{token.text[:40]} cannot stand here: {what}", token.offset)

    def end(self) -> None:
        """Nothing may follow."""
        if self._next.kind != "end":
            raise self._unexpected("two parts are joined by && or ||")

    # -- bounds

    def _made(self, node: Node) -> Node:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            remedy = "Split it into two rules, or put lists under settings:"
            raise ExpressionError(f"it has more than {MAX_NODES} parts", node.offset, remedy)
        return node

    def _inside(self, offset: int, read: Callable[[], Node]) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            message = f"more than {MAX_DEPTH} brackets or signs within each other"
            raise ExpressionError(message, offset, "Write it flatter, or as two rules")
        node = read()
        self._depth -= 1
        return node

    # -- levels

    def either(self) -> Node:
        """A whole condition: parts joined by `||`."""
        return self._chain(("||",), self._both)

    def _both(self) -> Node:
        return self._chain(("&&",), self._comparison)

    def _chain(self, operators: tuple[str, ...], read: Callable[[], Node]) -> Node:
        start, parts, found = self._next.offset, [read()], list[_Token]()
        while self._is(*operators):
            found.append(self._take())
            parts.append(read())
            if len(parts) > MAX_CHAIN:
                message = f"more than {MAX_CHAIN} parts are joined"
                raise ExpressionError(message, found[-1].offset, "Split it, or use in [...]")
        return self._made(_chain(start, found, parts)) if found else parts[0]

    def _comparison(self) -> Node:
        start, left = self._next.offset, self._sum()
        if not self._is(*_COMPARE):
            return left
        operator = self._take()
        right = self._sum()
        if self._is(*_COMPARE):
            remedy = "Write a < b && b < c"
            message = "only two things can be compared at a time"
            raise ExpressionError(message, self._next.offset, remedy)
        return self._made(_chain(start, [operator], [left, right]))

    def _sum(self) -> Node:
        return self._chain(_LEVELS[0], self._product)

    def _product(self) -> Node:
        return self._chain(_LEVELS[1], self._unary)

    def _unary(self) -> Node:
        if not self._is("!", "-"):
            return self._followed(self._single())
        sign = self._take()
        if sign.text == "-" and self._next.kind == "number":
            return self._followed(self._number(-1, sign.offset))
        part = self._inside(sign.offset, self._unary)
        return self._made(Unary(sign.offset, sign.text, part))

    def _followed(self, node: Node) -> Node:
        """What follows a part: `.field`, `.method(...)`, `[0]`."""
        links = 0
        while self._is(".", "["):
            links += 1
            if links > MAX_DEPTH:
                raise ExpressionError("it goes too deep", self._next.offset)
            node = self._made(self._index(node) if self._is("[") else self._field(node))
        return node

    def _index(self, of: Node) -> Node:
        where = self._take().offset
        if self._next.kind != "number" or not self._next.text.isdigit():
            remedy = "Write lines[0] for the first entry of a list, ret.name for a fact"
            raise ExpressionError("only a number can stand in [ ]", self._next.offset, remedy)
        number = _whole(self._take())
        self._expect("]")
        return Index(where, of, number)

    def _field(self, of: Node) -> Node:
        self._take()
        if self._next.kind != "name" or self._next.text in WORDS:
            raise self._unexpected("a name comes after the point")
        name = self._take()
        if not self._is("("):
            return Field(name.offset, of, name.text)
        if name.text in LOOPS:
            return self._loop(name, of)
        if name.text == "size" or name.text in METHODS:
            return Call(name.offset, name.text, (of, *self._arguments()))
        raise _no_function(name)

    def _loop(self, name: _Token, over: Node) -> Node:
        opening = self._take().offset
        if self._next.kind != "name" or self._next.text in WORDS:
            raise self._unexpected(f"{name.text} needs a name for each entry, as in (l, ...)")
        variable = self._take().text
        self._expect(",")
        body = self._inside(opening, self.either)
        self._expect(")")
        return Loop(name.offset, name.text, over, variable, body)

    def _arguments(self) -> tuple[Node, ...]:
        where = self._take().offset
        return self._entries(where, ")")

    def _entries(self, where: int, closing: str) -> tuple[Node, ...]:
        entries: list[Node] = []
        while not self._is(closing):
            entries.append(self._inside(where, self.either))
            if not self._is(closing):
                self._expect(",")
        self._take()
        return tuple(entries)

    def _single(self) -> Node:
        token = self._next
        if token.kind == "number":
            return self._number(1, token.offset)
        if token.kind == "text":
            self._take()
            return self._made(Literal(token.offset, _text_of(token)))
        if token.kind == "name":
            return self._named()
        if self._is("("):
            self._take()
            node = self._inside(token.offset, self.either)
            self._expect(")")
            return node
        if self._is("["):
            self._take()
            return self._made(Listed(token.offset, self._entries(token.offset, "]")))
        raise self._unexpected("a fact, a number or a text comes here")

    def _named(self) -> Node:
        token = self._take()
        if token.text in ("true", "false"):
            return self._made(Literal(token.offset, token.text == "true"))
        if token.text == "null":
            remedy = "Ask has(...) whether a fact is there"
            raise ExpressionError("there is no null", token.offset, remedy)
        if not self._is("("):
            return self._made(Name(token.offset, token.text))
        if token.text not in FUNCTIONS:
            raise _no_function(token)
        return self._made(Call(token.offset, token.text, self._arguments()))

    def _number(self, sign: int, offset: int) -> Node:
        token = self._take()
        if token.text.isdigit():
            return self._made(Literal(offset, sign * _whole(token)))
        if not re.fullmatch(r"\d{1,15}\.\d{1,15}", token.text):
            remedy = "Write a whole number, or a decimal such as 1.5"
            raise ExpressionError(f"{token.text[:40]} is no number", token.offset, remedy)
        return self._made(Literal(offset, sign * float(token.text)))


def _chain(start: int, operators: list[_Token], parts: list[Node]) -> Chain:
    words, places = (o.text for o in operators), (o.offset for o in operators)
    return Chain(start, tuple(words), tuple(places), tuple(parts))


def _whole(token: _Token) -> int:
    if len(token.text) > 15:
        raise ExpressionError("a number is too large", token.offset, "Use at most 15 digits")
    return int(token.text)


def _no_function(token: _Token) -> ExpressionError:
    if token.text in ("map", "filter"):
        remedy = "Use exists, all or exists_one; the sums there are, are facts of receipt"
        return ExpressionError(f"{token.text} is not allowed", token.offset, remedy)
    return ExpressionError(f"there is no function {token.text[:40]}", token.offset)
