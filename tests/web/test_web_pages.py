"""What the pages show."""

from __future__ import annotations

from datetime import timedelta

import pytest
from web_support import NOW, SECRETS, Desk, add_return, plain, synced

from bergen_loop.domain.returns import Moment, Stage
from bergen_loop.domain.words import What
from bergen_loop.ledger.read.people import Role
from bergen_loop.ledger.store import journal


def test_overview_puts_attention_first_and_counts_today(full: Desk) -> None:
    text = full.signed_in().text("/")
    assert text.index("Needs attention") < text.index("Today") < text.index("Brands")
    assert "2 decide by hand" in text
    assert "2 credentials refused" in text
    for moment in Moment:
        assert moment.title in text
    assert "26 Seen by bergen-loop" in text
    assert "16 RMA created in Bergen" in text
    assert "14 Received by the warehouse" in text
    assert "8 Processed or flagged in Loop" in text
    assert "2 RMA closed in Bergen" in text


def test_overview_of_one_brand_has_its_trends_and_where_returns_stand(full: Desk) -> None:
    page = full.signed_in().get("/?brand=acme").text
    assert page.count('<svg class="chart"') == 2
    text = plain(page)
    assert "Time from submitted to closed RMA" in text
    assert "newest 25 % (1 of 4)" in text
    assert "1 awaiting parcel" in text
    assert "complete" not in text.split("Where its returns stand")[1]


def test_overview_says_so_when_nothing_needs_attention(desk: Desk) -> None:
    add_return(desk.ledger, "acme", "1")
    shown = desk.signed_in().text("/")
    assert "Every return goes its way by itself." not in shown, "of a brand nothing is known yet"
    assert "acme, zebra: never synced; the service does not run" in shown
    synced(desk.ledger, "acme", "zebra")
    shown = desk.signed_in().text("/")
    assert "Nothing. Every return goes its way by itself." in shown
    assert "never synced" not in shown


def test_list_is_the_newest_first_and_pages_by_key(desk: Desk) -> None:
    for n in range(120):
        add_return(desk.ledger, "acme", f"{n:03}", at=NOW - timedelta(minutes=n // 2))
    browser, seen, path, more = desk.signed_in(), list[str](), "/returns", ""
    for _ in range(3):
        page = browser.get(path).text
        seen += [row.split("<")[0] for row in page.split('data-label="Return">')[1:]]
        _, more, rest = page.partition('rel="next" href="')
        path = rest.split('"')[0].replace("&amp;", "&")
    assert not more
    # Two at a time were submitted together; of those the later row comes first.
    assert seen == [f"{n ^ 1:03}" for n in range(120)]


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("stage=flagged", {"107", "507"}),
        ("stage=flagged&brand=acme", {"107"}),
        ("moment=3", {"102", "502"}),
        ("moment=5&brand=acme", {"105", "106", "107", "108"}),
        ("moment=6", set()),
        ("held=1", {"103", "503"}),
        ("held=1&stage=announced", set()),
        ("reached=7&brand=acme", {"109"}),
        ("reached=6", {"109", "509"}),
        ("since=2001-01-01&until=2001-01-31", set()),
        (
            "brand=acme&stage=nonsense&since=yesterday&moment=99&after=x",
            set(map(str, range(100, 113))),
        ),
    ],
)
def test_filters_in_the_url(full: Desk, query: str, numbers: set[str]) -> None:
    page = full.signed_in().get(f"/returns?{query}").text
    found = {row.split("<")[0] for row in page.split('data-label="Return">')[1:]}
    assert found == numbers


def test_dates_are_local_days(desk: Desk) -> None:
    midnight = NOW.replace(year=2026, month=3, day=8, hour=5, minute=0, second=0, microsecond=0)
    add_return(desk.ledger, "acme", "before", at=midnight - timedelta(seconds=1))
    add_return(desk.ledger, "acme", "first", at=midnight)
    # The clocks go forward on this day: it ends 23 hours later.
    add_return(desk.ledger, "acme", "last", at=midnight + timedelta(hours=23, seconds=-1))
    add_return(desk.ledger, "acme", "after", at=midnight + timedelta(hours=23))
    text = desk.signed_in().text("/returns?since=2026-03-08&until=2026-03-08")
    assert "#ACMEfirst" in text
    assert "#ACMElast" in text
    assert "#ACMEbefore" not in text
    assert "#ACMEafter" not in text


