"""A ledger with a past, and the command run on it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from bergen_loop.cli.main import app
from bergen_loop.domain.comparison import compare
from bergen_loop.domain.criteria import decide, preset
from bergen_loop.domain.decision import Case
from bergen_loop.domain.returns import Label, LoopState, Return, ReturnLine, ReturnTotals
from bergen_loop.domain.rma import Receipt, ReceiptLine, TicketStatus
from bergen_loop.ledger.codec import document
from bergen_loop.ledger.tables.core import DecisionRow, EffectRow, ReceiptRow, ReturnRow, RmaRow
from support.ledgers import empty_ledger

START = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)


class Past:
    """A configured brand `acme` with an embedded ledger that is written by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "bergen-loop.yaml"
        (folder / "secret").touch(mode=0o600)
        (folder / "secret").write_text("s3cret")
        self.config.write_text(
            f"""\
service: {{database: "sqlite:///{folder}/ledger.db", key_file: keys}}
brands:
  acme:
    name: Acme
    loop: {{api_key: "file:secret"}}
    rex11: {{web_address: a, user_name: b, password: "file:secret"}}
"""
        )
        self.ledger = empty_ledger(folder / "ledger.db")
        self._number = 0

    def judged(
        self,
        *,
        counted: int = 1,
        damaged: int = 0,
        total: str = "50.00",
        state: LoopState = LoopState.OPEN,
        now: LoopState | None = None,
        day: int = 0,
        shadow: bool = True,
        by: str = "bergen-loop",
        outcome: str | None = None,
        settled: bool = False,
    ) -> str:
        """A return of one unit, judged by `standard` while Loop showed `state`; Loop shows `now`
        since. Its id."""
        self._number += 1
        n, at = self._number, START + timedelta(days=day, minutes=self._number)
        return_, receipt = _return(n, at, total, state), _receipt(n, at, counted, damaged)
        case = Case(return_, (receipt,), compare(return_.lines, (receipt,)), at, at)
        decision = decide(preset("standard"), case)
        content = document(replace(return_, state=now or state))
        with self.ledger.write() as session:
            session.add(_return_row(n, return_, content, at))
            session.flush()
            session.add(_rma_row(n, return_, receipt, at))
            session.flush()
            stored = document(receipt)
            session.add(ReceiptRow(id=n, rma_pk=n, read_at=at, content=stored, content_hash="x"))
            session.add(
                DecisionRow(
                    brand="acme",
                    return_pk=n,
                    decided_at=at,
                    outcome=outcome or decision.outcome,
                    rule=decision.rule,
                    reason=decision.reason,
                    note=decision.note,
                    wait_until=decision.wait_until,
                    line_item_ids=[],
                    criteria_version=decision.criteria_version,
                    config_version="x",
                    facts=decision.facts,
                    receipt_ids=[n],
                    shadow=shadow,
                    by=by,
                )
            )
            if settled:
                session.add(
                    EffectRow(
                        brand="acme",
                        return_pk=n,
                        key=f"settle:{return_.id}",
                        kind="process",
                        state="done",
                        payload={},
                        intended_at=at,
                    )
                )
        return return_.id

    def run(self, *arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(
            app, [*arguments, "-c", str(self.config)], input=stdin, env={"COLUMNS": "200"}
        )

    def json(self, *arguments: str) -> Any:
        result = self.run(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


def text(result: Result) -> str:
    """What it printed, on one line."""
    return " ".join(result.output.split())


def run(*arguments: str) -> Result:
    """A command that needs no configuration."""
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})


def rows(found: Sequence[dict[str, Any]], name: str) -> list[Any]:
    """One column."""
    return [row[name] for row in found]


def _return(n: int, at: datetime, total: str, state: LoopState) -> Return:
    return Return(
        id=str(1000 + n),
        state=state,
        created_at=at,
        updated_at=at,
        outcome="refund",
        order_id="777",
        order_name=f"#ORDER-{n}",
        order_number="888",
        customer_email=f"person{n}@example.com",
        currency="USD",
        totals=ReturnTotals(total=Decimal(total)),
        lines=(ReturnLine(f"L{n}", f"SKU-{n}", "850000000017", comment="my private words"),),
        label=Label("UPS", "1Z-TRACKING", "delivered", "https://labels.test/x"),
        status_page_url="https://status.test/x",
        package_reference="PKG-1",
    )


def _receipt(n: int, at: datetime, counted: int, damaged: int) -> Receipt:
    line = ReceiptLine(
        f"sku-{n}",
        "850000000017",
        actual=counted,
        damaged=damaged,
        comments="restocked",
    )
    return Receipt(
        f"WHRTN{n}",
        TicketStatus.ADDED_TO_INVENTORY,
        "AddedToInventory",
        (line,),
        customer_po=f"LR-{1000 + n}",
        memo=f"order #ORDER-{n}",
        tracking_numbers=("1Z-TRACKING",),
        added_to_inventory_at=at,
    )


def _return_row(n: int, return_: Return, content: Mapping[str, Any], at: datetime) -> ReturnRow:
    return ReturnRow(
        id=n,
        brand="acme",
        return_id=return_.id,
        stage="received",
        held=False,
        loop_state=content["state"],
        order_name=return_.order_name,
        customer_email=return_.customer_email,
        content=content,
        content_hash="x",
        loop_updated_at=at,
        submitted_at=at,
        seen_at=at,
        received_at=at,
    )


def _rma_row(n: int, return_: Return, receipt: Receipt, at: datetime) -> RmaRow:
    return RmaRow(
        id=n,
        brand="acme",
        return_pk=n,
        customer_po=f"LR-{return_.id}",
        ticket_id=receipt.ticket_id,
        warehouse="BERGEN LOGISTICS NJ",
        items=[],
        tracking_numbers=[],
        created_at=at,
    )
