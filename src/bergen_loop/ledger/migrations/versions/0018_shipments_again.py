"""Shipments that are read again, and tickets of theirs whose reading fails"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("looked_at", "again_at", "loop_updated_at", "unread_since", "erased_at"):
        op.add_column("shipments", sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    for name in ("read_due_at", "adopted_at"):
        op.add_column("shipment_rmas", sa.Column(name, sa.DateTime(timezone=True), nullable=True))
