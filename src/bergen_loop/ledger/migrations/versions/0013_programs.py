"""Answers that programs may ask for again, what has changed when, and where sessions began"""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "api_answers",
        sa.Column("token_id", _ID, nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("asked", sa.String(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("made_at", _TIME, nullable=False),
        sa.Column("ends_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("token_id", "key", name=op.f("pk_api_answers")),
    )
    op.create_index("ix_api_answers_ends_at", "api_answers", ["ends_at"])
    for name in ("source", "browser"):
        op.add_column("sessions", sa.Column(name, sa.String(), nullable=True))
    # What was there before changed at some time until now: a default that both databases keep
    # beside the table, so that no row is written.
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S.%f}"
    zone = "" if op.get_bind().dialect.name == "sqlite" else "+00"
    for table in ("returns", "attention"):
        column = sa.Column("changed_at", _TIME, server_default=f"{now}{zone}", nullable=True)
        op.add_column(table, column)
        op.create_index(f"ix_{table}_changed", table, ["changed_at", "id"])
        op.create_index(f"ix_{table}_changed_brand", table, ["brand", "changed_at", "id"])
