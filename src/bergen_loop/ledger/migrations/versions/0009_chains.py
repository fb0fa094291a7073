"""The journal as a chain of entries per brand; what is there already is its unchained beginning"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("journal", sa.Column("position", _ID, nullable=True))
    for name in ("salt", "digest", "seal"):
        op.add_column("journal", sa.Column(name, sa.String(), nullable=True))
    op.create_index("ix_journal_chain", "journal", ["brand", "position", "id"])
    op.create_table(
        "journal_chains",
        sa.Column("brand", sa.String(), nullable=False),
        sa.Column("begins_after", _ID, nullable=False),
        sa.Column("position", _ID, nullable=False),
        sa.Column("seal", sa.String(), nullable=False),
        sa.Column("sealed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("brand", name=op.f("pk_journal_chains")),
    )
    op.execute(
        "INSERT INTO journal_chains (brand, begins_after, position, seal) "
        "SELECT coalesce(brand, ''), max(id), 0, '' FROM journal GROUP BY brand"
    )
