"""Finding returns, on both databases: what is found, and that an index serves every question."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import Session
from web_support import NOW, add_return, statements

from bergen_loop.domain.returns import Moment, Stage
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.read import changes, figures, listing, people, search, views
from bergen_loop.ledger.read.changes import Since
from bergen_loop.ledger.read.listing import ReturnFilter, Slice
from bergen_loop.ledger.scope import Scope
from bergen_loop.ledger.tables.core import Base

EVERY = Scope(None)


def found(ledger: Ledger, text: str, scope: Scope = EVERY, **how: Any) -> list[str]:
    with ledger.read() as session:
        return [r.return_id for r in search.find(session, scope, text, **how).rows]


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    add_return(ledger, "acme", "4001", Stage.RECEIVED, skus=["TEE-Red-S", "CAP"])
    add_return(ledger, "acme", "4002", Stage.ANNOUNCED, skus=["TEE-Red-M"])
    add_return(ledger, "zebra", "4003", Stage.SEEN, skus=["TEE-Red-S"])
    return ledger


FOUND_BY = [
    ("4001", ["4001"]),
    ("#ACME4001", ["4001"]),
    ("acme4001", ["4001"]),
    (" #acme4001\u200b ", ["4001"]),
    ("1zacme4001", ["4001"]),
    ("LR-ACME-4001", ["4001"]),
    ("whrtnACME4001", ["4001"]),
    ("acme-tee-red-s", ["4001"]),
    ("ACME.4001@customers.EXAMPLE", ["4001"]),
    ("acme-tee-red", ["4002", "4001"]),
    ("acme.", ["4002", "4001"]),
    ("LR-acme", ["4002", "4001"]),
    ("400", ["4003", "4002", "4001"]),
    ("40", []),
    ("%", []),
    ("acme_", []),
    ("tee-red", ["4003", "4002", "4001"]),
    ("cme4001", ["4001"]),
    ("1Z ACME 4001", ["4001"]),
    ("# acme4001", ["4001"]),
    ("", []),
    ("\x00", []),
    ("x" * 10_000, []),
    ("\ud800", []),
]


def test_found_by_what_people_have_in_hand(filled: Ledger) -> None:
    for text, ids in FOUND_BY:
        assert found(filled, text) == ids, text


TRIGRAMS = """
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE INDEX ix_returns_fragments ON returns USING gin (lower(return_id) gin_trgm_ops,
  lower(order_name) gin_trgm_ops, lower(tracking_number) gin_trgm_ops,
  lower(customer_email) gin_trgm_ops)"""


def test_parts_are_found_among_all_returns_where_an_index_serves_it(
    filled: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "NEWEST", 1)
    if not filled.is_sqlite:
        with filled.read() as session:
            some = search.find(session, EVERY, "e-red-s")
        assert ([r.return_id for r in some.rows], some.newest) == (["4003"], 1), "and it says so"
        with filled.engine.begin() as connection:
            connection.exec_driver_sql(TRIGRAMS)
    with filled.read() as session:
        part = search.find(session, EVERY, "e-red-s")
    assert [r.return_id for r in part.rows] == ["4003", "4001"]
    assert (part.within, part.newest) == (True, None)
    assert found(filled, "e_red") == found(filled, "e%red") == []


def test_a_prefix_is_that_of_the_characters(filled: Ledger) -> None:
    """Not of a language's sorting, in which blanks and dashes may not count."""
    add_return(filled, "acme", "5001", skus=["A-B"], mark="ä é")
    assert found(filled, "Ä É-A") in (["5001"], [])  # SQLite folds ASCII only
    assert found(filled, "ä é-a") == ["5001"]
    assert found(filled, "ä éa") == []


