"""What happened, what needs a person, and what was called outside: enums with one table each.

Everything that counts, tells, filters or decides goes by these names. The sentences beside them
are for people and are never parsed. The values stand in the ledger: one that was used is never
renamed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class What(StrEnum):
    """What a journal entry tells of."""

    # the way of a return
    SEEN = "seen"
    SEEN_ENDED = "seen_ended"
    """Seen for the first time when nothing was left to do: ended before, or not ours."""
    EDITED = "edited"
    LABEL = "label"
    DESTINATION = "destination"
    RECONSIDERED = "reconsidered"
    WAITS = "waits"
    MOVED = "moved"
    """Loop's or the warehouse's state led to another stage; `data["to"]` is the stage."""
    CLOSING = "closing"
    TICKET = "ticket"
    RECEIVED = "received"
    RECEIPT_REOPENED = "receipt_reopened"
    """A ticket left its final state: its receipt does not count until it is final again."""
    RECEIPT_CORRECTED = "receipt_corrected"
    """The counts changed after the return had been settled."""
    DECIDED = "decided"
    """`data`: outcome, shadow, rule."""
    DECIDED_BY_HAND = "decided_by_hand"
    RMA_CLOSED = "rma_closed"
    COMPLETE = "complete"
    # consolidated shipments; `data["shipment"]` is Happy Returns' id
    SHIPMENT_LEARNED = "shipment_learned"
    SHIPMENT_READ = "shipment_read"
    SHIPMENT_ANNOUNCED = "shipment_announced"
    SHIPMENT_RECEIVED = "shipment_received"
    SHIPMENT_REOPENED = "shipment_reopened"
    SHIPMENT_DONE = "shipment_done"
    CLAIM_OPENED = "claim_opened"
    CLAIM_CHANGED = "claim_changed"
    CLAIM_WITHDRAWN = "claim_withdrawn"
    CLAIM_CLOSED = "claim_closed"
    # calls that change something outside; `data["kind"]` is the EffectKind
    CALL_PLANNED = "call_planned"
    CALL_AGAIN = "call_again"
    CALL_DONE = "call_done"
    CALL_ACCEPTED = "call_accepted"
    CALL_DOUBT = "call_doubt"
    CALL_NOT_SENT = "call_not_sent"
    CALL_REFUSED = "call_refused"
    CALL_FAILED = "call_failed"
    # people's attention; `data["kind"]` is the Need
    NEEDS_PERSON = "needs_person"
    RESOLVED = "resolved"
    REOPENED = "reopened"
    """A person put an item back on the list."""
    ASSIGNED = "assigned"
    SNOOZED = "snoozed"
    # what people did
    RESYNC = "resync"
    NOTE = "note"
    COUNT_CORRECTED = "count_corrected"
    """A person said what came, where a receipt is unclear; `data`: ticket, before, after."""
    EXPORTED = "exported"
    EVENT_RESENT = "event_resent"
    EVENT_TESTED = "event_tested"
    """A test event was sent to a brand's own endpoint."""
    MODE_SET = "mode_set"
    MODE_LIVE = "mode_live"
    PACE_SET = "pace_set"
    """Of a gradual start that is under way: another limit, or none any more."""
    RELEASED = "released"
    """A person let a return go before its turn in a gradual start; `data`: the decision."""
    TAKEN_BACK = "taken_back"
    """A decision that was not sent yet is judged anew."""
    BRAND_CONNECTED = "brand_connected"
    BRAND_CHANGED = "brand_changed"
    BRAND_ROLLED_BACK = "brand_rolled_back"
    BRAND_REMOVED = "brand_removed"
    WEBHOOKS_SUBSCRIBED = "webhooks_subscribed"
    SECRET_STORED = "secret_stored"  # noqa: S105
    SECRET_REPLACED = "secret_replaced"  # noqa: S105
    SECRETS_ROTATED = "secrets_rotated"
    ACCOUNT_MADE = "account_made"
    ACCOUNT_CHANGED = "account_changed"
    PASSWORD_SET = "password_set"  # noqa: S105
    SIGNED_IN = "signed_in"
    SIGNED_OUT = "signed_out"
    SIGN_IN_REFUSED = "sign_in_refused"
    """`data["refused"]`: beyond a limit one entry stands for so many since it was reached."""
    SECOND_FACTOR_SET = "second_factor_set"
    SECOND_FACTOR_REMOVED = "second_factor_removed"
    RECOVERY_CODE_USED = "recovery_code_used"
    TOKEN_MADE = "token_made"  # noqa: S105
    TOKEN_REVOKED = "token_revoked"  # noqa: S105
    ERASURE_ASKED = "erasure_asked"
    ERASED = "erased"
    # the service
    SYSTEM_SUSPENDED = "system_suspended"
    SYSTEM_CALLED_AGAIN = "system_called_again"
    SYSTEM_TRIED = "system_tried"
    """A person did not want to wait for the next try."""
    RECONCILED = "reconciled"
    RECONCILE_FINDING = "reconcile_finding"
    REBUILT = "rebuilt"
    REBUILD_FINDING = "rebuild_finding"
    REPLAYED = "replayed"
    LEDGER_RESTORED = "ledger_restored"

    @property
    def words(self) -> str:
        """For people: `needs attention`, `RMA closed`."""
        return _TITLES.get(self) or self.value.replace("_", " ")

    def told(self, data: Mapping[str, Any]) -> str:
        """The title with the particular that people look for: `decided: flag`,
        `process: accepted`."""
        if self in _PARTICULAR:
            name, form = _PARTICULAR[self]
            if data.get(name):
                return form.format(str(data[name]).replace("_", " "), words=self.words)
        return self.words


