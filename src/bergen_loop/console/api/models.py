"""What the API gives and takes. The examples stand in its description and its reference."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from bergen_loop.console.working import TEXT_LIMIT
from bergen_loop.domain.decision import NOTE_LIMIT
from bergen_loop.domain.returns import Stage
from bergen_loop.people.actions import LONGEST_ASSIGNEE, LONGEST_SNOOZE

WHOLE = 2**63 - 1
"""The greatest row id there can be."""
MOST_HOURS = LONGEST_SNOOZE // timedelta(hours=1)


class History(BaseModel):
    """A long pull that is under way: the first one, or one after days of downtime."""

    since: datetime
    until: datetime
    reached: datetime = Field(description="Everything Loop changed before is taken in")
    share: float = Field(ge=0, le=1, description="How much of it is done", examples=[0.25])
    seconds_left: float | None = Field(description="null: not known yet", examples=[90.5])


class Brand(BaseModel):
    """A brand's status."""

    brand: str = Field(examples=["acme"])
    name: str = Field(examples=["Acme Outdoor"])
    mode: Literal["live", "shadow", "paused"]
    attention: int = Field(description="Open items of the attention list", examples=[2])
    open_by_stage: dict[str, int] = Field(
        description="Returns that are not at their end", examples=[{"announced": 12, "flagged": 1}]
    )
    reached_today: dict[str, int] = Field(
        description="How many returns reached each of the seven moments today",
        examples=[{"submitted": 4, "seen": 4, "announced": 4, "received": 7}],
    )
    last_sync_at: datetime | None
    last_sync_ok: bool | None = Field(examples=[True])
    last_sync_error: str | None = Field(examples=[None])
    history: History | None = Field(
        description="While what Loop already has is being taken in; null: it is", examples=[None]
    )


class ReturnSummary(BaseModel):
    """A return as the list has it. Times are UTC, money is a decimal string."""

    model_config = ConfigDict(from_attributes=True)

    brand: str = Field(examples=["acme"])
    return_id: str = Field(description="Loop's", examples=["8214407"])
    order_name: str | None = Field(examples=["#1042"])
    stage: Stage = Field(examples=["received"])
    held: bool = Field(description="An item of the attention list holds it", examples=[False])
    loop_state: str = Field(examples=["open"])
    outcome: str | None = Field(examples=["refund"])
    total: str | None = Field(examples=["89.00"])
    currency: str | None = Field(examples=["USD"])
    customer_email: str | None = Field(examples=["jo@customers.example"])
    tracking_number: str | None = Field(examples=["1Z999AA10123456784"])
    submitted_at: datetime
    seen_at: datetime
    announced_at: datetime | None
    received_at: datetime | None
    decided_at: datetime | None = Field(examples=[None])
    settled_at: datetime | None = Field(examples=[None])
    rma_closed_at: datetime | None = Field(examples=[None])
    completed_at: datetime | None = Field(examples=[None])
    changed_at: datetime | None = Field(description="When any of this last changed")


_NEXT = "Give it as `after` for the next page; null: no more"
_WHOLE_UNTIL = (
    "On the last page of a list by `changed_since`: every change before this time is in its pages. "
    "Give it as the next `changed_since`"
)


class ReturnPage(BaseModel):
    """Some returns: the newest first, or, with `changed_since`, by when they changed."""

    returns: list[ReturnSummary]
    next: str | None = Field(description=_NEXT, examples=["1795608000000000-118"])
    changed_until: datetime | None = Field(description=_WHOLE_UNTIL, examples=[None])


class MomentReached(BaseModel):
    """One of the seven moments."""

    moment: int = Field(examples=[4])
    title: str = Field(examples=["Received by the warehouse"])
    at: datetime | None
    text: str = Field(examples=["ticket WHRTN1044588: 2 counted, 0 damaged"])


class StandsAt(BaseModel):
    """Why a return stands where it stands, and what comes next."""

    sentence: str = Field(
        description="All of it; times are local to console.time_zone",
        examples=["2 of 2 units were counted on Nov 24; it is processed with the next sync."],
    )
    what: str = Field(examples=["2 of 2 units were counted on Nov 24"])
    who: str = Field(description="Who acts next", examples=["bergen-loop"])
    next: str = Field(examples=["it is processed with the next sync"])
    until: datetime | None
    reply: str = Field(
        description="What support may write to the customer",
        examples=["Your return has arrived; the refund is on its way."],
    )


