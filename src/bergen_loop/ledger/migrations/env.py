"""Alembic's entry: runs on the connection that `Ledger.migrate` hands over."""

from __future__ import annotations

from alembic import context

from bergen_loop.ledger.tables import access as access_tables
from bergen_loop.ledger.tables import brands as brand_tables
from bergen_loop.ledger.tables import floor as floor_tables
from bergen_loop.ledger.tables import operations as operations_tables
from bergen_loop.ledger.tables import shipments as shipment_tables
from bergen_loop.ledger.tables.core import Base

TABLES = (
    Base,
    access_tables,
    brand_tables,
    floor_tables,
    operations_tables,
    shipment_tables,
)
"""Importing them is what makes their tables known."""

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