_TITLES = {
    What.SEEN_ENDED: "seen, nothing to do",
    What.EDITED: "edited in Loop",
    What.CALL_PLANNED: "call planned",
    What.CALL_AGAIN: "sent again",
    What.CALL_DONE: "done",
    What.CALL_ACCEPTED: "accepted",
    What.CALL_DOUBT: "answer lost",
    What.CALL_NOT_SENT: "not sent",
    What.CALL_REFUSED: "refused",
    What.CALL_FAILED: "failed",
    What.NEEDS_PERSON: "needs attention",
    What.RESOLVED: "attention resolved",
    What.REOPENED: "back on the attention list",
    What.ASSIGNED: "attention assigned",
    What.SNOOZED: "attention put off",
    What.COUNT_CORRECTED: "count corrected by hand",
    What.RMA_CLOSED: "RMA closed",
    What.SHIPMENT_ANNOUNCED: "shipment's RMA created",
    What.SHIPMENT_RECEIVED: "shipment counted",
    What.RECONCILED: "reconcile",
    What.REBUILT: "rebuild",
    What.ERASED: "personal data erased",
    What.ERASURE_ASKED: "erasure asked for",
    What.DECIDED_BY_HAND: "decided by hand",
    What.BRAND_CHANGED: "brand's settings changed",
    What.BRAND_ROLLED_BACK: "brand's settings rolled back",
    What.EVENT_RESENT: "event sent again",
    What.EVENT_TESTED: "test event sent",
    What.MODE_SET: "mode set",
    What.MODE_LIVE: "live takes effect",
    What.PACE_SET: "gradual start changed",
    What.RELEASED: "let go before its turn",
    What.SIGN_IN_REFUSED: "sign-in refused",
    What.SYSTEM_SUSPENDED: "calls suspended",
    What.SYSTEM_CALLED_AGAIN: "called again",
    What.SYSTEM_TRIED: "tried at once",
}


_CALLED = ("kind", "{0}: {words}")
_PARTICULAR: dict[What, tuple[str, str]] = {
    What.MOVED: ("to", "{0}"),
    What.DECIDED: ("outcome", "decided: {0}"),
    What.DECIDED_BY_HAND: ("outcome", "decided by hand: {0}"),
    What.MODE_SET: ("after", "mode: {0}"),
    What.SYSTEM_SUSPENDED: ("system", "{0} suspended"),
    What.SYSTEM_CALLED_AGAIN: ("system", "{0} called again"),
    What.SYSTEM_TRIED: ("system", "{0} tried at once"),
    What.EXPORTED: ("what", "exported {0}"),
    What.RECONCILE_FINDING: ("done", "reconcile: {0}"),
    What.REBUILD_FINDING: ("done", "rebuild: {0}"),
    **dict.fromkeys(
        (
            What.CALL_PLANNED,
            What.CALL_AGAIN,
            What.CALL_DONE,
            What.CALL_ACCEPTED,
            What.CALL_DOUBT,
            What.CALL_NOT_SENT,
            What.CALL_REFUSED,
            What.CALL_FAILED,
        ),
        _CALLED,
    ),
}


class EffectKind(StrEnum):
    """A call that changes something outside."""

    TICKET = "ticket_add"
    PROCESS = "process"
    FLAG = "flag"
    REMOVE_LINES = "remove_lines"
    NOTE = "note"
    GRADE = "grade"
    ASSESS = "assess"
    PRODUCT = "product_add"
    SHIPMENT_TICKET = "shipment_ticket_add"

    @property
    def words(self) -> str:
        """For people: `the RMA`, `the process call`."""
        return _CALLS[self]


