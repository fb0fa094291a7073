"""An element of Loop's lists that was read before is passed over only as long as the ledger has
just what it says."""

from __future__ import annotations

import json

import pytest

from bergen_loop.flow.context import Said
from bergen_loop.outside.loop.models import Listed

RAW = {"id": 1, "state": "open", "note": "a\ud800b"}


def listed(raw: object = RAW) -> Listed:
    return Listed(json.dumps(raw).encode())


def test_the_very_same_bytes_are_known_to_say_the_same() -> None:
    said = Said()
    assert said.by(listed()) is None
    said.remember(listed().read.fingerprint, "1", "h1")
    assert said.by(listed()) == ("1", "h1")
    assert said.by(listed(RAW | {"state": "closed"})) is None
    assert said.by(listed(RAW | {"label_url": None})) is None


def test_what_came_without_its_bytes_is_always_read() -> None:
    said = Said()
    said.remember(Listed.of(RAW).read.fingerprint, "1", "h1")
    assert said.by(Listed.of(RAW)) is None


def test_it_remembers_a_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Said, "MOST", 2)
    said, all_ = Said(), [listed(RAW | {"id": n}) for n in range(5)]
    for n, one in enumerate(all_):
        said.remember(one.fingerprint, str(n), "h")
    assert [said.by(one) for one in all_] == [None, None, None, None, ("4", "h")]
