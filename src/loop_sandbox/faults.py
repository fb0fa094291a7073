"""Faults on demand. Which call is hit follows from the seed and the call's subject alone, so
the order in which threads happen to call does not change it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Any

from loop_sandbox.dice import Dice

TRANSPORT = {
    "timeout_before": False,
    "timeout_after": True,
    "reset_before": False,
    "reset_mid_body": True,
    "status_429": False,
    "status_500": False,
    "status_502": False,
    "html": False,
    "truncated": True,
    "soap_fault": False,
}
"""Kinds that spoil the answer, and whether the call takes effect unless the rule says."""

QUIRKS = (
    "expired_token",
    "refusal",
    "process_fails",
    "process_never_ends",
    "shifting_pages",
    "repeat_cursor",
    "lost_cursor",
)
WEBHOOK = ("webhook_duplicated", "webhook_out_of_order", "webhook_lost", "webhook_forged")
CLOCK = ("clock_skew",)
_ONLY = {
    "soap_fault": "rex11",
    "expired_token": "rex11",
    **{k: "loop" for k in QUIRKS if k != "expired_token"},
}
_ALIASES = {
    "500": "status_500",
    "502": "status_502",
    "429": "status_429",
    "truncated_json": "truncated",
    "truncated_xml": "truncated",
    **{k.removeprefix("webhook_"): k for k in WEBHOOK},
}
KINDS = (*TRANSPORT, *QUIRKS, *WEBHOOK, *CLOCK)


@dataclass(slots=True)
class FaultRule:
    """When what goes wrong. Either `probability` or `nth` (1-based, of the matching calls)."""

    system: str
    kind: str
    operation: str | None = None
    brand: str | None = None
    subject: str | None = None
    probability: float | None = None
    nth: int | None = None
    count: int | None = None
    """At most so many times; with nth, calls nth to nth+count-1 (default 1)."""
    after: bool | None = None
    """Whether the call takes effect before its answer is spoiled; None is the kind's own."""
    seconds: float | None = None
    """For hangs, delays and the clock; None takes the setting."""
    seen: int = 0
    fired: int = 0
    occurrences: Counter[str] = field(default_factory=Counter[str])

    @property
    def takes_effect(self) -> bool:
        return TRANSPORT.get(self.kind, True) if self.after is None else self.after

    def as_dict(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "occurrences"}


class FaultPlan:
    """All rules. The first of a group that fires wins."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.rules: list[FaultRule] = []

    def add(self, rule: FaultRule) -> None:
        self.rules.append(rule)

    def clear(self) -> None:
        self.rules.clear()

    def pick(
        self,
        group: tuple[str, ...],
        *,
        system: str,
        operation: str,
        brand: str | None,
        subject: str | None,
    ) -> FaultRule | None:
        """The rule that hits this call, if one does. Counts the call for each matching rule."""
        chosen: FaultRule | None = None
        for number, rule in enumerate(self.rules):
            if (
                rule.kind not in group
                or rule.system != system
                or rule.operation not in (None, operation)
                or rule.brand not in (None, brand)
                or rule.subject not in (None, subject)
            ):
                continue
            if self._hits(number, rule, f"{brand}|{operation}|{subject}") and chosen is None:
                rule.fired += 1
                chosen = rule
        return chosen

    def _hits(self, number: int, rule: FaultRule, key: str) -> bool:
        rule.seen += 1
        if rule.nth is not None:
            return rule.nth <= rule.seen < rule.nth + (rule.count or 1)
        rule.occurrences[key] += 1
        if rule.count is not None and rule.fired >= rule.count:
            return False
        dice = Dice(self._seed, "fault", number, rule.kind, key, rule.occurrences[key])
        return dice.chance(1.0 if rule.probability is None else rule.probability)


def parse_rule(values: dict[str, Any]) -> FaultRule:
    """A rule from JSON; ValueError says what is wrong with it."""
    allowed = {f.name for f in fields(FaultRule)} - {"seen", "fired", "occurrences"}
    for name in values:
        if name not in allowed:
            raise ValueError(f"fault rule: no field {name!r}; there are: {sorted(allowed)}")
    kind = _ALIASES.get(str(values.get("kind")), str(values.get("kind")))
    if kind not in KINDS:
        raise ValueError(f"fault rule: kind must be one of {', '.join(KINDS)}, not {kind!r}")
    system = values.get("system", _ONLY.get(kind, "webhook" if kind in WEBHOOK else None))
    if kind in WEBHOOK and system in ("webhook", "webhooks", "loop"):
        system = "webhook"
    elif system not in ("loop", "rex11") or _ONLY.get(kind, system) != system:
        raise ValueError(f"fault rule: {kind} does not go with system {system!r}")
    checked: dict[str, Any] = {**values, "kind": kind, "system": system}
    rule = FaultRule(**checked)
    _check_numbers(rule)
    return rule


def _check_numbers(rule: FaultRule) -> None:
    p: Any = rule.probability
    if p is not None and (not isinstance(p, int | float) or isinstance(p, bool) or not 0 <= p <= 1):
        raise ValueError(f"fault rule: probability must be from 0 to 1, not {p!r}")
    for name in ("nth", "count"):
        value: Any = getattr(rule, name)
        if value is not None and (type(value) is not int or value < 1):
            raise ValueError(f"fault rule: {name} must be a whole number from 1, not {value!r}")
    if rule.nth is not None and p is not None:
        raise ValueError("fault rule: give probability or nth, not both")
    seconds: Any = rule.seconds
    if seconds is not None and (not isinstance(seconds, int | float) or isinstance(seconds, bool)):
        raise ValueError(f"fault rule: seconds must be a number, not {seconds!r}")
