"""An answer that was no news is passed over only as long as nothing about it has changed."""

from __future__ import annotations

import pytest

from bergen_loop.flow.context import Unchanged
from bergen_loop.ledger.store.returns import Stored

RAW = {"id": 1, "state": "open", "note": "a\ud800b"}
KNOWN = Stored(held=False, content_hash="h1", content={})


def test_the_same_answer_about_the_same_content_is_no_news() -> None:
    seen = Unchanged()
    assert not seen.holds("1", RAW, KNOWN)
    seen.remember("1", RAW, KNOWN)
    assert seen.holds("1", dict(RAW), KNOWN)


@pytest.mark.parametrize(
    ("return_id", "raw", "known"),
    [
        ("2", RAW, KNOWN),
        ("1", RAW | {"state": "closed"}, KNOWN),
        ("1", RAW | {"label_url": None}, KNOWN),
        ("1", RAW, KNOWN._replace(content_hash="h2")),
        ("1", RAW, KNOWN._replace(held=True)),
    ],
)
def test_whatever_has_changed_is_looked_at(
    return_id: str, raw: dict[str, object], known: Stored
) -> None:
    seen = Unchanged()
    seen.remember("1", RAW, KNOWN)
    assert not seen.holds(return_id, raw, known)


def test_it_remembers_a_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Unchanged, "MOST", 2)
    seen = Unchanged()
    for n in range(5):
        seen.remember(str(n), RAW, KNOWN)
    assert [n for n in range(5) if seen.holds(str(n), RAW, KNOWN)] == [4]
