"""Every list fits a terminal of 80 columns: no line is longer, no id is cut or broken."""

from __future__ import annotations

import pytest
from busy_ledger import DOWN, LONG_ORDER, LONG_RETURN, UPC, Busy
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from bergen_loop.cli.output import table

LISTS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("status",): DOWN,
    ("attention",): (LONG_ORDER, f"return {LONG_RETURN}", UPC),
    ("attention", "list"): (LONG_ORDER, LONG_RETURN),
    ("attention", "list", "--all"): (LONG_ORDER, LONG_RETURN),
    ("breaker", "list"): DOWN,
    ("workers",): ("worker-eu-west-1-7f3a9c21", "ip-10-0-12-117.eu-west-1.compute.internal"),
    ("events", "deliveries"): (f"evt_{LONG_RETURN}_rma_closed_2", "return.rma_closed"),
    ("show", LONG_RETURN): (LONG_RETURN, LONG_ORDER),
    ("doctor",): (),
    ("accounts", "list"): (),
    ("brands", "list"): DOWN,
    ("secrets", "list"): (),
    ("brands", "mode", "acme"): ("acme",),
    ("shadow", "report", "-b", "acme"): (),
}


@pytest.mark.parametrize("columns", [80, 140])
@pytest.mark.parametrize("words", LISTS, ids=" ".join)
def test_a_list_fits_the_terminal_and_ids_are_whole(
    busy: Busy, words: tuple[str, ...], columns: int
) -> None:
    printed = busy.run(*words, columns=columns).output
    assert printed
    for line in printed.splitlines():
        assert cell_len(line.rstrip()) <= columns, line
    for id_ in LISTS[words]:
        assert id_ in printed


WORDS = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=30)
CELLS = st.one_of(WORDS, st.integers(0, 10**9), st.lists(WORDS, max_size=30).map(" ".join))


@settings(max_examples=60)
@given(st.data(), st.integers(1, 8))
def test_whatever_stands_in_a_table_every_word_is_whole_in_it(
    data: st.DataObject, number: int
) -> None:
    row = st.lists(CELLS, min_size=number, max_size=number)
    rows = data.draw(st.lists(row, min_size=1, max_size=4))
    columns = [f"column {i}" for i in range(number)]
    console = Console(width=80, no_color=True)
    with console.capture() as captured:
        console.print(table("Title", columns, rows))
    printed = captured.get()
    assert max(cell_len(line.rstrip()) for line in printed.splitlines()) <= 80
    there = printed.split()
    for cells in rows:
        for word in " ".join(str(c) for c in cells).split():
            assert word in there
