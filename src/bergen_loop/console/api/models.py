"""What the API gives and takes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from bergen_loop.console.working import TEXT_LIMIT
from bergen_loop.domain.decision import NOTE_LIMIT
from bergen_loop.domain.lifecycle import Stage

WHOLE = 2**63 - 1
"""The greatest row id there can be."""


class Problem(BaseModel):
    """Why a call was refused, in words."""

    detail: str


class History(BaseModel):
    """A long pull that is under way: the first one, or one after days of downtime."""

    since: datetime
    until: datetime
    reached: datetime = Field(description="Everything Loop changed before is taken in")
    share: float = Field(ge=0, le=1, description="How much of it is done")
    seconds_left: float | None = Field(description="null: not known yet")


class Brand(BaseModel):
    """A brand's status."""

    brand: str
    name: str
    mode: Literal["live", "shadow", "paused"]
    attention: int = Field(description="Open items of the attention list")
    open_by_stage: dict[str, int] = Field(description="Returns that are not at their end")
    reached_today: dict[str, int] = Field(
        description="How many returns reached each of the seven moments today"
    )
    last_sync_at: datetime | None
    last_sync_ok: bool | None
    last_sync_error: str | None
    history: History | None = Field(
        description="While what Loop already has is being taken in; null: it is"
    )


class ReturnSummary(BaseModel):
    """A return as the list has it. Times are UTC, money is a decimal string."""

    model_config = ConfigDict(from_attributes=True)

    brand: str
    return_id: str
    order_name: str | None
    stage: Stage
    held: bool = Field(description="An item of the attention list holds it")
    loop_state: str
    outcome: str | None
    total: str | None
    currency: str | None
    customer_email: str | None
    tracking_number: str | None
    submitted_at: datetime
    seen_at: datetime
    announced_at: datetime | None
    received_at: datetime | None
    decided_at: datetime | None
    settled_at: datetime | None
    rma_closed_at: datetime | None
    completed_at: datetime | None


class ReturnPage(BaseModel):
    """Some returns, the newest first."""

    returns: list[ReturnSummary]
    next: str | None = Field(description="Give it as `after` for the next page; null: no more")


class MomentReached(BaseModel):
    """One of the seven moments."""

    moment: int
    title: str
    at: datetime | None
    text: str


class StandsAt(BaseModel):
    """Why a return stands where it stands, and what comes next."""

    sentence: str = Field(description="All of it; times are local to console.time_zone")
    what: str
    who: str = Field(description="Who acts next")
    next: str
    until: datetime | None
    reply: str = Field(description="What support may write to the customer")


class ReturnDetail(BaseModel):
    """Everything about a return."""

    brand: str
    summary: ReturnSummary
    why: StandsAt
    moments: list[MomentReached]
    lines: list[dict[str, Any]]
    rmas: list[dict[str, Any]]
    receipts: list[dict[str, Any]]
    decisions: list[dict[str, Any]]
    effects: list[dict[str, Any]]
    attention: list[dict[str, Any]]
    journal: list[dict[str, Any]]


class Item(BaseModel):
    """An item of the attention list."""

    id: int
    brand: str
    return_id: str | None
    order_name: str | None
    kind: str
    reason: str
    tried: str
    blocking: bool
    opened_at: datetime


class ItemPage(BaseModel):
    """Some items, the longest open first."""

    items: list[Item]
    next: int | None = Field(description="Give it as `after` for the next page; null: no more")


class Why(BaseModel):
    """Why it is done; kept in the journal."""

    model_config = ConfigDict(extra="forbid")

    why: Annotated[str, StringConstraints(min_length=1, max_length=TEXT_LIMIT)]


class NoteText(BaseModel):
    """A note for the return in Loop."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, StringConstraints(min_length=1, max_length=NOTE_LIMIT)]


class Done(BaseModel):
    """It was taken; the brand's next sync acts on it."""

    done: Literal[True] = True