def test_search_stays_in_scope_and_filters(filled: Ledger) -> None:
    assert found(filled, "400", Scope.of(["zebra"])) == ["4003"]
    assert found(filled, "zebra-tee-red-s", Scope.of(["acme"])) == []
    assert found(filled, "400", Scope()) == []
    assert found(filled, "400", wanted=ReturnFilter(stage=Stage.SEEN)) == ["4003"]
    assert found(filled, "acme-cap", wanted=ReturnFilter(moment=Moment.RECEIVED)) == ["4001"]
    assert found(filled, "acme-cap", wanted=ReturnFilter(since=NOW)) == []
    assert found(filled, "acme-cap", wanted=ReturnFilter(held=True)) == []


def test_exact_finds_page_by_id(ledger: Ledger) -> None:
    pks = [add_return(ledger, "acme", f"{n}", skus=["SAME", "SAME"]) for n in range(7)]
    with ledger.read() as session:
        first = search.find(session, EVERY, "acme-same", part=Slice(3))
        assert [r.id for r in first.rows] == pks[:3:-1]
        assert first.more
        second = search.find(session, EVERY, "acme-same", part=Slice(3, first.rows[-1].id))
        third = search.find(session, EVERY, "acme-same", part=Slice(3, second.rows[-1].id))
    assert [r.id for r in [*second.rows, *third.rows]] == pks[3::-1]
    assert second.more
    assert not third.more


def test_exact_wins_over_longer_ones(ledger: Ledger) -> None:
    add_return(ledger, "acme", "100")
    add_return(ledger, "acme", "1001")
    assert found(ledger, "100") == ["100"]


def test_rows_of_lists_come_without_the_big_column(filled: Ledger) -> None:
    with filled.read() as session:
        row = search.find(session, EVERY, "4001").rows[0]
        with pytest.raises(InvalidRequestError):
            _ = row.content


def test_the_command_line_finds_the_same(filled: Ledger) -> None:
    with filled.read() as session:
        assert [r.return_id for r in views.find_return(session, "acme-tee-red-m")] == ["4002"]
        assert views.find_return(session, "4001", "zebra") == []
        (row,) = views.find_return(session, "4001")
        sentence = views.return_view(session, row).why().sentence()
        assert "bergen-loop judges it with the next sync." in sentence


def test_figures(ledger: Ledger) -> None:
    add_return(ledger, "acme", "1", Stage.COMPLETE, at=NOW - timedelta(hours=10))
    add_return(ledger, "acme", "2", Stage.COMPLETE, at=NOW - timedelta(hours=20))
    add_return(ledger, "acme", "3", Stage.FLAGGED)
    add_return(ledger, "zebra", "4", Stage.SEEN)
    with ledger.read() as session:
        counts = figures.reached_since(session, ["acme", "zebra"], NOW - timedelta(minutes=1))
        days = figures.daily(session, "acme", NOW, ZoneInfo("America/New_York"))
        stages = figures.open_stages(session, ["acme", "zebra"])
    assert counts["acme"][Moment.DECIDED] == 3
    assert counts["acme"][Moment.RMA_CLOSED] == 2
    assert counts["acme"][Moment.SUBMITTED] == 0
    assert counts["zebra"] == dict.fromkeys(Moment, 0) | {Moment.SEEN: 1}
    assert stages == {"acme": {Stage.FLAGGED: 1}, "zebra": {Stage.SEEN: 1}}
    assert len(days) == 30
    assert days[-1].completed == 2
    assert days[-1].median_hours == pytest.approx(15)
    assert days[-1].flag_rate == pytest.approx(1 / 3)
    assert days[0].flag_rate is None


# -- plans --------------------------------------------------------------------------------------

SOME = Scope.of(["acme", "zebra"])
FILTERS = [
    ReturnFilter(),
    ReturnFilter(stage=Stage.ANNOUNCED),
    ReturnFilter(moment=Moment.DECIDED),
    ReturnFilter(held=True),
    ReturnFilter(held=True, stage=Stage.RECEIVED),
    ReturnFilter(since=NOW - timedelta(days=3), until=NOW),
    ReturnFilter(stage=Stage.COMPLETE, since=NOW - timedelta(days=3), until=NOW),
]
Question = Callable[[Session], Any]


