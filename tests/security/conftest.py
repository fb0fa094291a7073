"""Fixtures of the attacks' tests."""

from web_fixtures import (  # noqa: F401 - pytest finds them here
    desk,
    filled_ledger,
    full,
    no_first_account,
)
