"""The account's token: fetched once, shared by all threads, renewed when it is refused."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Token:
    """Holds the token that `fetch` gets. Thread-safe: of several threads that find the same
    token refused, one fetches a new one and the others take it."""

    def __init__(self, fetch: Callable[[], str]) -> None:
        self._fetch = fetch
        self._lock = threading.Lock()
        self._value: str | None = None

    def get(self) -> str:
        """The token, fetched if there is none yet."""
        with self._lock:
            if self._value is None:
                self._value = self._fetch()
            return self._value

    def renewed(self, refused: str) -> str:
        """A token other than the refused one, as far as the service gives one."""
        with self._lock:
            if self._value is None or self._value == refused:
                self._value = None
                self._value = self._fetch()
            return self._value
