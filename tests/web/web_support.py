"""A ledger with returns in all stages, an app over it, and people signed in to it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import SecretStr

from bergen_loop.console.access import COOKIE
from bergen_loop.console.app import create_app
from bergen_loop.domain.returns import Label, LoopState, Return, ReturnLine, ReturnTotals, Stage
from bergen_loop.domain.rma import Receipt, ReceiptLine, TicketStatus
from bergen_loop.domain.words import EffectKind, Need, What
from bergen_loop.ledger.codec import digest, document
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.read import people
from bergen_loop.ledger.read.people import Account, Deed, Grant, Role
from bergen_loop.ledger.store import attention, journal, returns
from bergen_loop.ledger.store.effects import EffectState, Intent, settling_key
from bergen_loop.ledger.tables.core import DecisionRow, ReturnRow, RmaRow
from bergen_loop.ledger.transaction import FencedTransaction
from bergen_loop.service.registry import Registry
from support.brands import settings

NOW = datetime.now(UTC)
SECRETS = ("loop-key-never-shown", "hook-secret-never-shown", "rex-password-never-shown")

MADE = (Stage.ANNOUNCED, Stage.RECEIVED, Stage.WAITING, Stage.SETTLING, Stage.CONFIRMING,
        Stage.FLAGGED, Stage.CLOSING, Stage.COMPLETE)  # fmt: skip
ARRIVED = MADE[1:]
DECIDED = (Stage.CONFIRMING, Stage.FLAGGED, Stage.CLOSING, Stage.COMPLETE)


@dataclass
class Desk:
    """An app, its ledger, and what was nudged."""

    registry: Registry
    app: FastAPI
    nudged: list[str] = field(default_factory=list[str])

    @property
    def ledger(self) -> Ledger:
        return self.registry.ledger

    def client(self, **kwargs: Any) -> TestClient:
        """A browser in which nobody is signed in."""
        accept = {"accept": "text/html,*/*"}
        return TestClient(self.app, follow_redirects=False, headers=accept, **kwargs)

    def signed_in(
        self, role: Role = Role.OPERATOR, brands: Sequence[str] | None = None, name: str = ""
    ) -> Browser:
        """A browser in which somebody of this role is signed in."""
        name = name or f"{role.value} of {'all' if brands is None else '+'.join(brands)}"
        with self.ledger.write() as session:
            user = people.user_named(session, name) or people.add_user(
                Deed(session, NOW, "test"), Account(name, Grant(role, brands))
            )
            deed = Deed(session, datetime.now(UTC), user.name)
            token = people.start_session(deed, user, lasts=timedelta(hours=1), how="by a test")
            found = people.session_of(session, datetime.now(UTC), token, timedelta(hours=1))
            assert found is not None
            csrf = found[0].csrf
        client = self.client()
        client.cookies.set(COOKIE, token)
        return Browser(client, csrf, name)

    def token(self, role: Role = Role.OPERATOR, brands: Sequence[str] | None = None) -> TestClient:
        """A client of the API."""
        with self.ledger.write() as session:
            name = f"{role} {brands} {datetime.now(UTC)}"
            deed = Deed(session, NOW, "test")
            value = people.add_token(deed, name, Grant(role, brands), expires_at=None)
        headers = {"authorization": f"Bearer {value}"}
        return TestClient(self.app, follow_redirects=False, headers=headers)


@dataclass
class Browser:
    """A signed-in browser."""

    http: TestClient
    csrf: str
    name: str

    def get(self, path: str, **kwargs: Any) -> Any:
        return self.http.get(path, **kwargs)

    def post(self, path: str, data: dict[str, Any] | None = None, **kwargs: Any) -> Any:
        return self.http.post(path, data={"csrf": self.csrf, **(data or {})}, **kwargs)

    def text(self, path: str) -> str:
        """The page's text without its markup."""
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        return plain(answer.text)


