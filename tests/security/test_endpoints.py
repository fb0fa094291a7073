"""A brand's own endpoint, which it or whoever has its name may choose: it leads nowhere inside, and
what it answers is told nowhere."""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from bergen_loop.config.operations import EventSettings
from bergen_loop.ledger.database import trouble
from bergen_loop.tell.events import addresses
from bergen_loop.tell.events.addresses import Forbidden
from bergen_loop.tell.events.sending import Attempt, Sender

BAD = b"<img src=x onerror=alert(1)> \x1b[2J secret-of-the-peer"


def allowed(address: str) -> bool:
    try:
        return addresses.choose("hooks.example", [address], loopback=False) == address
    except Forbidden:
        return False


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1",
        "127.255.255.254", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.192",
        "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.51.100.1", "203.0.113.1",
        "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "168.63.129.16",
        "::", "::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "64:ff9b::7f00:1",
        "64:ff9b::808:808", "64:ff9b:1::1", "100::1", "2001::1", "2001:0:7f00:1::", "2001:db8::1",
        "2001:10::1", "2001:20::1", "2002:7f00:1::", "2002:808:808::1", "3fff::1", "4000::1",
        "5f00::1", "fc00::1", "fd12:3456::1", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1",
    ],
)  # fmt: skip
def test_an_address_that_is_special_in_any_way_is_not_called(address: str) -> None:
    assert not allowed(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "93.184.215.14", "172.32.0.1", "100.128.0.1", "2606:2800:21f::1",
                "2a00:1450::1"]
)  # fmt: skip
def test_an_address_of_the_world_is(address: str) -> None:
    assert allowed(address)


@given(st.integers(0, 2**32 - 1))
def test_what_python_knows_as_inside_is_never_called(number: int) -> None:
    four = ipaddress.IPv4Address(number)
    assert not (allowed(str(four)) and (not four.is_global or four.is_multicast))
    for prefix in ("::ffff:0:0", "64:ff9b::", "::"):
        wrapped = ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) | number)
        assert not allowed(str(wrapped))


@given(st.integers(0, 2**128 - 1))
def test_of_ipv6_only_what_is_given_out_is_called(number: int) -> None:
    six = ipaddress.IPv6Address(number)
    if allowed(str(six)):
        assert six in ipaddress.ip_network("2000::/3")
        assert not (six.is_private or six.is_reserved or six.is_multicast or six.is_link_local)


@contextmanager
def answering(words: bytes) -> Generator[int]:
    """Something that listens on this machine and says this to whoever comes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def run() -> None:
            while True:
                try:
                    peer, _ = server.accept()
                except OSError:
                    return
                with peer:
                    peer.recv(65536)
                    peer.sendall(words)

        threading.Thread(target=run, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def send(url: str, resolve: addresses.Resolve, *, loopback: bool = True) -> Attempt:
    endpoint = EventSettings(
        url=url, secret=SecretStr("whsec_" + "QUFB" * 10), allow_loopback=loopback
    )
    with Sender(endpoint, resolve=resolve, now=lambda: datetime.now(UTC)) as sender:
        return sender.send("evt_1", "{}")


@pytest.mark.parametrize(
    "words",
    [BAD, b"HTTP/1.1 " + BAD + b"\r\n\r\n", b"HTTP/1.1 500 " + BAD + b"\r\n\r\n" + BAD,
     b"HTTP/1.1 200 ok\r\nX: \x00" + BAD + b"\r\n\r\n", b"HTTP/1.1 302 x\r\nLocation: " + BAD
     + b"\r\n\r\n", b""],
    ids=["no HTTP", "no status", "a refusal", "a bad header", "a redirect", "nothing"],
)  # fmt: skip
def test_no_word_of_the_peer_is_told(words: bytes) -> None:
    with answering(words) as port:
        attempt = send(f"http://127.0.0.1:{port}/x", lambda *_: ["127.0.0.1"])
    assert attempt.error
    for word in ("img", "alert", "\x1b", "secret-of-the-peer", "Location"):
        assert word not in attempt.error


def test_the_name_is_asked_once_and_the_address_that_was_checked_is_called() -> None:
    """A name whose answer changes between the check and the call (DNS rebinding)."""
    asked: list[str] = []

    def rebinding(host: str, _port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as port:
        attempt = send(f"http://localhost:{port}/x", rebinding)
    assert (attempt.status, asked) == (200, ["localhost"])


def test_a_name_that_leads_inside_as_well_is_refused_unasked() -> None:
    attempt = send("https://hooks.example/x", lambda *_: ["8.8.8.8", "10.0.0.1"], loopback=False)
    assert attempt.error == "hooks.example leads to 10.0.0.1, which is not a public address"


def test_no_word_of_the_database_is_told() -> None:
    from sqlalchemy.exc import IntegrityError, OperationalError

    for cause in (
        Exception('duplicate key DETAIL: Key (customer_email)=(ada@example.com) "pw=hunter2"'),
        Exception("database is locked by hunter2 ada@example.com"),
        Exception("could not write: No space left on device hunter2 ada@example.com"),
        Exception("database disk image is malformed hunter2 ada@example.com"),
    ):
        for kind in (IntegrityError, OperationalError):
            words = trouble(kind("INSERT INTO x VALUES ('ada@example.com')", {}, cause))
            assert "ada" not in words and "hunter2" not in words and "INSERT" not in words
            assert words.startswith("the ledger ")
