"""Making a connection last: secrets kept, configuration written, journal told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bergen_loop.config import Problem
from bergen_loop.config.roster import Roster
from bergen_loop.config.source import own_key_file
from bergen_loop.connect import configfile
from bergen_loop.connect.check import Check
from bergen_loop.connect.draft import Draft
from bergen_loop.domain.words import What
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.store import journal
from bergen_loop.ledger.store.brands import Version
from bergen_loop.people.brands import Act, Brands
from bergen_loop.secrets import SecretStores
from bergen_loop.secrets import keys as secret_keys

KEY_FILE = "bergen-loop.key"


def prepare(path: Path, draft: Draft, public_url: str | None) -> tuple[SecretStores, Path | None]:
    """Have the configuration file (where it can be written), and a key if secrets go into the
    ledger, in place. Returns the stores, and the key file if one was made. ConfigError,
    SecretError, OSError."""
    service: dict[str, Any] = {"public_url": public_url} if public_url else {}
    if service or not path.exists():
        configfile.start(path, service)
    wanted = any(reference.startswith("ledger:") for reference in draft.to_keep)
    return (Roster(path).stores(), None) if not wanted else with_key(path)


def with_key(path: Path) -> tuple[SecretStores, Path | None]:
    """The stores with a key for the ledger's secrets; the key file if one had to be made. It
    goes beside the configuration, which then names it; where that cannot be written, beside the
    embedded ledger. SecretError where neither can be."""
    roster = Roster(path, needed=path.exists())
    stores = roster.stores()
    if stores.vault.keys.configured:
        return stores, None
    beside = own_key_file(stores.vault.url, made=False)
    if configfile.writable(path):
        made = path.resolve().parent / KEY_FILE
        if not made.exists():
            secret_keys.new_key(made)
        configfile.start(path, {"key_file": KEY_FILE})
    elif beside is not None:
        made = beside
        secret_keys.new_key(made)
    else:
        return stores, None  # who keeps a secret is told what is missing
    return roster.stores(), made


def keep(path: Path, draft: Draft, stores: SecretStores, who: str) -> list[Problem]:
    """Keep the secrets, then write the brand. Returns the problems of other brands in the file.
    SecretError, ConfigError."""
    for reference, secret in draft.to_keep.items():
        stores.put(reference, secret, who=who)
    return configfile.write_brand(path, draft.brand, draft.block)


def keep_in_ledger(brands: Brands, draft: Draft, act: Act, seen: int | None) -> Version:
    """Keep a brand in the ledger: new, or in place of the version that was seen. NotPossible,
    ConfigError, SecretError."""
    block = {name: value for name, value in draft.block.items() if name != "mode"}
    act = replace(act, typed=draft.to_keep)
    if seen is None:
        return brands.add(act, draft.brand, block)
    return brands.change(act, draft.brand, block, seen)


def found(checks: Sequence[Check]) -> tuple[str, list[dict[str, str]]]:
    """What checks found, in a sentence and one by one, for the journal."""
    counts: dict[str, int] = {}
    for check in checks:
        counts[check.status] = counts.get(check.status, 0) + 1
    words = "checks: " + ", ".join(f"{n} {status}" for status, n in sorted(counts.items()))
    return words, [{"name": c.name, "status": c.status, "found": c.found} for c in checks]


def note(ledger: Ledger, made: Draft, who: str, checks: Sequence[Check], *, new: bool) -> None:
    """Journal the connection with its settings (references only) and checks."""
    why, one_by_one = found(checks)
    with ledger.write() as session:
        journal.record(
            session,
            datetime.now(UTC),
            journal.Entry(
                What.BRAND_CONNECTED if new else What.BRAND_CHANGED,
                why,
                brand=made.brand,
                who=who,
                data={"settings": dict(made.block), "checks": one_by_one},
            ),
        )