def test_return_page_shows_moments_units_decision_and_calls(full: Desk) -> None:
    text = full.signed_in().text("/returns/acme/107")
    for moment in Moment:
        assert ("Flagged in Loop" if moment is Moment.DECIDED else moment.title) in text
    assert "Order #ACME107" in text
    assert "Flag. one unit is damaged" in text
    assert "Warehouse found damage." in text
    assert "Loop took the call" in text
    assert "WHRTNacme107" in text


def test_expected_and_received_side_by_side(desk: Desk) -> None:
    add_return(desk.ledger, "acme", "1", Stage.RECEIVED, counted=0, damaged=0)
    add_return(desk.ledger, "acme", "2", Stage.RECEIVED, counted=1, damaged=1)
    add_return(desk.ledger, "acme", "3", Stage.ANNOUNCED)
    browser = desk.signed_in()
    assert "acme-TEE-S acme shirt UPC 08500000 ? 1 0 0 1 missing" in browser.text("/returns/acme/1")
    assert "1 1 1 1 damaged" in browser.text("/returns/acme/2")
    nothing = browser.text("/returns/acme/3")
    assert "1 – –" in nothing
    assert "The warehouse has received nothing of it yet." in nothing


def test_links_to_both_systems_only_where_configured(full: Desk) -> None:
    from web_support import make_desk

    page = full.signed_in().get("/returns/acme/107").text
    assert "Open in Loop" not in page
    assert 'href="https://status.example/acme/107"' in page
    console = {
        "loop_return_url": "https://loop.example/r/{return_id}?order={order_id}",
        "rex11_ticket_url": "https://rex.example/t/{ticket_id}",
    }
    linked = make_desk(full.ledger, service={"console": console})
    page = linked.signed_in(name="somebody").get("/returns/acme/107").text
    assert 'href="https://loop.example/r/107?order=9107"' in page
    assert 'href="https://rex.example/t/WHRTNacme107"' in page


def test_brand_page_explains_settings_criteria_and_counts_without_secrets(full: Desk) -> None:
    browser, tabs = full.signed_in(), ("", "?tab=counts", "/criteria", "?tab=settings")
    page = "".join(browser.get(f"/brands/acme{tab}").text for tab in tabs)
    text = plain(page)
    assert "api key set (not shown)" in text
    assert "if receipt.damaged &gt; 0" in text
    assert "Process the return." in text
    assert "Wait 7 days from the first receipt" in text
    assert "loop process 7" in text
    assert "refused 2" in text
    assert not any(secret in page for secret in SECRETS)


def test_sentences_say_times_of_the_consoles_zone_and_files_taken_are_in_the_audit_only(
    desk: Desk,
) -> None:
    add_return(desk.ledger, "acme", "1")
    with desk.ledger.write() as session:
        why = f"since {NOW.year}-01-07 03:05 UTC, not 9999-99-99 03:05 UTC"
        journal.record(session, NOW, journal.Entry(What.RECONCILED, why, brand="acme", who="mara"))
    person = desk.signed_in()
    assert person.get("/returns.csv?brand=acme").status_code == 200
    page = person.text("/brands/acme")
    assert "since Jan 6 22:05, not 9999-99-99 03:05 UTC" in page
    assert "exported" not in page and "exported" in person.text("/audit")


def test_audit_shows_people_only(full: Desk) -> None:
    with full.ledger.write() as session:
        journal.record(
            session, NOW, journal.Entry(What.RESYNC, "for a customer", brand="acme", who="nadia")
        )
    text = full.signed_in(Role.ENGINEER).text("/audit")
    assert "nadia resync for a customer acme" in text
    assert "acme submitted" not in text
    assert "for a customer" not in full.signed_in(Role.ENGINEER).text("/audit?who=somebody")


def test_unknown_pages_are_pages_too(full: Desk) -> None:
    answer = full.signed_in().get("/returns/acme/nothing")
    assert answer.status_code == 404
    assert "To the overview" in answer.text
    assert full.signed_in().get("/returns/acme/%00").status_code == 404


def test_customer_text_is_never_markup(desk: Desk) -> None:
    add_return(
        desk.ledger, "acme", "1", Stage.RECEIVED, mark="<img src=x onerror=alert(1)>", held="x"
    )
    browser = desk.signed_in()
    for path in ("/", "/returns", "/returns/acme/1", "/attention"):
        page = browser.get(path).text
        assert "<img" not in page
        assert "&lt;img" in page.lower()
