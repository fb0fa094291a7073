"""Connections to other systems, kept and used again: HTTP/1.1 over the standard library.

One request and its answer at a time on a connection. Those that are idle are kept by host for all
brands of it: what a request is sent with (its key) is in the request, never in the connection. A
connection is used again only where its last answer came whole and the other side has neither closed
it nor said anything since. All failures are told in words of ours, without what was sent.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import threading
import time
import zlib
from base64 import b64encode
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import Any, Protocol, cast
from urllib.parse import SplitResult, quote, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

IDLE = 4.0
"""Seconds that an idle connection is kept: many servers close one after five, and a request that
meets the closing is in doubt."""
MOST_IDLE = 64
"""Idle connections of one host that are kept."""
PIECE = 65_536
LONGEST_LINE, MOST_LINES, LONGEST_NUMBER = 65_536, 100, 18
"""Of an answer's head: characters, lines, digits."""
SENDABLE = "!#$%&'()*+,/:;=?@[]~"
"""What may stand in a request's target as it is, beside letters and digits."""


class NotSent(Exception):
    """No connection came about: the other side cannot have seen the request."""


class Interrupted(Exception):
    """The request may have arrived, but no whole answer came back."""


class Undecodable(Interrupted):
    """An answer came whose compression is broken."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. `read` is for each piece of an answer, `write` for all of a request, `answer` bounds
    the whole of one answer, however slowly it drips in, and `turn` the wait for a turn under the
    call budget (None: wait for ever)."""

    connect: float = 10.0
    read: float = 60.0
    write: float = 30.0
    answer: float = 180.0
    turn: float | None = 300.0

    def __post_init__(self) -> None:
        if min(self.connect, self.read, self.write, self.answer) <= 0:
            raise ValueError("timeouts: every one must be more than 0 seconds")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request as it is sent."""

    method: str
    url: str
    headers: Mapping[str, str]
    content: bytes | None = None


@dataclass(frozen=True, slots=True)
class Incoming:
    """An answer that has begun. Read `pieces`, as they come, to the end or close them."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    pieces: Generator[bytes]


class Transport(Protocol):
    """What carries a request: the network, or a test's double. Raises NotSent or Interrupted, here
    and while the pieces are read."""

    def __call__(self, request: Outgoing, timeouts: Timeouts, /) -> Incoming: ...


@cache
def trust() -> ssl.SSLContext:
    """Certificates of the system, or those of SSL_CERT_FILE. Made once: that takes as long as a
    whole idle sync."""
    import httpx2  # knows where each system keeps its certificates

    context = httpx2.create_ssl_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


@dataclass(frozen=True, slots=True)
class Place:
    """Where a connection leads."""

    tls: bool
    host: str
    port: int
    proxy: str | None
    """The environment's, for this scheme and host."""


