"""Consolidated shipments of box-free returns: their units, bags, RMAs, counts and claims"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_LOOSE = "shipment_pk IS NULL"


def _text(name: str, *, null: bool = True) -> sa.Column[str]:
    return sa.Column(name, sa.String(), nullable=null)


def _time(name: str, *, null: bool = True) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=null)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False)


def _key(table: str) -> list[Any]:
    return [
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{table}")),
    ]


def _of_shipment(table: str, *, null: bool = False) -> list[Any]:
    return [
        sa.Column("shipment_pk", _ID, nullable=null),
        sa.ForeignKeyConstraint(
            ["shipment_pk"], ["shipments.id"], name=op.f(f"fk_{table}_shipment_pk"),
            ondelete="CASCADE",
        ),
    ]  # fmt: skip


def upgrade() -> None:
    _shipments()
    _bags()
    _rmas()
    _claims()
    op.add_column("rmas", sa.Column("shipment_pk", _ID, nullable=True))
    shares = sa.text("shipment_pk IS NOT NULL")
    op.create_index(
        "ix_rmas_shares", "rmas", ["shipment_pk"], sqlite_where=shares, postgresql_where=shares
    )


def _shipments() -> None:
    op.create_table(
        "shipments",
        *_key("shipments"),
        _text("brand", null=False),
        _text("happy_id", null=False),
        _text("loop_id"),
        _text("stage", null=False),
        _time("due_at"),
        _time("learned_at", null=False),
        _text("learned_from", null=False),
        *(_time(n) for n in ("shipped_at", "read_at", "announced_at", "arrived_at", "counted_at")),
        _time("judged_at"),
        _text("problem"),
        *(_number(n) for n in ("returns", "bags", "boxes", "expected", "counted", "missing")),
        _number("damaged"),
        _number("surplus"),
        sa.Column("remarks", sa.JSON(), nullable=True),
        sa.UniqueConstraint("brand", "happy_id", name=op.f("uq_shipments_brand_happy_id")),
    )
    op.create_index("ix_shipments_work", "shipments", ["brand", "stage", "due_at"])
    op.create_index("ix_shipments_list", "shipments", ["brand", "id"])
    op.create_table(
        "shipment_units",
        *_of_shipment("shipment_units"),
        _text("key", null=False),
        _number("place"),
        _text("return_id"),
        _text("box"),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("shipment_pk", "key", name=op.f("pk_shipment_units")),
    )
    op.create_index("ix_shipment_units_return", "shipment_units", ["return_id", "shipment_pk"])


def _bags() -> None:
    op.create_table(
        "shipment_bags",
        *_key("shipment_bags"),
        _text("brand", null=False),
        _text("code", null=False),
        _text("barcode", null=False),
        _text("return_id", null=False),
        *_of_shipment("shipment_bags", null=True),
        _time("seen_at", null=False),
        _time("told_at"),
        _time("missing_since"),
        sa.UniqueConstraint(
            "brand", "code", "return_id", name=op.f("uq_shipment_bags_brand_code_return_id")
        ),
    )
    op.create_index("ix_shipment_bags_code", "shipment_bags", ["code", "id"])
    op.create_index("ix_shipment_bags_shipment", "shipment_bags", ["shipment_pk", "code"])
    op.create_index(
        "ix_shipment_bags_loose", "shipment_bags", ["brand", "seen_at"],
        sqlite_where=sa.text(_LOOSE), postgresql_where=sa.text(_LOOSE),
    )  # fmt: skip


def _rmas() -> None:
    op.create_table(
        "shipment_rmas",
        *_key("shipment_rmas"),
        _text("brand", null=False),
        *_of_shipment("shipment_rmas"),
        _text("box"),
        _number("part"),
        _text("customer_po", null=False),
        _text("ticket_id"),
        *(
            sa.Column(name, sa.JSON(), nullable=False)
            for name in ("unit_keys", "left_out", "items", "tracking_numbers")
        ),
        _text("license_plate"),
        _time("due_at"),
        _text("ticket_status"),
        _time("status_seen_at"),
        sa.Column("to_read", sa.Boolean(), nullable=False),
        _text("read_status"),
        _time("unread_since"),
        _time("created_at", null=False),
        _time("confirmed_at"),
        sa.UniqueConstraint(
            "brand", "customer_po", name=op.f("uq_shipment_rmas_brand_customer_po")
        ),
        sa.UniqueConstraint("brand", "ticket_id", name=op.f("uq_shipment_rmas_brand_ticket_id")),
    )
    op.create_index("ix_shipment_rmas_shipment", "shipment_rmas", ["shipment_pk"])
    op.create_index("ix_shipment_rmas_to_read", "shipment_rmas", ["brand", "to_read"])
    op.create_table(
        "shipment_receipts",
        *_key("shipment_receipts"),
        sa.Column("rma_pk", _ID, nullable=False),
        _time("read_at", null=False),
        sa.Column("content", sa.JSON(), nullable=False),
        _text("content_hash", null=False),
        sa.ForeignKeyConstraint(
            ["rma_pk"], ["shipment_rmas.id"], name=op.f("fk_shipment_receipts_rma_pk"),
            ondelete="CASCADE",
        ),
    )  # fmt: skip
    op.create_index("ix_shipment_receipts_rma", "shipment_receipts", ["rma_pk", "id"])


def _claims() -> None:
    op.create_table(
        "claims",
        *_key("claims"),
        _text("brand", null=False),
        *_of_shipment("claims"),
        _text("key", null=False),
        _text("kind", null=False),
        _text("state", null=False),
        sa.Column("bags", sa.JSON(), nullable=False),
        *(_text(n) for n in ("return_id", "order_name", "sku", "upc", "title")),
        _number("units"),
        *(_text(n) for n in ("value", "currency", "hint")),
        _time("opened_at", null=False),
        _time("closed_at"),
        _text("closed_by"),
        _text("why"),
        sa.UniqueConstraint("shipment_pk", "key", name=op.f("uq_claims_shipment_pk_key")),
    )
    op.create_index("ix_claims_list", "claims", ["brand", "state", "id"])
    op.create_index("ix_claims_return", "claims", ["brand", "return_id"])
