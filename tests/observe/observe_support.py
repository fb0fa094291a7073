"""Returns put into the ledger by hand, and the metrics page taken apart."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from bergen_loop.config import BrandSettings, ServiceSettings, Settings
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.tables.core import ReturnRow

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def settings(*brands: str, **service: Any) -> Settings:
    """Settings of brands that are never called."""
    one = BrandSettings.model_validate(
        {
            "name": "Acme",
            "mode": "live",
            "loop": {"api_key": SecretStr("key")},
            "rex11": {"web_address": "a", "user_name": "b", "password": SecretStr("c")},
        }
    )
    return Settings(
        service=ServiceSettings.model_validate(service),
        brands=dict.fromkeys(brands or ("acme",), one),
    )


def put_return(ledger: Ledger, return_id: str, **values: Any) -> int:
    """A return as the flows would have left it; its key."""
    fixed = {
        "brand": "acme",
        "stage": "seen",
        "held": False,
        "due_at": NOW,
        "loop_state": "open",
        "content": {},
        "content_hash": "h",
        "loop_updated_at": NOW,
        "submitted_at": NOW,
        "seen_at": NOW,
    }
    with ledger.write() as session:
        row = ReturnRow(return_id=return_id, **(fixed | values))
        session.add(row)
        session.flush()
        return row.id


def samples(page: bytes) -> Samples:
    """(name, labels) -> value."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float:
    return found[f"bergen_loop_{name}", tuple(sorted(labels.items()))]
