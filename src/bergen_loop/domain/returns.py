"""A customer's return: as Loop shows it, in this project's own terms; and where it stands, and how
what Loop shows moves it. Pure, and total: every stage has an answer for every state.

The seven moments are what people see; stages are the finer steps the flows work by.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import IntEnum, StrEnum

from bergen_loop.domain.codes import normal_word, tracking_numbers
from bergen_loop.domain.words import PAYING


class LoopState(StrEnum):
    """The five states Loop gives a return; `review` is what a flag leads to."""

    OPEN = "open"
    CLOSED = "closed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REVIEW = "review"


PROCESSING_FAILED = "return.processing.failed"
"""What Loop's webhook is triggered by that tells what no list shows."""
PROCESSING = "processing"
"""What Loop calls a return, where it refuses a call since another one is at work on it."""
DEFAULT_OUTCOME = "default"
"""Of a unit: the whole return's outcome is its own."""


@dataclass(frozen=True, slots=True)
class Label:
    """The shipping label of a return. It often comes later than the return itself."""

    carrier: str | None = None
    tracking_number: str | None = None
    status: str | None = None
    """new, pre_transit, in_transit, out_for_delivery, delivered, pending, error or failure;
    others pass through. None where Loop says none, or `N/A`."""
    url: str | None = None
    updated_at: datetime | None = None
    line_item_ids: tuple[str, ...] = ()
    """Which units travel with it, where Loop says so (`labels[]`)."""


@dataclass(frozen=True, slots=True)
class ReturnLine:
    """One unit a customer sends back (Loop lists each unit as a line of its own)."""

    line_item_id: str
    sku: str | None = None
    barcode: str | None = None
    """The UPC/EAN, as the shop has it."""
    title: str | None = None
    variant_title: str | None = None
    """`Small / Navy`: the shop's option values, in the shop's order."""
    price: Decimal | None = None
    discount: Decimal | None = None
    tax: Decimal | None = None
    refund: Decimal | None = None
    exchange_variant: str | None = None
    """What it is exchanged for; None: nothing."""
    outcome: str | None = None
    """What the customer gets for this unit: refund, credit, exchange, gift, keep, donate ..., or
    `DEFAULT_OUTCOME`; see `Return.outcome_of`."""
    reason: str | None = None
    parent_reason: str | None = None
    comment: str | None = None
    product_id: str | None = None
    variant_id: str | None = None
    provider_line_item_id: str | None = None
    returned_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ReturnTotals:
    """Money of a return, in `Return.currency`. None means Loop did not say."""

    total: Decimal | None = None
    return_total: Decimal | None = None
    product_total: Decimal | None = None
    credit_total: Decimal | None = None
    exchange_total: Decimal | None = None
    refund: Decimal | None = None
    gift_card: Decimal | None = None
    handling_fee: Decimal | None = None
    upsell: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Return:
    """A return as last seen in Loop. All times are UTC."""

    id: str
    state: LoopState
    created_at: datetime
    updated_at: datetime
    edited_at: datetime | None = None
    outcome: str | None = None
    order_id: str | None = None
    order_name: str | None = None
    order_number: str | None = None
    customer_email: str | None = None
    country_code: str | None = None
    currency: str | None = None
    totals: ReturnTotals = field(default_factory=ReturnTotals)
    lines: tuple[ReturnLine, ...] = ()
    label: Label = field(default_factory=Label)
    """The first label, or the one Loop shows at the return itself."""
    labels: tuple[Label, ...] = ()
    """All labels, where Loop shows them (`labels[]`)."""
    destination_id: str | None = None
    return_method: str | None = None
    """Who carries it (`provider`); Loop gives a string, an object or null: this is its name."""
    method_type: str | None = None
    """How it is handed over (mail, dropoff, in_store ...); Loop has no list of these values."""
    doubts: tuple[str, ...] = ()
    """What of Loop's answer could not be relied on, in words: while there are any, nothing is
    announced or paid on it."""
    package_reference: str | None = None
    status_page_url: str | None = None

    def outcome_of(self, line: ReturnLine) -> str | None:
        """What the customer gets for a unit: its own outcome, else the whole return's."""
        own = line.outcome
        return self.outcome if own and own.strip().casefold() == DEFAULT_OUTCOME else own

    def is_box_free(self, methods: frozenset[str]) -> bool:
        """Whether it was handed over at a return bar: its goods come in a consolidated shipment.
        `methods`: normal words for who carries such returns. A bag's barcode tells it too, where
        nothing is said of the method, unless the return has a label: then a parcel comes."""
        if self.return_method:
            return normal_word(self.return_method) in methods
        labels = (self.label, *self.labels)
        labelled = any(tracking_numbers(label.tracking_number) for label in labels)
        return bool(methods and self.package_reference and not labelled)

    def worth_key(self) -> list[list[str | None]]:
        """What would be given for which product of which unit: what a person who decides by hand
        has seen."""
        return [
            [
                x.line_item_id,
                x.sku,
                x.barcode,
                self.outcome_of(x),
                x.exchange_variant,
                *(
                    None if amount is None else f"{amount.normalize():f}"
                    for amount in (x.price, x.discount, x.tax, x.refund)
                ),
            ]
            for x in sorted(self.lines, key=lambda x: x.line_item_id)
        ]

    def lines_key(self) -> tuple[tuple[str, str | None, str | None], ...]:
        """Identity of the units: changes when the return is edited, not when a label moves."""
        return tuple(sorted((x.line_item_id, x.sku, x.barcode) for x in self.lines))


