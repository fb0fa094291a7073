"""Guarded sign-in, a second factor, and who did something from where"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "sign_in_tries",
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("since", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_sign_in_tries")),
    )
    op.create_index(op.f("ix_sign_in_tries_since"), "sign_in_tries", ["since"])
    op.create_table(
        "sign_in_places",
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("place", sa.String(), nullable=False),
        sa.Column("seen_at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
            name=op.f("fk_sign_in_places_user_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("user_id", "place", name=op.f("pk_sign_in_places")),
    )
    for column in (
        sa.Column("issued_at", _TIME, nullable=True),
        sa.Column("totp_secret", sa.String(), nullable=True),
        sa.Column("totp_new", sa.String(), nullable=True),
        sa.Column("totp_step", _ID, nullable=True),
        sa.Column("recovery_codes", sa.JSON(), nullable=True),
    ):
        op.add_column("users", column)
    op.add_column("sessions", sa.Column("awaits_code", sa.Boolean(), nullable=True))
    op.add_column("journal", sa.Column("account_id", _ID, nullable=True))
    op.add_column("journal", sa.Column("source", sa.String(), nullable=True))
    op.add_column("api_tokens", sa.Column("account_id", _ID, nullable=True))
    op.execute(
        "UPDATE api_tokens SET account_id = "
        "(SELECT users.id FROM users WHERE users.name = api_tokens.created_by)"
    )


def downgrade() -> None:
    op.drop_column("api_tokens", "account_id")
    op.drop_column("journal", "source")
    op.drop_column("journal", "account_id")
    op.drop_column("sessions", "awaits_code")
    for name in ("recovery_codes", "totp_step", "totp_new", "totp_secret", "issued_at"):
        op.drop_column("users", name)
    op.drop_table("sign_in_places")
    op.drop_index(op.f("ix_sign_in_tries_since"), table_name="sign_in_tries")
    op.drop_table("sign_in_tries")
