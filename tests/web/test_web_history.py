"""A long pull is seen in the console and by the API for as long as it is under way."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from web_support import Desk, plain

from bergen_loop.console import words
from bergen_loop.flow import intake
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.read.people import Role
from bergen_loop.ledger.store import cursors
from bergen_loop.ledger.store.cursors import Backfill

NEVER = "Catching up with Loop"


def pulling(
    ledger: Ledger, brand: str = "acme", walk: str = intake.CURSOR, *, days: int = 12
) -> None:
    """A pull of 30 days that was begun ten minutes ago and has come through so many of them."""
    now = datetime.now(UTC)
    begun, since = now - timedelta(minutes=10), now - timedelta(days=30)
    with ledger.write() as session:
        cursors.begin_pull(session, brand, walk, since, begun)
        cursors.set(session, brand, walk, since + timedelta(days=days))


def over(ledger: Ledger, brand: str = "acme") -> None:
    with ledger.write() as session:
        cursors.end_pull(session, brand, intake.CURSOR)


def bars(page: str) -> list[tuple[str, str, str]]:
    """(label, value, text inside) of each progress bar; every one must have its own label."""
    labels = dict(re.findall(r'<label for="([^"]+)">([^<]+)</label>', page))
    found = re.findall(r'<progress id="([^"]+)" max="1" value="([\d.]+)">([^<]+)</progress>', page)
    assert len({i for i, _, _ in found}) == len(found) == page.count("<progress")
    return [(labels[i], value[:4], inside) for i, value, inside in found]


EXPECTED = ("Taking in history: 40 %, about 15 min left", "0.40", "40 %")


def test_the_overview_shows_the_brands_that_are_pulling(full: Desk) -> None:
    browser = full.signed_in()
    page = browser.get("/").text
    assert (bars(page), NEVER in page) == ([], False)
    pulling(full.ledger)
    page = browser.get("/").text
    assert bars(page) == [EXPECTED]
    text = plain(page)
    assert "Catching up with Loop Their RMAs are made" in text
    assert "Acme Clothing Taking in history" in text
    pulling(full.ledger, "zebra")
    assert bars(browser.get("/").text) == [EXPECTED, EXPECTED]
    assert bars(browser.get("/?brand=acme").text) == [EXPECTED]
    over(full.ledger)
    over(full.ledger, "zebra")
    assert NEVER not in browser.text("/")


def test_the_bar_is_in_the_part_that_is_kept_up_to_date(full: Desk) -> None:
    pulling(full.ledger)
    for path in ("/", "/?brand=acme", "/brands/acme"):
        page = full.signed_in().get(path).text
        assert 'hx-trigger="journal-moved' in page
        assert page.index('id="live"') < page.index("<progress") < page.index("</main>")


def test_others_brands_are_not_told_of(full: Desk) -> None:
    pulling(full.ledger, "zebra")
    assert bars(full.signed_in(brands=["acme"]).get("/").text) == []
    mine = full.token(brands=["acme"]).get("/api/v1/brands").json()
    assert [b["brand"] for b in mine] == ["acme"]


def test_the_brand_page(full: Desk) -> None:
    browser = full.signed_in()
    assert bars(browser.get("/brands/acme").text) == []
    pulling(full.ledger, walk=intake.ASIDE)
    page = browser.get("/brands/acme").text
    label, *rest = EXPECTED
    assert bars(page) == [
        (label.replace("history", "cancelled returns and those in review"), *rest)
    ]
    text = plain(page)
    assert "Loop's lists of cancelled returns and those in review read up to" in text.replace(
        "&#39;", "'"
    )
    assert "loop.updated_at" not in text, "what is remembered of a pull is nobody's reading"


def test_the_api(full: Desk) -> None:
    api = full.token(Role.READ_ONLY)
    assert api.get("/api/v1/brands/acme").json()["history"] is None
    pulling(full.ledger)
    history = api.get("/api/v1/brands/acme").json()["history"]
    assert history["share"] == pytest.approx(0.4, abs=0.001)
    assert history["seconds_left"] == pytest.approx(900, abs=30)
    times = [datetime.fromisoformat(history[name]) for name in ("since", "reached", "until")]
    assert times[1] - times[0] == timedelta(days=12)
    assert times[2] - times[0] == timedelta(days=30) - timedelta(minutes=10)
    assert api.get("/api/v1/brands").json()[1]["history"] is None


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (None, "time left not known yet"),
        (0, "less than a minute left"),
        (29, "less than a minute left"),
        (31, "about 1 min left"),
        (185, "about 3 min left"),
        (59 * 60 + 40, "about 1 h left"),
        (2 * 3600 + 600, "about 2 h 10 min left"),
        (47 * 3600, "about 47 h left"),
        (60 * 3600, "about 2 d left"),
    ],
)
def test_time_left_in_words(seconds: float | None, expected: str) -> None:
    assert words.left(None if seconds is None else timedelta(seconds=seconds)) == expected


def test_what_is_nearly_done_is_not_said_to_be_done() -> None:
    at = datetime(2026, 11, 1, tzinfo=UTC)
    until = at + timedelta(days=30)
    one = Backfill(intake.CURSOR, at, until, until - timedelta(minutes=1), None)
    assert words.history(one) == "taking in history: 99 %, time left not known yet"
