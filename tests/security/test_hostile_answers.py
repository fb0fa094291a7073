"""What an outside system, or someone in its place, may send: it costs little and leads nowhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from bergen_loop.outside.errors import InvalidRequest, OutsideError, Unavailable, Unreadable
from bergen_loop.outside.http import Around, Retries, SlidingWindowLimiter
from bergen_loop.outside.loop import requests
from bergen_loop.outside.loop.client import MAX_BODY, LoopClient, LoopConfig
from bergen_loop.outside.warehouse.rex11 import Rex11Config, Rex11Warehouse, soap
from support.wires import answering

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ENVELOPE = (
    '<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body>{}'
    "</soap:Body></soap:Envelope>"
)

Handler = Callable[[httpx2.Request], httpx2.Response]


def warehouse(handler: Handler) -> Rex11Warehouse:
    config = Rex11Config(
        endpoint="https://rex11.example.com/x.asmx",
        web_address="w",
        user_name="u",
        password="pw-secret",
        retries=Retries(attempts=1),
    )
    return Rex11Warehouse("northpine", config, around=Around(transport=answering(handler)))


def loop(handler: Handler) -> LoopClient:
    return LoopClient(
        brand="northpine",
        api_key="key-secret",
        config=LoopConfig(
            base_url="https://loop.example.com/api", retries=Retries(attempts=1, rate_limited=1)
        ),
        around=Around(
            limiter=SlidingWindowLimiter(10**6), transport=answering(handler), now=lambda: NOW
        ),
    )


# -- XML --------------------------------------------------------------------------------------


def test_an_external_entity_is_not_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("the machine's own secret")
    body = f'<!DOCTYPE x [<!ENTITY e SYSTEM "{secret.as_uri()}">]>' + ENVELOPE.format(
        "<r><t>&e;</t></r>"
    )
    with pytest.raises(soap.NotSoap, match="DOCTYPE") as refused:
        soap.open_body(body.encode())
    assert "own secret" not in str(refused.value)


def test_an_external_dtd_is_not_fetched() -> None:
    asked = threading.Event()

    def serve() -> tuple[Any, int]:
        import http.server

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.set()
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server, server.server_port

    server, port = serve()
    try:
        body = f'<!DOCTYPE x SYSTEM "http://127.0.0.1:{port}/x.dtd">' + ENVELOPE.format("<r/>")
        with pytest.raises(soap.NotSoap):
            soap.open_body(body.encode())
        assert not asked.wait(0.3)
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("levels", [9, 20])
def test_an_entity_bomb_costs_no_time(levels: int) -> None:
    entities = '<!ENTITY a0 "ha">' + "".join(
        f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, levels + 1)
    )
    body = f"<!DOCTYPE x [{entities}]>" + ENVELOPE.format(f"<r>&a{levels};</r>")
    started = time.monotonic()
    with pytest.raises(soap.NotSoap):
        soap.open_body(body.encode())
    assert time.monotonic() - started < 1.0


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(soap.NotSoap):
        soap.open_body(ENVELOPE.format("<a>" * 100_000 + "</a>" * 100_000).encode())


# -- size and time ----------------------------------------------------------------------------


class Endless(httpx2.SyncByteStream):
    """Sends for ever; counts what was taken."""

    def __init__(self, piece: bytes) -> None:
        self.piece, self.sent = piece, 0

    def __iter__(self) -> Iterator[bytes]:
        while True:
            self.sent += len(self.piece)
            yield self.piece


def test_rex11_cannot_send_without_end() -> None:
    stream = Endless(b"<x>" * 100_000)
    with pytest.raises(OutsideError, match="bytes and was not read on"):
        warehouse(lambda _: httpx2.Response(200, stream=stream)).find_rmas("PO-1")
    assert stream.sent < soap.MAX_BYTES + 1_000_000


def test_loop_cannot_send_without_end() -> None:
    stream = Endless(b"[" * 1_000_000)
    with pytest.raises(Unreadable, match="bytes and was not read on"):
        loop(lambda _: httpx2.Response(200, stream=stream)).details(return_id="1")
    assert stream.sent < MAX_BODY + 2_000_000


def test_deeply_nested_json_is_unreadable_not_a_crash() -> None:
    body = b"[" * 200_000 + b"]" * 200_000
    with pytest.raises(OutsideError):
        loop(lambda _: httpx2.Response(200, content=body)).details(return_id="1")


# -- where requests go ------------------------------------------------------------------------


def test_no_url_of_an_answer_is_followed() -> None:
    """nextPageUrl, label, status page and redirects may point anywhere: requests go to the
    configured host only, with the key."""
    asked: list[httpx2.Request] = []
    evil = "http://169.254.169.254/latest/meta-data?cursor=abc"

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        if len(asked) > 3:
            return httpx2.Response(302, headers={"location": evil})
        found = {
            "id": str(len(asked)),
            "state": "open",
            "created_at": "2026-11-20T10:00:00Z",
            "updated_at": "2026-11-20T10:00:00Z",
            "status_page_url": evil,
            "label_url": "file:///etc/passwd",
            "line_items": [],
        }
        following = f"http://169.254.169.254/x?cursor=c{len(asked)}"
        return httpx2.Response(200, json={"returns": [found], "nextPageUrl": following})

    client = loop(answer)
    with pytest.raises(OutsideError):
        list(client.list_returns(NOW - timedelta(days=1), NOW, page_size=1))
    assert len(asked) == 4
    assert {r.url.host for r in asked} == {"loop.example.com"}
    assert asked[1].url.params["cursor"] == "c1"


def test_a_redirect_of_rex11_is_not_followed() -> None:
    asked: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.host)
        return httpx2.Response(307, headers={"location": "http://evil.example.com/"})

    with pytest.raises(OutsideError):
        warehouse(answer).find_rmas("PO-1")
    assert set(asked) == {"rex11.example.com"}


@pytest.mark.parametrize(
    "return_id",
    ["../../v1/webhooks", "1/process?x=", "1\r\nX-Authorization: other", "", "\x00", "1 2"],
)
def test_an_id_cannot_leave_its_place_in_the_url(return_id: str) -> None:
    asked: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        return httpx2.Response(200, content=b"true")

    try:
        loop(answer).process(return_id)
    except InvalidRequest:
        assert asked == []
        return
    assert len(asked) == 1
    raw = asked[0].url.raw_path.decode()
    assert raw.startswith("/api/2026-10/warehouse/return/") and raw.endswith("/process")
    assert raw.count("/") == 6 and "?" not in raw


@pytest.mark.parametrize("key", ["key\r\nX-Evil: 1", "key\n", "kéy", ""])
def test_a_key_cannot_add_headers(key: str) -> None:
    with pytest.raises(ValueError, match="API key") as refused:
        LoopClient(
            brand="b", api_key=key, config=LoopConfig(base_url="https://loop.example.com/api")
        )
    assert not key or key not in str(refused.value)


def test_the_soap_action_takes_nothing_from_outside() -> None:
    asked: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        return httpx2.Response(500)

    with pytest.raises(Unavailable):
        warehouse(answer).find_rmas('PO"\r\nX: 1</x>'.replace("\r\n", " "))
    for request in asked:
        assert request.headers["soapaction"].startswith('"http://rex11.com/webmethods/')
        assert "</x>" not in request.content.decode()


def test_the_targets_of_requests_are_checked_too() -> None:
    assert requests.action("process", "12").target.endswith("/warehouse/return/12/process")
