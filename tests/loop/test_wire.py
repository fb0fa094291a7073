"""The network itself, against a server on this machine that says what the test wants it to."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bergen_loop.outside import wire
from bergen_loop.outside.http import Answer, Sender
from bergen_loop.outside.wire import Interrupted, Network, NotSent, Timeouts, Undecodable

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntrue"
SHORT = Timeouts(connect=2, read=0.15, write=2, answer=0.4)


class Server:
    """Answers each request of each connection with the next of `answers`: bytes, or a function of
    the connection. After the last one it closes."""

    def __init__(self, *answers: bytes | Callable[[socket.socket], None]) -> None:
        self.answers = list(answers)
        self.heads: list[bytes] = []
        self.connections = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.context: ssl.SSLContext | None = None
        self.closed = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self.connections += 1
                with suppress(OSError):
                    if self.context:
                        connection = self.context.wrap_socket(connection, server_side=True)
                    self._answer(connection)
                connection.close()
                self.closed.set()

    def _answer(self, connection: socket.socket) -> None:
        while self.answers:
            seen = b""
            while b"\r\n\r\n" not in seen:
                if not (piece := connection.recv(65536)):
                    return
                seen += piece
            self.heads.append(seen)
            answer = self.answers.pop(0)
            if callable(answer):
                answer(connection)
                return
            connection.sendall(answer)

    def stop(self) -> None:
        self._socket.close()


@contextmanager
def serving(*answers: bytes | Callable[[socket.socket], None]) -> Generator[Server]:
    server = Server(*answers)
    try:
        yield server
    finally:
        server.stop()


def send(server: Server, network: Network, timeouts: Timeouts = SHORT, path: str = "/a") -> Answer:
    sender = Sender(timeouts, max_bytes=1000, compressed=True, transport=network)
    return sender.send("POST", f"http://127.0.0.1:{server.port}{path}", {"X-Key": "k"}, b"{}")


def test_a_connection_is_used_again_by_whoever_calls_the_same_host() -> None:
    with serving(OK, OK, OK) as server:
        network = Network()
        answers = [send(server, network) for _ in range(3)]
    assert [(a.status, a.body, a.whole) for a in answers] == [(200, b"true", True)] * 3
    assert server.connections == 1
    assert (
        server.heads[0]
        == (
            f"POST /a HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nAccept: */*\r\n"
            f"Accept-Encoding: gzip\r\nUser-Agent: {_agent()}\r\nX-Key: k\r\n"
            "Content-Length: 2\r\n\r\n{}"
        ).encode()
    )


def _agent() -> str:
    from bergen_loop import __version__

    return f"bergen-loop/{__version__}"


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n"), id="says so"),
        pytest.param(b"HTTP/1.0 200 OK\r\n\r\ntrue", id="speaks HTTP/1.0"),
        pytest.param(OK + b"HTTP/1.1 200 OK\r\n", id="said more than was asked"),
    ],
)
def test_a_connection_that_cannot_be_relied_on_is_not_used_again(first: bytes) -> None:
    def once(connection: socket.socket) -> None:
        connection.sendall(first)

    with serving(once, OK) as server:
        network = Network()
        assert send(server, network).body == b"true"
        server.closed.wait(2)
        assert send(server, network).body == b"true"
    assert server.connections == 2


@pytest.mark.parametrize(
    "more", [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother", b"\r\n", b"x"]
)
def test_a_connection_on_which_more_came_than_the_answer_is_not_used_again(more: bytes) -> None:
    with serving(OK + more, OK) as server:
        network = Network()
        assert [send(server, network).body for _ in range(2)] == [b"true"] * 2
    assert server.connections == 2


@pytest.mark.parametrize(
    ("head", "said"),
    [
        pytest.param(b"A: 1\r\n b\r\n\tc\r\nD:2", {"a": "1 b c", "d": "2"}, id="goes on"),
        pytest.param(b"A: 1\r\nA: 2\r\n 3\r\nB:", {"a": "1", "b": ""}, id="twice"),
        pytest.param(b" odd\r\nno header\r\n so\r\n: x\r\nA: \xe9:", {"a": "\xe9:"}, id="odd"),
    ],
)
def test_a_head_is_read_however_it_is_written(head: bytes, said: dict[str, str]) -> None:
    more = b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n"
    with serving(more + OK.replace(b"OK", b"OK\r\n" + head), OK) as server:
        network = Network()
        answer = send(server, network)
        send(server, network)
    assert (answer.body, answer.headers) == (b"true", said | {"content-length": "4"})
    assert server.connections == 1


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 2000 OK",
        b"HTTP/2 200",
        b"ICY 200 OK",
        b"HTTP/1.1 2x0",
        b"HTTP/1.1 200 OK" + b"\r\nA: b" * 101,
        b"HTTP/1.1 200 OK\r\nA: " + b"b" * 65_600,
    ],
)
def test_what_is_no_head_is_no_answer(head: bytes) -> None:
    no_head = pytest.raises(Interrupted, match="what came is not HTTP")
    with serving(head + b"\r\nContent-Length: 4\r\n\r\ntrue") as server, no_head:
        send(server, Network())


def test_an_idle_connection_is_not_kept_for_long() -> None:
    now = [0.0]
    with serving(OK, OK) as server:
        network = Network(monotonic=lambda: now[0])
        send(server, network)
        now[0] += wire.IDLE
        send(server, network)
    assert server.connections == 2
    network.close()


def silent(connection: socket.socket) -> None:
    connection.recv(1)


def dripping(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            connection.sendall(b"X-Drip: 1\r\n")
            threading.Event().wait(0.02)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (silent, r"nothing came for 0\.15 seconds"),
        (dripping, "^(the answer was not complete after|what came is not HTTP)"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ntrue", "the answer broke off|nothing came"),
        (lambda _: None, "it closed the connection without an answer"),
        (b"220 mail.test ESMTP\r\n\r\n", "what came is not HTTP"),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n", "what came is no answer"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "broke off"),
    ],
)
def test_what_goes_wrong_after_a_request_was_sent_is_in_doubt_and_in_our_words(
    answer: bytes | Callable[[socket.socket], None], words: str
) -> None:
    with serving(answer) as server, pytest.raises(Interrupted, match=words) as caught:
        send(server, Network())
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_an_answer_is_unpacked_within_its_limit() -> None:
    packed, bomb = gzip.compress(b"true"), gzip.compress(b"x" * 3_000_000)

    def answer(body: bytes, packing: bytes = b"gzip") -> bytes:
        length = str(len(body)).encode()
        head = b"HTTP/1.1 200 OK\r\nContent-Encoding: %b\r\nContent-Length: %b\r\n\r\n"
        return head % (packing, length) + body

    chunked = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\ntr\r\n2\r\nue\r\n0\r\n\r\n"
    )
    replies = (answer(packed), chunked, answer(packed[:-9]), answer(b"no"), answer(b"x", b"br"))
    with serving(*replies, answer(bomb)) as server:
        network = Network()
        assert send(server, network).body == b"true"
        assert send(server, network).body == b"true"
        for words in ("breaks off", "is broken", "not asked for"):
            with pytest.raises(Undecodable, match=words):
                send(server, network)
        too_large = send(server, network)
    assert not too_large.whole
    assert set(too_large.body) == set(b"x")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://nowhere.invalid/", "its name leads to no address"),
        ("http://127.0.0.1:9/", "it refuses connections"),
        ("ftp://127.0.0.1/", "no web address"),
        ("https://user:word@127.0.0.1/", "holds a login"),
        ("http://[::1/", "no web address"),
    ],
)
def test_what_finds_no_connection_was_not_sent(url: str, words: str) -> None:
    sender = Sender(SHORT, max_bytes=10, transport=Network())
    with pytest.raises(NotSent, match=words):
        sender.send("GET", url, {}, None)


def test_a_header_with_a_line_break_is_not_sent() -> None:
    sender = Sender(SHORT, max_bytes=10, transport=Network())
    for value in ("a\r\nX-Other: 1", "a\0", "\N{SNOWMAN}"):
        with pytest.raises(NotSent, match="cannot be sent"):
            sender.send("GET", "http://127.0.0.1:9/", {"X-Key": value}, None)


def test_what_cannot_stand_in_an_address_is_encoded() -> None:
    with serving(OK) as server:
        send(server, Network(), path="/a b/\N{SNOWMAN}?q=x y%20z")
    assert server.heads[0].startswith(b"POST /a%20b/%E2%98%83?q=x%20y%20z HTTP/1.1\r\n")


def test_the_environments_proxy_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
    with serving(OK, refused) as proxy:
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(name, f"http://me:it%40s@127.0.0.1:{proxy.port}")
        monkeypatch.setenv("no_proxy", "direct.test")
        network = Network()
        sender = Sender(SHORT, max_bytes=10, transport=network)
        assert sender.send("GET", "http://loop.test/a?b=1", {}, None).body == b"true"
        network.close()
        with pytest.raises(NotSent, match="the proxy answered 407"):
            sender.send("GET", "https://loop.test/a", {"X-Key": "k"}, None)
        with pytest.raises(NotSent, match="leads to no address"):
            sender.send("GET", "http://direct.test/a", {}, None)
    plain, tunnel = (head.decode() for head in proxy.heads)
    assert plain.startswith("GET http://loop.test/a?b=1 HTTP/1.1\r\nHost: loop.test\r\n")
    assert "Proxy-Authorization: Basic bWU6aXRAcw==" in plain
    assert tunnel.startswith("CONNECT loop.test:443 HTTP/1.1\r\nHost: loop.test:443\r\n")
    assert "X-Key" not in tunnel


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    """A server's context for `localhost`, and the certificate to trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("certificate")
    (folder / "own.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (folder / "key.pem").write_bytes(secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "own.pem", folder / "key.pem")
    return context, folder / "own.pem"


def test_a_certificate_is_checked_before_anything_is_sent(
    certified: tuple[ssl.SSLContext, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    context, own = certified
    trusting = ssl.create_default_context(cafile=str(own))
    with serving(OK, OK) as server:
        server.context = context
        sender = Sender(SHORT, max_bytes=10, transport=Network())
        monkeypatch.setattr(wire, "trust", ssl.create_default_context)
        with pytest.raises(NotSent, match="its certificate is not accepted: self-signed"):
            sender.send("GET", f"https://localhost:{server.port}/", {"X-Key": "k"}, None)
        monkeypatch.setattr(wire, "trust", lambda: trusting)
        with pytest.raises(NotSent, match="its certificate is not accepted"):
            sender.send("GET", f"https://127.0.0.1:{server.port}/", {"X-Key": "k"}, None)
        assert server.heads == []
        for _ in range(2):
            body = sender.send("GET", f"https://localhost:{server.port}/", {}, None).body
            assert body == b"true"
    assert server.connections == 3


def test_a_server_without_tls_is_told_apart() -> None:
    with serving(b"HTTP/1.1 400 Bad Request\r\n\r\n") as server:
        sender = Sender(SHORT, max_bytes=10, transport=Network())
        with pytest.raises(NotSent, match=r"TLS|broke off|no connection within"):
            sender.send("GET", f"https://localhost:{server.port}/", {}, None)
