"""Photos of damage that Loop may fetch; open tickets of the floor by an index of their own"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_OPEN = sa.text("status IN ('Draft', 'CountingInProgress')")


def upgrade() -> None:
    op.add_column("floor_photos", sa.Column("given_as", sa.String(), nullable=True))
    op.create_index("ix_floor_photos_given", "floor_photos", ["given_as"], unique=True)
    op.create_index(
        "ix_floor_tickets_open",
        "floor_tickets",
        ["brand", "id"],
        sqlite_where=_OPEN,
        postgresql_where=_OPEN,
    )
