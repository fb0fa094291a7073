"""Documents are stored packed; what an older release stored plain is read, and packed in time."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from web_support import add_return

from bergen_loop.domain.returns import Stage
from bergen_loop.ledger import packed
from bergen_loop.ledger.codec import decode, encode, load_receipt, load_return
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.store import packing, retention
from bergen_loop.ledger.tables.core import (
    PACKS_FROM,
    DecisionRow,
    ReceiptRow,
    ReturnRow,
    RmaRow,
    judged_state,
)

COLUMNS = {"returns": "content", "decisions": "facts", "receipts": "content", "rmas": "items"}
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=40,
)


@given(st.dictionaries(st.text(), ANYTHING))
def test_whatever_is_packed_comes_out_as_it_was_on_either_database(data: dict[str, Any]) -> None:
    text = encode(data)
    stored = packed.pack(text)
    for held in (stored, packed.as_json(stored), packed.as_json(stored).encode()):
        found = packed.packed_in(held)
        assert (packed.unpack(found) if found else decode(held)) == (text if found else data)
        assert (found is not None) == isinstance(stored, bytes)


@pytest.mark.parametrize("spoil", [lambda b: b[:-3], lambda b: b"\x02" + b[1:], lambda b: b[:1]])
def test_a_damaged_document_is_said_to_be_one_and_never_read_as_another(spoil: Any) -> None:
    stored = packed.pack(encode({"sku": "TEE-S", "words": "a" * 500}))
    assert isinstance(stored, bytes)
    with pytest.raises(ValueError, match="packed"):
        packed.unpack(spoil(stored))


@pytest.fixture
def plain(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """A ledger in which the release before has worked, within the day after the upgrade."""
    monkeypatch.setattr(ledger.engine.dialect, PACKS_FROM, time.time() + 60, raising=False)
    for number in ("71", "72", "73"):
        add_return(ledger, "acme", number, Stage.COMPLETE, skus=["TEE-S"] * 3)
    with ledger.write() as session:
        session.execute(sa.update(DecisionRow).values(judged_state=None))
        for row in session.scalars(sa.select(DecisionRow)):
            row.facts = {"ret": {"state": "open", "said": f"by {row.id}@x.example " * 20}}
    return ledger


def stored(ledger: Ledger) -> dict[str, list[Any]]:
    with ledger.read() as session:
        text = "" if ledger.is_sqlite else "::text"
        return {
            table: list(session.scalars(sa.text(f"SELECT {column}{text} FROM {table} ORDER BY id")))
            for table, column in COLUMNS.items()
        }


def said(ledger: Ledger) -> list[Any]:
    with ledger.read() as session:
        return [
            *(load_return(x) for x in session.scalars(sa.select(ReturnRow.content))),
            *(load_receipt(x) for x in session.scalars(sa.select(ReceiptRow.content))),
            *(dict(x) for x in session.scalars(sa.select(DecisionRow.facts))),
            *session.scalars(sa.select(RmaRow.items)),
            *session.execute(sa.select(ReturnRow.id, ReturnRow.changed_at)),
            *session.scalars(sa.select(judged_state()).order_by(DecisionRow.id)),
        ]


def test_nothing_is_packed_while_the_release_before_may_still_be_at_work(plain: Ledger) -> None:
    assert not packing.pack_old(plain, 60)
    assert not any(packed.packed_in(x) for values in stored(plain).values() for x in values)
    assert set(said(plain)[-3:]) == {"open"}


def test_what_was_plain_is_packed_later_and_says_the_same(
    plain: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, size = said(plain), sum(len(x) for v in stored(plain).values() for x in v)
    monkeypatch.setattr(plain.engine.dialect, PACKS_FROM, 0)
    monkeypatch.setattr(packing, "CHUNK", 2)
    assert packing.pack_old(plain, -1), "some at a time"
    assert said(plain) == before, "half of them packed"
    assert not packing.pack_old(plain, 60)
    after = stored(plain)
    assert said(plain) == before
    found = [(x, packed.packed_in(x)) for values in after.values() for x in values]
    assert sum(x is not None for _, x in found) >= 9
    assert all(x or len(text) < packed.SHORTEST for text, x in found)
    assert sum(len(x) for v in after.values() for x in v) < size / 2
    add_return(plain, "acme", "74", skus=["TEE-S"] * 3)
    assert packed.packed_in(stored(plain)["returns"][-1]), "what comes later is packed at once"


def test_who_is_erased_is_found_in_packed_facts_of_others_too(
    plain: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain.engine.dialect, PACKS_FROM, 0)
    assert not packing.pack_old(plain, 60)
    with plain.read() as session:
        first = min(session.scalars(sa.select(DecisionRow.id)))
    with plain.write() as session:
        now = datetime(2026, 11, 27, tzinfo=UTC)
        assert retention.erase_customer(session, now, f"{first}@X.example", who="ops").texts == 1
    with plain.read() as session:
        facts = [encode(x) for x in session.scalars(sa.select(DecisionRow.facts))]
    assert sum(retention.ERASED in x for x in facts) == 1
    assert not any(f" {first}@x.example" in x for x in facts)
