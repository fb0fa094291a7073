"""Encrypted secrets, and the mode of a brand as set by a command"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "secrets",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("set_by", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_secrets")),
    )
    op.add_column("brands", sa.Column("mode", sa.String(), nullable=True))
    op.add_column("brands", sa.Column("acted_mode", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("brands", "acted_mode")
    op.drop_column("brands", "mode")
    op.drop_table("secrets")
