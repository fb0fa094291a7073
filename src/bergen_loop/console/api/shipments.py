"""The calls of the API about consolidated shipments and claims, beside the others."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import HTTPException, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from bergen_loop.console.access import NOT_FOUND, Holder
from bergen_loop.console.api.models import WHOLE
from bergen_loop.console.api.routes import Asked, BrandPath, Limit, router
from bergen_loop.console.state import console_of
from bergen_loop.domain.shipment import Differs, ShipmentStage
from bergen_loop.ledger.read import shipments
from bergen_loop.ledger.read.listing import Slice
from bergen_loop.ledger.tables.shipments import ClaimRow

__all__ = ["router"]


class ShipmentSummary(BaseModel):
    """A consolidated shipment of box-free returns. Times are UTC."""

    model_config = ConfigDict(from_attributes=True)

    brand: str
    happy_id: str = Field(description="Happy Returns' id")
    loop_id: str | None
    stage: ShipmentStage
    problem: str | None
    shipped_at: datetime | None
    announced_at: datetime | None
    arrived_at: datetime | None
    counted_at: datetime | None
    returns: int
    bags: int
    boxes: int
    expected: int = Field(description="Units")
    counted: int
    missing: int
    damaged: int
    surplus: int = Field(description="More than expected, or not expected at all")


class ShipmentPage(BaseModel):
    """Some shipments, the newest first."""

    shipments: list[ShipmentSummary]
    next: int | None = Field(description="`before` of the next page; null: there is none")


class ShipmentBag(BaseModel):
    """A bag, or several that one return is split over."""

    barcodes: list[str]
    return_ids: list[str]
    boxes: list[str]
    skus: list[str | None] = Field(description="One for each unit that was to come")
    missing: bool = Field(description="Nothing of it has come, and is not waited for any more")


class ShipmentRma(BaseModel):
    """A ticket of a shipment."""

    model_config = ConfigDict(from_attributes=True)

    customer_po: str
    ticket_id: str | None
    box: str | None
    part: int
    ticket_status: str | None


class Claim(BaseModel):
    """A difference that was found after the customer had been paid. Money is a decimal string."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    brand: str
    shipment: str
    kind: Differs
    state: Literal["open", "withdrawn", "closed"]
    units: int
    sku: str | None
    upc: str | None
    title: str | None
    bags: list[str]
    return_id: str | None = Field(description="null: it cannot be told whose it is")
    order_name: str | None
    value: str | None = Field(description="At least so much")
    currency: str | None
    hint: str | None
    opened_at: datetime
    closed_at: datetime | None
    closed_by: str | None
    why: str | None


class ClaimPage(BaseModel):
    """Some claims, the newest first."""

    claims: list[Claim]
    next: int | None = Field(description="`before` of the next page; null: there is none")


class ShipmentDetail(ShipmentSummary):
    """A shipment with its tickets, bags and claims."""

    rmas: list[ShipmentRma]
    contents: list[ShipmentBag]
    claims: list[Claim]


Before = Annotated[int | None, Query(ge=1, le=WHOLE, description="`next` of a page")]


@router.get("/shipments", tags=["shipments"])
def list_shipments(
    request: Request,
    scope: Asked,
    stage: ShipmentStage | None = None,
    before: Before = None,
    limit: Limit = 100,
) -> ShipmentPage:
    """Shipments, the newest first."""
    with console_of(request).registry.ledger.read() as session:
        found = shipments.shipments(session, scope, stage=stage, before=before, limit=limit)
    rows = [ShipmentSummary.model_validate(row) for row in found.rows]
    return ShipmentPage(shipments=rows, next=found.rows[-1].id if found.more else None)


@router.get("/shipments/{brand}/{shipment}", tags=["shipments"])
def shipment(
    request: Request,
    person: Holder,
    brand: BrandPath,
    shipment: Annotated[str, Path(max_length=200)],
) -> ShipmentDetail:
    """One shipment, with its tickets, bags and claims."""
    with console_of(request).registry.ledger.read() as session:
        row = shipments.one_shipment(session, person.scope, brand, shipment)
        if row is None:
            raise HTTPException(404, NOT_FOUND)
        view = shipments.view(session, row)
    summary = ShipmentSummary.model_validate(row).model_dump()
    return ShipmentDetail(
        **summary,
        rmas=[ShipmentRma.model_validate(rma) for rma in view.rmas],
        contents=[
            ShipmentBag(
                barcodes=list(bag.barcodes),
                return_ids=list(bag.return_ids),
                boxes=list(bag.boxes),
                skus=[u.line.sku for u in bag.units],
                missing=bag.missing,
            )
            for bag in view.bags
        ],
        claims=[_claim(c, row.happy_id) for c in view.claims],
    )


@router.get("/claims", tags=["shipments"])
def list_claims(
    request: Request,
    scope: Asked,
    state: Literal["open", "withdrawn", "closed"] | None = None,
    kind: Differs | None = None,
    before: Before = None,
    limit: Limit = 100,
) -> ClaimPage:
    """Claims, the newest first."""
    with console_of(request).registry.ledger.read() as session:
        found = shipments.claims(session, scope, state=state, kind=kind, part=Slice(limit, before))
        names = shipments.shipment_ids(session, found.rows)
    rows = [_claim(c, names[c.shipment_pk]) for c in found.rows]
    return ClaimPage(claims=rows, next=rows[-1].id if found.more else None)


def _claim(row: ClaimRow, happy_id: str) -> Claim:
    values = {name: getattr(row, name) for name in Claim.model_fields if name != "shipment"}
    return Claim.model_validate({**values, "shipment": happy_id})
