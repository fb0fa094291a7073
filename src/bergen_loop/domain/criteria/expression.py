"""Conditions in CEL: checked whole, then compiled once; never trusted to be boolean, never able
to crash the caller.

CEL (cel.dev) comes from the Rust-backed library `common-expression-language`. Its evaluation
follows the specification where this project needs it: a missing key, division by zero and
integer overflow are errors, and `||`/`&&` absorb an error only where the other side alone
settles the result. It has no limits of its own, so it is given only what `syntax` and `checking`
have let through, and in the form that they have read, not in the one that was written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from bergen_loop.domain.criteria.checking import Checker, Probe
from bergen_loop.domain.criteria.evaluator import cel
from bergen_loop.domain.criteria.syntax import ExpressionError, parse
from bergen_loop.domain.criteria.vocabulary import Kind

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled condition."""

    text: str
    """As it was written."""
    cost: int = field(compare=False)
    """Steps it takes at most, for the largest case there can be."""
    uses: Mapping[str, frozenset[str] | None] = field(repr=False, compare=False)
    """The facts it names: top-level name -> its fields, None for all of them."""
    names: frozenset[str] = field(repr=False, compare=False)
    constants: tuple[int | str, ...] = field(repr=False, compare=False)
    program: cel.Program = field(repr=False, compare=False)

    def holds(self, context: cel.Context) -> bool | str:
        """True or False; a sentence why there is neither, for everything else."""
        value, why = _guarded(lambda: self.program.execute(context))
        if why:
            return why
        return value if isinstance(value, bool) else f"it gives {_kind(value)}, not true or false"


def compile_condition(text: str, facts: Mapping[str, Kind]) -> Condition:
    """Check and compile, or raise `ExpressionError` with the place of the mistake. `facts` are
    the `vocabulary.roots`. Nothing is evaluated before the whole condition has passed."""
    checker = Checker(facts)
    checked = checker.condition(parse(text))
    for probe in checker.probes:
        _try(probe)
    return Condition(
        text=text,
        cost=checked.cost,
        uses=checker.uses,
        names=frozenset(checker.names),
        constants=tuple(checker.constants),
        program=_compiled(checked.text),
    )


def context_of(facts: dict[str, Any], uses: Mapping[str, frozenset[str] | None]) -> cel.Context:
    """The facts as CEL sees them; only what the conditions use, for conversion costs most."""
    variables: dict[str, Any] = {}
    for root, fields in uses.items():
        fact = facts[root]
        variables[root] = fact if fields is None else {k: fact[k] for k in fields if k in fact}
    return cel.Context(variables)


def used_facts(conditions: Iterable[Condition]) -> dict[str, frozenset[str] | None]:
    """What several conditions use together."""
    uses: dict[str, frozenset[str] | None] = {}
    for condition in conditions:
        for root, fields in condition.uses.items():
            so_far = uses.get(root, frozenset())
            uses[root] = None if fields is None or so_far is None else so_far | fields
    return uses


def _compiled(text: str) -> cel.Program:
    program, why = _guarded(lambda: cel.compile(text))
    if program is None:
        raise ExpressionError(f"it cannot be read: {why}")
    return program


def _try(probe: Probe) -> None:
    program = _compiled(probe.text)
    _, why = _guarded(lambda: program.execute({}))
    if why:
        raise ExpressionError(f"it is not {probe.what}: {why}", probe.offset, "Correct the text")


def _guarded(call: Callable[[], Result]) -> tuple[Result | None, str]:
    """What the library gives, or why there is nothing, in words."""
    try:
        return call(), ""
    except KeyError as missing:
        return None, f"the fact {missing} is missing in this case"
    except TypeError:
        return None, "it compares or combines values of different kinds"
    except Exception as error:
        return None, _first_sentence(str(error)) or type(error).__name__
    except BaseException as error:
        # A panic of the Rust side derives from BaseException.
        if type(error).__name__ != "PanicException":
            raise
        return None, "the expression library failed"


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