def plain(html: str) -> str:
    """What a reader sees, roughly."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def make_desk(
    ledger: Ledger,
    brands: Sequence[str] = ("acme", "zebra"),
    *,
    service: dict[str, Any] | None = None,
    signing_in: bool = True,
) -> Desk:
    """An app over a ledger."""
    nudged: list[str] = []
    key, hook, password = (SecretStr(s) for s in SECRETS)
    given = settings(
        *brands,
        service=service,
        loop={"api_key": key, "webhook_secret": hook},
        rex11={"password": password},
    )
    registry = Registry(given, ledger, Path())
    app = create_app(registry, nudged.append, signing_in=signing_in)
    return Desk(registry, app, nudged)


# -- filling the ledger -------------------------------------------------------------------------


def a_return(
    number: str, *, state: LoopState, at: datetime, mark: str, skus: Sequence[str]
) -> Return:
    return Return(
        id=number,
        state=state,
        created_at=at,
        updated_at=at,
        outcome="refund",
        order_id=f"9{number}",
        order_name=f"#{mark.upper()}{number}",
        customer_email=f"{mark}.{number}@Customers.example",
        currency="USD",
        totals=ReturnTotals(total=Decimal("89.00")),
        lines=tuple(
            ReturnLine(
                f"{number}{n}", sku=f"{mark}-{sku}", barcode=f"0850{n:04}", title=f"{mark} shirt"
            )
            for n, sku in enumerate(skus)
        ),
        label=Label("UPS", f"1Z{mark.upper()}{number}", "in_transit"),
        status_page_url=f"https://status.example/{mark}/{number}",
    )


def add_return(
    ledger: Ledger,
    brand: str,
    number: str,
    stage: Stage = Stage.ANNOUNCED,
    *,
    at: datetime | None = None,
    mark: str = "",
    skus: Sequence[str] = ("TEE-S", "TEE-M"),
    counted: int = 1,
    damaged: int = 0,
    held: str = "",
) -> int:
    """A return that stands at a stage, with all that leads there; `held` is why a person is
    asked. Its row's id."""
    at, mark = at or NOW - timedelta(hours=30), mark or brand
    state = {Stage.COMPLETE: LoopState.CLOSED, Stage.CLOSING: LoopState.CLOSED,
             Stage.FLAGGED: LoopState.REVIEW, Stage.CANCELLED: LoopState.CANCELLED,
             Stage.EXPIRED: LoopState.EXPIRED}.get(stage, LoopState.OPEN)  # fmt: skip
    value = a_return(number, state=state, at=at, mark=mark, skus=skus)
    with ledger.write() as session:
        content = document(value)
        row = ReturnRow(
            brand=brand,
            return_id=number,
            stage=stage,
            held=False,
            loop_state=state,
            order_name=value.order_name,
            customer_email=value.customer_email,
            tracking_number=value.label.tracking_number,
            outcome="refund",
            currency="USD",
            total="89.00",
            content=content,
            content_hash=digest(content),
            loop_updated_at=at,
            submitted_at=at,
            seen_at=NOW,
        )
        session.add(row)
        session.flush()
        returns.replace_lines(session, row.id, value)
        journal.record(
            session,
            NOW,
            journal.Entry(What.SEEN, f"{mark} submitted", brand=brand, return_pk=row.id),
        )
        if stage in MADE:
            _announce(session, row, value, mark)
        if stage in ARRIVED:
            _receive(session, row, value, counted, damaged)
        if stage in DECIDED:
            _decide(session, row, stage)
        if stage is Stage.COMPLETE:
            row.rma_closed_at = row.completed_at = NOW
        if held:
            attention.raise_item(
                session,
                NOW,
                attention.Matter(
                    brand=brand, kind=Need.DECIDE_BY_HAND, reason=f"{mark}: {held}", about=row
                ),
            )
        return row.id


