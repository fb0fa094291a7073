"""A gradual start: how much a brand that has just gone live pays an hour, and until when"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("brands", sa.Column("pace_returns", sa.Integer(), nullable=True))
    op.add_column("brands", sa.Column("pace_amount", sa.String(), nullable=True))
    op.add_column("brands", sa.Column("pace_until", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    for name in ("pace_until", "pace_amount", "pace_returns"):
        op.drop_column("brands", name)
