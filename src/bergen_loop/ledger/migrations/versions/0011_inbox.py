"""The attention list as an inbox, and counts that people correct"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_IGNORED = sa.text("ended = 'ignored'")


def upgrade() -> None:
    for name in ("ended", "ended_at_stage", "tried_again_by", "assignee"):
        op.add_column("attention", sa.Column(name, sa.String(), nullable=True))
    for name in ("tried_again_at", "snoozed_until"):
        op.add_column("attention", sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    op.create_index("ix_attention_about", "attention", ["brand", "kind", "subject"])
    for name, columns in (("", []), ("_brand", ["brand"])):
        columns = [*columns, "resolved_at", "id"]
        op.create_index(f"ix_attention_ended{name}", "attention", columns)
        op.create_index(
            f"ix_attention_ignored{name}",
            "attention",
            columns,
            sqlite_where=_IGNORED,
            postgresql_where=_IGNORED,
        )
    op.add_column("receipts", sa.Column("corrects", _ID, nullable=True))
    op.add_column("receipts", sa.Column("by", sa.String(), nullable=True))
    op.add_column("receipts", sa.Column("evidence", sa.Text(), nullable=True))
    op.create_table(
        "receipt_files",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("receipt_pk", _ID, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("content_type", sa.String(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["receipt_pk"],
            ["receipts.id"],
            name=op.f("fk_receipt_files_receipt_pk"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_receipt_files")),
    )
    op.create_index("ix_receipt_files_receipt", "receipt_files", ["receipt_pk"])
