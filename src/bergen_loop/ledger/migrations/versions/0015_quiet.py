"""In how many looks in a row nothing was found for a brand, and an index for calls to look after"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("brands", sa.Column("quiet_looks", sa.Integer(), nullable=True))
    op.create_index(
        "ix_effects_later",
        "effects",
        ["brand", "kind", "state", "try_at"],
        sqlite_where=sa.text("try_at IS NOT NULL"),
        postgresql_where=sa.text("try_at IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_effects_later", "effects")
    op.drop_column("brands", "quiet_looks")
