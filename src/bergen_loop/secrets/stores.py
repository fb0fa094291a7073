"""All stores behind one reference such as `file:secrets/acme-loop-key`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from copy import copy
from pathlib import Path

from bergen_loop.secrets import files
from bergen_loop.secrets.errors import SecretError
from bergen_loop.secrets.keys import KeySource
from bergen_loop.secrets.vault import Vault

SCHEMES = ("env", "file", "keyring", "ledger")
EXAMPLES = "env:NAME, file:PATH, keyring:SERVICE/NAME or ledger:NAME"


class SecretStores:
    """Reads and keeps secrets by their reference."""

    def __init__(
        self,
        folder: Path = Path(),
        database: str = "sqlite:///var/bergen-loop.db",
        key_file: Path | None = None,
    ) -> None:
        """`folder` is where relative paths start (those of other settings too); `database` the
        ledger's URL; `key_file` holds the keys of the ledger's secrets where the environment
        does not."""
        self.folder = folder
        self._typed: dict[str, str] = {}
        self.vault = Vault(database, KeySource(folder / key_file if key_file else None))

    def knowing(self, typed: Mapping[str, str]) -> SecretStores:
        """The same stores, as if these secrets were kept already: reference -> secret. To try
        what is typed before it is kept."""
        other = copy(self)
        other._typed = {**self._typed, **typed}
        return other

    def get(self, reference: str) -> str:
        """The secret itself. SecretError."""
        scheme, rest = split(reference)
        if reference in self._typed:
            return self._typed[reference]
        if scheme == "env":
            return _from_environment(rest)
        if scheme == "file":
            return files.read(self._path(rest))
        if scheme == "keyring":
            return _from_keyring(rest)
        return self.vault.get(rest)

    def put(self, reference: str, value: str, *, who: str) -> None:
        """Keep a secret where `reference` says. SecretError."""
        scheme, rest = split(reference)
        value = value.strip()
        if not value:
            raise SecretError(f"the secret for {reference} is empty", "give its value")
        if scheme == "env":
            raise SecretError(
                "a program cannot set the environment of another",
                f"set {rest} where the service is started, or choose another store",
            )
        if scheme == "file":
            try:
                files.write(self._path(rest), value + "\n")
            except OSError as error:
                raise SecretError(
                    f"the secret file {rest} cannot be written: {error.strerror}",
                    "name a place where this user may write",
                ) from None
        elif scheme == "keyring":
            _into_keyring(rest, value)
        else:
            self.vault.put(rest, value, who=who)

    def _path(self, rest: str) -> Path:
        return self.folder / Path(rest).expanduser()


def split(reference: str) -> tuple[str, str]:
    """Scheme and rest of a reference. SecretError; its message never quotes what was written,
    for that may be the secret itself."""
    scheme, _, rest = reference.partition(":")
    if scheme not in SCHEMES:
        raise SecretError(
            "a secret does not belong into this file", f"name where it is kept: {EXAMPLES}"
        )
    if not rest.strip() or (scheme == "keyring" and not all(rest.partition("/"))):
        raise SecretError(f"the reference after {scheme}: is not complete", f"write {EXAMPLES}")
    return scheme, rest


def _from_environment(name: str) -> str:
    found = os.environ.get(name, "").strip()
    if not found:
        raise SecretError(
            f"the environment variable {name} is not set",
            "set it for this process, or name another one",
        )
    return found


def _from_keyring(rest: str) -> str:
    import keyring
    import keyring.errors

    service, _, name = rest.partition("/")
    try:
        found = keyring.get_password(service, name)
    except keyring.errors.KeyringError as error:
        raise _no_keyring(error) from None
    if not found:
        raise SecretError(
            f"the keyring holds no {name!r} of service {service!r}",
            f"run: bergen-loop secrets set keyring:{rest}",
        )
    return found


def _into_keyring(rest: str, value: str) -> None:
    import keyring
    import keyring.errors

    service, _, name = rest.partition("/")
    try:
        keyring.set_password(service, name, value)
    except keyring.errors.KeyringError as error:
        raise _no_keyring(error) from None


def _no_keyring(error: Exception) -> SecretError:
    return SecretError(
        f"this machine's keyring cannot be used ({type(error).__name__})",
        "unlock or install one, or use file: or ledger: instead",
    )
