"""The seeds of second factors as the ledger keeps them: encrypted, and bound to their account."""

from __future__ import annotations

import structlog

from bergen_loop.secrets.errors import SecretError
from bergen_loop.secrets.keys import Cipher, KeySource, Undecipherable, bound

log = structlog.get_logger()


class Seeds:
    """Seals and opens them. Where there is no key they stay in the clear, as an older release
    kept them, and are sealed at their next use once there is one."""

    def __init__(self, keys: KeySource) -> None:
        self._keys = keys

    def sealed(self, account: int, seed: str) -> str:
        """What is kept. SecretError where the key cannot be read."""
        if not self._keys.configured:
            log.warning(
                "a second factor is kept unencrypted: there is no key for the ledger's secrets",
                account=account,
                remedy="make one by `bergen-loop secrets new-key`, and name it as service.key_file",
            )
            return seed
        return self._keys.cipher().encrypt(_name(account), seed)

    def opened(self, account: int, kept: str) -> str:
        """The seed. SecretError where no key here reads it, or it is another account's."""
        if not bound(kept):
            return kept
        return _opened(self._keys.cipher(), account, kept)

    def renewed(self, account: int, kept: str) -> str:
        """What is to be kept from now on: sealed, if it was not yet and can be."""
        if bound(kept) or not self._keys.configured:
            return kept
        return self.sealed(account, kept)


def under_first_key(cipher: Cipher, account: int, kept: str) -> str:
    """The same seed, encrypted anew. SecretError."""
    seed = _opened(cipher, account, kept) if bound(kept) else kept
    return cipher.encrypt(_name(account), seed)


def _opened(cipher: Cipher, account: int, kept: str) -> str:
    try:
        return cipher.decrypt(_name(account), kept)
    except Undecipherable:
        raise SecretError(
            f"the second factor of account {account} was encrypted under a key that is not here, "
            "or for another account",
            "add the former key after the present one, or take the second factor away: "
            "bergen-loop accounts reset",
        ) from None


def _name(account: int) -> str:
    # No secret that people store may have this name: see `secrets.vault`.
    return f"second factor of account {account}"