_CALLS = {
    EffectKind.TICKET: "the RMA (ReceivingTicketAdd)",
    EffectKind.PROCESS: "the process call",
    EffectKind.FLAG: "the flag",
    EffectKind.REMOVE_LINES: "the call that removes lines and processes the rest",
    EffectKind.NOTE: "the note",
    EffectKind.GRADE: "the grades",
    EffectKind.ASSESS: "the dispositions",
    EffectKind.PRODUCT: "the product (StyleMasterProductAdd)",
    EffectKind.SHIPMENT_TICKET: "a consolidated shipment's RMA (ReceivingTicketAdd)",
}

GRADING = (EffectKind.GRADE, EffectKind.ASSESS)
SETTLING = (EffectKind.PROCESS, EffectKind.FLAG, EffectKind.REMOVE_LINES)
"""Of these a return gets one, once (I1): they share a key."""
PAYING = (EffectKind.PROCESS, EffectKind.REMOVE_LINES)
"""Those of them that move money."""


class Retry(StrEnum):
    """What a person's "retry" of an attention item leads to."""

    LOOK = "look"
    """What it depends on is looked at again; nothing is sent that was taken before."""
    READ = "read"
    """The ticket or the return is read again."""
    JUDGE = "judge"
    """The criteria judge the return again."""
    SEND = "send"
    """What was refused is sent again: it certainly had no effect."""
    ANNOUNCE = "announce"
    """A new RMA, with a PO of its own."""
    NONE = "none"
    """There is nothing to retry: it is decided elsewhere, or ignored with a reason."""


class Need(StrEnum):
    """Why something is on the attention list."""

    ACCESS = "access"
    ALREADY_SETTLED = "already_settled"
    ANSWER_ELSEWHERE = "answer_elsewhere"
    BAG_MISSING = "bag_missing"
    BAG_UNKNOWN = "bag_unknown"
    CANNOT_SEE = "cannot_see"
    CLOSE_REFUSED = "close_refused"
    CODE_UNSENDABLE = "code_unsendable"
    CONFIGURATION = "configuration"
    CONFLICT = "conflict"
    CORRECTED = "corrected"
    DECIDE_BY_HAND = "decide_by_hand"
    DESTINATION = "destination"
    GO_LIVE = "go_live"
    """The file says live, and nobody has signed for it."""
    GONE = "gone"
    GRADING_REFUSED = "grading_refused"
    INTERNAL = "internal"
    LIST_GAP = "list_gap"
    LIST_INCOMPLETE = "list_incomplete"
    LOST_SETTLEMENT = "lost_settlement"
    NO_SUCCESS = "no_success"
    """A call has been tried as often as it may be."""
    NOT_CONFIRMED = "not_confirmed"
    NOTE_REFUSED = "note_refused"
    PROCESSING_FAILED = "processing_failed"
    PRODUCT_IMPORT = "product_import"
    PRODUCT_REFUSED = "product_refused"
    RECEIPT_UNREADABLE = "receipt_unreadable"
    RECONCILE = "reconcile"
    REFUSED = "refused"
    SHIPMENT_COUNTS = "shipment_counts"
    SHIPMENT_RMA = "shipment_rma"
    SHIPMENT_UNREADABLE = "shipment_unreadable"
    STATUS_UNKNOWN = "status_unknown"
    STEP_FAILING = "step_failing"
    TICKET_CANCELLED = "ticket_cancelled"
    TICKET_LOOKUP = "ticket_lookup"
    TICKET_REFUSED = "ticket_refused"
    TWO_TICKETS = "two_tickets"
    UNEXPECTED_RECEIPT = "unexpected_receipt"
    UNKNOWN_PAST = "unknown_past"
    UNKNOWN_PRODUCT = "unknown_product"
    UNREACHABLE = "unreachable"
    UNREADABLE = "unreadable"
    WEBHOOKS = "webhooks"

    @property
    def words(self) -> str:
        """For people, at most five words."""
        return NEEDS[self].title

    @property
    def retry(self) -> Retry:
        return NEEDS[self].retry

    @property
    def holds(self) -> bool:
        return NEEDS[self].holds


OF_PRODUCTS = (Need.UNKNOWN_PRODUCT, Need.PRODUCT_IMPORT, Need.PRODUCT_REFUSED)
"""What is told of a product, one of these at a time: its subject is a UPC, or a SKU where there is
none."""


@dataclass(frozen=True, slots=True)
class NeedWords:
    """How a kind of item is called, what a retry of it does, and what stays when its return
    settles by itself."""

    title: str
    retry: Retry
    outlives_return: bool = False
    holds: bool = True
    """Whether no flow touches the return while the item is open."""


