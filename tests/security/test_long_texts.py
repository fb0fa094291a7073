"""What comes in is bounded, and nothing takes more time than in proportion to it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bergen_loop import logs
from bergen_loop.console.export import cell
from bergen_loop.domain.returns import LoopState, Return, ReturnLine
from bergen_loop.domain.words import Need, What
from bergen_loop.ledger.codec import LONGEST_NAME, cut, document, load_return, sentence, storable
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.store import attention, journal
from bergen_loop.ledger.store.retention import erase_customer
from bergen_loop.repair import reconcile
from bergen_loop.text import failure, json_escaped, shortened, visible, without_addresses

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
LONG = 400_000
SHAPES = ("a", "@", "a@", "a.", "@a.", "a@b.", ".", "-", "\\", "[a", "<", "{", "1,", "\x1b[", " ",
          "a@b.c ", "%", "\u202e", "=1+", "<a:Password")  # fmt: skip

WAYS: dict[str, Callable[[str], Any]] = {
    "addresses": lambda text: without_addresses(text, "#"),
    "visible": visible,
    "json": json_escaped,
    "shortened": shortened,
    "failure": lambda text: failure(RuntimeError(text)),
    "log": lambda text: logs.mask(None, "", {"event": text, "nested": [{"deep": text}]}),
    "csv": cell,
    "storable": storable,
    "sentence": sentence,
    "cut": lambda text: cut(text, 100),
    "po": lambda text: reconcile._po_pattern("LR-{return_id}-{order_name}").fullmatch(text[:100]),
}


@pytest.mark.parametrize("way", WAYS)
def test_no_way_out_or_in_is_slow_on_any_shape_of_text(way: str) -> None:
    for shape in SHAPES:
        text = shape * (LONG // len(shape))
        for one in (text, f"{text}!", f"{text}@x", f"@{text}"):
            started = time.process_time()
            WAYS[way](one)
            assert time.process_time() - started < 1.5, (way, shape)


@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
)
def test_texts_that_differ_differ_when_they_are_cut(one: str, other: str) -> None:
    start = "same " * 100
    a, b = cut(start + one, 120), cut(start + other, 120)
    assert len(a) == len(b) == 120
    assert (a == b) == (one == other)


def a_return(**values: Any) -> Return:
    whole = Return(
        id="1", state=LoopState.OPEN, created_at=NOW, updated_at=NOW, outcome="refund",
        order_id="1", lines=(ReturnLine("L1"),),
    )  # fmt: skip
    return replace(whole, **values)


def test_a_return_comes_in_with_no_field_longer_than_it_may_be() -> None:
    long = "x" * 100_000
    line = ReturnLine("L1", sku=long, barcode=long, title=long, comment=long)
    kept = load_return(document(a_return(order_name=long, customer_email=long, lines=(line,))))
    assert len(kept.order_name or "") == len(kept.lines[0].sku or "") == LONGEST_NAME
    assert len(kept.lines[0].comment or "") == len(kept.lines[0].title or "") == 8000
    assert load_return(document(kept)) == kept, "what was cut is not cut again"
    usual = a_return(order_name="#1", customer_email="a@b.c", lines=(replace(line, sku="S" * 600),))
    assert load_return(document(usual)).lines[0].sku == "S" * 600


def test_the_journal_and_the_attention_list_take_any_text(ledger: Ledger) -> None:
    """NULs and lone surrogates are no text for PostgreSQL; what is found by index has its limit."""
    for text in ("nul\x00", "lone \ud800", "x" * 1_000_000, "\U0001f600" * 50_000):
        with ledger.write() as session:
            journal.record(
                session,
                NOW,
                journal.Entry(What.NOTE, text, brand="acme", who=text, data={"a": [text]}),
            )
            attention.raise_item(
                session,
                NOW,
                attention.Matter(brand="acme", kind=Need.ACCESS, reason=text, tried=text),
            )
            journal.keep_raw(
                session,
                NOW,
                journal.Payload(
                    brand="acme",
                    source="x",
                    digest=text[:9].strip("\x00\ud800"),
                    body=text * 2,
                    problem=text,
                ),
            )
    with ledger.write() as session:
        erase_customer(session, NOW, "x@y.z", who="me")
