"""The log of calls to Loop and REX11; webhooks and events by their return; favourites"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "calls",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("brand", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("system", sa.String(), nullable=False),
        sa.Column("call", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=True),
        sa.Column("milliseconds", sa.Integer(), nullable=False),
        sa.Column("waited", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("effect", sa.String(), nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("changes", sa.Boolean(), nullable=False),
        sa.Column("sent", sa.Text(), nullable=True),
        sa.Column("received", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_calls")),
    )
    op.create_table(
        "favourites",
        sa.Column("account_id", _ID, autoincrement=False, nullable=False),
        sa.Column("brand", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "brand", name=op.f("pk_favourites")),
    )
    op.create_index("ix_calls_brand", "calls", ["brand", "id"])
    op.create_index("ix_calls_subject", "calls", ["brand", "subject", "id"])
    op.create_index("ix_webhooks_return", "webhooks", ["brand", "return_id", "id"])
    op.create_index("ix_outbox_return", "outbox", ["return_pk", "id"])
