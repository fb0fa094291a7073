"""A counting as the page sends it, checked."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from bergen_loop.outside.warehouse.floor.backend import FloorRefused, Json

Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)]
MOST_UNITS = 10_000
MOST_PHOTO = 3 * 1024 * 1024
"""Characters of one photo, as text."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Line(_Part):
    """Units of one product. At least one of `upc` and `sku`."""

    upc: Text | None = None
    sku: Text | None = None
    counted: Annotated[int, Field(ge=0, le=MOST_UNITS, strict=True)]
    """Good units."""
    damaged: Annotated[int, Field(ge=0, le=MOST_UNITS, strict=True)] = 0
    reasons: Annotated[list[Text], Field(max_length=100)] = Field(default_factory=list[str])
    """Of the damage; one per unit, or fewer."""


class Photo(_Part):
    """A picture of damage."""

    code: Text
    data: Annotated[
        str, Field(max_length=MOST_PHOTO, pattern=r"^data:image/(jpeg|png|webp);base64,")
    ]


class Reopen(StrEnum):
    """Why an RMA that is finished is counted again."""

    MORE = "more"
    """Another parcel of it has come."""
    ANEW = "anew"
    """What was counted is wrong: this is all of it."""


class Counting(_Part):
    """What a worker found in a parcel, or in a part of it."""

    key: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{16,64}$")]
    brand: Text
    ticket: Text
    finish: bool
    bag: Text | None = None
    """Barcode of the bag of a consolidated shipment that it is a counting of."""
    reopen: Reopen | None = None
    """Where the worker has seen that the RMA is finished, and wants it counted all the same."""
    lines: Annotated[list[Line], Field(max_length=500)]
    photos: Annotated[list[Photo], Field(max_length=20)] = Field(default_factory=list[Photo])


def parse(value: Json) -> Counting:
    """The counting. FloorRefused, saying where, for one that is not right."""
    try:
        counting = Counting.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise FloorRefused(f"the counting is not right at {where}: {first['msg']}") from None
    for line in counting.lines:
        if not (line.upc or line.sku):
            raise FloorRefused("the counting is not right: a line has neither UPC nor SKU")
    return counting
