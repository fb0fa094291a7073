"""A brand as it is to be written: its block of the configuration, and secrets to be kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from secrets import token_hex
from typing import Any, cast

from pydantic import SecretStr

from bergen_loop.config import BrandSettings
from bergen_loop.config.source import check_brand
from bergen_loop.secrets import SCHEMES, SecretError, SecretStores

SECRETS = {
    ("loop", "api_key"): "loop-key",
    ("loop", "webhook_secret"): "webhook-secret",
    ("rex11", "password"): "rex11-password",
    ("events", "secret"): "events-secret",
}
"""Where a brand's block has secrets, and how they are named in a store."""
KEYRING_SERVICE = "bergen-loop"
FOLDER = "secrets"
"""Where secrets in files go, beside the configuration."""

Block = dict[str, Any]


@dataclass(slots=True)
class Draft:
    """A brand's block with references in place of secrets."""

    brand: str
    block: Block
    to_keep: dict[str, str] = field(default_factory=dict[str, str], repr=False)
    """Reference -> the secret to be kept there."""

    def settings(self, stores: SecretStores, source: str, tree: Any = None) -> BrandSettings:
        """The block, checked, with its secrets. ConfigError; `tree` has the lines for it."""
        block = merged(self.block, {})
        for section, name in SECRETS:
            part = block.get(section)
            fields = cast("Block", part) if isinstance(part, dict) else dict[str, Any]()
            if fields.get(name) in self.to_keep:
                fields[name] = SecretStr(self.to_keep[fields[name]])
        return check_brand(block, stores, source, tree)


def draft(
    brand: str,
    given: Mapping[str, Any],
    existing: Mapping[str, Any],
    store: str,
    kept: SecretStores | None = None,
) -> Draft:
    """The brand's block: what there is already, with what is given put over it. A secret that
    is given in the clear gets a reference into `store`; one that is a reference stays.

    With `kept`, the present secrets, none of them is overwritten: a new one gets a name of its
    own, so that what is in force stays so until the new settings are, and can be rolled back to.
    """
    block = merged(existing, given)
    to_keep: dict[str, str] = {}
    for (section, name), word in SECRETS.items():
        part = block.get(section)
        if not isinstance(part, dict):
            continue  # the check of the settings says so, with its place
        fields = cast("Block", part)
        value = fields.get(name)
        if value is None or value == "":
            fields.pop(name, None)
        elif not is_reference(value):
            present = cast("Block", existing.get(section) or {}).get(name)
            if kept is not None and _same(kept, present, str(value)):
                fields[name] = present
                continue
            fields[name] = reference(brand, word, store)
            if kept is not None and store != "env":
                fields[name] += f"-{token_hex(4)}"
            to_keep[fields[name]] = str(value)
    if not existing:
        block = {name: block[name] for name in sorted(block, key=_place)}
    return Draft(brand, block, to_keep)


def _same(kept: SecretStores, present: object, given: str) -> bool:
    try:
        return isinstance(present, str) and kept.get(present) == given
    except SecretError:
        return False


def _place(name: str) -> int:
    order = ("name", "mode", "loop", "warehouse", "rex11", "announce", "criteria")
    return order.index(name) if name in order else len(order)


def start_now(block: Block, now: datetime) -> bool:
    """Have a brand that says nothing else begin with the returns from now on: for older ones
    RMAs may have been made by hand already. Whether that was put in."""
    announce = block.setdefault("announce", {})
    if not isinstance(announce, dict) or "start" in announce:
        return False
    cast("Block", announce)["start"] = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    return True


def is_reference(value: object) -> bool:
    """Whether a secret is named, not given."""
    return isinstance(value, str) and value.partition(":")[0] in SCHEMES


def reference(brand: str, word: str, store: str) -> str:
    """Where a brand's secret goes in a store. ValueError for an unknown store."""
    name = f"{brand}-{word}"
    match store:
        case "ledger":
            return f"ledger:{name}"
        case "file":
            return f"file:{FOLDER}/{name}"
        case "keyring":
            return f"keyring:{KEYRING_SERVICE}/{name}"
        case "env":
            return f"env:{name.upper().replace('-', '_')}"
        case _:
            raise ValueError(f"{store!r} is no store; use one of {', '.join(SCHEMES)}")


def merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> Block:
    """`new` over `old`, mapping by mapping, as plain data; neither is changed."""
    result: Block = {}
    for key in [*old, *(k for k in new if k not in old)]:
        before, after = old.get(key), new.get(key, old.get(key))
        if isinstance(after, Mapping):
            nothing = dict[str, Any]()
            part = cast("Block", before) if isinstance(before, Mapping) else nothing
            over = cast("Block", after) if key in new else nothing
            result[str(key)] = merged(part, over)
        else:
            result[str(key)] = after
    return result
