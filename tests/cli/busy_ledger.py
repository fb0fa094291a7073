"""A ledger on a bad day: one system down for some brands, access refused to another, one never
synced, and much that needs a person."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from bergen_loop.cli.main import app
from bergen_loop.domain.returns import LoopState, Return
from bergen_loop.domain.words import Need
from bergen_loop.ledger.codec import document
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.store import attention
from bergen_loop.ledger.tables.core import (
    AttentionRow,
    BrandRow,
    BreakerRow,
    LineRow,
    ReturnRow,
    WorkerRow,
)
from bergen_loop.ledger.tables.operations import AttemptRow, OutboxRow
from support.ledgers import empty_ledger

NOW = datetime.now(UTC)
DOWN = ("cedar-and-sons-outdoor", "birch", "acme", "dune")
"""REX11 does not answer for them."""
REFUSED, NEVER, WELL, PAUSED = "elm", "fig", "gorse", "holly"
BRANDS = (*DOWN, REFUSED, NEVER, WELL, PAUSED)
UPC = "850000000017"
LONG_RETURN, LONG_ORDER = "98765432109876", "#NORTHPINE-EU-1004711"


def config(folder: Path, database: str | None = None) -> Path:
    """A configuration of the brands."""
    for name in ("secret", *(f"key-{brand}" for brand in BRANDS)):
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(f"s3cret-s3cret-{name}")
    blocks = "\n".join(
        f"""  {brand}:
    name: {brand.title()}
    mode: {"paused" if brand == PAUSED else "live"}
    loop: {{api_key: "file:key-{brand}"}}
    rex11: {{web_address: a, user_name: b, password: "file:secret"}}"""
        for brand in BRANDS
    )
    path = folder / "bergen-loop.yaml"
    url = database or f"sqlite:///{folder}/ledger.db"
    path.write_text(f'service: {{database: "{url}", key_file: keys}}\nbrands:\n{blocks}\n')
    return path


def made(folder: Path) -> Ledger:
    """The ledger, filled."""
    ledger = empty_ledger(folder / "ledger.db")
    with ledger.write() as session:
        for brand in BRANDS:
            if brand != NEVER:
                session.add(_synced(brand, ok=brand in (WELL, PAUSED)))
        for brand in DOWN:
            session.add(_breaker(brand, "rex11", 90, "TicketGet after 30 s: Unavailable"))
        session.add(_breaker(REFUSED, "loop:process", 40, "403 This key lacks the scope"))
        session.add(_worker())
        for number in range(1, 15):
            _waits_for_product(session, number)
        for number in range(15, 18):
            _refused(session, number)
        attention.raise_item(
            session,
            NOW - timedelta(minutes=20),
            attention.Matter(
                brand=REFUSED,
                kind=Need.ACCESS,
                about="loop",
                reason="Loop refuses this brand's access for process; 403 This key lacks the scope",
            ),
        )
        for number in range(3):
            _event(session, number)
    return ledger


def items(ledger: Ledger, kind: Need) -> list[int]:
    """The open items of a kind."""
    with ledger.read() as session:
        return [i.id for i in attention.open_items(session) if i.kind == kind]


def item(ledger: Ledger, number: int) -> AttentionRow:
    with ledger.read() as session:
        return session.get_one(AttentionRow, number)


def _synced(brand: str, *, ok: bool) -> BrandRow:
    good = NOW - (timedelta(seconds=50) if ok else timedelta(minutes=92))
    return BrandRow(
        brand=brand,
        last_sync_started_at=NOW - timedelta(seconds=51),
        last_sync_finished_at=NOW - timedelta(seconds=50),
        last_good_sync_at=good,
        last_sync_ok=ok,
        last_sync_error=None
        if ok
        else "announce: calls to REX11 are suspended, since 5 in a row "
        "got no good answer (TicketGet after 30 s: Unavailable); the next try is at 11:52:00 UTC",
        acted_mode="live",
    )


def _breaker(brand: str, system: str, minutes: int, error: str) -> BreakerRow:
    return BreakerRow(
        brand=brand,
        system=system,
        failures=7,
        opened_at=NOW - timedelta(minutes=minutes),
        open_until=NOW + timedelta(minutes=8),
        probes=4,
        error=error,
    )


def _worker() -> WorkerRow:
    return WorkerRow(
        executor_id="worker-eu-west-1-7f3a9c21",
        host="ip-10-0-12-117.eu-west-1.compute.internal",
        pid=4711,
        version="1.0.0",
        started_at=NOW - timedelta(days=3),
        seen_at=datetime.now(UTC) + timedelta(minutes=5),
    )


def _return(session: Any, number: int, brand: str, **values: Any) -> ReturnRow:
    fixed: dict[str, Any] = {
        "stage": "seen",
        "held": False,
        "due_at": NOW - timedelta(minutes=5),
        "loop_state": "open",
        "order_name": f"#{1000 + number}",
        "currency": "USD",
        "total": "88.50",
        "content": document(Return(str(70000000 + number), LoopState.OPEN, NOW, NOW)),
        "content_hash": "h",
        "loop_updated_at": NOW,
        "submitted_at": NOW - timedelta(days=2),
        "seen_at": NOW - timedelta(days=2),
    }
    row = ReturnRow(brand=brand, return_id=str(70000000 + number), **(fixed | values))
    session.add(row)
    session.flush()
    return row


def _waits_for_product(session: Any, number: int) -> None:
    row = _return(session, number, "birch")
    session.add(LineRow(return_pk=row.id, line_item_id=f"L{number}", sku="SKU-X", barcode=UPC))
    attention.raise_item(
        session,
        NOW - timedelta(days=2),
        attention.Matter(
            brand="birch",
            kind=Need.UNKNOWN_PRODUCT,
            about=UPC,
            reason=f"REX11 does not know SKU-X (UPC {UPC}): not found; ask Bergen to import it. "
            "Returns with it wait for their RMA",
        ),
    )


def _refused(session: Any, number: int) -> None:
    long = number == 15
    row = _return(
        session, number, "acme", stage="settling", due_at=None,
        total=None if number == 17 else "2400.00", currency="EUR" if number == 16 else "USD",
        **({"order_name": LONG_ORDER} if long else {}),
    )  # fmt: skip
    if long:
        row.return_id = LONG_RETURN
    attention.raise_item(
        session,
        NOW - timedelta(hours=5),
        attention.Matter(
            brand="acme",
            kind=Need.REFUSED,
            about=row,
            reason="Loop refused the process call (409): the return has been edited",
        ),
    )


def _event(session: Any, number: int) -> None:
    row = OutboxRow(
        brand="acme",
        event_id=f"evt_{LONG_RETURN}_rma_closed_{number}",
        type="return.rma_closed",
        body="{}",
        state="pending",
        attempts=3,
        created_at=NOW,
        next_at=NOW,
    )
    session.add(row)
    session.flush()
    session.add(
        AttemptRow(
            event_pk=row.id, at=NOW, milliseconds=9, status=None,
            error="the certificate of hooks.acme.example has expired",
        )
    )  # fmt: skip


class Busy:
    """The configuration, the ledger, and commands run on them at a terminal's width."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.config, self.ledger = folder, config(folder), made(folder)

    def run(self, *arguments: str, columns: int = 80, stdin: str | None = None) -> Result:
        given = [*arguments, "-c", str(self.config)]
        return CliRunner().invoke(app, given, input=stdin, env={"COLUMNS": str(columns)})

    def json(self, *arguments: str) -> Any:
        result = self.run(*arguments, "--json")
        assert result.stdout, result.output
        return json.loads(result.stdout)
