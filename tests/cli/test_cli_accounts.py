"""Accounts on the command line: for the day nobody gets in."""

from __future__ import annotations

import socket
from datetime import UTC, datetime

import sqlalchemy as sa
from cli_support import Past, text

from bergen_loop.console import passwords
from bergen_loop.domain.words import What
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.read import people
from bergen_loop.ledger.read.people import Account, Deed, Grant, Role
from bergen_loop.ledger.tables.core import JournalRow

NOW = datetime.now(UTC)


def test_a_reset_gives_a_new_password_and_takes_the_second_factor_away(past: Past) -> None:
    ledger = Ledger(f"sqlite:///{past.folder}/ledger.db")
    ledger.migrate()
    with ledger.write() as session:
        hash_ = passwords.hashed("the one that was lost")
        deed = Deed(session, NOW, "x")
        user = people.add_user(deed, Account("mara", Grant(Role.ENGINEER, None), hash_))
        people.set_second_factor(deed, user, "SECRET", ["code"])
    assert "mara" in past.run("accounts", "list").output
    result = past.run("accounts", "reset", "mara")
    assert result.exit_code == 0, result.output
    password = text(result).split()[0]
    with ledger.read() as session:
        user = people.user_named(session, "mara")
        assert user is not None
        assert (user.totp_secret, user.recovery_codes) == (None, None)
        assert user.issued_at
        assert passwords.matches(password, user.password_hash)
        names = (What.PASSWORD_SET.value, What.SECOND_FACTOR_REMOVED.value)
        entries = session.scalars(
            sa.select(JournalRow).where(
                JournalRow.happened.in_(names), JournalRow.who.contains("(command line)")
            )
        ).all()
        assert len(entries) == 2
        assert {(e.source, e.account_id) for e in entries} == {(socket.gethostname(), None)}
        assert password not in str([(e.why, e.data) for e in entries])
    ledger.close()


def test_an_account_that_is_not_there_is_told_plainly(past: Past) -> None:
    result = past.run("accounts", "reset", "nobody")
    assert result.exit_code == 2
    assert "there is no account 'nobody'" in text(result)
