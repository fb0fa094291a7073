"""Documents are packed; what decisions say of Loop's state has a column of its own; an index that
others serve as well is gone"""

from __future__ import annotations

import time

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

DAY = 24 * 3600


def upgrade() -> None:
    op.add_column("decisions", sa.Column("judged_state", sa.String(), nullable=True))
    # The release before cannot read packed documents, and may be at work for a day.
    used = op.get_bind().scalar(sa.text("SELECT count(*) FROM (SELECT 1 FROM brands LIMIT 1) AS b"))
    followers = sa.table("followers", sa.column("name"), sa.column("position"))
    since = int(time.time()) + DAY if used else 0
    op.drop_index("ix_journal_brand", "journal")
    op.execute(sa.insert(followers).values(name="packing", position=since))
