"""From the clients straight into the sandbox, with its faults acted out: the same requests and
answers as over a socket, a hundred times faster, and nothing in it depends on timing."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx2

from loop_sandbox.dispatch import Outgoing, handle_loop, handle_rex11
from loop_sandbox.wire import WireRequest
from loop_sandbox.world import SandboxWorld

Point = Callable[[str], None]
ROOT = "http://127.0.0.1:1"


class DirectTransport(httpx2.BaseTransport):
    """An HTTP transport whose other end is a `SandboxWorld`. `point` is called before a call
    has any effect and after it has had it: both are moments at which the caller may die."""

    def __init__(self, world: SandboxWorld, point: Point, unreachable: set[str]) -> None:
        """`unreachable`: names of the calls (see `_name`) that find no connection now."""
        self._world = world
        self._point = point
        self._unreachable = unreachable

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        url = request.url
        loop = url.path.startswith("/loop/")
        wire = WireRequest(
            method=request.method,
            path=url.path.removeprefix("/loop" if loop else "/rex11"),
            query=dict(url.params),
            headers={k.lower(): v for k, v in request.headers.items()},
            body=request.read(),
            root=ROOT,
        )
        name = _name(wire, loop)
        if name in self._unreachable:
            raise httpx2.ConnectError("connection refused", request=request)
        self._point(f"before {name}")
        out = (handle_loop if loop else handle_rex11)(self._world, wire)
        self._point(f"after {name}")
        return _response(out, request)


def _name(wire: WireRequest, loop: bool) -> str:
    if loop:
        parts = wire.parts()
        return f"{wire.method} {parts[-1] if parts else ''}"
    return wire.headers.get("soapaction", "").strip('"').rpartition("/")[2]


def _response(out: Outgoing, request: httpx2.Request) -> httpx2.Response:
    if out.drop and out.sent == 0:
        kind = httpx2.ReadTimeout if out.hang > 0 else httpx2.RemoteProtocolError
        raise kind("the sandbox gave no answer", request=request)
    headers = {"content-type": out.answer.content_type, **out.answer.headers}
    return httpx2.Response(
        out.answer.status, headers=headers, stream=_Body(out, request), request=request
    )


class _Body(httpx2.SyncByteStream):
    """The body, broken off where the fault says."""

    def __init__(self, out: Outgoing, request: httpx2.Request) -> None:
        self._out = out
        self._request = request

    def __iter__(self) -> Iterator[bytes]:
        body = self._out.answer.body
        yield body if self._out.sent is None else body[: self._out.sent]
        if self._out.drop:
            raise httpx2.ReadError("connection reset", request=self._request)
