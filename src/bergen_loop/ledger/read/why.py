"""Why a return stands where it stands, and what comes next: one sentence from facts. Pure.

Shown on the return's page, in the terminal, by the API and to assistants: the same words
everywhere. It says what happened, why, who acts next, and until when, where that is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from enum import StrEnum

from bergen_loop.domain.decision import Outcome
from bergen_loop.domain.returns import Stage
from bergen_loop.domain.rma import TicketStatus
from bergen_loop.domain.words import EffectKind, Need


class Party(StrEnum):
    """Who acts next."""

    SERVICE = "bergen-loop"
    WAREHOUSE = "the warehouse"
    CUSTOMER = "the customer"
    CARRIER = "the carrier"
    LOOP = "Loop"
    BRAND = "people of the brand, in Loop"
    OPERATOR = "an operator"
    NOBODY = "nobody"


class Call(StrEnum):
    """How the settling call stands, as far as a sentence tells it apart."""

    TO_SEND = "to_send"
    LOST = "lost"
    TAKEN = "taken"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket as it was last seen; `status` None: not seen yet."""

    number: str
    status: str | None = None
    seen_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The last decision."""

    outcome: Outcome
    rule: str
    by: str | None = None
    """Who decided by hand; None: the criteria."""
    shadow: bool = False
    wait_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """An item of the attention list that is open."""

    need: Need
    reason: str
    since: datetime
    assignee: str | None = None


@dataclass(frozen=True, slots=True)
class Left:
    """A person has left the return alone."""

    by: str
    at: datetime
    why: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What the sentence is made of. Times are UTC."""

    stage: Stage
    brand: str
    """As people call it."""
    submitted_at: datetime
    mode: str = "live"
    announced_at: datetime | None = None
    received_at: datetime | None = None
    settled_at: datetime | None = None
    completed_at: datetime | None = None
    due_at: datetime | None = None
    label_status: str | None = None
    tickets: tuple[Ticket, ...] = ()
    counted: str = ""
    """What came against what was expected, in words; empty: nothing has come."""
    verdict: Verdict | None = None
    called: EffectKind | None = None
    """Our settling call, if there is one."""
    call: Call | None = None
    try_at: datetime | None = None
    open_in_loop: bool = True
    asked: tuple[Asked, ...] = ()
    """What holds it, the oldest first."""
    left: Left | None = None
    turn: datetime | None = None
    """When its turn comes in a gradual start, if it waits for that."""
    waits_for: str = ""
    """Why its RMA is not made yet, in words."""
    order: str | None = None
    refund: bool = False
    """The customer gets money back, as far as Loop says."""


@dataclass(frozen=True, slots=True)
class Why:
    """The answer, in parts."""

    what: str
    who: Party
    next: str
    until: datetime | None = None

    def sentence(self, zone: tzinfo = UTC) -> str:
        """All of it, in one sentence."""
        until = f", until {at(self.until, zone)}" if self.until else ""
        return f"{self.what}; {self.next}{until}."


def at(time: datetime | None, zone: tzinfo) -> str:
    """`Nov 24, 10:02`; in UTC it says so."""
    if time is None:
        return "?"
    local = time.astimezone(zone)
    return f"{local:%b} {local.day}, {local:%H:%M}" + (" UTC" if zone is UTC else "")


def why(facts: Facts, zone: tzinfo = UTC) -> Why:
    """Why the return stands where it stands. Times in its words are of `zone`."""
    if facts.asked:
        return _asked(facts, zone)
    if facts.left and not facts.stage.terminal:
        words = f"{facts.left.by} left it to people on {at(facts.left.at, zone)}"
        words += f" ({facts.left.why})" if facts.left.why else ""
        return Why(words, Party.OPERATOR, "nothing is done until something new happens to it")
    if facts.mode == "paused" and not facts.stage.terminal:
        where = _standing(facts, zone)
        return Why(
            where.what, Party.OPERATOR, f"{facts.brand} is paused: nothing is done meanwhile"
        )
    return _standing(facts, zone)


def _standing(facts: Facts, zone: tzinfo) -> Why:
    return _BY_STAGE[facts.stage](facts, zone)


# -- what holds it ------------------------------------------------------------------------------


