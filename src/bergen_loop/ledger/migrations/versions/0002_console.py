"""People, their sessions and tokens; and indexes for what people ask"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0003"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIME = sa.DateTime(timezone=True)

_HELD: dict[str, Any] = {
    "sqlite_where": sa.text("held IS 1"),
    "postgresql_where": sa.text("held IS true"),
}


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


_OPEN_ITEM = _where("resolved_at IS NULL")
_BY_PEOPLE = _where("who <> 'bergen-loop'")

_INDEXES: list[tuple[str, str, list[str], dict[str, Any]]] = [
    ("ix_returns_list", "returns", ["submitted_at", "id"], {}),
    ("ix_returns_list_stage", "returns", ["stage", "submitted_at", "id"], {}),
    ("ix_returns_list_brand", "returns", ["brand", "submitted_at", "id"], {}),
    ("ix_returns_list_brand_stage", "returns", ["brand", "stage", "submitted_at", "id"], {}),
    ("ix_returns_held", "returns", ["submitted_at", "id"], _HELD),
    ("ix_returns_held_brand", "returns", ["brand", "submitted_at", "id"], _HELD),
    ("ix_returns_find_id", "returns", ["lower:return_id", "id"], {}),
    ("ix_returns_find_order", "returns", ["lower:order_name", "id"], {}),
    ("ix_returns_find_tracking", "returns", ["lower:tracking_number", "id"], {}),
    ("ix_returns_find_customer", "returns", ["lower:customer_email", "id"], {}),
    ("ix_rmas_find_po", "rmas", ["lower:customer_po", "return_pk"], {}),
    ("ix_rmas_find_ticket", "rmas", ["lower:ticket_id", "return_pk"], {}),
    ("ix_return_lines_find_sku", "return_lines", ["lower:sku", "return_pk"], {}),
    ("ix_returns_at_seen", "returns", ["brand", "seen_at", "id"], {}),
    ("ix_returns_at_announced", "returns", ["brand", "announced_at", "id"], {}),
    ("ix_returns_at_received", "returns", ["brand", "received_at", "id"], {}),
    ("ix_returns_at_decided", "returns", ["brand", "coalesce(decided_at, settled_at)", "id"], {}),
    ("ix_returns_at_closed", "returns", ["brand", "rma_closed_at", "id", "submitted_at"], {}),
    ("ix_returns_at_complete", "returns", ["brand", "completed_at", "id"], {}),
    ("ix_decisions_day", "decisions", ["brand", "outcome", "decided_at"], {}),
    ("ix_attention_list", "attention", ["id"], _OPEN_ITEM),
    ("ix_attention_list_brand", "attention", ["brand", "id"], _OPEN_ITEM),
    ("ix_journal_people", "journal", ["id"], _BY_PEOPLE),
    ("ix_journal_people_brand", "journal", ["brand", "id"], _BY_PEOPLE),
    ("ix_journal_people_who", "journal", ["who", "id"], _BY_PEOPLE),
    ("ix_journal_of_brand", "journal", ["brand", "id"], _where("return_pk IS NULL")),
]

_REPLACED = [
    ("ix_returns_order", "returns", ["brand", "order_name"]),
    ("ix_returns_tracking", "returns", ["brand", "tracking_number"]),
    ("ix_returns_customer", "returns", ["brand", "customer_email"]),
    ("ix_return_lines_sku", "return_lines", ["sku"]),
    ("ix_attention_open", "attention", ["resolved_at", "brand"]),
]


def upgrade() -> None:
    _people()
    for name, table, _ in _REPLACED:
        op.drop_index(name, table)
    for name, table, columns, options in _INDEXES:
        op.create_index(name, table, [_column(c) for c in columns], **options)


def downgrade() -> None:
    for name, table, _, _ in _INDEXES:
        op.drop_index(name, table)
    for name, table, columns in _REPLACED:
        op.create_index(name, table, columns)
    for table in ("api_tokens", "sessions", "users"):
        op.drop_table(table)


def _column(name: str) -> str | sa.TextClause:
    kind, _, column = name.rpartition(":")
    if kind == "lower":
        if op.get_bind().dialect.name == "postgresql":
            return sa.text(f"lower({column}) text_pattern_ops")
        return sa.text(f"lower({column})")
    return sa.text(name) if "(" in name else name


def _people() -> None:
    op.create_table(
        "users",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("password_hash", sa.String(), nullable=True),
        sa.Column("issuer", sa.String(), nullable=True),
        sa.Column("subject", sa.String(), nullable=True),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("brands", sa.JSON(), nullable=True),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("failed_sign_ins", sa.Integer(), nullable=False),
        sa.Column("locked_until", _TIME, nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("signed_in_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("name", name=op.f("uq_users_name")),
        sa.UniqueConstraint("issuer", "subject", name=op.f("uq_users_issuer_subject")),
    )
    op.create_table(
        "sessions",
        sa.Column("token_hash", sa.String(), nullable=False),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("csrf", sa.String(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("seen_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_sessions_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_sessions")),
    )
    op.create_index("ix_sessions_expiry", "sessions", ["expires_at"])
    op.create_index(op.f("ix_sessions_user_id"), "sessions", ["user_id"])
    op.create_table(
        "api_tokens",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("token_hash", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("brands", sa.JSON(), nullable=True),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=True),
        sa.Column("used_at", _TIME, nullable=True),
        sa.Column("revoked_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_tokens")),
        sa.UniqueConstraint("name", name=op.f("uq_api_tokens_name")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_api_tokens_token_hash")),
    )
