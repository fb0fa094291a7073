"""What a tick is told, in one question, of what waits for its brand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from bergen_loop.domain.returns import Stage
from bergen_loop.domain.rma import TicketStatus
from bergen_loop.domain.shipment import ShipmentStage
from bergen_loop.domain.words import EffectKind
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.store import quiet
from bergen_loop.ledger.store.effects import OPEN, EffectState
from bergen_loop.ledger.tables.core import (
    BreakerRow,
    DecisionRow,
    EffectRow,
    ReturnRow,
    RmaRow,
    WebhookRow,
)
from bergen_loop.ledger.tables.shipments import ShipmentRow

NOW = datetime(2026, 11, 10, 15, 0, tzinfo=UTC)
SOON, AGO = NOW + timedelta(seconds=1), NOW - timedelta(hours=1)
Row = Callable[[str], Any]


def of_return(pk: int = 1, stage: Stage = Stage.ANNOUNCED, **values: Any) -> Row:
    times = dict.fromkeys(("loop_updated_at", "submitted_at", "seen_at"), AGO)
    return lambda brand: ReturnRow(
        id=pk, brand=brand, return_id=str(pk), stage=stage, loop_state="open", content={},
        content_hash="", **times, **values,
    )  # fmt: skip


def of_rma(**values: Any) -> Row:
    return lambda brand: RmaRow(
        brand=brand, return_pk=1, customer_po="A", warehouse="NJ", items=[], tracking_numbers=[],
        created_at=AGO, ticket_status=TicketStatus.DRAFT, **values,
    )  # fmt: skip


def of_call(kind: EffectKind, state: EffectState, **values: Any) -> Row:
    return lambda brand: EffectRow(
        brand=brand, key="k", kind=kind, state=state, payload={}, intended_at=AGO, **values
    )


def of_decision(*, shadow: bool) -> Row:
    words = dict.fromkeys(("outcome", "rule", "reason", "criteria_version", "config_version"), "x")
    return lambda brand: DecisionRow(
        brand=brand, return_pk=1, decided_at=AGO, line_item_ids=[], facts={}, receipt_ids=[],
        shadow=shadow, **words,
    )  # fmt: skip


def of_webhook(handled_at: datetime | None) -> Row:
    texts = dict.fromkeys(("digest", "topic", "trigger", "body"), "x")
    return lambda brand: WebhookRow(brand=brand, received_at=AGO, handled_at=handled_at, **texts)


def of_shipment(stage: ShipmentStage) -> Row:
    return lambda brand: ShipmentRow(
        brand=brand, happy_id="h", stage=stage, learned_at=AGO, learned_from="webhook"
    )


CASES: list[tuple[str | None, list[Row]]] = [
    (quiet.BREAKERS, [lambda brand: BreakerRow(brand=brand, system="loop", failures=1)]),
    ("webhooks", [of_webhook(None)]),
    (None, [of_webhook(AGO)]),
    ("tickets", [of_return(), of_rma(to_read=True)]),
    ("tickets", [of_return(), of_rma(to_read=True, read_due_at=NOW)]),
    (None, [of_return(), of_rma(to_read=True, read_due_at=SOON)]),
    (None, [of_return(), of_rma(to_read=False)]),
    *(("calls", [of_call(EffectKind.PROCESS, state)]) for state in OPEN),
    *(("calls", [of_call(kind, EffectState.PLANNED)]) for kind in EffectKind),
    ("calls", [of_call(EffectKind.TICKET, EffectState.NOT_SENT, try_at=SOON)]),
    (None, [of_call(EffectKind.PROCESS, EffectState.ACCEPTED)]),
    ("late tickets", [of_call(EffectKind.TICKET, EffectState.DONE, try_at=NOW)]),
    (None, [of_call(EffectKind.TICKET, EffectState.DONE, try_at=SOON)]),
    ("returns", [of_return(stage=Stage.SEEN, due_at=NOW)]),
    ("returns", [of_return(stage=Stage.CONFIRMING, due_at=AGO)]),
    (None, [of_return(stage=Stage.SEEN, due_at=SOON)]),
    (None, [of_return(stage=Stage.SEEN, due_at=NOW, held=True)]),
    (None, [of_return()]),
    (quiet.JUDGED, [of_return(stage=Stage.RECEIVED), of_decision(shadow=True)]),
    (None, [of_return(stage=Stage.RECEIVED), of_decision(shadow=False)]),
    (quiet.SHIPMENTS, [of_shipment(ShipmentStage.LEARNED)]),
    (None, [of_shipment(ShipmentStage.DONE)]),
    (
        quiet.SHARES,
        [
            of_shipment(ShipmentStage.DONE),
            of_return(),
            of_rma(to_read=True, read_due_at=SOON, shipment_pk=1),
        ],
    ),
]


def test_a_tick_is_told_of_what_waits_for_its_brand_and_of_nothing_else(ledger: Ledger) -> None:
    with ledger.write() as session:
        for sign, rows in CASES:
            with session.begin_nested() as case:
                for row in rows:
                    session.add(row("acme"))
                    session.flush()
                assert quiet.at_hand(session, "acme", NOW) == ({sign} if sign else set()), sign
                assert quiet.at_hand(session, "other", NOW) == set(), sign
                case.rollback()
        for row in EVERYTHING:
            session.add(row("acme"))
            session.flush()
        assert quiet.at_hand(session, "acme", NOW) == {
            *(quiet.BREAKERS, "webhooks", "returns", "tickets", "calls", quiet.SHIPMENTS)
        }


EVERYTHING: list[Row] = [
    lambda brand: BreakerRow(brand=brand, system="loop", failures=1),
    of_webhook(None),
    of_return(stage=Stage.SEEN, due_at=NOW),
    of_rma(to_read=True),
    of_call(EffectKind.NOTE, EffectState.PLANNED),
    of_shipment(ShipmentStage.LEARNED),
]
