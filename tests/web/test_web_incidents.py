"""What holds calls back: on every page, for whose brands it does, until it is over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from web_support import Desk, add_return, make_desk, plain, synced

from bergen_loop.domain.returns import Stage
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.read.people import Role
from bergen_loop.ledger.store import modes
from bergen_loop.ledger.tables.core import BrandRow, BreakerRow, JournalRow, ReturnRow
from bergen_loop.ledger.tables.operations import AlertRow
from bergen_loop.ledger.transaction import transaction
from bergen_loop.outside.breaker import Breakers
from bergen_loop.tell.standing import clock_time

NOW = datetime.now(UTC)
SINCE, NEXT = NOW - timedelta(minutes=20), NOW + timedelta(hours=1)


@pytest.fixture
def down(sqlite_ledger: Ledger) -> Desk:
    """REX11 answers neither brand; Loop refuses one of them a call."""
    desk = make_desk(sqlite_ledger, ("acme", "zebra", "fine"))
    synced(sqlite_ledger, "acme", "zebra", "fine")
    for number in range(3):
        add_return(sqlite_ledger, "acme", str(number), Stage.SEEN)
    add_return(sqlite_ledger, "zebra", "7", Stage.SEEN)
    with sqlite_ledger.write() as session:
        session.execute(sa.update(ReturnRow).values(due_at=NOW - timedelta(minutes=1)))
        for brand, system in (("acme", "rex11"), ("zebra", "rex11"), ("zebra", "loop:process")):
            session.add(
                BreakerRow(
                    brand=brand, system=system, failures=7, probes=2, opened_at=SINCE,
                    open_until=NEXT, error="details after 30 s: Unavailable",
                )
            )  # fmt: skip
    return desk


def sentence(desk: Desk, what: str) -> str:
    from bergen_loop.console.templating import ZoneInfo

    zone = ZoneInfo(desk.registry.settings.service.console.time_zone)
    since, then = (clock_time(t, datetime.now(UTC), zone) for t in (SINCE, NEXT))
    return what.format(since=since, next=then)


def banner(page: str) -> str:
    return plain(page.partition('id="incidents"')[2].partition("</section>")[0])


def test_every_page_says_what_does_not_answer_and_only_for_ones_own_brands(down: Desk) -> None:
    whole = sentence(
        down, "REX11 unreachable for acme, zebra since {since}; 4 returns wait; next try {next}"
    )
    for path in ("/", "/returns", "/attention", "/returns/acme/1", "/brands/acme", "/incidents"):
        shown = banner(down.signed_in().get(path).text)
        assert whole in shown, path
        assert "Loop refuses access (process) for zebra" in shown
        assert "Try again now" in shown
    mine = banner(down.signed_in(Role.READ_ONLY, ["acme"]).get("/").text)
    assert (
        sentence(down, "REX11 unreachable for acme since {since}; 3 returns wait; next try {next}")
        in mine
    )
    assert "zebra" not in mine and "Try again now" not in mine
    assert "rex11" not in banner(down.signed_in(Role.READ_ONLY, ["fine"]).get("/").text).lower()


def test_trying_again_lets_one_call_through_and_does_not_claim_that_it_is_over(
    down: Desk,
) -> None:
    answer = down.signed_in(name="olga").post("/incidents/try", {"system": "rex11"})
    assert answer.headers["location"] == "/incidents?tried=2"
    assert sorted(down.nudged) == ["acme", "zebra"]
    with down.ledger.read() as session:
        rows = {(r.brand, r.system): r for r in session.scalars(sa.select(BreakerRow))}
        told = session.scalars(
            sa.select(JournalRow.why).where(JournalRow.who == "olga", JournalRow.brand == "acme")
        ).all()
        assert session.get_one(BrandRow, "acme").nudged_at
        assert rows["acme", "rex11"].opened_at == SINCE, "still the same incident"
        assert (rows["acme", "rex11"].open_until or NEXT) < datetime.now(UTC)
        assert rows["zebra", "loop:process"].open_until == NEXT, "another system"
        breakers = Breakers()
        breakers.load(session, "acme")
    assert told == ["one call is let through: REX11"]
    breakers.rex11.admit("details")
    with pytest.raises(Exception, match="suspended"):
        breakers.rex11.admit("details")
    page = down.signed_in().text("/incidents?tried=2")
    assert "One call of each of 2 brands is let through" in page


def test_who_sees_one_brand_tries_that_one_only(down: Desk) -> None:
    down.signed_in(Role.OPERATOR, ["acme"]).post("/incidents/try", {"system": ""})
    assert down.nudged == ["acme"]
    assert down.signed_in(Role.BRAND_SUPPORT).post("/incidents/try").status_code == 403


def test_its_end_takes_the_banner_away_and_leaves_a_line(down: Desk) -> None:
    with down.ledger.write() as session:
        session.execute(sa.delete(BreakerRow))
        session.add(
            AlertRow(
                kind="system-unreachable", open_key=None, detail="", since=SINCE,
                data={"subject": "rex11", "brands": ["acme", "zebra"]},
                sent_at=SINCE, resolved_at=NOW, recovery_sent_at=NOW,
            )
        )  # fmt: skip
    page = down.signed_in().get("/incidents").text
    assert not banner(page).strip('"/> ').partition(">")[2].strip()
    assert "REX11: a system does not answer" in plain(page) and "acme, zebra" in plain(page)
    mine = down.signed_in(Role.READ_ONLY, ["acme"]).text("/incidents")
    assert "REX11: a system does not answer" in mine and "zebra" not in mine
    assert "does not answer" not in down.signed_in(Role.READ_ONLY, ["fine"]).text("/incidents")


def test_a_paused_brand_is_no_incident_and_a_silent_one_is(down: Desk) -> None:
    with transaction(down.ledger, "zebra", NOW, "olga") as tx:
        modes.set_mode(tx, modes.PAUSED, configured="live", why="for now")
    synced(down.ledger, "fine", at=NOW - timedelta(hours=2))
    shown = banner(down.signed_in().get("/").text)
    assert "REX11 unreachable for acme since" in shown and "zebra" not in shown
    assert "fine: not synced any more; the service does not run" in shown
