"""When a ticket whose reading fails is read again"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("rmas", sa.Column("read_due_at", sa.DateTime(timezone=True), nullable=True))
