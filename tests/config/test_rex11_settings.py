"""What of REX11 is documented nowhere can be set; settings that contradict each other are told."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import pytest
from structlog.testing import capture_logs
from test_config import GOOD, problems

from bergen_loop.config import BrandSettings, parse_settings
from bergen_loop.domain.rma import TicketStatus
from bergen_loop.outside.warehouse.rex11 import AuthSigns, Rex11Config
from bergen_loop.service.wiring import rex11_warehouse

CREDENTIALS = ("acme.example.com", "acme", "rex11-password-value")
SUPPLIER = "supplier: {company_name: Acme, state: NJ, country: United States}"


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_LOOP_KEY", "loop-key-value")
    monkeypatch.setenv("ACME_REX11", CREDENTIALS[2])
    monkeypatch.setenv("ACME_CLOSE", "Bearer close-key-value")


def with_rex11(*lines: str) -> str:
    return GOOD.replace("user_name: acme\n", "\n      ".join(["user_name: acme", *lines]) + "\n")


def brand(text: str) -> BrandSettings:
    return parse_settings(text, "brands.yaml").brands["acme"]


def test_the_defaults_stand_once() -> None:
    warehouse = rex11_warehouse("acme", brand(GOOD))
    assert warehouse.config == Rex11Config(*CREDENTIALS)


def test_everything_undocumented_can_be_set() -> None:
    text = with_rex11(
        "statuses_date_type: 2",
        "window_precision: day",
        "auth_signs: {patterns: [abgelaufen], codes: [99]}",
        "nothing_found_codes: [41]",
        "shipment_type: FLAT",
        "confirm_no_ticket: false",
        "inventory_batch: 25",
        "time_zone: America/Los_Angeles",
    )
    warehouse = rex11_warehouse("acme", brand(text))
    assert warehouse.config == Rex11Config(
        *CREDENTIALS,
        statuses_date_type=2,
        window_precision="day",
        auth_signs=AuthSigns(("abgelaufen",), frozenset({99})),
        nothing_found_codes=frozenset({41}),
        shipment_type="FLAT",
        confirm_no_ticket=False,
        inventory_batch=25,
        zone="America/Los_Angeles",
    )


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["close: {strategy: http}"], "strategy http needs `url`"),
        (["close: {strategy: file}"], "strategy file needs `folder`"),
        (["close: {url: 'https://close.test/{ticket}'}"], "confirm has no use for `url`"),
        (["close: {strategy: file, folder: x, method: PUT}"], "file has no use for `method`"),
        (["close: {strategy: http, url: 'https://x.test/', method: GET}"], "'PUT', 'PATCH'"),
        (["close: {strategy: http, url: 'http://x.test/'}"], "must be https"),
        (["close: {strategy: http, url: 'https://x.test/', headers: {A: secret}}"], "env:"),
        (["window_precision: hour"], "'minute' or 'day'"),
        (["auth_signs: {patterns: ['(']}"], "is no regular expression"),
        (["shipment_type: BOX"], "'GOH'"),
        (["inventory_batch: 0"], "greater than or equal to 1"),
        (["statuses_date_type: soon"], "valid integer"),
        (["warehouses: [CA]"], "is no warehouse of Bergen's"),
    ],
)
def test_a_setting_that_cannot_be_or_contradicts_another_is_told(
    lines: list[str], words: str
) -> None:
    (problem,) = problems(with_rex11(*lines))
    assert problem.startswith(("brands.yaml:11:", "brands.yaml:12:"))
    assert words in problem


class Endpoint(BaseHTTPRequestHandler):
    """Takes a close, and tells nobody."""

    seen: ClassVar[list[tuple[str, str, str | None]]] = []

    def do_PUT(self) -> None:
        self.seen.append((self.command, self.path, self.headers["Authorization"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_a_close_call_goes_out_as_it_is_set() -> None:
    with HTTPServer(("127.0.0.1", 0), Endpoint) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        settings = brand(
            with_rex11(
                f"close: {{strategy: http, url: 'http://127.0.0.1:{server.server_port}/{{ticket}}',",
                "        method: PUT, headers: {Authorization: 'env:ACME_CLOSE'}}",
            )
        )
        warehouse = rex11_warehouse("acme", settings)
        now = datetime.now(UTC)
        assert not warehouse.close_rma("WHRTN1", TicketStatus.DRAFT, now).closed
        assert warehouse.close_rma("WHRTN1", TicketStatus.ADDED_TO_INVENTORY, now).closed
    assert Endpoint.seen == [("PUT", "/WHRTN1", "Bearer close-key-value")]
    assert "close-key-value" not in repr(settings)


@pytest.mark.parametrize(
    ("given", "name", "warned"),
    [
        ("nl", "BERGEN LOGISTICS NL", False),
        ("bergen logistics can", "BERGEN LOGISTICS CAN", False),
        ("BERGEN LOGISTICS  NJ9", "BERGEN LOGISTICS NJ9", True),
        ("BERGEN LOGISTICS CA", "BERGEN LOGISTICS CA", True),
    ],
)
def test_a_warehouse_newer_than_the_schema_is_taken_by_its_full_name_with_a_warning(
    given: str, name: str, warned: bool
) -> None:
    text = GOOD.replace("warehouse: nj2", f"warehouse: {given}")
    for more, expected in (("", warned), (f"warehouses: [{name}]", False)):
        with capture_logs() as logs:
            assert (
                brand(text.replace("user_name: acme", f"user_name: acme\n      {more}"))
                .announce_rules()
                .warehouse
                == name
            )
        assert [x["field"] for x in logs] == ["brands.acme.announce.warehouse"] * expected
        assert all(name in x["problem"] and x["log_level"] == "warning" for x in logs)


def test_a_destination_of_a_newer_warehouse_is_warned_of_too() -> None:
    with capture_logs() as logs:
        brand(GOOD.replace('"17": WEST', '"17": BERGEN LOGISTICS OSLO'))
    assert [x["field"] for x in logs] == ["brands.acme.announce.destinations.17"]


@pytest.mark.parametrize(
    ("supplier", "words"),
    [
        (SUPPLIER.replace("company_name: Acme, ", ""), "`company_name`"),
        (SUPPLIER.replace("state: NJ, ", ""), "`state` (or `non_us_region`)"),
        (SUPPLIER.replace("country: United States", "country: ' '"), "`country`"),
        ("supplier: {phone: '555'}", "`company_name`, `state` (or `non_us_region`), `country`"),
    ],
)
def test_a_supplier_is_whole(supplier: str, words: str) -> None:
    assert brand(GOOD.replace("start: 2026", f"{SUPPLIER}\n      start: 2026")).announce.supplier
    (problem,) = problems(GOOD.replace("start: 2026", f"{supplier}\n      start: 2026"))
    assert words in problem