_READ = "look at the receipt, then retry, correct its counts, or decide by hand"
_THERE = "decide the return in Loop; or have it open there, then retry"
_LOOK = "look at the return in Loop, then retry or decide there"
_NEXT: dict[Need, tuple[Party, str]] = {
    Need.ACCESS: (Party.OPERATOR, "put the credentials right"),
    Need.ALREADY_SETTLED: (Party.OPERATOR, "look at the return in Loop, and finish it there"),
    Need.ANSWER_ELSEWHERE: (Party.OPERATOR, "retry reads it once more"),
    Need.BAG_MISSING: (Party.WAREHOUSE, "ask Bergen, then Happy Returns, where the bag is"),
    Need.BAG_UNKNOWN: (Party.OPERATOR, "ask Loop for the shipment's id, and enter it"),
    Need.CANNOT_SEE: (Party.OPERATOR, _LOOK),
    Need.CLOSE_REFUSED: (Party.OPERATOR, "close the RMA at Bergen, then retry"),
    Need.CODE_UNSENDABLE: (Party.BRAND, "put the product's code right in the shop, then retry"),
    Need.CONFIGURATION: (Party.OPERATOR, "put the brand's settings right"),
    Need.CONFLICT: (Party.BRAND, "decide the return in Loop"),
    Need.CORRECTED: (Party.BRAND, "decide in Loop whether anything follows"),
    Need.DECIDE_BY_HAND: (Party.OPERATOR, _READ),
    Need.DESTINATION: (Party.OPERATOR, "name the destination in the brand's settings"),
    Need.GO_LIVE: (Party.OPERATOR, "sign the brand's checklist: Go live on its page"),
    Need.GONE: (Party.OPERATOR, _LOOK),
    Need.GRADING_REFUSED: (Party.OPERATOR, "grade the units in Loop by hand"),
    Need.INTERNAL: (Party.OPERATOR, "tell whoever runs bergen-loop, then retry"),
    Need.LIST_GAP: (Party.OPERATOR, "run a reconcile"),
    Need.LIST_INCOMPLETE: (Party.OPERATOR, "run a reconcile"),
    Need.LOST_SETTLEMENT: (Party.OPERATOR, _LOOK),
    Need.NO_SUCCESS: (Party.OPERATOR, "put right what it says, then retry"),
    Need.NOT_CONFIRMED: (Party.OPERATOR, "look at the return in Loop, and finish it there"),
    Need.NOTE_REFUSED: (Party.OPERATOR, "add the note in Loop by hand"),
    Need.PROCESSING_FAILED: (Party.BRAND, "see in Loop why it failed, then retry"),
    Need.PRODUCT_IMPORT: (Party.WAREHOUSE, "ask Bergen about the product's import, then retry"),
    Need.PRODUCT_REFUSED: (Party.OPERATOR, "put the product right, then retry"),
    Need.RECEIPT_UNREADABLE: (Party.OPERATOR, "ask Bergen about the ticket, then retry"),
    Need.RECONCILE: (Party.OPERATOR, "look at what was found"),
    Need.REFUSED: (Party.OPERATOR, _LOOK),
    Need.SHIPMENT_COUNTS: (Party.WAREHOUSE, "ask Bergen about the ticket, then retry"),
    Need.SHIPMENT_RMA: (Party.OPERATOR, "put right what it says, then retry"),
    Need.SHIPMENT_UNREADABLE: (Party.OPERATOR, "look at the shipment in Loop, then retry"),
    Need.STATUS_UNKNOWN: (Party.OPERATOR, "ask Bergen what the status means, then retry"),
    Need.STEP_FAILING: (Party.OPERATOR, "tell whoever runs bergen-loop"),
    Need.TICKET_CANCELLED: (Party.OPERATOR, "retry for a new RMA, or close the return in Loop"),
    Need.TICKET_LOOKUP: (Party.OPERATOR, "retry looks the ticket up once more"),
    Need.TICKET_REFUSED: (Party.OPERATOR, "put right what REX11 refuses, then retry"),
    Need.TWO_TICKETS: (Party.WAREHOUSE, "ask Bergen to cancel the ticket too many"),
    Need.UNEXPECTED_RECEIPT: (Party.BRAND, "decide in Loop what becomes of the goods"),
    Need.UNKNOWN_PAST: (Party.OPERATOR, "look in Loop; retry lets the criteria judge it"),
    Need.UNKNOWN_PRODUCT: (Party.OPERATOR, "have the product added in REX11, then retry"),
    Need.UNREACHABLE: (Party.SERVICE, "it is tried again by itself"),
    Need.UNREADABLE: (Party.OPERATOR, "look at the return in Loop, then retry"),
    Need.WEBHOOKS: (Party.OPERATOR, "put the subscriptions right"),
}
"""Who has to act about each need, and what they do."""


