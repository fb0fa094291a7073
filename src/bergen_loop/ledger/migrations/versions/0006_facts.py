"""What happened, and what an item is about, as facts beside the sentences; when a call is tried
again"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)
_SAME = {
    "edited in Loop": "edited",
    "label": "label",
    "reconsidered": "reconsidered",
    "closing": "closing",
    "ticket": "ticket",
    "received": "received",
    "RMA closed": "rma_closed",
    "complete": "complete",
    "needs attention": "needs_person",
    "attention resolved": "resolved",
    "resync": "resync",
    "note": "note",
    "live takes effect": "mode_live",
    "taken back": "taken_back",
    "brand connected": "brand_connected",
    "brand's connection updated": "brand_changed",
    "webhooks subscribed": "webhooks_subscribed",
    "secret stored": "secret_stored",
    "secret replaced": "secret_replaced",
    "secrets rotated": "secrets_rotated",
    "account made": "account_made",
    "account changed": "account_changed",
    "password set": "password_set",
    "signed in": "signed_in",
    "signed out": "signed_out",
    "sign-in refused": "sign_in_refused",
    "token made": "token_made",
    "token revoked": "token_revoked",
    "erasure asked for": "erasure_asked",
    "personal data erased": "erased",
    "replayed": "replayed",
    "ledger restored": "ledger_restored",
    "reconcile": "reconciled",
    "rebuild": "rebuilt",
}
_LIKE = (
    ("decided by hand: %", "decided_by_hand"),
    ("decided: %", "decided"),
    ("mode: %", "mode_set"),
    ("exported %", "exported"),
    ("reconcile: %", "reconcile_finding"),
    ("rebuild: %", "rebuild_finding"),
    ("%: sent again", "call_again"),
    ("%: done", "call_done"),
    ("%: accepted", "call_accepted"),
    ("%: doubt", "call_doubt"),
    ("%: not sent", "call_not_sent"),
    ("%: refused", "call_refused"),
    ("%: failed", "call_failed"),
    ("% suspended", "system_suspended"),
    ("% called again", "system_called_again"),
)


_STATUSES = {
    name.casefold(): name
    for name in (
        "Draft",
        "PendingCSR",
        "PendingPrinting",
        "PrintedPendingCount",
        "CountingInProgress",
        "PendingPutaway",
        "PutAwayInProgress",
        "AddedToInventory",
        "Cancelled",
    )
}


def upgrade() -> None:
    op.add_column("journal", sa.Column("happened", sa.String(), nullable=True))
    op.add_column("effects", sa.Column("try_at", _TIME, nullable=True))
    op.add_column("attention", sa.Column("subject", sa.String(), nullable=True))
    op.add_column("products", sa.Column("called", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("rmas", sa.Column("unread_since", _TIME, nullable=True))
    journal = sa.table(
        "journal",
        sa.column("happened", sa.String()),
        sa.column("what", sa.String()),
        sa.column("why", sa.String()),
        sa.column("return_pk", sa.Integer()),
    )
    what = journal.c.what
    ended = sa.and_(
        what == "seen", sa.or_(journal.c.why.like("already %"), journal.c.why.like("left alone%"))
    )
    cases = [
        (ended, "seen_ended"),
        (what == "seen", "seen"),
        *((what == old, new) for old, new in _SAME.items()),
        *((what.like(form), new) for form, new in _LIKE),
    ]
    op.execute(
        sa.update(journal).values(
            happened=sa.case(*cases, else_=sa.case((journal.c.return_pk.is_not(None), "moved")))
        )
    )
    attention = sa.table(
        "attention",
        sa.column("subject", sa.String()),
        sa.column("open_key", sa.String()),
        sa.column("kind", sa.String()),
    )
    op.execute(
        sa.update(attention)
        .where(attention.c.open_key.is_not(None))
        .values(subject=sa.func.substr(attention.c.open_key, sa.func.length(attention.c.kind) + 2))
    )
    _spell_statuses_alike()


def _spell_statuses_alike() -> None:
    """REX11's names of statuses came as they were spelled; they are compared in one form now."""
    connection = op.get_bind()
    rmas = sa.table(
        "rmas", sa.column("ticket_status", sa.String()), sa.column("read_status", sa.String())
    )
    for column in (rmas.c.ticket_status, rmas.c.read_status):
        for name in list(connection.scalars(sa.select(column).distinct())):
            normal = "".join(filter(str.isalnum, (name or "").casefold()))
            status = _STATUSES.get(normal, name)
            if status != name:
                connection.execute(
                    sa.update(rmas).where(column == name).values({column.name: status})
                )
