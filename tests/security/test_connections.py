"""Connections that say nothing, little by little, or too many things: others are served."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from contextlib import closing

import httpx2
import pytest
from running_service import running
from web_support import Desk

from bergen_loop.console import connections, limits

HEAD = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD", 0.6)


def idle(address: tuple[str, int], number: int) -> Sequence[socket.socket]:
    return [socket.create_connection(address) for _ in range(number)]


def closed(connection: socket.socket, within: float = 5) -> bool:
    """Whether the other side ends it."""
    connection.settimeout(within)
    try:
        while connection.recv(4096):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


def health(address: tuple[str, int]) -> int:
    return httpx2.get(f"http://{address[0]}:{address[1]}/health", timeout=5).status_code


def test_a_connection_that_says_nothing_is_ended(desk: Desk) -> None:
    with running(desk) as address, closing(socket.create_connection(address)) as silent:
        assert closed(silent, 3)


def test_a_head_that_comes_in_drop_by_drop_is_ended(desk: Desk) -> None:
    with running(desk) as address, closing(socket.create_connection(address)) as slow:
        began = time.monotonic()
        slow.sendall(HEAD)
        with pytest.raises(OSError):
            for n in range(100):
                slow.sendall(b"X-%d: 1\r\n" % n)
                time.sleep(0.1)
        assert time.monotonic() - began < 3


def test_the_second_request_of_a_connection_is_no_slower(desk: Desk) -> None:
    with running(desk) as address, closing(socket.create_connection(address)) as slow:
        slow.sendall(HEAD + b"\r\n")
        assert b"200 OK" in slow.recv(4096)
        slow.sendall(HEAD)
        assert closed(slow, 3)


def test_two_requests_at_once_are_both_answered(desk: Desk) -> None:
    with running(desk) as address, closing(socket.create_connection(address)) as quick:
        quick.sendall((HEAD + b"\r\n") * 2)
        quick.settimeout(5)
        answer = b""
        while answer.count(b"200 OK") < 2:
            answer += quick.recv(4096)


def test_a_body_whose_length_is_given_twice_hides_no_second_request(desk: Desk) -> None:
    for path in (b"/login", b"/health", b"/webhooks/loop/acme", b"/api/v1/mcp"):
        with running(desk) as address, closing(socket.create_connection(address)) as odd:
            head = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n" % path
            odd.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HEAD + b"\r\n")
            odd.settimeout(5)
            answer = b""
            while piece := odd.recv(4096):
                answer += piece
            assert answer.startswith(b"HTTP/1.1 400 ") and answer.count(b"HTTP/1.1 ") == 1
            assert b"content-security-policy" in answer


def test_a_body_that_comes_in_drop_by_drop_is_ended(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BODY_WITHIN", 0.6)
    for path in (b"/webhooks/loop/acme", b"/login"):
        with running(desk) as address, closing(socket.create_connection(address)) as slow:
            head = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n" % path
            kind = b"Content-Type: application/x-www-form-urlencoded\r\n\r\n"
            slow.sendall(head + kind + b"a=1")
            slow.settimeout(5)
            answer = slow.recv(4096)
            assert b" 408 " in answer
            assert b"content-security-policy" in answer
            assert health(address) == 200


def test_300_idle_connections_stop_nobody(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than there are places for: the longest idle gives way."""
    monkeypatch.setattr(connections, "HEAD", 60)
    monkeypatch.setattr(connections, "MOST", 120)
    with running(desk) as address:
        held = idle(address, 300)
        began = time.monotonic()
        for _ in range(20):
            assert health(address) == 200
        assert time.monotonic() - began < 5
        ended = sum(closed(one, 0.001) for one in held)
        assert ended >= 300 - 120
        for one in held:
            one.close()


def test_a_request_under_way_is_not_what_gives_way(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD", 60)
    monkeypatch.setattr(connections, "MOST", 60)
    with running(desk) as address, closing(socket.create_connection(address)) as busy:
        head = b"POST /webhooks/loop/acme HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n"
        busy.sendall(head + b"{")
        time.sleep(0.2)
        held = idle(address, 200)
        time.sleep(0.2)
        busy.sendall(b"}")
        busy.settimeout(5)
        assert b" 401 " in busy.recv(4096)
        for one in held:
            one.close()


def test_one_address_has_no_more_than_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fake:
        def __init__(self, source: str) -> None:
            self.source = source

    places = connections.Places(100, ("192.0.2.0/24", "nonsense"))
    took = [places.take(Fake("203.0.113.5")) for _ in range(80)]  # type: ignore[arg-type]
    assert took == [True] * connections.FROM_ONE + [False] * 16
    assert places.take(Fake("203.0.113.6"))  # type: ignore[arg-type]
    wide = connections.Places(200, ())
    took = [wide.take(Fake(f"2001:db8:1:2::{n:x}")) for n in range(80)]  # type: ignore[arg-type]
    assert took == [True] * connections.FROM_ONE + [False] * 16, "one household's addresses"
    proxied = [places.take(Fake("192.0.2.9")) for _ in range(80)]  # type: ignore[arg-type]
    assert proxied.count(True) == 100 - connections.FROM_ONE - 1
    for one in list(places.held):
        places.leave(one)
    assert (places.by_source, places.held, places.idle) == ({}, set(), {})