def advice(need: Need, *, open_in_loop: bool = True) -> str:
    """What somebody does about a need."""
    return _next(need, open_in_loop)[1]


def _next(need: Need, open_in_loop: bool) -> tuple[Party, str]:
    if need is Need.DECIDE_BY_HAND and not open_in_loop:
        return Party.BRAND, _THERE  # nothing is processed by us then, whatever the receipt says
    return _NEXT[need]


def _asked(facts: Facts, zone: tzinfo) -> Why:
    first, *others = facts.asked
    who, do = _next(first.need, facts.open_in_loop)
    words = f"Held since {at(first.since, zone)}: {first.reason.rstrip('. ')}"
    if others:
        words += f" (and {len(others)} more)"
    acts = _brand(facts) if who is Party.BRAND else f"{who} acts"
    actor = f"{first.assignee} has it" if first.assignee else acts
    return Why(words, who, f"{actor}: {do}")


def _brand(facts: Facts) -> str:
    return f"people of {facts.brand} act"


# -- where it stands ----------------------------------------------------------------------------


def _seen(facts: Facts, zone: tzinfo) -> Why:
    what = f"Submitted {at(facts.submitted_at, zone)}; no RMA yet"
    if facts.waits_for:
        until = facts.due_at
        return Why(
            f"{what}: {facts.waits_for.rstrip('. ')}",
            Party.SERVICE,
            "bergen-loop makes the RMA when that is settled, and looks again by itself",
            until,
        )
    return Why(what, Party.SERVICE, "bergen-loop makes the RMA with the next sync")


def _no_parcel(facts: Facts, zone: tzinfo) -> Why:
    what = f"Submitted {at(facts.submitted_at, zone)}, and nothing is sent back: no RMA"
    return Why(what, Party.LOOP, "Loop closes the return without a parcel")


_WORKED_ON = (
    TicketStatus.PENDING_CSR,
    TicketStatus.PENDING_PRINTING,
    TicketStatus.PRINTED_PENDING_COUNT,
    TicketStatus.COUNTING_IN_PROGRESS,
    TicketStatus.PENDING_PUTAWAY,
    TicketStatus.PUTAWAY_IN_PROGRESS,
)


def _announced(facts: Facts, zone: tzinfo) -> Why:
    busy = next((t for t in facts.tickets if TicketStatus.read(t.status) in _WORKED_ON), None)
    if busy is not None:
        what = f"Ticket {busy.number} is {busy.status} since {at(busy.seen_at, zone)}"
        return Why(what, Party.WAREHOUSE, "the warehouse counts it before anything is decided")
    names = ", ".join(t.number for t in facts.tickets) or "asked for"
    what = f"RMA {names} was made {at(facts.announced_at, zone)}"
    if facts.label_status == "delivered":
        what += "; the carrier says the parcel was delivered"
        return Why(what, Party.WAREHOUSE, "the warehouse has to count it")
    if facts.label_status in ("in_transit", "out_for_delivery"):
        return Why(what, Party.CARRIER, "the parcel is on its way to the warehouse")
    return Why(what, Party.CUSTOMER, "the customer has to send the parcel")


def _came(facts: Facts, zone: tzinfo) -> str:
    counted = facts.counted or "nothing that counts now"
    return f"Received {at(facts.received_at, zone)}: {counted}"


def _received(facts: Facts, zone: tzinfo) -> Why:
    verdict, came = facts.verdict, _came(facts, zone)
    if verdict and verdict.shadow and facts.due_at is None:
        would = f"in shadow bergen-loop would {_WOULD[verdict.outcome]} ({_ruled(verdict)})"
        next_ = f"{_brand(facts)}: decide the return in Loop"
        return Why(f"{came}; {would}", Party.BRAND, next_)
    return Why(came, Party.SERVICE, "bergen-loop judges it with the next sync")


