"""Connecting a brand step by step: what each step asks, and how what is typed is tried.

A step can be tried alone: what belongs to later ones is made up for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, cast

from bergen_loop.config import BrandSettings, ConfigError, Problem
from bergen_loop.config.source import check_brand
from bergen_loop.connect import loop_checks, rex11_checks, shipment_checks, webhook_checks
from bergen_loop.connect.answers import BRAND_ID
from bergen_loop.connect.check import Check
from bergen_loop.connect.checkup import CRITERIA, Checkup
from bergen_loop.connect.checkup import Step as Run
from bergen_loop.connect.draft import merged
from bergen_loop.domain.criteria import PRESETS
from bergen_loop.ledger.database import Ledger
from bergen_loop.outside.warehouse.rex11.config import WAREHOUSES
from bergen_loop.secrets import SecretStores

__all__ = ["BRAND_ID", "CRITERIA", "Input", "Step", "Tried", "Trying", "attempt"]

Block = dict[str, Any]
EMBEDDED = "embedded"
_UNKNOWN = "ledger:not-asked-yet"
_ALONE: Block = {
    "loop": {"api_key": _UNKNOWN},
    "rex11": {"web_address": "-", "user_name": "-", "password": _UNKNOWN},
}
"""In place of what later steps ask."""


class Step(StrEnum):
    """The steps, in their order."""

    LOOP = "loop"
    WAREHOUSE = "warehouse"
    PRODUCTS = "products"
    CRITERIA = "criteria"
    WEBHOOKS = "webhooks"
    START = "start"

    @property
    def words(self) -> str:
        """For people."""
        return _TITLES[self]

    @property
    def next(self) -> Step | None:
        """The one after it."""
        order = list(Step)
        place = order.index(self) + 1
        return order[place] if place < len(order) else None


_TITLES = {
    Step.LOOP: "Loop",
    Step.WAREHOUSE: "Warehouse",
    Step.PRODUCTS: "Products",
    Step.CRITERIA: "Criteria",
    Step.WEBHOOKS: "Webhooks",
    Step.START: "Start",
}


@dataclass(frozen=True, slots=True)
class Input:
    """One field of a form; `name` is the field of the settings it fills, with dots."""

    name: str
    label: str
    hint: str = ""
    kind: str = "text"
    """text, secret, choice, known (a text with suggestions), check or lines."""
    needed: bool = False
    choices: tuple[tuple[str, str], ...] = ()
    """Value and words."""
    aside: bool = False
    """Seldom needed."""

    @property
    def path(self) -> list[str]:
        """Where in a block it stands; an id at its end may hold dots."""
        return self.name.split(".", 2)


_SHORT = tuple((name, name.removeprefix("BERGEN LOGISTICS ")) for name in WAREHOUSES)
BOX_FREE = (
    Input(
        "loop.happy_returns",
        "Customers drop returns off box-free (Happy Returns): they come in consolidated shipments. "
        "The key then needs the scope Happy Returns Shipments (read)",
        kind="check",
    ),
    Input(
        "shipments.rma",
        "RMAs of a consolidated shipment",
        "",
        "choice",
        False,
        (("", "one for each box"), ("shipment", "one for all of it")),
        aside=True,
    ),
    Input(
        "shipments.license_plate",
        "License plate of its RMAs",
        "{box} where nothing is typed",
        aside=True,
    ),
    Input(
        "shipments.tracking_numbers",
        "Tracking numbers of its RMAs",
        "of tracking, box, bags, with commas; tracking, box where nothing is typed",
        aside=True,
    ),
    Input(
        "shipments.most_items",
        "Products on one of its RMAs at most",
        "200 where nothing is typed",
        aside=True,
    ),
    Input(
        "shipments.missing_wait",
        "How long what is missing may still come",
        "after a shipment has left the hub; 7d where nothing is typed",
        aside=True,
    ),
    Input(
        "shipments.unknown_wait",
        "How late a shipment's webhook may be",
        "2h where nothing is typed",
        aside=True,
    ),
)
"""What is asked about consolidated shipments of box-free returns."""
_INPUTS: dict[Step, tuple[Input, ...]] = {
    Step.LOOP: (
        Input("name", "Brand name", "as people call it", needed=True),
        Input(
            "loop.api_key", "Loop API key", "scopes Returns and Developer Tools", "secret", True
        ),
        Input(
            "loop.webhook_secret",
            "Loop webhook secret",
            "without it returns are polled for, which is slower",
            "secret",
        ),
        Input(
            "loop.base_url", "Loop API address", "only for another than the real one", aside=True
        ),
    ),
    Step.WAREHOUSE: (
        Input(
            "warehouse",
            "Warehouse system",
            kind="choice",
            choices=(("rex11", "REX11"), (EMBEDDED, "none: parcels are counted here")),
        ),
        Input("rex11.web_address", "REX11 WebAddress", "such as www.acme.atworkweb.com"),
        Input("rex11.user_name", "REX11 UserName"),
        Input("rex11.password", "REX11 Password", kind="secret"),
        Input(
            "rex11.endpoint", "REX11 address", "only for staging, or another than the real one",
            aside=True,
        ),
        Input(
            "announce.warehouse", "Bergen warehouse", "the returns go to it", "known",
            choices=_SHORT,
        ),
        Input("announce.supplier.company_name", "Supplier: company", "REX11 refuses RMAs without"),
        Input("announce.supplier.state", "Supplier: state", "such as NJ"),
        Input("announce.supplier.country", "Supplier: country", "such as USA"),
    ),
    Step.PRODUCTS: (
        Input(
            "announce.add_products",
            "Add products that REX11 does not know when they first come back",
            kind="check",
        ),
        *BOX_FREE,
    ),
    Step.CRITERIA: (
        Input(
            "criteria",
            "Receipt criteria",
            kind="choice",
            choices=tuple((p, f"preset {p}") for p in PRESETS),
        ),
        Input("criteria.text", "Criteria of your own, as YAML", "in place of the preset", "lines"),
    ),
    Step.WEBHOOKS: (),
    Step.START: (
        Input(
            "announce.start",
            "From which time on returns are this connection's (UTC)",
            "for older ones RMAs may have been made by hand",
            needed=True,
        ),
        Input("poll", "How often Loop is asked while something happens", "such as 60s or 2m"),
    ),
}  # fmt: skip


def inputs(step: Step, content: Block, unmapped: Mapping[str, str] | None = None) -> list[Input]:
    """What a step asks. `unmapped`: destinations of recent returns, id -> words."""
    asked = list(_INPUTS[step])
    if step is Step.PRODUCTS:
        announce = cast("Block", content.get("announce") or {})
        known = cast("Block", announce.get("destinations") or {})
        ids = {**dict.fromkeys(known, ""), **(unmapped or {})}
        choices = (("", "not said yet"), ("none", "not Bergen's"), *_SHORT)
        asked += [
            Input(f"announce.destinations.{i}", f"Destination {i}", words, "choice", False, choices)
            for i, words in ids.items()
        ]
    return asked


def typed_in(content: Block, asked: Sequence[Input], given: Mapping[str, str]) -> Block:
    """The block with what was typed put into it. Secrets are left out; see `secrets_in`."""
    changed = merged(content, {})
    for one in asked:
        if one.kind == "secret":
            continue
        value: Any = given.get(one.name, "").strip() if one.kind != "lines" else ""
        if one.kind == "check":
            value = one.name in given or None
        elif one.name.startswith("announce.destinations.") and value == "none":
            _put(changed, one.path, None, even_none=True)
            continue
        elif one.name == "criteria":
            value = given.get("criteria.text", "").replace("\r\n", "\n").strip("\n") or value
            value = f"{value}\n" if "\n" in value else value
        elif one.kind == "lines":
            continue
        _put(changed, one.path, value if value != "" else None)
    return changed


def secrets_in(asked: Sequence[Input], given: Mapping[str, str]) -> Block:
    """The secrets that were typed, as a block."""
    found: Block = {}
    for one in asked:
        if one.kind == "secret" and (value := given.get(one.name, "").strip()):
            _put(found, one.path, value)
    return found


def value_of(content: Block, one: Input) -> str:
    """What a field shows; never a secret."""
    if one.kind == "secret":
        return ""
    if one.name in ("criteria", "criteria.text"):
        value = str(content.get("criteria") or "standard")
        return value if ("\n" in value) == (one.kind == "lines") else ""
    part: Any = content
    for key in one.path:
        if not isinstance(part, Mapping) or key not in part:
            return ""
        part = cast("Block", part)[key]
    if part is None and one.name.startswith("announce.destinations."):
        return "none"
    if isinstance(part, list):
        return ", ".join(map(str, cast("list[Any]", part)))
    return "" if part is None or (one.kind == "check" and not part) else str(part)


def kept_secret(content: Block, one: Input) -> bool:
    """Whether a secret is kept already."""
    section, name = one.path
    return bool(cast("Block", content.get(section) or {}).get(name))


def missing(asked: Sequence[Input], content: Block) -> list[Problem]:
    """What has to be typed and was not."""
    embedded = content.get("warehouse") == EMBEDDED
    found: list[Problem] = []
    for one in asked:
        needed = one.needed or (one.name.startswith("rex11.") and not one.aside and not embedded)
        empty = not (kept_secret(content, one) if one.kind == "secret" else value_of(content, one))
        if needed and empty:
            found.append(Problem("(form)", 1, 1, one.name, "is needed", "fill it in"))
    return found


def settings_of(
    brand: str, content: Block, stores: SecretStores, step: Step
) -> tuple[BrandSettings | None, list[Problem]]:
    """The settings so far, and what is wrong with those of this step; at the last one, of all."""
    alone = merged({} if step is Step.START else _ALONE, content)
    if alone.get("warehouse") == EMBEDDED:
        alone.pop("rex11", None)
    try:
        known = stores.knowing({_UNKNOWN: "not-asked-yet"})
        return check_brand(alone, known, f"brand {brand}"), []
    except ConfigError as error:
        return None, error.problems


@dataclass(slots=True)
class Tried:
    """What came of trying a step."""

    checks: list[Check]
    unmapped: dict[str, str]
    """Destinations of recent returns that are not mapped: id -> words."""


@dataclass(frozen=True, slots=True)
class Trying:
    """What a step is tried with."""

    ledger: Ledger
    folder: Path
    public_url: str | None


def attempt(step: Step, brand: str, settings: BrandSettings, with_: Trying) -> Tried:
    """Try a step for real; nothing is changed anywhere."""
    checkup = Checkup(brand, settings, with_.folder)
    checks = [run() for _, run in _runs(step, checkup, with_)]
    recent = checkup.recent
    names = recent.destination_names or {}
    open_ = loop_checks.unmapped(recent.returns, settings.announce_rules())
    words = {i: f"{names.get(i, 'name unknown')}, {n} recent return(s)" for i, n in open_.items()}
    own = _OWN.get(step)
    return Tried([c for c in checks if own is None or c.name in own], words)


_OWN = {
    Step.PRODUCTS: (
        loop_checks.RETURNS, loop_checks.DESTINATIONS, rex11_checks.PRODUCTS,
        shipment_checks.SHIPMENTS,
    ),
    Step.CRITERIA: (CRITERIA,),
    Step.WEBHOOKS: (webhook_checks.SUBSCRIPTIONS, webhook_checks.DELIVERY),
}  # fmt: skip
"""Of steps that need what others find: which checks they show."""


def _runs(step: Step, checkup: Checkup, with_: Trying) -> Iterator[Run]:
    if step is Step.LOOP:
        yield from checkup.loop_steps()
    elif step is Step.WAREHOUSE:
        yield from checkup.rex11_steps()
    elif step is Step.PRODUCTS:
        yield from checkup.rex11_steps()
        yield from checkup.data_steps()
    elif step is Step.CRITERIA:
        yield from (s for s in checkup.data_steps() if s[0] == CRITERIA)
    elif step is Step.WEBHOOKS:
        yield from checkup.loop_steps()
        steps = checkup.webhook_steps(with_.ledger, with_.public_url, make=False, wait=0)
        yield from (s for s in steps if s[0] == webhook_checks.SUBSCRIPTIONS)
    else:
        yield from checkup.loop_steps()
        yield from checkup.rex11_steps()


AT_FIELD = {
    loop_checks.KEY: "loop.api_key",
    loop_checks.WEBHOOK_SCOPE: "loop.api_key",
    rex11_checks.ACCOUNT: "rex11.web_address",
    CRITERIA: "criteria",
    shipment_checks.SHIPMENTS: "loop.happy_returns",
}
"""At which field a failed check is told."""


def now_text() -> str:
    """The present time, as `announce.start` is suggested."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _put(block: Block, path: Sequence[str], value: Any, *, even_none: bool = False) -> None:
    part = block
    for key in path[:-1]:
        inner = part.get(key)
        if not isinstance(inner, dict):
            if value is None and not even_none:
                return
            inner = part[key] = dict[str, Any]()
        part = cast("Block", inner)
    if value is None and not even_none:
        part.pop(path[-1], None)
    else:
        part[path[-1]] = value
    for depth in range(len(path) - 1, 0, -1):  # no empty mapping is left behind
        outer = block
        for key in path[: depth - 1]:
            outer = cast("Block", outer.get(key) or {})
        if outer.get(path[depth - 1]) == {}:
            del outer[path[depth - 1]]
