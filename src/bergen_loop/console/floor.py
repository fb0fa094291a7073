"""The floor page of the embedded warehouse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, cast
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse

from bergen_loop.config import BrandSettings
from bergen_loop.console.access import Form, Permission, Person, field, needs
from bergen_loop.console.forms import RowId
from bergen_loop.console.photos import picture
from bergen_loop.console.security import CSP, PERMISSIONS
from bergen_loop.console.state import console_of
from bergen_loop.outside.warehouse.floor.backend import FloorRefused
from bergen_loop.outside.warehouse.floor.embedded import EmbeddedFloor

FILES = {
    "floor.js": "text/javascript",
    "sw.js": "text/javascript",
    "floor.css": "text/css",
    "barcodes.js": "text/javascript",
    "zxing_reader.wasm": "application/wasm",
}

router = APIRouter(prefix="/floor")

Worker = Annotated[Person, Depends(needs(Permission.COUNT))]
_folder = Path(__file__).parent / "floor_page"
"""Nothing but files: the sandbox serves the very same ones."""


@router.get("")
def without_slash() -> RedirectResponse:
    """Its files are named relative to the folder."""
    return RedirectResponse("/floor/", 308)


@router.get("/")
def page(request: Request, worker: Worker) -> FileResponse:
    """The page itself: it may use the camera, and show pictures of the brands' products."""
    hosts = {f"https://{urlsplit(one).netloc}" for one in _pictures(request, worker).values()}
    policy = CSP.replace("img-src", f"img-src {' '.join(sorted(hosts))}")
    headers = {
        # Its reader of barcodes is compiled, which is less than what scripts may do anyway.
        "content-security-policy": policy.replace("'self'", "'self' 'wasm-unsafe-eval'", 1),
        "permissions-policy": PERMISSIONS.replace("camera=()", "camera=(self)"),
    }
    return FileResponse(_folder / "index.html", media_type="text/html", headers=headers)


@router.get("/api/me")
def me(worker: Worker) -> JSONResponse:
    """Who counts, and what their countings have to carry."""
    return JSONResponse({"who": worker.name, "csrf": worker.csrf})


@router.get("/api/find")
def find(request: Request, worker: Worker, code: str) -> JSONResponse:
    """Tickets for what was scanned: {"tickets": [ticket]}."""
    return JSONResponse({"tickets": _floor(request, worker).find(code[:200])})


@router.get("/api/expected")
def expected(request: Request, worker: Worker) -> JSONResponse:
    """What is to come: {"tickets": [ticket]}."""
    return JSONResponse({"tickets": _floor(request, worker).expected()})


@router.post("/api/count")
def count(request: Request, worker: Worker, form: Form) -> JSONResponse:
    """Take a counting, in the form's field `counting`. 404, 409, 422: {"error": sentence}."""
    try:
        value: Any = json.loads(field(form, "counting"))
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        return JSONResponse({"error": "the counting is no JSON object"}, 422)
    try:
        taken = _floor(request, worker).count(cast("dict[str, Any]", value), worker.name)
    except FloorRefused as error:
        return JSONResponse({"error": error.message}, error.status)
    brand = taken["ticket"]["brand"]
    if taken["ticket"]["finished"] and not taken["repeated"]:
        console_of(request).sync_soon(brand)
    return JSONResponse(taken)


@router.get("/api/photos/{photo_id}")
def photo(request: Request, worker: Worker, photo_id: RowId) -> Response:
    """A photo of damage."""
    found = _floor(request, worker).photo(photo_id)
    if found is None:
        raise HTTPException(404, "there is no such photo")
    return picture(*found)


@router.get("/{name}")
def file(name: str) -> FileResponse:
    """The page's scripts and style."""
    if name not in FILES:
        raise HTTPException(404, "there is nothing here")
    return FileResponse(_folder / name, media_type=FILES[name])


def _floor(request: Request, worker: Worker) -> EmbeddedFloor:
    ledger, pictures = console_of(request).registry.ledger, _pictures(request, worker)
    return EmbeddedFloor(ledger, list(_brands(request, worker)), pictures=pictures)


def _brands(request: Request, worker: Worker) -> dict[str, BrandSettings]:
    every = console_of(request).registry.settings.brands.items()
    return {b: s for b, s in every if s.warehouse == "embedded" and b in worker.scope}


def _pictures(request: Request, worker: Worker) -> dict[str, str]:
    """By brand, where the pictures of its products are."""
    brands = _brands(request, worker).items()
    return {b: s.product_pictures for b, s in brands if s.product_pictures}
