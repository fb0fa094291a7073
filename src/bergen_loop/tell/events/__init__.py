"""Telling a brand's own systems about its returns: signed webhooks, from the journal.

`follow` reads the journal on and writes what is to be told into the outbox; `dispatch` delivers
it, each brand for itself.
"""
