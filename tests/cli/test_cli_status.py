"""`status`: one line a brand, what is wrong first, each cause once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from busy_ledger import BRANDS, DOWN, NEVER, PAUSED, REFUSED, WELL, Busy
from cli_support import text
from rich.text import Text
from sqlalchemy.exc import OperationalError

from bergen_loop.cli import standing
from bergen_loop.cli.output import console
from bergen_loop.ledger.tables.core import AttentionRow, BrandRow, BreakerRow, WorkerRow
from bergen_loop.tell.standing import clock_time


def lines_of(busy: Busy) -> dict[str, str]:
    """The line of each brand."""
    printed = busy.run("status").output.splitlines()
    return {line.split()[0]: line for line in printed if line and line.split()[0] in BRANDS}


def all_well(busy: Busy) -> None:
    with busy.ledger.write() as session:
        session.execute(sa.delete(BreakerRow))
        session.execute(sa.delete(AttentionRow))
        session.merge(BrandRow(brand=NEVER))
        session.flush()
        now = datetime.now(UTC)
        for row in session.scalars(sa.select(BrandRow)):
            row.last_sync_ok, row.last_sync_finished_at, row.last_good_sync_at = True, now, now


def test_a_system_without_an_answer_is_one_line_however_many_brands_it_stops(busy: Busy) -> None:
    first = text(busy.run("status", columns=200)).split(" ! ")[0]
    with busy.ledger.read() as session:
        row = session.get_one(BreakerRow, ("acme", "rex11"))
    assert row.opened_at
    assert row.open_until
    now = datetime.now(UTC)
    since, until = (clock_time(t, now) for t in (row.opened_at, row.open_until))
    assert first.startswith(
        f"! REX11 unreachable for 4 of 8 brands since {since}; 14 returns wait; next try {until}"
    )
    incidents = busy.json("status")["incidents"]
    assert [(i["kind"], i["brands"], i["waiting"]) for i in incidents] == [
        ("unreachable", sorted(DOWN), 14),
        ("refused", [REFUSED], 0),
        ("never_synced", [NEVER], 0),
    ]


def test_a_brand_is_one_line_and_those_that_fail_come_first(busy: Busy) -> None:
    shown = lines_of(busy)
    assert list(shown) == [*sorted([*DOWN, REFUSED, NEVER]), WELL, PAUSED]
    assert shown["birch"].split()[:7] == ["birch", "live", "1", "h", "14", "14", "1"]
    assert shown[NEVER].split() == [NEVER, "live", "never", "0", "0", "0", "never", "synced"]
    assert "paused" in shown[PAUSED]


def test_what_is_wrong_is_whole_on_a_wide_terminal(busy: Busy) -> None:
    printed = busy.run("status", columns=140).output
    lines = [line.rstrip() for line in printed.splitlines()]
    assert any(line.endswith("REX11 down") for line in lines), printed
    assert any(line.endswith("Loop refuses process") for line in lines), printed
    with busy.ledger.write() as session:
        row = session.get_one(BreakerRow, ("acme", "rex11"))
        values = {c.name: getattr(row, c.name) for c in BreakerRow.__table__.columns}
        session.add(BreakerRow(**values | {"brand": REFUSED}))
    assert "REX11 down; Loop refuses\n" in busy.run("status", columns=140).output


def test_totals_and_no_all_is_well_while_a_brand_was_never_synced(busy: Busy) -> None:
    last = busy.run("status").output.splitlines()[-1]
    assert last.startswith("8 brands, 6 failing, 1 paused, 17 open, 14 waiting, 5 need attention")
    all_well(busy)
    assert "all is well, 8 brands" in text(busy.run("status"))
    with busy.ledger.write() as session:
        session.get_one(BrandRow, NEVER).last_sync_finished_at = None
    printed = text(busy.run("status"))
    assert "all is well" not in printed
    assert f"! {NEVER}: never synced" in printed


def test_a_service_that_does_not_run_is_told_with_what_it_leaves_undone(busy: Busy) -> None:
    all_well(busy)
    gone = datetime.now(UTC) - timedelta(hours=3)
    with busy.ledger.write() as session:
        session.scalars(sa.select(WorkerRow)).one().seen_at = gone
        session.get_one(BrandRow, WELL).last_good_sync_at = gone
    assert "the service does not run (no sign of life for 3 h)" in text(busy.run("status"))


def test_brands_that_fail_alike_are_one_cause(busy: Busy) -> None:
    all_well(busy)
    with busy.ledger.write() as session:
        for brand in ("acme", "birch", "dune", "elm"):
            row = session.get_one(BrandRow, brand)
            row.last_sync_ok, row.last_sync_error = False, "intake: failed inside"
    assert "! 4 brands: intake: failed inside" in busy.run("status").output


def test_only_some_brands(busy: Busy) -> None:
    shown = busy.json("status", "-b", WELL)
    assert [b["brand"] for b in shown["brands"]] == [WELL]
    assert shown["incidents"] == []
    assert shown["totals"] == {
        "brands": 1, "failing": 0, "open": 0, "waiting": 0, "attention": 0,
    }  # fmt: skip
    assert busy.run("status", "-b", "nobody").exit_code == 2


def test_watching_goes_on_while_the_database_is_away_and_ends_with_ctrl_c(
    busy: Busy, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[object] = []
    looks = iter([False, True, False])

    def looked(*_given: object) -> Text:
        if next(looks):
            raise OperationalError("SELECT 1", {}, Exception("connection refused"))
        return Text("the overview")

    def slept(_seconds: float) -> None:
        if len(shown) == 3:
            raise KeyboardInterrupt

    def printed(what: object = "") -> None:
        shown.append(what)

    monkeypatch.setattr(standing, "overview", looked)
    monkeypatch.setattr(standing.time, "sleep", slept)
    monkeypatch.setattr(console, "print", printed)
    looks = iter([False, True, False, False])
    assert busy.run("status", "--watch").exit_code == 0
    assert [str(one)[:12] for one in shown] == [
        "the overview",
        "the ledger d",
        "the overview",
        "the overview",
    ]
