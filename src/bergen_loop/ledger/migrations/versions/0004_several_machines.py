"""Several machines: workers, circuit breakers, the shared budget of calls; restored brands"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0002"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "workers",
        sa.Column("executor_id", sa.String(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("started_at", _TIME, nullable=False),
        sa.Column("seen_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("executor_id", name=op.f("pk_workers")),
    )
    op.create_table(
        "breakers",
        sa.Column("brand", sa.String(), nullable=False),
        sa.Column("system", sa.String(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("opened_at", _TIME, nullable=True),
        sa.Column("open_until", _TIME, nullable=True),
        sa.Column("probes", sa.Integer(), nullable=False),
        sa.Column("error", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("brand", "system", name=op.f("pk_breakers")),
    )
    op.create_table(
        "budgets",
        sa.Column("key_hash", sa.String(), nullable=False),
        sa.Column("paused_until_ms", _ID, nullable=False),
        sa.PrimaryKeyConstraint("key_hash", name=op.f("pk_budgets")),
    )
    op.create_table(
        "budget_leases",
        sa.Column("id", _ID, autoincrement=True, nullable=False),
        sa.Column("key_hash", sa.String(), nullable=False),
        sa.Column("permits", sa.Integer(), nullable=False),
        sa.Column("counts_until_ms", _ID, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_budget_leases")),
    )
    op.create_index("ix_budget_leases_key", "budget_leases", ["key_hash", "counts_until_ms"])
    op.create_table(
        "erasures",
        sa.Column("return_pk", _ID, nullable=False),
        sa.Column("asked_at", _TIME, nullable=False),
        sa.Column("asked_by", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["return_pk"],
            ["returns.id"],
            name=op.f("fk_erasures_return_pk"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("return_pk", name=op.f("pk_erasures")),
    )
    op.add_column("brands", sa.Column("restored_at", _TIME, nullable=True))


def downgrade() -> None:
    op.drop_column("brands", "restored_at")
    op.drop_index("ix_budget_leases_key", table_name="budget_leases")
    for table in ("erasures", "budget_leases", "budgets", "breakers", "workers"):
        op.drop_table(table)
