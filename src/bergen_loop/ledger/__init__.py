"""The ledger: the one memory of bergen-loop. SQLite embedded, PostgreSQL for many machines."""