def questions() -> dict[str, Question]:
    """Everything the console asks."""
    asked: dict[str, Question] = {}
    key = (NOW, 10**6)
    for scope, who in ((EVERY, "all"), (SOME, "some")):
        for n, wanted in enumerate(FILTERS):
            for after in (None, key):
                name = f"list {who} {n} {'after' if after else 'first'}"
                asked[name] = lambda s, a=(scope, wanted, after): listing.returns(
                    s, a[0], a[1], after=a[2]
                )
        for text in ("4001", "acme.4001@customers.example", "400", "tee"):
            asked[f"search {who} {text}"] = lambda s, a=(scope, text): search.find(s, *a)
        asked[f"search {who} older"] = lambda s, a=scope: search.find(
            s, a, "400", part=Slice(behind=10**6)
        )
        for n, wanted in enumerate(FILTERS):
            for text in ("4001", "acme-tee-s", "400", "acme-tee"):
                asked[f"search {who} {text} filtered {n}"] = lambda s, a=(scope, text, wanted): (
                    search.find(s, *a)
                )
        for kind in (None, "access"):
            asked[f"attention {who} {kind}"] = lambda s, a=(scope, kind): listing.attention(
                s, a[0], kind=a[1], part=Slice(behind=5)
            )
        for after in (None, key):
            since = Since(NOW - timedelta(days=1), after)
            asked[f"list changed {who} {after is None}"] = lambda s, a=(scope, since): (
                changes.returns(s, a[0], ReturnFilter(held=True), a[1], 50)
            )
            asked[f"attention {who} changed {after is None}"] = lambda s, a=(scope, since): (
                changes.attention(s, a[0], None, a[1], 50)
            )
        asked[f"attention count {who}"] = lambda s, a=scope: listing.attention_count(s, a, NOW)
        asked[f"attention kinds {who}"] = lambda s, a=scope: listing.attention_kinds(s, a, NOW)
        for ignored in (True, False):
            asked[f"attention {who} ended {ignored}"] = lambda s, a=(scope, ignored): (
                listing.attention_ended(s, a[0], ignored=a[1], after=(NOW, 5))
            )
        asked[f"items {who}"] = lambda s, a=scope: listing.attention_items(s, a, [1, 2])
        for somebody in (None, "mara"):
            asked[f"audit {who} {somebody}"] = lambda s, a=(scope, somebody): listing.audit(
                s, a[0], who=a[1], before=10**6
            )
        asked[f"one return {who}"] = lambda s, a=scope: listing.one_return(s, a, "acme", "4001")
        asked[f"history {who}"] = lambda s, a=scope: listing.brand_history(s, a, "acme")
    for moment in Moment:
        for after in (None, key):
            asked[f"reached {moment.name} {after is None}"] = lambda s, a=(moment, after): (
                listing.returns(
                    s, SOME, ReturnFilter(reached=a[0], since=NOW, until=NOW), after=a[1]
                )
            )
    brands = ["acme", "zebra"]
    asked["today"] = lambda s: figures.reached_since(s, brands, NOW)
    asked["stages"] = lambda s: figures.open_stages(s, brands)
    asked["attention by brand"] = lambda s: figures.attention_by_brand(s, brands, NOW)
    asked["daily"] = lambda s: figures.daily(s, "acme", NOW, ZoneInfo("UTC"))
    asked["newest"] = figures.last_entry
    asked["names"] = lambda s: listing.return_names(s, [1, 2])
    asked["session"] = lambda s: people.session_of(s, NOW, "x", timedelta(hours=1))
    asked["token"] = lambda s: people.token_row(s, NOW, "x")
    return asked


LISTS = ("list", "reached", "audit", "attention all", "attention some")


