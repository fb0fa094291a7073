"""Making a connection last: secrets kept, configuration written, journal told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bergen_loop.config import Problem
from bergen_loop.config.source import load_service
from bergen_loop.connect import configfile
from bergen_loop.connect.check import Check
from bergen_loop.connect.draft import Draft
from bergen_loop.domain.words import What
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.store import journal
from bergen_loop.secrets import SecretStores
from bergen_loop.secrets import keys as secret_keys

KEY_FILE = "bergen-loop.key"


def prepare(path: Path, draft: Draft, public_url: str | None) -> tuple[SecretStores, Path | None]:
    """Have the configuration file, and a key if secrets go into the ledger, in place. Returns
    the stores, and the key file if one was made. ConfigError, SecretError, OSError."""
    service: dict[str, Any] = {"public_url": public_url} if public_url else {}
    configfile.start(path, service)
    stores = load_service(path)[1]
    wanted = any(reference.startswith("ledger:") for reference in draft.to_keep)
    if not wanted or stores.vault.keys.configured:
        return stores, None
    made = path.resolve().parent / KEY_FILE
    if not made.exists():
        secret_keys.new_key(made)
    configfile.start(path, {"key_file": KEY_FILE})
    return load_service(path)[1], made


def keep(path: Path, draft: Draft, stores: SecretStores, who: str) -> list[Problem]:
    """Keep the secrets, then write the brand. Returns the problems of other brands in the file.
    SecretError, ConfigError."""
    for reference, secret in draft.to_keep.items():
        stores.put(reference, secret, who=who)
    return configfile.write_brand(path, draft.brand, draft.block)


def note(
    ledger: Ledger,
    brand: str,
    who: str,
    checks: Sequence[Check],
    *,
    new: bool,
    block: Mapping[str, Any],
) -> None:
    """Journal the connection with its settings (references only) and checks."""
    counts: dict[str, int] = {}
    for check in checks:
        counts[check.status] = counts.get(check.status, 0) + 1
    why = "checks: " + ", ".join(f"{n} {status}" for status, n in sorted(counts.items()))
    with ledger.write() as session:
        journal.record(
            session,
            datetime.now(UTC),
            What.BRAND_CONNECTED if new else What.BRAND_CHANGED,
            why,
            brand=brand,
            who=who,
            data={
                "settings": dict(block),
                "checks": [{"name": c.name, "status": c.status, "found": c.found} for c in checks],
            },
        )
