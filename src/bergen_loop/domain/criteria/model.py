"""Receipt criteria as data: an ordered list of rules, and what can be wrong with one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TypeAlias

from bergen_loop.domain.criteria.expression import Condition
from bergen_loop.domain.criteria.vocabulary import SettingValue


class Irregularity(StrEnum):
    """In what a parcel may differ from the return, as `allow` and `select` spell it."""

    DAMAGED = "damaged"
    SHORT = "short"
    EXTRA = "extra"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Process:
    """Process the return. `allow` names the irregularities that are paid out all the same."""

    allow: frozenset[Irregularity] = frozenset()


@dataclass(frozen=True, slots=True)
class Flag:
    """Send the return to review, with a note. `note` is a template (see `notes`)."""

    reason: str
    note: str


@dataclass(frozen=True, slots=True)
class Attention:
    """Do nothing in Loop; ask a person. `reason` says what to look at."""

    reason: str


@dataclass(frozen=True, slots=True)
class RemoveLines:
    """Take units off the return and process the rest. Loop does both in one call, so the units
    that stay are guarded as in `Process`."""

    select: frozenset[Irregularity]
    """SHORT and/or DAMAGED: which units to take off."""
    allow: frozenset[Irregularity] = frozenset()


Final: TypeAlias = Process | Flag | RemoveLines | Attention


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing until `for_` after the first parcel was received, then `then`."""

    for_: timedelta
    then: Final


Action: TypeAlias = Final | Wait


@dataclass(frozen=True, slots=True)
class Rule:
    """One criterion: the first rule whose condition is true decides."""

    name: str
    when: Condition
    then: Action


@dataclass(frozen=True, slots=True)
class Criteria:
    """A checked set of rules. Immutable and safe to share between threads."""

    name: str
    description: str
    settings: dict[str, SettingValue]
    rules: tuple[Rule, ...]
    version: str
    """`name@hash`: the hash is over the content; comments and layout do not change it."""
    uses: Mapping[str, frozenset[str] | None]
    """The facts that conditions use: top-level name -> its fields, None for all of them."""


@dataclass(frozen=True, slots=True)
class CriteriaProblem:
    """One mistake in a criteria file. `line` and `column` count from 1."""

    source: str
    line: int
    column: int
    field: str
    """Path of the field, such as `rules[2].then.wait.for`."""
    message: str
    remedy: str
    """What to do about it."""

    def __str__(self) -> str:
        where = f"{self.source}:{self.line}:{self.column}"
        return f"{where}: {self.field}: {self.message}. {self.remedy}"


class CriteriaError(Exception):
    """A criteria file cannot be used. `problems` has every mistake, in the file's order."""

    def __init__(self, problems: tuple[CriteriaProblem, ...]) -> None:
        super().__init__("\n".join(str(p) for p in problems))
        self.problems = problems
