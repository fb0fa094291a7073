"""Secrets in the ledger, encrypted (Fernet: AES-128-CBC with HMAC-SHA-256)."""

from __future__ import annotations

import os
import re
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime

from cryptography.fernet import InvalidToken

from bergen_loop.domain.words import What
from bergen_loop.ledger.database import Ledger, LedgerError, exists
from bergen_loop.ledger.store import journal, secrets
from bergen_loop.secrets.errors import SecretError
from bergen_loop.secrets.keys import KeySource

DATABASE_VARIABLE = "BERGEN_LOOP_DATABASE"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")


class Vault:
    """The secrets of one ledger. For start-up and the command line, not for threads."""

    def __init__(self, database: str, keys: KeySource) -> None:
        """`database` is the ledger's SQLAlchemy URL; the environment's goes before it."""
        self.url = os.environ.get(DATABASE_VARIABLE, database)
        self.keys = keys
        self._tokens: dict[str, str] | None = None

    def get(self, name: str) -> str:
        """A secret in the clear. SecretError."""
        tokens = self._all()
        if name not in tokens:
            raise SecretError(
                f"the ledger holds no secret {name!r}",
                f"run: bergen-loop secrets set ledger:{name}",
            )
        try:
            return self.keys.cipher().decrypt(tokens[name].encode()).decode()
        except InvalidToken:
            raise SecretError(
                f"the ledger's secret {name!r} was encrypted under a key that is not here",
                "add the former key after the present one, or set the secret anew",
            ) from None

    def put(self, name: str, value: str, *, who: str) -> None:
        """Keep a secret, journaled by name. SecretError."""
        if not _NAME.fullmatch(name):
            raise SecretError(f"{name!r} is no name for a secret", "use a-z, 0-9, '.', '_', '-'")
        token, now = self.keys.cipher().encrypt(value.encode()).decode(), datetime.now(UTC)
        with self._opened() as ledger, ledger.write() as session:
            known = secrets.put(session, now, name, token, who)
            what = What.SECRET_REPLACED if known else What.SECRET_STORED
            journal.record(session, now, what, name, brand=None, who=who)
        self._tokens = None

    def names(self) -> list[tuple[str, datetime, str]]:
        """(name, when set, by whom) of every secret, by name. SecretError."""
        with self._opened() as ledger, ledger.read() as session:
            return [(row.name, row.set_at, row.set_by) for row in secrets.rows(session)]

    def rotate(self, *, who: str) -> int:
        """Encrypt every secret anew under the first key, all or none; their number.
        SecretError where one cannot be decrypted."""
        cipher, now = self.keys.cipher(), datetime.now(UTC)
        with self._opened() as ledger, ledger.write() as session:
            rows = secrets.rows(session, lock=True)
            for row in rows:
                try:
                    row.token = cipher.rotate(row.token.encode()).decode()
                except InvalidToken:
                    raise SecretError(
                        f"the ledger's secret {row.name!r} was encrypted under a key that is not "
                        "here; nothing was changed",
                        "add the former key after the present one, or set that secret anew first",
                    ) from None
            why = f"{len(rows)} secret(s) encrypted under the first key"
            journal.record(session, now, What.SECRETS_ROTATED, why, brand=None, who=who)
        self._tokens = None
        return len(rows)

    def _all(self) -> dict[str, str]:
        if self._tokens is None:
            self._tokens = self._read() if exists(self.url) else {}
        return self._tokens

    def _read(self) -> dict[str, str]:
        # Not migrated here: reading the configuration must change nothing.
        with self._opened(migrate=False) as ledger, ledger.read() as session:
            return secrets.tokens(session)

    @contextmanager
    def _opened(self, *, migrate: bool = True) -> Generator[Ledger]:
        try:
            ledger = Ledger(self.url)
            try:
                if migrate:
                    ledger.migrate()
                yield ledger
            finally:
                ledger.close()
        except (LedgerError, OSError) as error:
            # Without its text, which can hold the database's password.
            raise SecretError(
                f"the ledger cannot be reached ({type(error).__name__})",
                f"correct service.database or {DATABASE_VARIABLE}, or start the database",
            ) from None
