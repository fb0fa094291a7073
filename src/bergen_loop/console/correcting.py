"""A person says what came, where a receipt is unclear; the criteria judge anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.datastructures import UploadFile

from bergen_loop.console.access import NOT_FOUND, Form, Permission, Person, needs
from bergen_loop.console.access import field as field_of
from bergen_loop.console.acting import return_path
from bergen_loop.console.forms import whole
from bergen_loop.console.limits import EVIDENCE
from bergen_loop.console.state import console_of
from bergen_loop.console.templating import page
from bergen_loop.console.working import changed_since, picture
from bergen_loop.ledger.codec import storable
from bergen_loop.ledger.read import listing
from bergen_loop.ledger.read.views import ReturnView
from bergen_loop.ledger.transaction import transaction
from bergen_loop.people import counts
from bergen_loop.people.actions import NotPossible
from bergen_loop.people.counts import MOST_UNITS, Evidence, Sheet, Stated, Statement
from bergen_loop.people.looking import view_of
from bergen_loop.text import shortened

router = APIRouter()

May = Depends(needs(Permission.ACT))

_KINDS = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"%PDF-", "application/pdf"),
)
"""What may be shown as evidence, by how such files begin."""


@dataclass(slots=True)
class Typed:
    """What somebody typed, and what is wrong with it, by field."""

    values: Mapping[str, str] = field(default_factory=dict[str, str])
    wrong: dict[str, str] = field(default_factory=dict[str, str])


@router.get("/returns/{brand}/{return_id}/correct", response_class=HTMLResponse)
def form_page(
    request: Request, brand: str, return_id: str, person: Person = May
) -> HTMLResponse:  # fmt: skip
    """What the warehouse says of each item, and what the person knows instead."""
    return _page(request, person, (brand, return_id), Typed())


@router.post("/returns/{brand}/{return_id}/correct", response_model=None)
def correct(
    request: Request, form: Form, brand: str, return_id: str, person: Person = May
) -> Response:  # fmt: skip
    """Keep it beside what was read, or show the form again with what is wrong."""
    upload = form.get("file")
    body = upload.file.read() if isinstance(upload, UploadFile) else b""
    name = upload.filename or "file" if isinstance(upload, UploadFile) else ""
    typed = Typed({k: v for k, v in form.multi_items() if isinstance(v, str)})
    file = _evidence(name, body, typed)
    console, now = console_of(request), datetime.now(UTC)
    try:
        with transaction(console.registry.ledger, brand, now, person.name) as tx:
            row = listing.one_return(tx.session, person.scope, brand, return_id, lock=True)
            if row is None:
                raise HTTPException(404, NOT_FOUND)
            if field_of(form, "seen") != picture(tx.session, row):
                raise NotPossible(changed_since(tx.session, row))
            view = view_of(tx.session, console.registry.settings, row)
            sheet = _sheet(view, whole(field_of(form, "receipt")))
            stated = _stated(sheet, typed)
            if not typed.values.get("evidence", "").strip():
                typed.wrong["evidence"] = "say from what you know it"
            if typed.wrong:
                raise NotPossible("look at what stands beside the fields")
            evidence = storable(typed.values["evidence"])
            statement = Statement(sheet.receipt, stated, evidence, file)
            counts.correct(tx, row, view.compared, statement)
    except NotPossible as error:
        return _page(request, person, (brand, return_id), typed, str(error))
    console.sync_soon(brand)
    return RedirectResponse(f"{return_path(brand, return_id)}?done=correct", 303)


def _page(
    request: Request, person: Person, which: tuple[str, str], typed: Typed, problem: str = ""
) -> HTMLResponse:
    registry = console_of(request).registry
    with registry.ledger.read() as session:
        row = listing.one_return(session, person.scope, *which)
        if row is None:
            raise HTTPException(404, NOT_FOUND)
        view = view_of(session, registry.settings, row)
        possible = counts.may_correct(row, view.compared)
        return page(
            request,
            "correct.html",
            422 if typed.wrong else 409 if problem else 200,
            row=row,
            view=view,
            sheets=counts.sheets(view.newest, view.compared) if possible else [],
            unclear=view.compared.unclear,
            typed=typed,
            problem=problem,
            seen=typed.values.get("seen") or picture(session, row),
            back=return_path(*which),
            longest=counts.LONGEST_EVIDENCE,
            most=MOST_UNITS,
        )


def _sheet(view: ReturnView, receipt: int | None) -> Sheet:
    found = counts.sheets(view.newest, view.compared)
    sheet = next((s for s in found if s.receipt == receipt), None)
    if sheet is None:
        raise NotPossible("the warehouse has counted again since: look at what it says now")
    return sheet


def _stated(sheet: Sheet, typed: Typed) -> tuple[Stated, ...]:
    return tuple(
        Stated(_product(sheet, n, typed), _units(n, "counted", typed), _units(n, "damaged", typed))
        for n in range(len(sheet.entries))
    )


def _product(sheet: Sheet, number: int, typed: Typed) -> str:
    name = f"product-{number}"
    value = typed.values.get(name, sheet.entries[number].product)
    if value not in {v for v, _ in sheet.entries[number].choices}:
        typed.wrong[name] = "say which product it is"
    return value


def _units(number: int, what: str, typed: Typed) -> int:
    name = f"{what}-{number}"
    text = typed.values.get(name, "").strip()
    units = whole(text)
    if units is None or units > MOST_UNITS:
        typed.wrong[name] = f"a whole number from 0 to {MOST_UNITS} is needed"
        return 0
    return units


def _evidence(name: str, body: bytes, typed: Typed) -> Evidence | None:
    if not body:
        return None
    if len(body) > EVIDENCE:
        typed.wrong["file"] = f"it is larger than {EVIDENCE // 1024 // 1024} MB"
        return None
    kind = _kind(body)
    if kind is None:
        typed.wrong["file"] = "a photo (JPEG, PNG, WebP) or a PDF is taken"
        return None
    return Evidence(shortened(storable(name), 100), kind, body)


def _kind(body: bytes) -> str | None:
    if body[:4] == b"RIFF" and body[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for begins, kind in _KINDS if body.startswith(begins)), None)