def test_every_question_is_served_by_an_index(ledger: Ledger) -> None:
    for n in range(4):
        add_return(ledger, "acme", f"400{n}", Stage.COMPLETE)
    for label, ask in questions().items():
        with statements(ledger) as run, ledger.read() as session:
            ask(session)
        assert run, label
        for statement, parameters in run:
            about_indexes = "to_regclass" in statement or "FROM followers" in statement
            if statement.lstrip().upper().startswith("SELECT") and not about_indexes:
                plan = explain(ledger, statement, parameters)
                problem = plan_problem(ledger, plan, label)
                assert not problem, f"{label}: {problem}\n{statement}\n{plan}"


def explain(ledger: Ledger, statement: str, parameters: Any) -> str:
    with ledger.engine.connect() as connection:
        if ledger.is_sqlite:
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            return "\n".join(str(row[3]) for row in rows)
        # As on a large table, where a scan or a sort would cost more than anything else.
        connection.exec_driver_sql("SET enable_seqscan = off")
        connection.exec_driver_sql("SET enable_sort = off")
        connection.exec_driver_sql("SET enable_bitmapscan = off")
        plan = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters)
        return json.dumps(json.loads(plan.scalar() or ""))


SMALL = {"users", "brands", "cursors", "counters"}
"""As many rows as there are people or brands."""


def plan_problem(ledger: Ledger, plan: str, label: str) -> str:
    """What is wrong with a plan: a table read through, or a list sorted after it was found."""
    ordered = label.startswith(LISTS) and not label.startswith("attention kinds")
    if ledger.is_sqlite:
        scanned = re.findall(r"^SCAN (\w+)$", plan, re.MULTILINE)
        scanned = [t for t in scanned if t in Base.metadata.tables and t not in SMALL]
        if scanned:
            return f"reads {scanned} through"
        served = "_find_" in plan or FRAGMENTS in plan or found_rows(plan)
        if label.startswith("search") and not served:
            return "searches by another index than the one for it"
        # What IN finds by primary key is small and may be sorted.
        by_key = "USING INTEGER PRIMARY KEY" in plan
        return "sorts" if ordered and "TEMP B-TREE FOR ORDER BY" in plan and not by_key else ""
    nodes = list(walk(json.loads(plan)[0]["Plan"]))
    scanned = [
        n["Relation Name"]
        for n in nodes
        if n["Node Type"] == "Seq Scan" and n["Relation Name"] not in SMALL
    ]
    if scanned:
        return f"reads {scanned} through"
    indexes = [n["Index Name"] for n in nodes if "Index Name" in n]
    if label.startswith("search") and not any("_find_" in i or i in OF_NEWEST for i in indexes):
        return "searches by another index than the one for it"
    return "sorts" if ordered and any(n["Node Type"] == "Sort" for n in nodes) else ""


def found_rows(plan: str) -> bool:
    """The plan of fetching the rows of what was found, by their primary key."""
    return plan == "SEARCH returns USING INTEGER PRIMARY KEY (rowid=?)" or bool(NEWEST.search(plan))


FRAGMENTS = "_fragments VIRTUAL TABLE INDEX"
NEWEST = re.compile(r"SEARCH \w+ USING .*(rowid>\?|return_pk>\?)|SEARCH returns$")
"""Looking within the numbers of the newest returns: a range of their keys."""


OF_NEWEST = ("pk_returns", "ix_rmas_return", "pk_return_lines")
"""The same on PostgreSQL, and the fetching of rows that were found."""


def walk(node: dict[str, Any]) -> Any:
    yield node
    for inner in node.get("Plans", ()):
        yield from walk(inner)


def test_the_plan_check_sees_a_scan(sqlite_ledger: Ledger) -> None:
    plan = explain(sqlite_ledger, "SELECT id FROM returns WHERE total = 'x' ORDER BY total", ())
    assert "reads" in plan_problem(sqlite_ledger, plan, "list")
    plan = explain(sqlite_ledger, "SELECT id FROM returns WHERE brand = 'x' ORDER BY due_at", ())
    assert plan_problem(sqlite_ledger, plan, "list") == "sorts"
