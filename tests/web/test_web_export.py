"""Lists as files."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from web_support import NOW, Browser, Desk, add_return

from bergen_loop.console import export, lists
from bergen_loop.domain.returns import Stage
from bergen_loop.ledger.read.people import Role
from bergen_loop.ledger.tables.core import JournalRow


def rows(answer: Any) -> list[dict[str, str]]:
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.text.startswith("\ufeff")
    return list(csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff"))))


def test_returns_as_a_file(full: Desk) -> None:
    browser = full.signed_in(name="mara")
    answer = browser.get("/returns.csv?brand=acme&stage=flagged")
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    expected = f'attachment; filename="returns-{today}.csv"'
    assert answer.headers["content-disposition"] == expected
    (row,) = rows(answer)
    assert row["return"] == "107"
    assert row["stage"] == "flagged in Loop"
    assert row["total"] == "89.00"
    assert row["Processed or flagged in Loop (UTC)"].startswith(f"{NOW:%Y-%m-%d %H:%M}")
    with full.ledger.read() as session:
        entry = session.scalars(sa.select(JournalRow).where(JournalRow.who == "mara")).all()[-1]
    assert (entry.what, entry.why) == ("exported returns", "brand: acme, stage: flagged")


def test_a_file_holds_the_whole_list(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "AT_A_TIME", 7)
    for n in range(30):
        add_return(desk.ledger, "acme", f"{n:02}", skus=["SAME"])
    browser = desk.signed_in()
    everything = {f"{n:02}" for n in range(30)}
    assert {r["return"] for r in rows(browser.get("/returns.csv"))} == everything
    assert {r["return"] for r in rows(browser.get("/returns.csv?q=acme-same"))} == everything
    assert len(rows(browser.get("/returns.csv?q=acme"))) == 30


def test_other_lists_as_files(full: Desk) -> None:
    browser: Browser = full.signed_in(Role.ENGINEER)
    items = rows(browser.get("/attention.csv"))
    assert [i["reason"] for i in items] == [
        "acme: a person has to look",
        "acme: Loop refuses the key",
        "zebra: a person has to look",
        "zebra: Loop refuses the key",
    ]
    assert items[0]["return"] == "103"
    assert [i["brand"] for i in rows(browser.get("/attention.csv?kind=access"))] == [
        "acme",
        "zebra",
    ]
    assert rows(browser.get("/audit.csv"))[0]["what"] == "exported the attention list"
    brands = rows(browser.get("/brands.csv"))
    assert [b["today: RMA created in Bergen"] for b in brands] == ["8", "8"]


def test_no_cell_is_a_formula(desk: Desk) -> None:
    add_return(desk.ledger, "acme", "1", Stage.RECEIVED, mark='=HYPERLINK("http://evil")', held="x")
    browser = desk.signed_in()
    (row,) = rows(browser.get("/returns.csv"))
    assert row["customer"].startswith("'=HYPERLINK")
    (item,) = rows(browser.get("/attention.csv"))
    assert item["reason"].startswith("'=HYPERLINK")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        ("plain", "plain"),
        ("-12.50", "-12.50"),
        ("+1", "+1"),
        (-3, "-3"),
        ("-1+cmd|' /C calc'!A0", "'-1+cmd|' /C calc'!A0"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("  =1", "'  =1"),
        ("1=1", "1=1"),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02 03:04:05"),
    ],
)
def test_cells(value: object, text: str) -> None:
    assert export.cell(value) == text


@given(st.text())
def test_what_is_read_back_never_begins_like_a_formula(text: str) -> None:
    read = export.cell(text)
    stripped = read.lstrip(" ")
    assert read.endswith(text)
    if stripped[:1] in tuple("=+-@\t\r"):
        float(read.replace(",", "").replace(".", "", max(0, read.count(".") - 1)))


@given(
    st.lists(st.lists(st.text(st.characters(exclude_characters="\x00\r")), min_size=2, max_size=2))
)
def test_files_read_back_as_they_were(table: list[list[str]]) -> None:
    text = "".join(export.lines(["a", "b"], table)).removeprefix("\ufeff")
    read = list(csv.reader(io.StringIO(text, newline="")))
    assert read == [["a", "b"], *([export.cell(v) for v in row] for row in table)]
