"""Faults on demand. Which call is hit follows from the seed and the call's subject alone, so
the order in which threads happen to call does not change it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field, fields
from typing import Any

from loop_sandbox.dice import Dice

TRANSPORT = {
    "timeout_before": False,
    "timeout_after": True,
    "reset_before": False,
    "reset_mid_body": True,
    "status_401": False,
    "status_403": False,
    "status_429": False,
    "status_500": False,
    "status_502": False,
    "status_504": False,
    "unauthorized_200": False,
    "html": False,
    "truncated": True,
    "soap_fault": False,
    "blank_before_xml": True,
    "utf16_declared": True,
}
"""Kinds that spoil the answer, and whether the call takes effect unless the rule says."""

QUIRKS = (
    "expired_token",
    "other_ticket",
    "refusal",
    "process_fails",
    "process_never_ends",
    "shifting_pages",
    "repeat_cursor",
    "lost_cursor",
    "empty_last_page",
)
BIG_PAGE = ("page_timeout",)
RETURN_RECORD = (
    "lines_null",
    "lines_absent",
    "line_twice",
    "raw_control",
    "nan_price",
    "record_patch",
)
TICKET_RECORD = ("bad_char_ref", "html_entity", "bare_ampersand")
WEBHOOK = ("webhook_duplicated", "webhook_out_of_order", "webhook_lost", "webhook_forged")
CLOCK = ("clock_skew",)
_REX_ONLY = (
    "soap_fault", "blank_before_xml", "utf16_declared", "expired_token", "other_ticket",
    *TICKET_RECORD,
)  # fmt: skip
_ONLY = {
    **dict.fromkeys((*QUIRKS, *BIG_PAGE, *RETURN_RECORD, "unauthorized_200"), "loop"),
    **dict.fromkeys(_REX_ONLY, "rex11"),
}
_ALIASES = {
    "401": "status_401",
    "403": "status_403",
    "429": "status_429",
    "500": "status_500",
    "502": "status_502",
    "504": "status_504",
    "truncated_json": "truncated",
    "truncated_xml": "truncated",
    **{k.removeprefix("webhook_"): k for k in WEBHOOK},
}
DOCS = {
    "timeout_before": "No answer for `seconds`, and nothing is done.",
    "timeout_after": "It is done, but no answer comes.",
    "reset_before": "The connection breaks, and nothing is done.",
    "reset_mid_body": "It is done; the connection breaks half way through the answer.",
    "status_401": "Unauthorized.",
    "status_403": 'Forbidden; of Loop {"errors":[{"message":...}]}, as seen on remove.',
    "status_429": "Too many calls.",
    "status_500": "An error of the system.",
    "status_502": "Bad gateway, as HTML.",
    "status_504": "Gateway timeout, as HTML.",
    "unauthorized_200": 'Loop: status 200 with {"errors":"Unauthorized."}.',
    "html": "Status 200 with an HTML page; with `subject` for one return or ticket.",
    "truncated": "It is done; half of the answer is sent, and looks whole.",
    "soap_fault": "REX11: a SOAP fault soap:Server; with `product` for one product only.",
    "blank_before_xml": "REX11: a blank line before the XML declaration.",
    "utf16_declared": "REX11: the XML declares utf-16 and is utf-8.",
    "expired_token": "REX11: the token is over.",
    "other_ticket": "REX11: the answer is about another ticket than the asked one.",
    "refusal": "Loop refuses the action, with status 200.",
    "process_fails": "Loop takes the process call, and the processing fails.",
    "process_never_ends": "Loop takes the process call, and nothing more happens.",
    "shifting_pages": "List: some returns come twice and some are skipped.",
    "repeat_cursor": "List: the next page is this one again.",
    "lost_cursor": "List: the next page's address has no cursor.",
    "empty_last_page": "List: an empty page follows the last one and repeats its cursor.",
    "page_timeout": "List: 504 for every page of more than `above` returns (100).",
    "lines_null": "One return of a list or details: line_items is null.",
    "lines_absent": "One return: it has no line_items.",
    "line_twice": "One return: it lists a line_item_id twice.",
    "raw_control": "One return: a raw tab, newline and control character inside a string.",
    "nan_price": "One return: NaN as a price.",
    "record_patch": 'One return: `patch`, e.g. {"line_items.0.price": "x"}; "$absent" takes out.',
    "bad_char_ref": "One ticket: &#x1D; in an item's Comments or the StatusDescription.",
    "html_entity": "One ticket: &eacute; in the same places.",
    "bare_ampersand": "One ticket: a bare & in the same places.",
    "webhook_duplicated": "A webhook comes twice.",
    "webhook_out_of_order": "A webhook comes `seconds` (2) late.",
    "webhook_lost": "A webhook never comes.",
    "webhook_forged": "A webhook with a wrong signature comes before the real one.",
    "clock_skew": "The system's clock is `seconds` ahead, from now on.",
}
"""Every kind with what it does."""
KINDS = tuple(DOCS)


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
    above: int | None = None
    """For page_timeout: pages of more returns than this; None is 100."""
    product: str | None = None
    """Only calls that name this product by Sku, UPC or Style."""
    patch: dict[str, Any] | None = None
    """For record_patch: dotted path to the value that is put there."""
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

    def waits_for(self, group: tuple[str, ...]) -> bool:
        """Whether any rule of the group is there at all."""
        return any(rule.kind in group for rule in self.rules)

    def pick(
        self,
        group: tuple[str, ...],
        *,
        system: str,
        operation: str,
        brand: str | None,
        subject: str | None,
        products: Collection[str] = (),
        size: int = 0,
    ) -> FaultRule | None:
        """The rule that hits this call, if one does. Counts the call for each matching rule.
        `products` are the lower-cased codes that it names, `size` the returns on its page."""
        chosen: FaultRule | None = None
        for number, rule in enumerate(self.rules):
            if (
                rule.kind not in group
                or rule.system != system
                or rule.operation not in (None, operation)
                or rule.brand not in (None, brand)
                or rule.subject not in (None, subject)
                or (rule.product is not None and rule.product.lower() not in products)
                or (rule.kind in BIG_PAGE and size <= (100 if rule.above is None else rule.above))
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
    for name in ("nth", "count", "above"):
        value: Any = getattr(rule, name)
        if value is not None and (type(value) is not int or value < 1):
            raise ValueError(f"fault rule: {name} must be a whole number from 1, not {value!r}")
    for name in ("operation", "subject", "product"):
        text: Any = getattr(rule, name)
        if text is not None and not isinstance(text, str):
            raise ValueError(f"fault rule: {name} must be text, not {text!r}")
    patch: Any = rule.patch
    if (rule.kind == "record_patch") != (patch is not None):
        raise ValueError("fault rule: record_patch and patch go together")
    if patch is not None and (not isinstance(patch, dict) or not patch):
        raise ValueError(f"fault rule: patch must be an object of paths and values, not {patch!r}")
    if rule.nth is not None and p is not None:
        raise ValueError("fault rule: give probability or nth, not both")
    seconds: Any = rule.seconds
    if seconds is not None and (not isinstance(seconds, int | float) or isinstance(seconds, bool)):
        raise ValueError(f"fault rule: seconds must be a number, not {seconds!r}")
