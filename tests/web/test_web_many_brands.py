"""The overview with hundreds of brands; what the last thirty days were like."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from web_support import Desk, add_return, make_desk, plain, statements, synced

from bergen_loop.domain.returns import Stage
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.read.people import Role
from bergen_loop.ledger.tables.core import BrandRow, DecisionRow

MANY = [f"brand{n:03}" for n in range(499)]
NOW = datetime.now(UTC)


@pytest.fixture
def crowd(sqlite_ledger: Ledger) -> Desk:
    """500 brands: of one a person is asked, and one has failed."""
    desk = make_desk(sqlite_ledger, [*MANY, "zebra"])
    synced(sqlite_ledger, *MANY, "zebra")
    add_return(sqlite_ledger, "brand300", "7", Stage.RECEIVED, held="look")
    with sqlite_ledger.write() as session:
        session.get_one(BrandRow, "brand400").last_sync_ok = False
    return desk


def rows(desk: Desk, path: str) -> list[str]:
    page = desk.signed_in(name="olga").get(path)
    assert page.status_code == 200
    table = page.text.partition('aria-label="Table of brands"')[2]
    names = [plain(row).strip() for row in table.split('<th scope="row">')[1:]]
    return [name.split("</form>")[-1].replace("☆", "").strip().split("  ")[0] for name in names]


def test_five_hundred_brands_are_paged_searched_sorted_and_narrowed(crowd: Desk) -> None:
    first = rows(crowd, "/")
    assert len(first) == 50
    assert first[0].startswith("Brand300")
    assert rows(crowd, "/?from=50") != first
    assert len(rows(crowd, "/?from=450")) == 50
    assert len(rows(crowd, "/?from=100000")) == 0, "none is there"
    (found,) = rows(crowd, "/?b=ZEBR")
    assert found.startswith("Zebra")
    assert rows(crowd, "/?sort=name")[0].startswith("Brand000")
    (asked,) = rows(crowd, "/?only=attention")
    assert asked.startswith("Brand300")
    (failing,) = rows(crowd, "/?only=failing")
    assert failing.startswith("Brand400")
    assert rows(crowd, "/?sort=nonsense&only=nonsense&from=-1")[0].startswith("Brand300")
    shown = crowd.signed_in(name="olga").text("/?b=brand1")
    assert "100 of 500 brands, 1 to 50" in shown


def test_a_page_asks_the_same_few_questions_however_many_brands_there_are(crowd: Desk) -> None:
    olga = crowd.signed_in(name="olga")
    olga.get("/")
    with statements(crowd.ledger) as asked:
        assert olga.get("/").status_code == 200
    assert len(asked) < 60


def test_starred_brands_come_first_for_who_starred_them(crowd: Desk) -> None:
    olga = crowd.signed_in(name="olga")
    answer = olga.post("/favourites", {"brand": "zebra", "back": "sort=name&b=//evil"})
    assert answer.headers["location"] == "/?sort=name&b=%2F%2Fevil"
    assert "Zebra" in rows(crowd, "/?sort=name")[0]
    assert len(rows(crowd, "/?only=starred")) == 1
    assert "★" not in crowd.signed_in(name="mara").get("/?b=zebra").text
    olga.post("/favourites", {"brand": "zebra"})
    assert rows(crowd, "/?sort=name")[0].startswith("Brand000")
    stranger = crowd.signed_in(Role.READ_ONLY, ["brand000"])
    assert stranger.post("/favourites", {"brand": "zebra"}).status_code == 404


def test_trends_are_of_ones_own_brands_and_each_is_a_file(sqlite_ledger: Ledger) -> None:
    desk = make_desk(sqlite_ledger)
    for brand in ("acme", "zebra"):
        add_return(sqlite_ledger, brand, "1", Stage.COMPLETE)
        add_return(sqlite_ledger, brand, "2", Stage.FLAGGED, counted=0, damaged=1)
    facts = {"receipt": {"skus": [
        {"sku": "=acme-TEE", "short": 1, "damaged": 2}, {"sku": "fine", "short": 0, "damaged": 0},
    ]}}  # fmt: skip
    with sqlite_ledger.write() as session:
        flagged = sa.update(DecisionRow).where(DecisionRow.outcome == "flag")
        session.execute(flagged.where(DecisionRow.brand == "acme").values(facts=facts))
        others = {"receipt": None}
        session.execute(flagged.where(DecisionRow.brand == "zebra").values(facts=others))
    mine = desk.signed_in(Role.READ_ONLY, ["acme"])
    page = mine.text("/trends")
    assert "Acme Clothing 2 1 50.0 %" in page
    assert "damaged Acme Clothing 1" in page
    assert "=acme-TEE Acme Clothing 1 2 1" in page
    assert "zebra" not in page.lower()
    today = f"{NOW:%Y-%m-%d}"
    files = {name: mine.get(f"/trends/{name}.csv").text.lstrip("\ufeff").splitlines()
             for name in ("moments", "times", "flags", "reasons", "skus")}  # fmt: skip
    assert files["flags"] == ["brand,decided,flagged,share", "acme,2,1,0.5000"]
    assert files["reasons"] == ["brand,rule,flagged", "acme,damaged,1"]
    assert files["skus"] == ["brand,SKU,short,damaged,returns", "acme,'=acme-TEE,1,2,1"]
    assert files["times"][1].startswith("acme,2,")
    assert len(files["moments"]) == 31
    assert files["moments"][-1] == f"{today},0,2,2,2,2,1,1"
    assert mine.get("/trends/nonsense.csv").status_code == 404
    assert mine.get("/trends/skus.csv?brand=zebra").status_code == 404
