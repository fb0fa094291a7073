"""Connecting a brand, from the answers to shadow mode, against a sandbox over HTTP."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from connect_support import Place, checks

from bergen_loop.config import load_settings
from bergen_loop.domain.words import What
from bergen_loop.ledger.store import modes
from bergen_loop.ledger.tables.core import BrandRow
from bergen_loop.outside.loop.webhooks import WANTED


def statuses(found: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: c["status"] for name, c in found.items()}


def test_a_brand_is_connected_and_in_shadow(place: Place) -> None:
    place.new_return()
    place.date = format_datetime(datetime.now(UTC))
    result, found = place.connect()
    assert result.exit_code == 0
    assert statuses(found) == {
        "Loop API key, scope Returns": "ok",
        "Loop API key, scope Developer Tools": "ok",
        "Clock against Loop": "ok",
        "REX11 account": "ok",
        "REX11 tickets by date": "ok",
        "Clock against REX11": "ok",
        "Recent returns in Loop": "ok",
        "Destinations": "ok",
        "Products known to REX11": "ok",
        "Receipt criteria": "ok",
        "Webhook subscriptions": "skipped",
    }
    assert "polling alone works" in found["Webhook subscriptions"]["found"]
    brand = load_settings(place.config).brands["northpine"]
    assert brand.mode == "shadow"
    assert brand.loop.api_key.get_secret_value() == place.brand.loop_key
    assert brand.rex11.password.get_secret_value() == place.brand.password
    assert brand.announce.start is not None
    assert abs(brand.announce.start - datetime.now(UTC)) < timedelta(minutes=5)
    (entry,) = place.journal()
    assert (entry.brand, entry.what) == ("northpine", "brand connected")
    assert entry.why == "checks: 10 ok, 1 skipped"
    assert entry.data["settings"]["loop"]["api_key"] == "file:secrets/northpine-loop-key"


def test_for_people_it_ends_with_the_next_steps(place: Place) -> None:
    result = place.run("connect", "--to", "file", "--from", str(place.answers()))
    text = " ".join(result.output.split())
    assert "Shadow mode is on for northpine" in text
    assert "bergen-loop brands mode northpine live" in text
    assert "Returns created from now on are this connection's" in text


@pytest.mark.parametrize("store", ["file", "ledger"])
def test_secrets_are_kept_in_the_store_and_nowhere_else(place: Place, store: str) -> None:
    result = place.run("connect", "--to", "file", "--from", str(place.answers(store=store)))
    assert result.exit_code == 0
    (place.folder / "answers.yaml").unlink()
    for secret in place.secrets:
        assert secret not in result.output
        holders = {
            str(p.relative_to(place.folder))
            for p in place.folder.rglob("*")
            if p.is_file() and secret.encode() in p.read_bytes()
        }
        assert all(h.startswith("secrets/") for h in holders), holders
        assert bool(holders) == (store == "file")
    loaded = load_settings(place.config).brands["northpine"]
    assert loaded.loop.api_key.get_secret_value() == place.brand.loop_key


def test_a_key_for_the_ledger_is_made_once(place: Place) -> None:
    place.connect(store="ledger")
    key = place.folder / "bergen-loop.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    before = key.read_text()
    result, _ = place.connect(store="ledger")
    assert result.exit_code == 0
    assert key.read_text() == before


def test_references_in_the_answers_stay_references(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NP_KEY", place.brand.loop_key)
    result, _ = place.connect(loop={"api_key": "env:NP_KEY"})
    assert result.exit_code == 0
    assert place.written()["loop"]["api_key"] == "env:NP_KEY"


def test_running_it_again_changes_nothing_but_what_is_answered_anew(place: Place) -> None:
    place.connect(public_url="http://127.0.0.1:9")
    text = place.config.read_text()
    assert "# Ours, by hand." in text
    assert "# the ledger" in text
    place.config.write_text(text.replace("warehouse: NJ", "warehouse: NJ  # asked Bergen"))
    before = place.config.read_text()
    result, found = place.connect(public_url="http://127.0.0.1:9")
    assert result.exit_code == 0
    assert place.config.read_text() == before
    assert found["Webhook subscriptions"]["found"].startswith("0 made, 0 changed, 6 right already")
    assert len(place.brand.hooks) == len(WANTED)
    place.connect(announce={"warehouse": "EU"}, public_url="http://127.0.0.1:9")
    assert place.config.read_text() == before.replace("warehouse: NJ ", "warehouse: EU ")
    connected = (What.BRAND_CONNECTED, What.BRAND_CHANGED)
    assert [j.happened for j in place.journal() if j.happened in connected] == [
        What.BRAND_CONNECTED,
        What.BRAND_CHANGED,
        What.BRAND_CHANGED,
    ]


def test_a_brand_that_is_live_stays_live(place: Place) -> None:
    place.connect()
    answer = place.run("brands", "mode", "northpine", "live", "--yes", "--reason", "seen enough")
    assert answer.exit_code == 0
    result = place.run("connect", "--to", "file", "--from", str(place.answers()))
    assert "northpine stays live" in result.output
    with place.ledger().read() as session:
        assert modes.effective(session.get(BrandRow, "northpine"), "shadow") == "live"


def test_answers_cannot_make_a_brand_live(place: Place) -> None:
    place.connect(mode="live")
    assert place.written()["mode"] == "shadow"


def test_other_brands_and_their_problems_are_left_alone(place: Place) -> None:
    other = "  other:\n    name: Other # do not touch\n    loop: {api_key: env:NOT_SET}\n"
    place.config.write_text(place.config.read_text().replace(" {}  # one block each", "\n" + other))
    result = place.run("connect", "--to", "file", "--from", str(place.answers()))
    assert result.exit_code == 0
    assert "another brand's problem" in result.output
    assert other in place.config.read_text()
    assert place.written()["name"] == "Northpine Apparel"


def test_the_very_first_brand_makes_the_file(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place.folder)
    place.config.unlink()
    result, _ = place.connect()
    assert result.exit_code == 0
    assert load_settings(place.config).brands["northpine"].mode == "shadow"
    assert (place.folder / "var" / "bergen-loop.db").exists()


def test_check_only_changes_nothing(place: Place) -> None:
    place.connect()
    before, journal = place.config.read_text(), len(place.journal())
    place.config.write_text(
        before.replace("service:", "service:\n  public_url: http://127.0.0.1:9")
    )
    before = place.config.read_text()
    result = place.run("connect", "--check-only", "--json")
    assert result.exit_code == 0
    found = checks(result)
    assert found["Webhook subscriptions"]["status"] == "warning"
    assert found["Webhook subscriptions"]["found"].startswith("0 of 6 are in place")
    assert place.config.read_text() == before
    assert len(place.journal()) == journal
    assert not place.brand.hooks


def test_unknown_products_are_listed(place: Place) -> None:
    for known in (True, True, False):
        place.new_return(known=known)
    _, found = place.connect()
    check = found["Products known to REX11"]
    assert check["status"] == "warning"
    assert check["found"].startswith("2 of 3 recent returns (67%)")
    (line,) = check["details"]
    assert "unknown, in 1 return(s)" in line
    assert check["ask"].startswith("Ask Bergen to import the products listed")
    _, found = place.connect(announce={"add_products": True})
    assert found["Products known to REX11"]["ask"].startswith("Nothing")


def test_destinations_that_are_not_mapped_are_named(place: Place) -> None:
    place.new_return(destination=77)
    place.new_return(destination=80)
    place.new_return(destination=80)
    _, found = place.connect(announce={"destinations": {"77": "NJ"}})
    check = found["Destinations"]
    assert check["status"] == "warning"
    assert check["found"] == "1 of 2 not mapped (80): their returns wait for a person"
    assert "Loop admin" in check["ask"]
    assert check["details"][0].startswith("80 (")
    _, found = place.connect(announce={"destinations": {"77": "NJ", "80": None}})
    assert found["Destinations"]["status"] == "ok"
    assert "80 (" in found["Destinations"]["details"][0]
    assert "not Bergen: left alone" in found["Destinations"]["details"][0]


def test_criteria_that_let_something_through_are_told(place: Place) -> None:
    _, found = place.connect(criteria="trusting")
    check = found["Receipt criteria"]
    assert check["status"] == "warning"
    assert any("processes a return although" in line for line in check["details"])
    assert "brand's manager" in check["ask"]


@pytest.mark.parametrize(
    ("seconds", "status", "text"),
    [(0, "ok", "0 s"), (120, "warning", "120 s behind"), (-3600, "failed", "3600 s ahead")],
)
def test_a_clock_that_is_wrong(place: Place, seconds: int, status: str, text: str) -> None:
    place.date = format_datetime(datetime.now(UTC) + timedelta(seconds=seconds))
    _, found = place.connect("--save-anyway")
    for system in ("Loop", "REX11"):
        check = found[f"Clock against {system}"]
        assert check["status"] == status
        number = int(check["found"].split(" is ")[1].split(" s")[0])
        assert abs(number - abs(seconds)) <= 5, text
        assert ("NTP" in check["ask"]) == (status != "ok")


def test_a_clock_that_cannot_be_told(place: Place) -> None:
    place.date = None
    _, found = place.connect()
    assert found["Clock against Loop"]["status"] == "unknown"
