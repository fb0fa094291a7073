"""A warehouse without REX11: its RMAs live in the ledger, and people count parcels on a page."""