NEEDS: dict[Need, NeedWords] = {
    Need.ACCESS: NeedWords("credentials refused", Retry.LOOK, True),
    Need.ALREADY_SETTLED: NeedWords("settled before", Retry.NONE),
    Need.ANSWER_ELSEWHERE: NeedWords("answer about something else", Retry.READ),
    Need.BAG_MISSING: NeedWords("bag has not come", Retry.NONE, True, holds=False),
    Need.BAG_UNKNOWN: NeedWords("bag of unknown shipment", Retry.NONE, True, holds=False),
    Need.CANNOT_SEE: NeedWords("outcome cannot be seen", Retry.LOOK),
    Need.CLOSE_REFUSED: NeedWords("RMA cannot be closed", Retry.SEND),
    Need.CODE_UNSENDABLE: NeedWords("code cannot be sent", Retry.READ),
    Need.CONFIGURATION: NeedWords("settings cannot be used", Retry.NONE, True),
    Need.CONFLICT: NeedWords("Loop and the parcel disagree", Retry.LOOK),
    Need.CORRECTED: NeedWords("counts changed after settling", Retry.NONE, True, holds=False),
    Need.DECIDE_BY_HAND: NeedWords("decide by hand", Retry.JUDGE),
    Need.DESTINATION: NeedWords("unknown destination", Retry.READ, True),
    Need.GO_LIVE: NeedWords("live not signed off", Retry.NONE, True, holds=False),
    Need.GONE: NeedWords("gone from Loop", Retry.LOOK),
    Need.GRADING_REFUSED: NeedWords("grading refused", Retry.NONE, True, holds=False),
    Need.INTERNAL: NeedWords("fault in bergen-loop", Retry.LOOK),
    Need.LIST_GAP: NeedWords("gap in Loop's list", Retry.NONE, True),
    Need.LIST_INCOMPLETE: NeedWords("Loop's list incomplete", Retry.NONE, True),
    Need.LOST_SETTLEMENT: NeedWords("answer lost", Retry.LOOK),
    Need.NO_SUCCESS: NeedWords("tried in vain", Retry.SEND),
    Need.NOT_CONFIRMED: NeedWords("not confirmed by Loop", Retry.LOOK),
    Need.NOTE_REFUSED: NeedWords("note refused", Retry.NONE, holds=False),
    Need.PROCESSING_FAILED: NeedWords("processing failed in Loop", Retry.LOOK),
    Need.PRODUCT_IMPORT: NeedWords("product import takes long", Retry.LOOK),
    Need.PRODUCT_REFUSED: NeedWords("product refused by warehouse", Retry.SEND, True),
    Need.RECEIPT_UNREADABLE: NeedWords("receipt cannot be read", Retry.READ),
    Need.RECONCILE: NeedWords("found by reconcile", Retry.NONE),
    Need.REFUSED: NeedWords("refused by Loop", Retry.SEND),
    Need.SHIPMENT_COUNTS: NeedWords("shipment's counts unclear", Retry.READ, True, holds=False),
    Need.SHIPMENT_RMA: NeedWords(
        "shipment's RMA not made, or not whole", Retry.SEND, True, holds=False
    ),
    Need.SHIPMENT_UNREADABLE: NeedWords("shipment cannot be read", Retry.READ, True, holds=False),
    Need.STATUS_UNKNOWN: NeedWords("unknown ticket status", Retry.READ),
    Need.STEP_FAILING: NeedWords("a step keeps failing", Retry.NONE, True),
    Need.TICKET_CANCELLED: NeedWords("ticket cancelled", Retry.ANNOUNCE),
    Need.TICKET_LOOKUP: NeedWords("ticket cannot be looked up", Retry.LOOK),
    Need.TICKET_REFUSED: NeedWords("RMA refused", Retry.SEND),
    Need.TWO_TICKETS: NeedWords("two tickets", Retry.NONE, True, holds=False),
    Need.UNEXPECTED_RECEIPT: NeedWords("unexpected receipt", Retry.NONE),
    Need.UNKNOWN_PAST: NeedWords("unknown past", Retry.JUDGE),
    Need.UNKNOWN_PRODUCT: NeedWords("unknown product", Retry.SEND),
    Need.UNREACHABLE: NeedWords("system does not answer", Retry.LOOK, True, holds=False),
    Need.UNREADABLE: NeedWords("return cannot be read", Retry.READ),
    Need.WEBHOOKS: NeedWords("webhooks not delivered", Retry.NONE, True),
}