def _waiting(facts: Facts, zone: tzinfo) -> Why:
    verdict = facts.verdict
    if verdict is None or verdict.outcome is not Outcome.WAIT:
        next_ = "bergen-loop reads the ticket once more, then judges it"
        return Why(_came(facts, zone), Party.SERVICE, next_)
    next_ = "bergen-loop waits for the rest, then judges what is there"
    what = f"{_came(facts, zone)} ({_ruled(verdict)})"
    return Why(what, Party.WAREHOUSE, next_, verdict.wait_until or facts.due_at)


def _settling(facts: Facts, zone: tzinfo) -> Why:
    verdict = facts.verdict
    what = f"Decided to {_WOULD[verdict.outcome] if verdict else 'settle it'}"
    what += f" ({_ruled(verdict)})" if verdict else ""
    what += f": {facts.counted}" if facts.counted else ""
    if facts.call is Call.LOST:
        next_ = "the answer of Loop was lost: bergen-loop looks whether it was done"
        return Why(what, Party.SERVICE, next_)
    if facts.turn:
        next_ = "bergen-loop waits with it for its turn in the gradual start"
        return Why(what, Party.SERVICE, next_, facts.turn)
    if facts.try_at:
        return Why(what, Party.SERVICE, f"bergen-loop asks Loop again {at(facts.try_at, zone)}")
    return Why(what, Party.SERVICE, "bergen-loop asks Loop with the next sync")


def _confirming(facts: Facts, zone: tzinfo) -> Why:
    what = f"Loop took our call to {_WOULD[_settled_by(facts)]}, and does not show it closed yet"
    return Why(what, Party.LOOP, "Loop carries it out", facts.due_at)


def _flagged(facts: Facts, zone: tzinfo) -> Why:
    verdict = facts.verdict
    what = f"Flagged in Loop {at(facts.settled_at, zone)}"
    what += f": {facts.counted}" if facts.counted else ""
    what += f" ({_ruled(verdict)})" if verdict and verdict.outcome is Outcome.FLAG else ""
    return Why(what, Party.BRAND, f"{_brand(facts)}: decide the return in Loop; there is no limit")


def _closing(facts: Facts, zone: tzinfo) -> Why:
    what = _end(facts, zone)
    open_ = [t for t in facts.tickets if not _finished(t)]
    if open_:
        words = ", ".join(f"{t.number} ({t.status or 'status not seen yet'})" for t in open_)
        return Why(what, Party.WAREHOUSE, f"the warehouse has to finish ticket {words}")
    return Why(what, Party.SERVICE, "bergen-loop closes the RMA with the next sync")


def _finished(ticket: Ticket) -> bool:
    status = TicketStatus.read(ticket.status)
    return status is not None and status.finished


def _complete(facts: Facts, zone: tzinfo) -> Why:
    return Why(_end(facts, zone), Party.NOBODY, "the return is complete: nothing is left to do")


def _end(facts: Facts, zone: tzinfo) -> str:
    """How it ended in Loop."""
    words = f"{settled(facts)} {at(facts.settled_at or facts.completed_at, zone)}"
    return words + (f": {facts.counted}" if facts.counted else "")


def _cancelled(facts: Facts, zone: tzinfo) -> Why:
    drafts = [t.number for t in facts.tickets if not _finished(t)]
    stays = f"; ticket {', '.join(drafts)} stays in REX11, which has no cancel call"
    what = "Cancelled in Loop" + (stays if drafts else "")
    return Why(what, Party.NOBODY, "nothing is left to do")


def _expired(facts: Facts, zone: tzinfo) -> Why:
    next_ = "it goes on by itself if Loop opens it again or its parcel comes"
    return Why("Expired in Loop before its parcel came", Party.NOBODY, next_)


def _ignored(facts: Facts, zone: tzinfo) -> Why:
    what = "Not for this warehouse: it goes elsewhere, or is older than the connection"
    return Why(what, Party.NOBODY, "bergen-loop leaves it alone")