def _announce(session: Any, row: ReturnRow, value: Return, mark: str) -> None:
    row.announced_at = NOW
    session.add(
        RmaRow(
            brand=row.brand,
            return_pk=row.id,
            customer_po=f"LR-{mark}-{row.return_id}",
            ticket_id=f"WHRTN{mark}{row.return_id}",
            warehouse="BERGEN LOGISTICS NJ",
            items=[],
            tracking_numbers=[value.label.tracking_number],
            ticket_status="AddedToInventory",
            read_status="AddedToInventory",
            created_at=NOW,
        )
    )
    session.flush()


def _receive(session: Any, row: ReturnRow, value: Return, counted: int, damaged: int) -> None:
    row.received_at = NOW
    rma = returns.rmas_of(session, [row.id])[row.id][0]
    lines = tuple(
        ReceiptLine(
            sku=x.sku, upc=x.barcode, expected=1, actual=counted,
            damaged=damaged, description=x.title,
        )
        for x in value.lines
    )  # fmt: skip
    receipt = Receipt(
        str(rma.ticket_id), TicketStatus.ADDED_TO_INVENTORY, "AddedToInventory", lines
    )
    returns.add_receipts(session, [(rma, receipt, digest(document(receipt)))], NOW)


def _decide(session: Any, row: ReturnRow, stage: Stage) -> None:
    flagged = stage is Stage.FLAGGED
    row.decided_at = NOW
    row.settled_at = NOW if stage is not Stage.CONFIRMING else None
    kind = "flag" if flagged else "process"
    session.add(
        DecisionRow(
            brand=row.brand,
            return_pk=row.id,
            decided_at=NOW,
            outcome=kind,
            rule="damaged" if flagged else "complete",
            reason="one unit is damaged" if flagged else "everything is there",
            note="Warehouse found damage." if flagged else None,
            wait_until=None,
            line_item_ids=[],
            criteria_version="standard@1",
            config_version="c1",
            facts={"receipt": {"damaged": 1}},
            receipt_ids=[1],
            shadow=False,
            by=journal.SERVICE,
        )
    )
    payload = {"return_id": row.return_id}
    intent = Intent(EffectKind(kind), settling_key(row.return_id), row.id, payload)
    tx = FencedTransaction(session, row.brand, NOW)
    tx.outcome(tx.intend(intent), EffectState.DONE, "Loop took the call")


def fill(ledger: Ledger, brand: str, start: int = 100) -> None:
    """A return in every stage, and an item about the brand as a whole."""
    for offset, stage in enumerate(Stage):
        held = "a person has to look" if stage is Stage.RECEIVED else ""
        add_return(ledger, brand, str(start + offset), stage, held=held)
    with ledger.write() as session:
        returns.brand_row(session, brand)
        attention.raise_item(
            session, NOW, attention.Matter(brand=brand, kind=Need.ACCESS, about="intake",
            reason=f"{brand}: Loop refuses the key"),
        )  # fmt: skip
        journal.count(session, brand, {"loop.process": 7, "webhooks.refused": 2, "x.failed": 1})


def synced(ledger: Ledger, *brands: str, at: datetime = NOW) -> None:
    """These brands were synced well."""
    with ledger.write() as session:
        for brand in brands:
            row = returns.brand_row(session, brand)
            row.last_sync_finished_at = row.last_good_sync_at = at
            row.last_sync_ok = True


def row_of(ledger: Ledger, brand: str, number: str) -> ReturnRow:
    """A return's row as it is now."""
    with ledger.read() as session:
        row = returns.by_id(session, brand, number)
        assert row is not None
        return row


@contextmanager
def statements(ledger: Ledger) -> Any:
    """Collects the statements that are executed, with their parameters."""
    from sqlalchemy import event

    found: list[tuple[str, Any]] = []

    def seen(_c: Any, _cur: Any, statement: str, parameters: Any, *_: Any) -> None:
        found.append((statement, parameters))

    event.listen(ledger.engine, "before_cursor_execute", seen)
    try:
        yield found
    finally:
        event.remove(ledger.engine, "before_cursor_execute", seen)
