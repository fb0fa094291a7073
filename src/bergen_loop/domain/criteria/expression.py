"""Conditions in CEL: compiled once, never trusted to be boolean, never able to crash the caller.

CEL (cel.dev) comes from the Rust-backed library `common-expression-language`. Its evaluation
follows the specification where this project needs it: comparing what cannot be compared, a
missing key and integer overflow are errors, and `||`/`&&` absorb an error only where the other
side alone settles the result.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import cel

MAX_LENGTH = 1000
"""Characters of one condition."""
MAX_DEPTH = 16
"""Open brackets within each other. The parser recurses: unbounded nesting can overflow a
thread's stack, which no `except` catches."""
MAX_MACROS = 2
"""Loops within each other: the cost is the number of lines to that power."""
MACROS = frozenset({"all", "exists", "exists_one", "filter", "map"})

_TOKEN = re.compile(
    r"""(?P<string>[bBrR]{0,2}(?:\"\"\"(?s:.*?)\"\"\"|'''(?s:.*?)'''
          |"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
      | (?P<comment>//[^\n]*)
      | (?P<number>\d[\w.]*)
      | (?P<name>[A-Za-z_]\w*)
      | (?P<symbol>[^\w\s])
    """,
    re.VERBOSE,
)
_POSITION = re.compile(r"ERROR: <input>:(\d+):(\d+): (?:Syntax error: )?(.*)")


@dataclass(frozen=True, slots=True)
class Token:
    """A lexical part of a condition; `offset` counts characters from 0."""

    kind: str
    text: str
    offset: int


class ExpressionError(Exception):
    """A condition that cannot be compiled. `line` and `column` count from 1, in the text."""

    def __init__(self, message: str, line: int = 1, column: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled condition."""

    text: str
    tokens: tuple[Token, ...] = field(repr=False, compare=False)
    program: cel.Program = field(repr=False, compare=False)

    def holds(self, context: cel.Context) -> bool | str:
        """True or False; a sentence why there is neither, for everything else."""
        try:
            value: object = self.program.execute(context)
        except KeyError as missing:
            return f"the fact {missing} is missing in this case"
        except TypeError:
            return "it compares or combines values of different kinds"
        except Exception as error:
            return _first_sentence(str(error)) or type(error).__name__
        except BaseException as error:
            # A panic of the Rust side derives from BaseException.
            if type(error).__name__ != "PanicException":
                raise
            return "the expression library failed"
        return value if isinstance(value, bool) else f"it gives {_kind(value)}, not true or false"


def compile_condition(text: str) -> Condition:
    """Compile, or raise `ExpressionError` with the place of the mistake."""
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"it has {len(text)} characters, more than {MAX_LENGTH}")
    tokens = tuple(tokenize(text))
    _check_nesting(text, tokens)
    try:
        program = cel.compile(text)
    except Exception as error:
        raise _parse_error(str(error)) from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise ExpressionError("the expression library cannot read it") from None
    return Condition(text, tokens, program)


def context_of(facts: dict[str, Any], uses: Mapping[str, frozenset[str] | None]) -> cel.Context:
    """The facts as CEL sees them; only what the conditions use, for conversion costs most."""
    variables: dict[str, Any] = {}
    for root, fields in uses.items():
        fact = facts[root]
        variables[root] = fact if fields is None else {k: fact[k] for k in fields if k in fact}
    return cel.Context(variables)


def tokenize(text: str) -> Iterator[Token]:
    """Names, numbers, strings and symbols of a condition, comments and blanks left out."""
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or "symbol"
        if kind != "comment":
            yield Token(kind, match.group(), match.start())


def position(text: str, offset: int) -> tuple[int, int]:
    """Line and column, from 1, of a character."""
    before = text[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1


def _check_nesting(text: str, tokens: tuple[Token, ...]) -> None:
    stack: list[bool] = []
    for index, token in enumerate(tokens):
        if token.kind != "symbol":
            continue
        if token.text in "([{":
            stack.append(index > 1 and _is_macro(tokens, index - 1))
            if len(stack) > MAX_DEPTH:
                raise ExpressionError(
                    f"more than {MAX_DEPTH} brackets within each other",
                    *position(text, token.offset),
                )
            if sum(stack) > MAX_MACROS:
                raise ExpressionError(
                    f"more than {MAX_MACROS} loops within each other",
                    *position(text, token.offset),
                )
        elif token.text in ")]}" and stack:
            stack.pop()


def _is_macro(tokens: tuple[Token, ...], index: int) -> bool:
    return tokens[index].text in MACROS and tokens[index - 1].text == "."


def _parse_error(message: str) -> ExpressionError:
    found = _POSITION.search(message)
    if not found:
        return ExpressionError(_first_sentence(message))
    line, column, what = int(found[1]), int(found[2]), found[3]
    if "<EOF>'" in what and "mismatched" in what:
        what = "it ends too early"
    what = what.split(" expecting ")[0]
    return ExpressionError(what.strip(), line, column)


def _first_sentence(message: str) -> str:
    line = message.strip().splitlines()[0] if message.strip() else ""
    return line.split(". ")[0].rstrip(".")[:200]


def _kind(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, list | tuple):
        return f"a list of {len(cast('list[object]', value))}"
    return f"a {type(value).__name__}"