_BY_STAGE = {
    Stage.SEEN: _seen,
    Stage.NO_PARCEL: _no_parcel,
    Stage.ANNOUNCED: _announced,
    Stage.RECEIVED: _received,
    Stage.WAITING: _waiting,
    Stage.SETTLING: _settling,
    Stage.CONFIRMING: _confirming,
    Stage.FLAGGED: _flagged,
    Stage.CLOSING: _closing,
    Stage.COMPLETE: _complete,
    Stage.CANCELLED: _cancelled,
    Stage.EXPIRED: _expired,
    Stage.IGNORED: _ignored,
}

_WOULD = {
    Outcome.PROCESS: "process it",
    Outcome.REMOVE_LINES: "take units off and process the rest",
    Outcome.FLAG: "flag it",
    Outcome.WAIT: "wait",
    Outcome.ATTENTION: "ask a person",
}


def _ruled(verdict: Verdict) -> str:
    return f"by {verdict.by}" if verdict.by else f"rule {verdict.rule}"


def _settled_by(facts: Facts) -> Outcome:
    return Outcome(facts.called.value) if facts.called else Outcome.PROCESS


_SETTLED = {
    EffectKind.PROCESS: "Processed in Loop",
    EffectKind.REMOVE_LINES: "Processed in Loop without some units",
    EffectKind.FLAG: "Flagged in Loop",
}


def settled(facts: Facts) -> str:
    """Which it was, at the fifth moment: processed or flagged, by us or by others."""
    ours = facts.call in (Call.DONE, Call.TAKEN)
    if ours and facts.called is EffectKind.FLAG and facts.stage in (Stage.CLOSING, Stage.COMPLETE):
        return "Flagged, then closed by people in Loop"
    if ours and facts.called:
        return _SETTLED[facts.called]
    if facts.stage in (Stage.CLOSING, Stage.COMPLETE):
        return "Closed in Loop by someone else"
    return "Processed or flagged in Loop"


# -- for the customer ---------------------------------------------------------------------------


def reply(facts: Facts, zone: tzinfo = UTC) -> str:
    """A text that support may send to the customer: what is certain, nothing of how it works, and
    no promise that Loop has not kept yet."""
    it = f"your return for order {facts.order}" if facts.order else "your return"
    told = _told(facts, it, zone)
    return f"Hello,\n\n{told[:1].upper()}{told[1:]}\n\nKind regards,\n{facts.brand}"


def _told(facts: Facts, it: str, zone: tzinfo) -> str:
    soon = "You will hear from us as soon as that is done."
    match facts.stage:
        case Stage.CLOSING | Stage.COMPLETE:
            told = f"{it} was completed on {_day(facts.settled_at or facts.completed_at, zone)}."
            paid = facts.called in (EffectKind.PROCESS, EffectKind.REMOVE_LINES)
            if paid and facts.call is Call.DONE and facts.refund:
                told += " A refund takes a few days until it shows on your account."
            return told
        case Stage.CANCELLED:
            return f"{it} was cancelled. If that was not your wish, please start it again."
        case Stage.EXPIRED:
            return (
                f"{it} has expired, because the parcel did not reach us in time. If you have sent "
                "it, please give us the tracking number."
            )
        case Stage.NO_PARCEL:
            return f"{it} is being completed; there is nothing you have to send."
        case Stage.SEEN:
            return f"we have received your request, and {it} is being prepared."
        case Stage.ANNOUNCED if facts.label_status in ("in_transit", "out_for_delivery"):
            return f"the parcel of {it} is on its way to our warehouse. We will check it there."
        case Stage.ANNOUNCED if facts.label_status == "delivered":
            return f"the parcel of {it} has been delivered, and is waiting to be checked. {soon}"
        case Stage.ANNOUNCED:
            return f"we are waiting for the parcel of {it}. Please send it with its label."
        case _ if facts.received_at:
            came = f"arrived at our warehouse on {_day(facts.received_at, zone)}"
            return f"{it} {came}, and is being checked. {soon}"
        case _:
            return f"{it} is being looked at. {soon}"


def _day(time: datetime | None, zone: tzinfo) -> str:
    if time is None:
        return "?"
    local = time.astimezone(zone)
    return f"{local:%B} {local.day}"
