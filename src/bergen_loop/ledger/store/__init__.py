"""What flows ask of the ledger and write into it."""