# -- where it stands, and how what Loop shows moves it -----------------------------------------


class Moment(IntEnum):
    """The seven moments of a return."""

    SUBMITTED = 1
    SEEN = 2
    ANNOUNCED = 3
    RECEIVED = 4
    DECIDED = 5
    RMA_CLOSED = 6
    COMPLETE = 7

    @property
    def title(self) -> str:
        return _TITLES[self]


_TITLES = {
    Moment.SUBMITTED: "Submitted in Loop",
    Moment.SEEN: "Seen by bergen-loop",
    Moment.ANNOUNCED: "RMA created in Bergen",
    Moment.RECEIVED: "Received by the warehouse",
    Moment.DECIDED: "Processed or flagged in Loop",
    Moment.RMA_CLOSED: "RMA closed in Bergen",
    Moment.COMPLETE: "Return complete",
}


class Stage(StrEnum):
    """What has to happen next with a return."""

    SEEN = "seen"
    """In the ledger; an RMA is to be made (perhaps after its label or a product import)."""
    NO_PARCEL = "no_parcel"
    """Nothing will be sent back (keep item, donate): no RMA, waits for Loop to close it."""
    ANNOUNCED = "announced"
    """The RMA exists; the parcel is awaited."""
    RECEIVED = "received"
    """There is an item receipt to judge."""
    WAITING = "waiting"
    """Judged: wait until a time (a second parcel), then judge again."""
    SETTLING = "settling"
    """Decided; the calls to Loop are under way or in doubt."""
    CONFIRMING = "confirming"
    """Loop took the process call; it has not yet shown the return closed."""
    FLAGGED = "flagged"
    """Flagged in Loop: a person of the brand decides there."""
    CLOSING = "closing"
    """Closed in Loop; the RMA is not yet closed in Bergen."""
    COMPLETE = "complete"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    IGNORED = "ignored"
    """Not this connection's business: other destination, or older than its start."""

    @property
    def terminal(self) -> bool:
        return self in (Stage.COMPLETE, Stage.CANCELLED, Stage.EXPIRED, Stage.IGNORED)


WORKING = (
    Stage.SEEN,
    Stage.RECEIVED,
    Stage.WAITING,
    Stage.SETTLING,
    Stage.CONFIRMING,
    Stage.CLOSING,
)
"""Something is ours to do, at a time: few returns at any moment, however many there are."""

ENDED = tuple(stage for stage in Stage if stage.terminal)
GOING_ON = tuple(stage for stage in Stage if not stage.terminal)
ELSEWHERE = tuple(stage for stage in GOING_ON if stage not in WORKING)
"""Others have to act: the warehouse, the customer, people of the brand."""
UNDECIDED = (Stage.SEEN, Stage.NO_PARCEL, Stage.ANNOUNCED, Stage.RECEIVED, Stage.WAITING)
"""A receipt that comes now is judged."""
TO_JUDGE = (Stage.RECEIVED, Stage.WAITING)
"""There is a receipt, and no decision that ends the judging."""
BY_HAND = (*TO_JUDGE, Stage.ANNOUNCED)
"""A person may decide it, also before its parcel has come."""
SHOWN_CLOSED = (Stage.CLOSING, Stage.COMPLETE)
TAKEN = (Stage.CONFIRMING, *SHOWN_CLOSED)
"""Loop has taken our call, or shows the return closed."""
SETTLED = (Stage.FLAGGED, *TAKEN)
"""It has been decided, by us or by others."""
OFF = (Stage.CANCELLED, Stage.EXPIRED)
"""Loop may open it again."""

STAGE_MOMENT: dict[Stage, Moment] = {
    Stage.SEEN: Moment.SEEN,
    Stage.NO_PARCEL: Moment.SEEN,
    Stage.ANNOUNCED: Moment.ANNOUNCED,
    Stage.RECEIVED: Moment.RECEIVED,
    Stage.WAITING: Moment.RECEIVED,
    Stage.SETTLING: Moment.RECEIVED,
    Stage.CONFIRMING: Moment.DECIDED,
    Stage.FLAGGED: Moment.DECIDED,
    Stage.CLOSING: Moment.DECIDED,
    Stage.COMPLETE: Moment.COMPLETE,
    Stage.CANCELLED: Moment.SEEN,
    Stage.EXPIRED: Moment.SEEN,
    Stage.IGNORED: Moment.SEEN,
}


@dataclass(frozen=True, slots=True)
class Standing:
    """What the ledger knows of a return, as far as a state of Loop's can change it."""

    stage: Stage
    has_rma: bool
    has_receipt: bool
    settled_by_us: str | None
    """Kind of our settling effect (process, flag, remove_lines), whatever its outcome."""
    rma_in_flight: bool = False
    """A ticket call is intended or in doubt: its answer is awaited before the stage moves."""
    rma_cancelled: bool = False
    """The warehouse has cancelled every ticket, or the only one of a unit: none will receive it."""


