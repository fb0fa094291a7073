"""Outgoing events, alerts, the embedded warehouse; and an index for what is at work"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIME = sa.DateTime(timezone=True)


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def upgrade() -> None:
    op.create_table(
        "alerts",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("brand", sa.String(), nullable=True),
        sa.Column("open_key", sa.String(), nullable=True),
        sa.Column("detail", sa.String(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("since", _TIME, nullable=False),
        sa.Column("sent_at", _TIME, nullable=True),
        sa.Column("resolved_at", _TIME, nullable=True),
        sa.Column("recovery_sent_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alerts")),
        sa.UniqueConstraint("kind", "open_key", name=op.f("uq_alerts_kind_open_key")),
    )
    op.create_index(
        "ix_alerts_open",
        "alerts",
        ["id"],
        **_where("resolved_at IS NULL OR recovery_sent_at IS NULL"),
    )
    op.create_table(
        "event_endpoints",
        sa.Column("brand", sa.String(), nullable=False),
        sa.Column("claimed_until", _TIME, nullable=True),
        sa.Column("claimed_by", sa.String(), nullable=True),
        sa.Column("resting_until", _TIME, nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("failing_since", _TIME, nullable=True),
        sa.Column("last_error", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("brand", name=op.f("pk_event_endpoints")),
    )
    op.create_table(
        "floor_tickets",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("brand", sa.String(), nullable=False),
        sa.Column("customer_po", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("status_at", _TIME, nullable=False),
        sa.Column("warehouse", sa.String(), nullable=False),
        sa.Column("memo", sa.String(), nullable=True),
        sa.Column("carrier", sa.String(), nullable=True),
        sa.Column("authorized_number", sa.String(), nullable=True),
        sa.Column("tracking_numbers", sa.JSON(), nullable=False),
        sa.Column("expected_on", sa.Date(), nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("arrived_at", _TIME, nullable=True),
        sa.Column("finished_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_floor_tickets")),
        sa.UniqueConstraint(
            "brand", "customer_po", name=op.f("uq_floor_tickets_brand_customer_po")
        ),
    )
    op.create_index("ix_floor_tickets_changed", "floor_tickets", ["brand", "status_at"])
    op.create_table(
        "followers",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("position", _ID, nullable=False),
        sa.Column("gap_until", _ID, nullable=True),
        sa.Column("gap_horizon", _ID, nullable=True),
        sa.Column("gap_seen_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_followers")),
    )
    op.create_table(
        "outbox",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("brand", sa.String(), nullable=False),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("return_pk", _ID, nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("next_at", _TIME, nullable=False),
        sa.Column("finished_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sa.UniqueConstraint("brand", "event_id", name=op.f("uq_outbox_brand_event_id")),
    )
    op.create_index(
        "ix_outbox_due", "outbox", ["brand", "next_at", "id"], **_where("state = 'pending'")
    )
    op.create_index("ix_outbox_list", "outbox", ["brand", "id"])
    op.create_table(
        "floor_codes",
        sa.Column("ticket_pk", _ID, nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["ticket_pk"],
            ["floor_tickets.id"],
            name=op.f("fk_floor_codes_ticket_pk"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("ticket_pk", "code", "kind", name=op.f("pk_floor_codes")),
    )
    op.create_index("ix_floor_codes_code", "floor_codes", ["code", "ticket_pk"])
    op.create_table(
        "floor_counts",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("ticket_pk", _ID, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["ticket_pk"],
            ["floor_tickets.id"],
            name=op.f("fk_floor_counts_ticket_pk"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_floor_counts")),
        sa.UniqueConstraint("key", name=op.f("uq_floor_counts_key")),
    )
    op.create_index("ix_floor_counts_ticket", "floor_counts", ["ticket_pk", "id"])
    op.create_table(
        "floor_items",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("ticket_pk", _ID, nullable=False),
        sa.Column("sku", sa.String(), nullable=True),
        sa.Column("upc", sa.String(), nullable=True),
        sa.Column("description", sa.String(), nullable=True),
        sa.Column("expected", sa.Integer(), nullable=False),
        sa.Column("actual", sa.Integer(), nullable=False),
        sa.Column("damaged", sa.Integer(), nullable=False),
        sa.Column("comments", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["ticket_pk"],
            ["floor_tickets.id"],
            name=op.f("fk_floor_items_ticket_pk"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_floor_items")),
    )
    op.create_index("ix_floor_items_ticket", "floor_items", ["ticket_pk", "id"])
    op.create_table(
        "outbox_attempts",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("event_pk", _ID, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("milliseconds", sa.Integer(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["event_pk"],
            ["outbox.id"],
            name=op.f("fk_outbox_attempts_event_pk"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox_attempts")),
    )
    op.create_index("ix_outbox_attempts_event", "outbox_attempts", ["event_pk", "id"])
    op.create_table(
        "floor_photos",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("ticket_pk", _ID, nullable=False),
        sa.Column("count_pk", _ID, nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("content_type", sa.String(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["count_pk"],
            ["floor_counts.id"],
            name=op.f("fk_floor_photos_count_pk"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["ticket_pk"],
            ["floor_tickets.id"],
            name=op.f("fk_floor_photos_ticket_pk"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_floor_photos")),
    )
    op.create_index("ix_floor_photos_ticket", "floor_photos", ["ticket_pk", "id"])
    op.add_column("brands", sa.Column("last_good_sync_at", _TIME, nullable=True))
    op.create_index(
        "ix_returns_working",
        "returns",
        ["brand", "stage", "held", "due_at", "seen_at", "received_at"],
        **_where("stage IN ('seen', 'received', 'waiting', 'settling', 'confirming', 'closing')"),
    )
    # What was journaled before stays told by nobody: events begin here.
    op.execute(
        "INSERT INTO followers (name, position) SELECT 'journal', COALESCE(MAX(id), 0) FROM journal"
    )


def downgrade() -> None:

    op.drop_index("ix_returns_working", table_name="returns")
    op.drop_column("brands", "last_good_sync_at")
    op.drop_table("floor_photos")
    op.drop_table("outbox_attempts")
    op.drop_table("floor_items")
    op.drop_table("floor_counts")
    op.drop_table("floor_codes")
    op.drop_table("outbox")
    op.drop_table("followers")
    op.drop_table("floor_tickets")
    op.drop_table("event_endpoints")
    op.drop_table("alerts")