class ReturnDetail(BaseModel):
    """Everything about a return. What is listed is as the service keeps it, the oldest first;
    fields are added without notice."""

    brand: str = Field(examples=["acme"])
    summary: ReturnSummary
    why: StandsAt
    moments: list[MomentReached]
    lines: list[dict[str, Any]] = Field(
        description="Its units", examples=[[{"line_item_id": "51", "sku": "TEE-S"}]]
    )
    rmas: list[dict[str, Any]] = Field(examples=[[{"ticket_id": "WHRTN1044588"}]])
    receipts: list[dict[str, Any]] = Field(
        description="What the warehouse counted, each time that it was read",
        examples=[[{"content": {"lines": [{"sku": "TEE-S", "actual": 1, "damaged": 0}]}}]],
    )
    decisions: list[dict[str, Any]] = Field(
        examples=[[{"outcome": "process", "rule": "complete", "reason": "everything is there"}]]
    )
    effects: list[dict[str, Any]] = Field(
        description="Calls that change something outside",
        examples=[[{"kind": "process", "state": "done"}]],
    )
    attention: list[dict[str, Any]] = Field(description="Open items", examples=[[]])
    journal: list[dict[str, Any]] = Field(
        description="What happened, who did it, and why", examples=[[{"what": "received"}]]
    )


class Item(BaseModel):
    """An item of the attention list."""

    id: int = Field(examples=[71])
    brand: str = Field(examples=["acme"])
    return_id: str | None = Field(
        description="null: it is about something else of the brand", examples=["8214407"]
    )
    order_name: str | None = Field(examples=["#1042"])
    kind: str = Field(examples=["unknown_product"])
    reason: str = Field(examples=["REX11 does not know SKU TEE-S"])
    tried: str = Field(description="What the service has done about it", examples=[""])
    blocking: bool = Field(description="It holds the return", examples=[True])
    opened_at: datetime
    assignee: str | None = Field(description="Who has taken it on", examples=["mara"])
    snoozed_until: datetime | None = Field(description="Put off until then", examples=[None])
    resolved_at: datetime | None = Field(description="null: it is open", examples=[None])
    resolved_by: str | None = Field(examples=[None])
    resolution: str | None = Field(examples=[None])
    changed_at: datetime | None = Field(description="When any of this last changed")


class ItemPage(BaseModel):
    """Some items: the longest open first, or, with `changed_since`, by when they changed, those
    that were resolved among them."""

    items: list[Item]
    next: str | None = Field(description=_NEXT, examples=["1795608000000000-71"])
    changed_until: datetime | None = Field(description=_WHOLE_UNTIL, examples=[None])


class Why(BaseModel):
    """Why it is done; kept in the journal."""

    model_config = ConfigDict(extra="forbid")

    why: Annotated[str, StringConstraints(min_length=1, max_length=TEXT_LIMIT)] = Field(
        examples=["the product was added in REX11"]
    )


class Because(BaseModel):
    """Why it is done, where there is more to say."""

    model_config = ConfigDict(extra="forbid")

    why: Annotated[str, StringConstraints(max_length=TEXT_LIMIT)] = Field(
        default="", description="Kept in the journal", examples=["Mara knows the brand"]
    )


class TakenOn(Because):
    """Who takes an item on."""

    to: Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_ASSIGNEE)] | None = Field(
        description="The name that people have in the console; null: nobody", examples=["mara"]
    )


class PutOff(Because):
    """For how long an item is put off."""

    hours: int = Field(
        ge=0, le=MOST_HOURS, description="From now on; 0: it is put off no longer", examples=[24]
    )


class NoteText(BaseModel):
    """A note for the return in Loop."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, StringConstraints(min_length=1, max_length=NOTE_LIMIT)] = Field(
        examples=["Spoke to the customer: the second shirt follows"]
    )


class Done(BaseModel):
    """It was taken; the brand's next sync acts on it."""

    done: Literal[True] = True


TIME_EXAMPLE = "2026-11-24T12:00:00Z"
"""For every time in the examples."""
