"""Every route that the app answers, found in the app itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from starlette.routing import BaseRoute
from web_support import Desk

VALUES = {
    "return_id": "107",
    "shipment": "HRS1",
    "action": "note",
    "to": "shadow",
    "number": "1",
    "item_id": "1",
    "photo_id": "1",
    "kind": "calls",
    "what": "skus",
    "address": "x" * 43,
    "name": "floor.css",
    "step": "loop",
    "version": "1",
}


def routes(desk: Desk) -> Iterator[tuple[str, str, Any]]:
    """(method, path, route) of everything the app answers."""

    def walk(found: list[BaseRoute], prefix: str = "") -> Iterator[tuple[str, str, Any]]:
        for route in found:
            path = prefix + getattr(route, "path", "")
            if path.startswith("/static"):
                continue
            if hasattr(route, "methods"):
                for method in getattr(route, "methods") or ():  # noqa: B009
                    if method != "HEAD":
                        yield method, path, route
            else:
                yield from walk(inner_routes(route), prefix)

    return walk(desk.app.routes)


def inner_routes(route: BaseRoute) -> list[BaseRoute]:
    found: Any = getattr(route, "effective_route_contexts", None) or getattr(route, "routes", None)
    assert found is not None, f"a route that is not understood: {route!r}"
    inner: Any = found() if callable(found) else found
    return list(inner)


def address(path: str, brand: str) -> str:
    filled = path.replace("{brand}", brand)
    for name, value in VALUES.items():
        filled = filled.replace("{" + name + "}", value)
    assert "{" not in filled, f"give a value for {filled}"
    return filled


def known(desk: Desk) -> list[tuple[str, str]]:
    found = sorted({(m, p) for m, p, _ in routes(desk)})
    assert len(found) > 40
    return found