class Network:
    """The network, by connections that are kept. Safe to use from many threads."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._lock = threading.Lock()
        self._idle: dict[Place, list[tuple[float, socket.socket]]] = {}
        self._monotonic = monotonic
        self._proxies = getproxies()

    def __call__(self, request: Outgoing, timeouts: Timeouts, /) -> Incoming:
        place, head = self._addressed(request)
        connection = self._take(place) or _connected(place, timeouts)
        try:
            _send(connection, head + (request.content or b""), timeouts.write)
            reading = _Reading(connection, timeouts, self._monotonic)
            answer = reading.answer(request.method)
        except BaseException:
            connection.close()
            raise
        return Incoming(answer.status, answer.said, self._pieces(place, reading, answer))

    def close(self) -> None:
        """Close what is idle."""
        with self._lock:
            idle, self._idle = self._idle, {}
        for kept in idle.values():
            for _, connection in kept:
                connection.close()

    def _addressed(self, request: Outgoing) -> tuple[Place, bytes]:
        """Where it goes, and all that stands before its content."""
        try:
            parts = urlsplit(request.url)
            host, tls = parts.hostname or "", parts.scheme == "https"
            host = host if host.isascii() else host.encode("idna").decode()
            usual = 443 if tls else 80
            port = parts.port or usual
        except (ValueError, UnicodeError):
            raise NotSent("its address is no web address") from None
        if not host or parts.scheme not in ("http", "https") or parts.username is not None:
            raise NotSent("its address is no web address, or holds a login")
        proxy = self._proxies.get(parts.scheme) or self._proxies.get("all")
        place = Place(tls, host, port, proxy if proxy and not proxy_bypass(host) else None)
        at = (f"[{host}]" if ":" in host else host) + ("" if port == usual else f":{port}")
        target = quote(parts.path or "/", SENDABLE) + ("?" if parts.query else "")
        target += quote(parts.query, SENDABLE)
        headers = {"Host": at, **request.headers}
        if request.content is not None or request.method in ("POST", "PUT", "PATCH"):
            headers["Content-Length"] = str(len(request.content or b""))
        if place.proxy and not tls:
            target = f"http://{at}{target}"
            headers |= _login(urlsplit(place.proxy))
        return place, _head(f"{request.method} {target}", headers)

    def _take(self, place: Place) -> socket.socket | None:
        while True:
            with self._lock:
                kept = self._idle.get(place)
                if not kept:
                    return None
                since, connection = kept.pop()
            if self._monotonic() - since < IDLE and _is_quiet(connection):
                return connection
            connection.close()

    def _pieces(self, place: Place, reading: _Reading, answer: _Answer) -> Generator[bytes]:
        whole = False
        try:
            with _in_our_words():
                while piece := answer.read1(PIECE):
                    yield piece
            if answer.length:
                raise Interrupted("the answer broke off")
            whole = not answer.will_close
        finally:
            answer.close()
            if whole and not reading.surplus:
                self._keep(place, reading.connection)
            else:
                reading.connection.close()

    def _keep(self, place: Place, connection: socket.socket) -> None:
        now = self._monotonic()
        old: list[socket.socket] = []
        with self._lock:
            self._idle.setdefault(place, []).append((now, connection))
            for where, kept in list(self._idle.items()):
                while kept and (now - kept[0][0] >= IDLE or len(kept) > MOST_IDLE):
                    old.append(kept.pop(0)[1])
                if not kept:
                    del self._idle[where]
        for one in old:
            one.close()


NETWORK = Network()
"""Shared by all."""


def _head(request: str, headers: Mapping[str, str]) -> bytes:
    lines = [f"{request} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    try:
        if not any(line.count("\n") or line.count("\r") or line.count("\0") for line in lines):
            return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
    except UnicodeError:
        pass
    raise NotSent("a header holds characters that cannot be sent")


def _login(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    words = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {b64encode(words.encode()).decode()}"}


def _connected(place: Place, timeouts: Timeouts) -> socket.socket:
    """A new connection. Raises NotSent."""
    host, port, proxy = place.host, place.port, urlsplit(place.proxy or "")
    made: socket.socket | None = None
    try:
        if place.proxy:
            if proxy.scheme != "http" or not proxy.hostname:
                raise NotSent("a proxy of the environment's is no http:// address")
            host, port = proxy.hostname, proxy.port or 80
        made = socket.create_connection((host, port), timeouts.connect)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if place.proxy and place.tls:
            at = f"[{place.host}]" if ":" in place.host else place.host
            at = f"{at}:{place.port}"
            _send(made, _head(f"CONNECT {at}", {"Host": at, **_login(proxy)}), timeouts.write)
            answer = _Reading(made, timeouts, time.monotonic).answer("CONNECT")
            if answer.status != 200:
                raise NotSent(f"the proxy answered {answer.status}")
            made.settimeout(timeouts.connect)
        return trust().wrap_socket(made, server_hostname=place.host) if place.tls else made
    except BaseException as error:
        if made is not None:
            made.close()
        if isinstance(error, (OSError, ValueError, UnicodeError, Interrupted)):
            raise NotSent(
                _why(error, f"no connection within {timeouts.connect:g} seconds")
            ) from None
        raise


def _send(connection: socket.socket, data: bytes, seconds: float) -> None:
    connection.settimeout(seconds)
    try:
        connection.sendall(data)
    except TimeoutError:
        raise Interrupted(f"it was not taken within {seconds:g} seconds") from None
    except OSError:
        pass  # it may have answered before it had read all: that answer tells more


class _Reading(io.RawIOBase):
    """What comes in on a connection: each wait for it is bounded, and all of them together."""

    def __init__(
        self, connection: socket.socket, timeouts: Timeouts, monotonic: Callable[[], float]
    ) -> None:
        self.connection = connection
        self.over = False
        """Nothing more is read: what is in the buffer stays."""
        self.surplus = False
        """More came than the answer: nobody knows what the next one would be about."""
        self._timeouts = timeouts
        self._monotonic = monotonic
        self._until = monotonic() + timeouts.answer

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        if self.over:
            return 0
        limits, left = self._timeouts, self._until - self._monotonic()
        whole = f"the answer was not complete after {limits.answer:g} seconds"
        if left <= 0:
            raise Interrupted(whole)
        self.connection.settimeout(min(limits.read, left))
        try:
            return self.connection.recv_into(buffer)
        except TimeoutError:
            silent = f"nothing came for {limits.read:g} seconds"
            raise Interrupted(silent if limits.read < left else whole) from None

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Where the standard library's answer reads from."""
        return _Buffer(self)

    def answer(self, method: str) -> _Answer:
        """An answer whose head has been read. Raises Interrupted."""
        answer = _Answer(cast(socket.socket, self), method)
        with _in_our_words():
            answer.begin()
        if answer.status < 200:
            raise Interrupted("what came is no answer")
        return answer


