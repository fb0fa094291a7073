"""Secrets in the ledger, encrypted (AES-256-GCM) and bound to their names."""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

from bergen_loop.domain.words import What
from bergen_loop.ledger.database import Ledger, LedgerError, exists
from bergen_loop.ledger.store import journal, secrets
from bergen_loop.secrets.errors import SecretError
from bergen_loop.secrets.keys import KeySource, Undecipherable, bound
from bergen_loop.secrets.seeds import under_first_key

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
        _refuse_foreign(name, tokens)
        try:
            return self.keys.cipher().decrypt(name, tokens[name])
        except Undecipherable:
            raise SecretError(
                f"the ledger's secret {name!r} was encrypted under a key that is not here, or "
                "for another name",
                "add the former key after the present one, or set the secret anew",
            ) from None

    def put(self, name: str, value: str, *, who: str) -> None:
        """Keep a secret, journaled by name. SecretError."""
        if not _NAME.fullmatch(name):
            raise SecretError(f"{name!r} is no name for a secret", "use a-z, 0-9, '.', '_', '-'")
        cipher, now = self.keys.cipher(), datetime.now(UTC)
        token = cipher.encrypt(name, value)
        with self._opened() as ledger, ledger.write() as session:
            rows = secrets.rows(session, lock=True)
            if not any(bound(row.token) for row in rows):  # all are of an older release
                for row in rows:
                    with suppress(Undecipherable):
                        row.token = cipher.encrypt(row.name, cipher.decrypt(row.name, row.token))
            known = secrets.put(session, now, name, token, who)
            what = What.SECRET_REPLACED if known else What.SECRET_STORED
            journal.record(session, now, journal.Entry(what, name, brand=None, who=who))
        self._tokens = None

    def names(self) -> list[tuple[str, datetime, str]]:
        """(name, when set, by whom) of every secret, by name. SecretError."""
        with self._opened() as ledger, ledger.read() as session:
            return [(row.name, row.set_at, row.set_by) for row in secrets.rows(session)]

    def rotate(self, *, who: str) -> int:
        """Encrypt every secret, and every second factor, anew under the first key, all or none;
        their number.
        SecretError where one cannot be decrypted."""
        cipher, now = self.keys.cipher(), datetime.now(UTC)
        with self._opened() as ledger, ledger.write() as session:
            rows = secrets.rows(session, lock=True)
            tokens = {row.name: row.token for row in rows}
            for row in rows:
                _refuse_foreign(row.name, tokens)
                try:
                    row.token = cipher.encrypt(row.name, cipher.decrypt(row.name, row.token))
                except Undecipherable:
                    raise SecretError(
                        f"the ledger's secret {row.name!r} was encrypted under a key that is not "
                        "here, or for another name; nothing was changed",
                        "add the former key after the present one, or set that secret anew first",
                    ) from None
            factors = secrets.second_factors(session)
            for user in factors:
                for name in ("totp_secret", "totp_new"):
                    if kept := getattr(user, name):
                        setattr(user, name, under_first_key(cipher, user.id, kept))
            why = f"{len(rows)} secret(s), {len(factors)} second factor(s), under the first key"
            journal.record(
                session, now, journal.Entry(What.SECRETS_ROTATED, why, brand=None, who=who)
            )
        self._tokens = None
        return len(rows) + len(factors)

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


def _refuse_foreign(name: str, tokens: Mapping[str, str]) -> None:
    """Where some are bound to their names all are: one that is not may be another's, put here."""
    if not bound(tokens[name]) and any(map(bound, tokens.values())):
        raise SecretError(
            f"the ledger's secret {name!r} is not bound to its name, as the others are",
            "set that secret anew",
        )
