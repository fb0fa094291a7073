"""What the ledger stores reads back as it was, and says what earlier releases' JSON says."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from bergen_loop.domain.returns import Label, LoopState, Return, ReturnLine, ReturnTotals
from bergen_loop.domain.rma import Receipt, ReceiptLine, RmaItem, TicketStatus
from bergen_loop.ledger import codec
from bergen_loop.ledger.tables.core import EffectRow, ReturnRow
from bergen_loop.outside.loop.json_values import loads
from support.ledgers import empty_ledger

NOW = datetime(2026, 11, 3, 9, 30, tzinfo=UTC)
TEXTS = st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
MONEY = st.none() | st.decimals(allow_nan=False, allow_infinity=False, places=2)
TIMES = st.datetimes(timezones=st.just(UTC)).filter(lambda at: at.year > 1000)
LINES = st.builds(
    ReturnLine,
    line_item_id=st.text("0123456789", min_size=1),
    sku=TEXTS,
    title=TEXTS,
    price=MONEY,
    returned_at=st.none() | TIMES,
)
RETURNS = st.builds(
    Return,
    id=st.text("0123456789", min_size=1),
    state=st.sampled_from(LoopState),
    created_at=TIMES,
    updated_at=TIMES,
    order_name=TEXTS,
    totals=st.builds(ReturnTotals, total=MONEY),
    lines=st.lists(LINES, max_size=3).map(tuple),
    labels=st.lists(st.builds(Label, carrier=TEXTS, updated_at=st.none() | TIMES)).map(tuple),
    doubts=st.lists(st.text("abc "), max_size=2).map(tuple),
)
QUANTITIES = st.none() | st.integers(-5, 10**9)
RECEIPTS = st.builds(
    Receipt,
    ticket_id=st.text("WHX0123456789", min_size=1),
    status=st.none() | st.sampled_from(TicketStatus),
    status_name=st.text("abc"),
    lines=st.lists(
        st.builds(ReceiptLine, upc=TEXTS, comments=TEXTS, actual=QUANTITIES, damaged=QUANTITIES)
    ).map(tuple),
    memo=TEXTS,
    arrived_at=st.none() | TIMES,
)


@given(RETURNS)
def test_a_return_says_what_earlier_releases_stored_and_reads_back(value: Return) -> None:
    before = TypeAdapter(Return).dump_python(value, mode="json")
    document = codec.document(value)
    assert document.data == before
    assert codec.digest(document) == codec.digest(before), "the same content would be news"
    assert codec.load_return(codec.Document(document.text)) == value
    assert codec.load_return(before) == value
    assert codec.load_return(codec.Document(json.dumps(before))) == value


@given(RECEIPTS)
def test_a_receipt_says_what_earlier_releases_stored_and_reads_back(value: Receipt) -> None:
    before = TypeAdapter(Receipt).dump_python(value, mode="json")
    document = codec.document(value)
    assert codec.digest(document) == codec.digest(before), "the same counts would be a correction"
    assert codec.load_receipt(codec.Document(json.dumps(before))) == value


def test_an_item_of_an_rma_reads_back() -> None:
    item = RmaItem("A-1", "012", 2, msrp=Decimal("9.90"), pieces=(("11", 1), ("12", 1)))
    stored = json.loads(json.dumps(codec.dump_item(item)))
    assert stored == TypeAdapter(RmaItem).dump_python(item, mode="json")
    assert codec.load_items([stored]) == (item,)


@pytest.mark.parametrize("text", ["a\x00b", "a\ud800b"])
def test_text_that_postgresql_refuses_is_stored_without_it(text: str) -> None:
    value = Return("1", LoopState.OPEN, NOW, NOW, order_name=text)
    stored = codec.load_return(codec.Document(codec.document(value).text))
    assert stored == replace(value, order_name=codec.storable(text))


@pytest.mark.parametrize("data", [{}, {"id": "1"}, {"id": 1, "state": "open"}, {"state": "shut"}])
def test_what_is_no_return_is_a_value_error(data: dict[str, Any]) -> None:
    for given_ in (data, codec.Document(json.dumps(data))):
        with pytest.raises(ValueError, match=r"."):
            codec.load_return(given_)


def test_json_of_earlier_releases_that_no_standard_allows_is_still_read() -> None:
    assert codec.decode('{"a": "\\ud800"}') == {"a": "\ud800"}
    assert str(codec.decode("[NaN]")) == "[nan]"


def test_a_number_as_it_was_written_is_a_text() -> None:
    assert codec.encode(loads("[NaN, 1e999]")) == '["NaN","1e999"]'
    with pytest.raises(TypeError, match="object is no plain data"):
        codec.encode(object())


def test_rows_added_together_get_their_keys_in_the_order_they_were_added(tmp_path: Path) -> None:
    ledger = empty_ledger(tmp_path / "ledger.db")
    with ledger.write() as session:
        rows = [_row(n) for n in range(5)]
        session.add_all(rows)
        session.flush()
        assert [row.id for row in rows] == [1, 2, 3, 4, 5]
        session.add_all(
            EffectRow(
                brand="acme",
                key=f"k{row.id}",
                kind="note",
                state="planned",
                payload={"n": row.id},
                intended_at=NOW,
                return_pk=row.id,
            )
            for row in rows
        )
    with ledger.write() as session:
        session.add(last := _row(9))
        session.flush()
        assert last.id == 6
        one = session.get_one(EffectRow, 3)
        assert (one.key, one.payload) == ("k3", {"n": 3})
        assert codec.load_return(session.get_one(ReturnRow, 2).content).id == "1"
    ledger.close()


def _row(n: int) -> ReturnRow:
    value = Return(str(n), LoopState.OPEN, NOW, NOW)
    return ReturnRow(
        brand="acme",
        return_id=value.id,
        stage="seen",
        loop_state=value.state,
        content=codec.document(value),
        content_hash="x",
        loop_updated_at=NOW,
        submitted_at=NOW,
        seen_at=NOW,
    )


DATA = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec="ascii"))
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), DATA))
def test_a_documents_digest_is_that_of_its_data_however_it_is_made(data: dict[str, Any]) -> None:
    assert codec.digest(codec.Document(json.dumps(data))) == codec.digest(data)


@given(RETURNS)
def test_a_returns_digest_is_that_of_its_plain_data(value: Return) -> None:
    document = codec.document(value)
    assert codec.digest(document) == codec.digest(json.loads(document.text))