class _Answer(http.client.HTTPResponse):
    """The standard library's, which reads a body however it is sent, with a reader of its own for
    the head: to have it parsed as an e-mail's takes half of a call's time."""

    def __init__(self, connection: socket.socket, method: str) -> None:
        super().__init__(connection, method=method)
        self._bodiless = method == "HEAD"
        self.said: dict[str, str] = {}
        """Its headers, their names in lower case; of those that come twice the first."""

    def begin(self) -> None:
        version, self.status = self._first_line()
        while self.status == HTTPStatus.CONTINUE:
            self._lines()
            version, self.status = self._first_line()
        self.said = _named(self._lines())
        says = self.said.get("connection", "").lower()
        self.chunked = self.said.get("transfer-encoding", "").lower() == "chunked"
        self.chunk_left = None
        length = self.said.get("content-length", "")
        told = length.isdecimal() and len(length) < LONGEST_NUMBER and not self.chunked
        self.length = int(length) if told else None
        if self.status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED) or self._bodiless:
            self.length = 0
        kept = "close" not in says if version != "HTTP/1.0" else "keep-alive" in says
        # Where nothing says how long it is, it goes on until the connection is closed.
        self.will_close = not kept or (self.length is None and not self.chunked)

    def _first_line(self) -> tuple[str, int]:
        line = self._line()
        if not line:
            raise http.client.RemoteDisconnected("")
        version, status, *_ = [*line.split(None, 2), "", ""]
        if not version.startswith("HTTP/1.") or len(status) != 3 or not status.isdecimal():
            raise http.client.BadStatusLine(line)
        return version, int(status)

    def _lines(self) -> list[str]:
        lines: list[str] = []
        while line := self._line().rstrip("\r\n"):
            lines.append(line)
            if len(lines) > MOST_LINES:
                raise http.client.HTTPException
        return lines

    def _line(self) -> str:
        line = self.fp.readline(LONGEST_LINE + 1)
        if len(line) > LONGEST_LINE:
            raise http.client.LineTooLong("head")
        return line.decode("latin-1")


def _named(lines: Iterable[str]) -> dict[str, str]:
    """Headers by name. One may go on in the next line, behind a blank; a line that is none is left
    out."""
    said, last = dict[str, str](), ""
    for line in lines:
        if line[0] in " \t":
            if last:
                said[last] += " " + line.strip()
            continue
        name, colon, value = line.partition(":")
        last = name.strip().lower() if colon else ""
        if last in said:
            last = ""
        elif last:
            said[last] = value.strip()
    return said


class _Buffer(io.BufferedReader):
    def close(self) -> None:
        """Of the standard library's answer, at its end."""
        if not self.closed and isinstance(self.raw, _Reading):
            self.raw.over = True
            self.raw.surplus = bool(self.peek())
        super().close()


@contextmanager
def _in_our_words() -> Generator[None]:
    try:
        yield
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Interrupted(_why(error, "")) from None


def _why(error: BaseException, late: str) -> str:
    match error:
        case Interrupted():
            return str(error)
        case TimeoutError():
            return late
        case socket.gaierror():
            return "its name leads to no address"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not accepted: {error.verify_message}"
        case ssl.SSLError():
            return f"it does not speak TLS as we do ({error.reason})"
        case ConnectionRefusedError():
            return "it refuses connections"
        case http.client.RemoteDisconnected():
            return "it closed the connection without an answer"
        case http.client.IncompleteRead():
            return "the answer broke off"
        case OSError():
            return f"the connection broke off ({error.strerror or type(error).__name__})"
        case http.client.HTTPException():
            return "what came is not HTTP"
        case _:
            return "its address cannot be used"


def _is_quiet(connection: socket.socket) -> bool:
    """Whether the other side has neither closed it nor said anything unasked."""
    if isinstance(connection, ssl.SSLSocket) and connection.pending():
        return False
    connection.settimeout(0)
    try:
        socket.socket.recv(connection, 1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def unpacked(answer: Incoming) -> Generator[bytes]:
    """An answer's pieces, unpacked: at most PIECE bytes at a time, however much a small one
    holds."""
    packing = answer.headers.get("content-encoding", "identity").strip().lower()
    try:
        if packing in ("", "identity"):
            yield from answer.pieces
            return
        if packing not in ("gzip", "x-gzip", "deflate"):
            raise Undecodable("it is packed in a way that was not asked for")
        unpack, any_came = zlib.decompressobj(zlib.MAX_WBITS | 32), False
        for piece in answer.pieces:
            any_came = True
            while piece:
                yield unpack.decompress(piece, PIECE)
                piece = unpack.unconsumed_tail
        if any_came and not unpack.eof:
            raise Undecodable("its compression breaks off")
    except zlib.error:
        raise Undecodable("its compression is broken") from None
    finally:
        answer.pieces.close()