@dataclass(frozen=True, slots=True)
class Move:
    """What follows from a state seen in Loop. `stage` None means: stays where it is."""

    stage: Stage | None = None
    why: str = ""
    attention: str | None = None
    """A conflict that needs a person, in words."""


STAY = Move()


def follow_loop(standing: Standing, state: LoopState) -> Move:
    """How a state that Loop shows moves the return."""
    if standing.stage is Stage.IGNORED:
        return STAY
    return _FOLLOW[state](standing)


def _closed(s: Standing) -> Move:
    if s.stage in SHOWN_CLOSED:
        return STAY
    ours = s.settled_by_us in PAYING
    why = (
        "Loop shows the return closed after our call"
        if ours
        else "closed in Loop by someone else; we do not process it"
    )
    if not s.has_rma:
        if s.rma_in_flight:
            return STAY
        return Move(Stage.COMPLETE, "closed in Loop; there was no RMA to close")
    return Move(Stage.CLOSING, why)


def _cancelled(s: Standing) -> Move:
    if s.stage is Stage.CANCELLED:
        return STAY
    if s.stage in TAKEN:
        return Move(
            Stage.CANCELLED,
            "cancelled in Loop",
            attention="Loop shows the return cancelled after it had been processed or closed",
        )
    if s.has_receipt and s.stage is not Stage.FLAGGED:
        return Move(
            Stage.CANCELLED,
            "cancelled in Loop",
            attention="the return was cancelled in Loop, but its parcel has arrived in Bergen: "
            "decide in Loop what becomes of the goods",
        )
    left = "; its ticket stays in REX11, which has no cancel call" if s.has_rma else ""
    return Move(Stage.CANCELLED, f"cancelled in Loop{left}")


_EXPIRED_PAID = (
    "Loop showed it closed after our call, and now expired: what was settled is never settled "
    "again by us; look in Loop whether the customer has been given what is due"
)


def _expired(s: Standing) -> Move:
    if s.stage in SHOWN_CLOSED and s.settled_by_us in PAYING:
        return Move(None, "expired in Loop", attention=_EXPIRED_PAID)
    if s.stage in (Stage.EXPIRED, *SHOWN_CLOSED):
        return STAY
    if s.has_receipt:
        return Move(
            None,
            "expired in Loop",
            attention="the return expired in Loop, but its parcel has arrived in Bergen: decide in "
            "Loop what becomes of the goods",
        )
    return Move(Stage.EXPIRED, "expired in Loop; it goes on if Loop opens it again")


def _review(s: Standing) -> Move:
    if s.settled_by_us == "flag" and s.stage in (Stage.SETTLING, Stage.CONFIRMING):
        return Move(Stage.FLAGGED, "Loop shows the return in review after our flag")
    if s.stage is Stage.CONFIRMING:
        return Move(
            None,
            "in review in Loop",
            attention="Loop took our process call, but shows the return in review: decide it there",
        )
    if s.stage in SHOWN_CLOSED:
        return Move(
            None,
            "in review in Loop",
            attention="Loop showed it closed, now in review: decide it in Loop",
        )
    if s.stage in OFF and s.settled_by_us:
        stage = Stage.FLAGGED if s.settled_by_us == "flag" else Stage.CLOSING
        return Move(stage, "reopened into review in Loop after it was settled")
    if s.stage in OFF:
        return Move(_resume(s), "reopened into review in Loop")
    return STAY


_AFTER_FLAG = (
    "open again in Loop after our flag; we never process after a flag: decide it by hand in Loop"
)


_OPEN_AGAIN = (
    "Loop showed it closed, now open again; what was settled is never settled again by us: decide "
    "it in Loop"
)


def _open(s: Standing) -> Move:
    if s.stage is Stage.FLAGGED:
        return Move(
            None,
            "open again in Loop",
            attention=_AFTER_FLAG,
        )
    if s.stage in OFF and s.settled_by_us == "flag":
        return Move(Stage.FLAGGED, "reopened in Loop after our flag", attention=_AFTER_FLAG)
    if s.stage in OFF and s.settled_by_us:
        return Move(Stage.CLOSING, "reopened in Loop after it was settled", attention=_OPEN_AGAIN)
    if s.stage in OFF:
        return Move(_resume(s), "reopened in Loop")
    if s.stage in SHOWN_CLOSED:
        return Move(None, "open again in Loop", attention=_OPEN_AGAIN)
    return STAY


def _resume(s: Standing) -> Stage:
    if s.has_receipt:
        return Stage.RECEIVED
    return Stage.ANNOUNCED if s.has_rma and not s.rma_cancelled else Stage.SEEN


_FOLLOW = {
    LoopState.CLOSED: _closed,
    LoopState.CANCELLED: _cancelled,
    LoopState.EXPIRED: _expired,
    LoopState.REVIEW: _review,
    LoopState.OPEN: _open,
}
