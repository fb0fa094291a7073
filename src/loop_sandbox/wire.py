"""HTTP in the sandbox's own terms: handlers turn a WireRequest into an Answer, nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast


@dataclass(frozen=True, slots=True)
class WireRequest:
    """A request. `path` is below the mount point; header names are lower-case."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""
    root: str = "http://127.0.0.1:8801"
    """Scheme and host as the caller used them, for the URLs in answers."""

    def parts(self) -> list[str]:
        return [p for p in self.path.split("/") if p]

    def json_object(self) -> dict[str, Any] | None:
        """The body as a JSON object ({} when empty), or None where it is none."""
        if not self.body.strip():
            return {}
        value = self._json()
        return cast("dict[str, Any]", value) if isinstance(value, dict) else None

    def json_list(self) -> list[Any] | None:
        """The body as a JSON array, or None where it is none."""
        value = self._json()
        return cast("list[Any]", value) if isinstance(value, list) else None

    def _json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer before any fault spoils it."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


def json_answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """Compact JSON with plain slashes."""
    body = json.dumps(value, separators=(",", ":")).encode()
    return Answer(status, body, headers=headers or {})
