"""The sandbox as the demonstration drives it, over HTTP only."""

from __future__ import annotations

from typing import Any

import httpx2

MIX = {
    "complete": 60,
    "short": 8,
    "damaged": 10,
    "extra": 6,
    "wrong": 6,
    "garbled": 5,
    "never": 5,
}
"""Shares of the kinds of parcel that arrive."""


class SandboxControl:
    """The sandbox's control side."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx2.Client(base_url=url, timeout=30.0)

    def healthy(self) -> bool:
        """Whether it answers."""
        try:
            return self._http.get("/health").status_code == 200
        except httpx2.HTTPError:
            return False

    def get(self, path: str, **query: Any) -> Any:
        """Read a control page."""
        answer = self._http.get(path, params=query)
        answer.raise_for_status()
        return answer.json()

    def post(self, path: str, values: Any = None) -> Any:
        """Make a control call."""
        answer = self._http.post(path, json=values or {})
        answer.raise_for_status()
        return answer.json()

    def config(self) -> dict[str, Any]:
        """The brands with their keys, and where both systems are."""
        return self.get("/control/config")

    def receive_parcels(self) -> dict[str, int]:
        """Let parcels arrive for every ticket that waits for one; numbers by kind."""
        return self.post("/control/parcels/auto", {"mix": MIX})["kinds"]

    def effects(self) -> dict[str, Any]:
        """What was really done to each return, by the sandbox's own log."""
        return self.get("/control/effects")

    def close(self) -> None:
        self._http.close()
