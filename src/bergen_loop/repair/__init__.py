"""Putting right what crashes, lost ledgers and old errors left behind."""
