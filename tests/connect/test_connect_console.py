"""Connecting a brand in the console, and changing its settings there."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime

import pytest
from connect_support import Place
from console_place import Service, hidden, service

from bergen_loop.ledger.read.people import Role
from bergen_loop.ledger.store import brands as kept


@pytest.fixture
def running(place: Place) -> Service:
    place.new_return(destination=77)
    return service(place)


def words(text: str) -> str:
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text)))


def loop_fields(place: Place) -> dict[str, str]:
    return {
        "name": "Northpine Apparel",
        "loop__api_key": place.brand.loop_key,
        "loop__webhook_secret": place.brand.webhook_secret,
        "loop__base_url": f"{place.url}/loop/api",
    }


def rex11_fields(place: Place) -> dict[str, str]:
    return {
        "warehouse": "rex11",
        "rex11__web_address": place.brand.web_address,
        "rex11__user_name": place.brand.user_name,
        "rex11__password": place.brand.password,
        "rex11__endpoint": f"{place.url}/rex11/ws/v3prod/publicapiws.asmx",
        "announce__warehouse": "BERGEN LOGISTICS NJ",
        "announce__supplier__company_name": "Northpine",
        "announce__supplier__state": "NJ",
        "announce__supplier__country": "USA",
    }


def connect(running: Service) -> None:
    place = running.place
    assert running.post("/brands/new", brand="northpine", name="Northpine").status_code == 303
    for step, fields in (
        ("loop", loop_fields(place)),
        ("warehouse", rex11_fields(place)),
        ("products", {}),
        ("criteria", {"criteria": "strict"}),
        ("webhooks", {}),
        ("start", {"announce__start": "2026-11-01T00:00:00Z", "poll": "30s"}),
    ):
        answer = running.step(step, **fields)
        assert answer.status_code == 303, (step, words(answer.text))
    assert answer.headers["location"] == "/brands/northpine?done=connected"


def test_a_service_without_a_brand_shows_the_way(running: Service) -> None:
    assert 'href="/brands/new">Connect the first one' in running.get("/")


def test_a_brand_is_connected_step_by_step_and_taken_up_without_a_restart(
    running: Service,
) -> None:
    connect(running)
    assert running.registry.due(datetime.now(UTC)) == ["northpine"]
    context = running.registry.context("northpine")
    assert context.settings.loop.api_key.get_secret_value() == running.place.brand.loop_key
    assert (context.settings.mode, context.criteria.name) == ("shadow", "strict")
    text = words(running.get("/brands/northpine?done=connected"))
    assert "is connected, in shadow: running workers have taken it up" in text
    (entry,) = [j for j in running.place.journal() if j.happened == "brand_connected"]
    assert entry.who == "engineer None"
    with running.registry.ledger.read() as session:
        assert kept.drafts(session) == []


def test_what_is_typed_is_tried_at_once_and_nothing_of_it_is_kept(running: Service) -> None:
    running.post("/brands/new", brand="northpine", name="Northpine")
    fields = loop_fields(running.place)
    wrong = running.post("/brands/new/northpine/loop/check", **{**fields, "loop__api_key": "wrong"})
    assert wrong.status_code == 200
    assert "Does not work: Loop refuses the API key" in words(wrong.text)
    right = running.post("/brands/new/northpine/loop/check", **fields)
    assert "In order: it works: Loop lists the last day, with returns in it" in words(right.text)
    with running.registry.ledger.read() as session:
        (draft,) = kept.drafts(session)
    assert (draft.version, draft.content) == (1, {"name": "Northpine"})
    assert not [j for j in running.place.journal() if j.happened == "secret_stored"]


def test_a_check_that_comes_after_the_brand_was_connected_says_nothing(running: Service) -> None:
    late = running.post("/brands/new/northpine/start/check", announce__start="2026-11-01")
    assert (late.status_code, late.text) == (204, "")


def test_a_wrong_field_is_told_at_the_field_and_what_was_typed_stays(running: Service) -> None:
    running.post("/brands/new", brand="northpine", name="Northpine")
    answer = running.step("loop", name="", loop__api_key="", loop__base_url="http://elsewhere")
    assert answer.status_code == 422
    assert "Must be https" in words(answer.text)
    at = {
        name: words(told)
        for name, told in re.findall(r'id="wrong-f-([\w-]+)">(.*?)</span>', answer.text, re.S)
    }
    assert "Is needed" in at["name"]
    assert "Is needed" in at["loop-api_key"]
    assert "Must be https" in at["loop-base_url"]
    assert at["loop-webhook_secret"].strip() == ""
    assert 'value="http://elsewhere"' in answer.text


def test_a_secret_is_kept_and_never_shown_again(running: Service) -> None:
    running.post("/brands/new", brand="northpine", name="Northpine")
    answer = running.step("loop", **{**loop_fields(running.place), "loop__base_url": "nonsense"})
    assert answer.status_code == 422
    shown = answer.text + running.get("/brands/new/northpine/loop")
    for secret in running.place.secrets:
        assert secret not in shown
    assert "kept; leave it empty to keep it" in shown
    again = running.step("loop", name="Northpine", loop__base_url=f"{running.place.url}/loop/api")
    assert again.status_code == 303, "the key need not be typed again"


def test_an_access_that_does_not_work_holds_the_step_unless_one_goes_on_all_the_same(
    running: Service,
) -> None:
    running.post("/brands/new", brand="northpine", name="Northpine")
    fields = {**loop_fields(running.place), "loop__api_key": "wrong"}
    answer = running.step("loop", **fields)
    assert answer.status_code == 422
    assert "Go on all the same" in answer.text
    assert running.step("loop", **fields, do="anyway").status_code == 303
    running.step("warehouse", **rex11_fields(running.place))
    last = running.step("start", announce__start="2026-11-01", do="anyway")
    assert last.status_code == 422, "a key that does not work is no brand"
    assert "northpine" not in running.registry


def test_the_second_of_two_people_is_told_who_saved_the_draft(running: Service) -> None:
    running.post("/brands/new", brand="northpine", name="Northpine")
    seen = hidden(running.get("/brands/new/northpine/loop"), "seen")
    running.step("loop", **loop_fields(running.place))
    late = running.post(
        "/brands/new/northpine/loop", seen=seen, name="Mine", loop__base_url="https://mine.example"
    )
    assert late.status_code == 409
    assert "engineer None has saved this draft meanwhile" in words(late.text)
    assert 'value="https://mine.example"' in late.text


def test_a_wrong_date_is_told_at_its_field_and_nothing_is_lost(running: Service) -> None:
    running.post("/brands/new", brand="northpine", name="Northpine")
    running.step("loop", **loop_fields(running.place))
    running.step("warehouse", **rex11_fields(running.place))
    answer = running.step("start", announce__start="2026-13-45", poll="30s")
    assert answer.status_code == 422
    assert 'value="2026-13-45"' in answer.text
    assert "Input should be a valid datetime" in words(answer.text)
    assert running.step("start", announce__start="2026-11-01", poll="30s").status_code == 303


def test_destinations_of_recent_returns_are_asked_about(running: Service) -> None:
    running.post("/brands/new", brand="northpine", name="Northpine")
    running.step("loop", **loop_fields(running.place))
    running.step("warehouse", **rex11_fields(running.place))
    running.step("products")
    page = running.get("/brands/new/northpine/products")
    assert "Destination 77" in page
    assert "box-free" in page
    running.step("products", announce__destinations__77="none", loop__happy_returns="1")
    with running.registry.ledger.read() as session:
        (draft,) = kept.drafts(session)
    assert draft.content["announce"]["destinations"] == {"77": None}
    assert draft.content["loop"]["happy_returns"] is True
    running.step("products", announce__destinations__77="BERGEN LOGISTICS WEST")
    with running.registry.ledger.read() as session:
        (draft,) = kept.drafts(session)
    assert draft.content["announce"]["destinations"] == {"77": "BERGEN LOGISTICS WEST"}


def test_criteria_of_ones_own_are_told_their_mistakes_by_line(running: Service) -> None:
    running.post("/brands/new", brand="northpine", name="Northpine")
    running.step("loop", **loop_fields(running.place))
    running.step("warehouse", **rex11_fields(running.place))
    text = (
        "name: ours\nversion: 1\nrules:\n  - name: a\n    when: receipt.damagd\n    then: process\n"
    )
    answer = running.step("criteria", criteria="standard", criteria__text=text)
    assert answer.status_code == 422
    assert "line 5, column" in words(answer.text).lower()
    assert "receipt.damagd" in answer.text, "what was typed is still there"


def test_an_embedded_warehouse_asks_for_no_account(running: Service) -> None:
    running.post("/brands/new", brand="northpine", name="Northpine")
    running.step("loop", **loop_fields(running.place))
    assert running.step("warehouse", warehouse="embedded").status_code == 303
    assert running.step("start", announce__start="2026-11-01").status_code == 303
    assert running.registry.context("northpine").settings.warehouse == "embedded"


@pytest.mark.parametrize(
    ("brand", "told"), [("Acme", "is no id"), ("", "is no id"), ("new", "is reserved")]
)
def test_an_id_that_cannot_be_is_told(running: Service, brand: str, told: str) -> None:
    answer = running.post("/brands/new", brand=brand, name="Acme & Söhne")
    assert answer.status_code == 422
    assert told in words(answer.text).lower()
    assert "Acme &amp; Söhne" in answer.text


def test_settings_are_changed_with_a_reason_and_rolled_back(running: Service) -> None:
    connect(running)
    page = running.get("/brands/northpine/settings")
    for secret in running.place.secrets:
        assert secret not in page
    text = html.unescape(re.search(r'<textarea name="text".*?>\n(.*?)</textarea>', page, re.S)[1])  # type: ignore[index]
    changed = text.replace("poll: 30s", "poll: 45s")
    done = running.post("/brands/northpine/settings", seen="1", text=changed, why="calmer")
    assert done.status_code == 303, words(done.text)
    assert running.registry.brand("northpine").poll.total_seconds() == 45
    history = words(running.get("/brands/northpine/settings"))
    assert "calmer poll: 30s → 45s" in history
    back = running.post("/brands/northpine/settings/1", seen="2", why="too calm")
    assert back.status_code == 303
    assert running.registry.brand("northpine").poll.total_seconds() == 30


def test_box_free_returns_are_switched_on_by_a_field_once_the_key_may_read_shipments(
    running: Service,
) -> None:
    connect(running)
    settings = "/brands/northpine/settings"
    page = running.get(settings)
    text = html.unescape(re.search(r'<textarea name="text".*?>\n(.*?)</textarea>', page, re.S)[1])  # type: ignore[index]
    on = {"text": text, "fields": "1", "loop__happy_returns": "1", "why": "bars", "seen": "1"}
    sandbox = running.place.world
    sandbox.settings.update({"missing_scopes": "northpine:happy_returns"})
    refused = running.post(settings, **on)
    assert refused.status_code == 422
    assert "Happy Returns Shipments (read)" in words(refused.text)
    assert 'name="loop.happy_returns" value="1" checked' in refused.text
    sandbox.settings.update({"missing_scopes": ""})
    bad = running.post(settings, **on, shipments__missing_wait="soon")
    assert (bad.status_code, "is no duration" in words(bad.text)) == (422, True)
    numbers = "box, bags"
    assert running.post(settings, **on, shipments__tracking_numbers=numbers).status_code == 303
    brand = running.registry.brand("northpine")
    assert (brand.loop.happy_returns, brand.shipments.tracking_numbers) == (True, ["box", "bags"])
    seen = hidden(page := running.get(settings), "seen")
    assert 'value="box, bags"' in page
    off = {"text": text, "fields": "1", "shipments__tracking_numbers": numbers}
    assert running.post(settings, seen=seen, why="none left", **off).status_code == 303
    assert not running.registry.brand("northpine").loop.happy_returns


def test_what_would_break_is_refused_and_what_was_typed_stays(running: Service) -> None:
    connect(running)
    page = running.get("/brands/northpine/settings")
    text = html.unescape(re.search(r'<textarea name="text".*?>\n(.*?)</textarea>', page, re.S)[1])  # type: ignore[index]
    settings = "/brands/northpine/settings"
    for changed, told in (
        (text.replace("poll: 30s", "poll: soon"), "is no duration"),
        (text.replace("criteria: strict", "criteria: none.yaml"), "cannot be read"),
        (text + "more: [", "line"),
    ):
        answer = running.post(settings, seen="1", text=changed, why="because")
        assert answer.status_code == 422
        assert told in words(answer.text)
        assert html.escape(changed.strip().splitlines()[-1], quote=True) in answer.text
    clear = re.sub(r"api_key: \S+", "api_key: typed-in-the-clear", text)
    answer = running.post(settings, seen="1", text=clear, why="because")
    assert "a secret does not belong" in words(answer.text)
    assert "typed-in-the-clear" not in answer.text
    wrong = {"loop.api_key": "a-wrong-key-typed-here"}
    answer = running.client.post(
        settings, data={"csrf": running.csrf, "seen": "1", "text": text, "why": "new", **wrong}
    )
    assert "Loop refuses the API key" in words(answer.text)
    no_reason = running.post(settings, seen="1", text=text.replace("30s", "31s"), why="")
    assert "say why" in words(no_reason.text)
    assert running.registry.version("northpine").version == 1  # type: ignore[union-attr]


def test_a_key_is_replaced_and_the_former_one_comes_back_by_a_roll_back(running: Service) -> None:
    connect(running)
    page = running.get("/brands/northpine/settings")
    text = html.unescape(re.search(r'<textarea name="text".*?>\n(.*?)</textarea>', page, re.S)[1])  # type: ignore[index]
    given = {"csrf": running.csrf, "seen": "1", "text": text, "why": "rotated",
             "loop.webhook_secret": "another-hook-secret"}  # fmt: skip
    assert running.client.post("/brands/northpine/settings", data=given).status_code == 303

    def secret() -> str:
        found = running.registry.brand("northpine").loop.webhook_secret
        assert found is not None
        return found.get_secret_value()

    assert secret() == "another-hook-secret"
    assert running.post("/brands/northpine/settings/1", seen="2", why="wrong").status_code == 303
    assert secret() == running.place.brand.webhook_secret


def test_removed_it_stops_and_can_be_brought_back(running: Service) -> None:
    connect(running)
    assert "Remove Northpine" in words(running.get("/brands/northpine/remove"))
    assert running.post("/brands/northpine/remove", seen="1", why="left").status_code == 303
    assert running.registry.due(datetime.now(UTC)) == []
    assert "Northpine Apparel" in running.get("/brands/new?removed=1")
    assert "was removed by" in words(running.get("/brands/northpine/settings"))
    assert running.post("/brands/northpine/settings/1", seen="2", why="back").status_code == 303
    assert running.registry.due(datetime.now(UTC)) == ["northpine"]


def test_a_brand_of_the_file_is_only_looked_at_and_it_says_why(place: Place) -> None:
    place.connect()
    running = service(place)
    text = running.get("/brands/northpine/settings")
    assert "it is changed there, and taken up without a restart" in words(text)
    assert "<textarea" not in text
    refused = running.post("/brands/northpine/settings", seen="0", text="name: x", why="because")
    assert refused.status_code == 422
    assert "Not changed: brand northpine stands in the configuration file" in words(refused.text)


def test_the_checks_can_be_made_again_later(running: Service) -> None:
    connect(running)
    assert "Check now" in running.get("/brands/northpine/checks")
    text = words(running.post("/brands/northpine/checks").text)
    assert "REX11 account In order: it works" in text


@pytest.mark.parametrize(
    ("role", "brands"),
    [(Role.OPERATOR, None), (Role.READ_ONLY, None), (Role.ENGINEER, ["northpine"])],
)
def test_only_engineers_of_all_brands_connect_and_change(
    place: Place, role: Role, brands: list[str] | None
) -> None:
    connect(service(place))
    other = service(place, role, brands)
    for path in (
        "/brands/new",
        "/brands/northpine/settings",
        "/brands/northpine/settings/1",
        "/brands/northpine/remove",
        "/brands/northpine/checks",
    ):
        assert other.client.get(path).status_code == 403
        assert other.post(path, brand="other", name="Other").status_code == 403
    assert "/brands/new" not in other.get("/")
