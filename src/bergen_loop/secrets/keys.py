"""The keys under which the ledger's secrets are encrypted: kept outside the ledger.

Several keys make a rotation: the first encrypts, all of them decrypt. What is encrypted is bound
to its name: a secret put under another's name by whoever can write to the ledger is no secret.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from bergen_loop.secrets import files
from bergen_loop.secrets.errors import SecretError

ENVIRONMENT = "BERGEN_LOOP_KEY"
_BOUND = "2:"
"""Begins a token that is bound to its name. Those before it were Fernet's, and were not."""
_NONCE = 12
_HOW = f"set {ENVIRONMENT}, or name a key file in the configuration (service.key_file)"


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where the keys come from: the environment, else a file."""

    file: Path | None = None

    @property
    def configured(self) -> bool:
        """Whether there is a place to read keys from."""
        return bool(os.environ.get(ENVIRONMENT)) or self.file is not None

    def cipher(self) -> Cipher:
        """The cipher of all keys. SecretError where there are none, or one is no key."""
        text = os.environ.get(ENVIRONMENT)
        where = f"the environment variable {ENVIRONMENT}"
        if not text:
            if self.file is None:
                raise SecretError("there is no key for the ledger's secrets", _HOW)
            text, where = files.read(self.file, "the key file"), f"the key file {self.file}"
        return Cipher([_key(word, where) for word in text.replace(",", " ").split()])


class Undecipherable(Exception):
    """No key here reads it, or it was not encrypted for this name."""


class Cipher:
    """AES-256-GCM under keys derived from the given ones, with the name as associated data."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """`keys`: at least one, of 32 bytes; the first encrypts."""
        self._keys = [AESGCM(_derived(key)) for key in keys]
        self._unbound = MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in keys])

    def encrypt(self, name: str, value: str) -> str:
        """A token that only `decrypt` of this name reads."""
        nonce = os.urandom(_NONCE)
        made = nonce + self._keys[0].encrypt(nonce, value.encode(), _context(name))
        return _BOUND + base64.urlsafe_b64encode(made).decode()

    def decrypt(self, name: str, token: str) -> str:
        """The secret. Raises Undecipherable."""
        if not bound(token):
            try:
                return self._unbound.decrypt(token.encode()).decode()
            except InvalidToken:
                raise Undecipherable from None
        try:
            made = base64.urlsafe_b64decode(token.removeprefix(_BOUND))
        except (binascii.Error, ValueError):
            raise Undecipherable from None
        for key in self._keys:
            try:
                return key.decrypt(made[:_NONCE], made[_NONCE:], _context(name)).decode()
            except (InvalidTag, ValueError):
                continue
        raise Undecipherable


def bound(token: str) -> bool:
    """Whether a token is bound to its name."""
    return token.startswith(_BOUND)


def _derived(key: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt=None, info=b"bergen-loop secrets 2").derive(key)


def _context(name: str) -> bytes:
    return b"bergen-loop secret " + name.encode()


def _key(word: str, where: str) -> bytes:
    try:
        Fernet(word)
        return base64.urlsafe_b64decode(word)
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
