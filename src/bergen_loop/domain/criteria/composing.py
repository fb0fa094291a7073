"""Common criteria put together from a few choices, as the text that a person can go on with."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from itertools import product


class Irregular(StrEnum):
    """What is done about damage, or about other items than announced."""

    FLAG = "flag"
    PAY = "pay"
    ASK = "ask"


class Short(StrEnum):
    """What is done where units are missing."""

    WAIT_FLAG = "wait_flag"
    WAIT_REMOVE = "wait_remove"
    FLAG = "flag"


@dataclass(frozen=True, slots=True)
class Common:
    """The choices."""

    damaged: Irregular = Irregular.FLAG
    other: Irregular = Irregular.FLAG
    """Units too many, or of another product."""
    short: Short = Short.WAIT_FLAG
    days: str = "7"
    """How long a second parcel may take."""
    above: str = ""
    """From which value on a person looks at complete returns; blank: from none."""
    prefix: str = ""
    """Returns with a unit whose SKU begins so go to a person; blank: none do."""


_DAMAGED = '"Warehouse found damage. {problems}"'
_OTHER = '"Warehouse found other items than announced. {problems}"'
_OVERDUE = '"Another parcel did not arrive in {waited_days} days. {problems}"'
_LATE = '"Not received after {waited_days} days. {problems}"'
_MISSING = '"Not in the parcel. {problems}"'
_HIGH = '"{counted} of {expected}. Worth {total}: please approve."'


class Unfit(Exception):
    """Choices that cannot be put together: by field, what is wrong and what is right."""

    def __init__(self, problems: dict[str, str]) -> None:
        super().__init__("; ".join(problems.values()))
        self.problems = problems


def compose(name: str, common: Common) -> str:
    """The criteria as a text. Raises Unfit."""
    problems: dict[str, str] = {}
    if not (re.fullmatch(r"\d{1,3}", common.days, re.ASCII) and 0 < int(common.days) <= 365):
        problems["days"] = f"{common.days!r} is no number of days: 1 to 365"
    cents = _cents(common.above)
    if common.above and cents is None:
        problems["above"] = f"{common.above!r} is no amount of money: such as 500 or 499.50"
    if common.prefix and not re.fullmatch(r"[A-Za-z0-9._/-]{1,40}", common.prefix, re.ASCII):
        problems["prefix"] = "up to 40 letters, digits and . _ / -, such as FS-"
    if problems:
        raise Unfit(problems)
    settings = [f"  wait: {int(common.days)}d  # how long a second parcel may take"]
    if cents is not None:
        settings.append(f"  high_value_cents: {cents}  # in hundredths")
    allow = [
        word
        for choice, words in ((common.damaged, ("damaged",)), (common.other, ("extra", "wrong")))
        if choice is Irregular.PAY
        for word in words
    ]
    rules = "\n".join(_rules(common, allow, high=cents is not None))
    slug = re.sub(r"[^a-z0-9]+", "-", name.casefold()).strip("-")[:40] or "own"
    head = f"name: {slug}\n\nsettings:\n" + "\n".join(settings)
    return f"{head}\n\nrules:\n{rules}"


def read_back(text: str) -> Common | None:
    """The choices that a text was put together from; None for one that is not, to the letter,
    what `compose` writes (whatever it is called)."""
    given = re.sub(r"\Aname: [^\n]*\n", "name: x\n", text.rstrip("\n") + "\n")
    days, cents, prefix = (_first(pattern, given) for pattern in _WRITTEN)
    above = f"{Decimal(cents) / 100:.2f}".removesuffix(".00") if cents else ""
    for damaged, other, short in product(Irregular, Irregular, Short):
        common = Common(damaged, other, short, days, above, prefix)
        try:
            if compose("x", common) == given:
                return common
        except Unfit:
            return None
    return None


_WRITTEN = (
    re.compile(r"^  wait: (\d{1,3})d  #", re.ASCII | re.MULTILINE),
    re.compile(r"^  high_value_cents: (\d{1,12})  #", re.ASCII | re.MULTILINE),
    re.compile(r'has\(l\.sku\) && l\.sku\.startsWith\("([^"\n]{1,40})"\)'),
)


def _first(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return found[1] if found else ""


def _cents(text: str) -> int | None:
    try:
        value = Decimal(text.replace(",", "") or "?")
    except InvalidOperation:
        return None
    fits = value.is_finite() and 0 < value <= 10**9 and value * 100 == int(value * 100)
    return int(value * 100) if fits else None


def _rules(common: Common, allow: list[str], *, high: bool) -> list[str]:
    found: list[str] = []
    if common.prefix:
        when = f'lines.exists(l, has(l.sku) && l.sku.startsWith("{common.prefix}"))'
        found.append(_rule("always-a-person", when, "flag: {reason: always looked at}"))
    if common.damaged is not Irregular.PAY:
        then = _irregular(common.damaged, "damaged", _DAMAGED)
        found.append(_rule("damaged", "receipt.damaged > 0", then))
    if common.other is not Irregular.PAY:
        then = _irregular(common.other, "unexpected items", _OTHER)
        found.append(_rule("not-as-announced", "receipt.wrong > 0 || receipt.extra > 0", then))
    overdue = _wait(_flag("parcel overdue", _OVERDUE))
    found.append(_rule("parcel-on-its-way", "receipt.open_tickets > 0", overdue))
    found.append(_rule("short", "receipt.short > 0", _short(common.short, allow)))
    if high:
        when = "ret.return_total_cents >= settings.high_value_cents"
        found.append(_rule("high-value", when, _flag("high value", _HIGH)))
    pays = f"process: {{allow: [{', '.join(allow)}]}}" if allow else ""
    found.append(_rule("all-came", "receipt.counted > 0" if allow else "receipt.complete", pays))
    return found


def _rule(name: str, when: str, then: str) -> str:
    does = f"    then:\n{_indented(then, 6)}" if then else "    then: process\n"
    return f"  - name: {name}\n    when: |\n      {when}\n{does}"


def _indented(text: str, by: int) -> str:
    return "".join(f"{' ' * by}{line}\n" for line in text.splitlines())


def _irregular(choice: Irregular, reason: str, note: str) -> str:
    if choice is Irregular.ASK:
        return f"attention: {{reason: {reason}}}"
    return _flag(reason, note)


def _flag(reason: str, note: str) -> str:
    return f"flag: {{reason: {reason}, note: {note}}}"


def _wait(then: str) -> str:
    return f"wait:\n  for: wait\n  then:\n    {then}"


def _short(choice: Short, allow: list[str]) -> str:
    if choice is Short.FLAG:
        return _flag("items missing", _MISSING)
    if choice is Short.WAIT_FLAG:
        return _wait(_flag("items missing", _LATE))
    also = f", allow: [{', '.join(allow)}]" if allow else ""
    return _wait(f"remove_lines: {{select: [short]{also}}}")
