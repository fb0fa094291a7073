"""The keys under which the ledger's secrets are encrypted: kept outside the ledger.

Several keys make a rotation: the first encrypts, all of them decrypt.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.fernet import Fernet, MultiFernet

from bergen_loop.secrets import files
from bergen_loop.secrets.errors import SecretError

ENVIRONMENT = "BERGEN_LOOP_KEY"
_HOW = f"set {ENVIRONMENT}, or name a key file in the configuration (service.key_file)"


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where the keys come from: the environment, else a file."""

    file: Path | None = None

    @property
    def configured(self) -> bool:
        """Whether there is a place to read keys from."""
        return bool(os.environ.get(ENVIRONMENT)) or self.file is not None

    def cipher(self) -> MultiFernet:
        """The cipher of all keys. SecretError where there are none, or one is no key."""
        text = os.environ.get(ENVIRONMENT)
        where = f"the environment variable {ENVIRONMENT}"
        if not text:
            if self.file is None:
                raise SecretError("there is no key for the ledger's secrets", _HOW)
            text, where = files.read(self.file, "the key file"), f"the key file {self.file}"
        return MultiFernet([_key(word, where) for word in text.replace(",", " ").split()])


def _key(word: str, where: str) -> Fernet:
    try:
        return Fernet(word)
    except ValueError:
        raise SecretError(
            f"{where} holds something that is no key",
            "write keys as `bergen-loop secrets new-key FILE` makes them, one a line",
        ) from None


def new_key(path: Path) -> int:
    """Put a new key first into a key file, made if there is none; the number of keys it then
    holds. Older keys stay, so that what they encrypted can be read. SecretError, OSError."""
    old = files.read(path, "the key file").split() if path.exists() else []
    for word in old:
        _key(word, f"the key file {path}")
    files.write(path, "\n".join([Fernet.generate_key().decode(), *old]) + "\n")
    return 1 + len(old)
