"""Why a return stands where it stands: whole sentences, by state."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from bergen_loop.domain.decision import Outcome
from bergen_loop.domain.returns import Stage
from bergen_loop.domain.words import EffectKind, Need
from bergen_loop.ledger.read import why as module
from bergen_loop.ledger.read.why import Asked, Call, Facts, Left, Party, Ticket, Verdict, reply, why


def day(number: int, hour: int = 15) -> datetime:
    return datetime(2026, 11, number, hour, 0, tzinfo=UTC)


PAID = Verdict(Outcome.PROCESS, "complete")
SHORT = "1 of 2 units counted, 1 missing"
BASE = Facts(
    stage=Stage.ANNOUNCED,
    brand="Northpine",
    submitted_at=day(10),
    announced_at=day(11),
    tickets=(Ticket("WHRTN1", "Draft", day(11)),),
    order="#1001",
    refund=True,
)
CAME = replace(
    BASE, received_at=day(14), counted="2 of 2 units counted", settled_at=day(15),
    tickets=(Ticket("WHRTN1", "AddedToInventory", day(14)),),
)  # fmt: skip
DONE = replace(CAME, verdict=PAID, called=EffectKind.PROCESS, call=Call.DONE)
FLAG = Verdict(Outcome.FLAG, "damaged")

SENTENCES = [
    (
        replace(BASE, stage=Stage.SEEN),
        Party.SERVICE,
        "Submitted Nov 10, 15:00 UTC; no RMA yet; bergen-loop makes the RMA with the next sync.",
    ),
    (
        replace(BASE, stage=Stage.SEEN, waits_for="it has no label yet", due_at=day(12)),
        Party.SERVICE,
        "Submitted Nov 10, 15:00 UTC; no RMA yet: it has no label yet; bergen-loop makes the RMA "
        "when that is settled, and looks again by itself, until Nov 12, 15:00 UTC.",
    ),
    (
        replace(BASE, stage=Stage.NO_PARCEL),
        Party.LOOP,
        "Submitted Nov 10, 15:00 UTC, and nothing is sent back: no RMA; Loop closes the return "
        "without a parcel.",
    ),
    (
        BASE,
        Party.CUSTOMER,
        "RMA WHRTN1 was made Nov 11, 15:00 UTC; the customer has to send the parcel.",
    ),
    (
        replace(BASE, label_status="in_transit"),
        Party.CARRIER,
        "RMA WHRTN1 was made Nov 11, 15:00 UTC; the parcel is on its way to the warehouse.",
    ),
    (
        replace(BASE, label_status="delivered"),
        Party.WAREHOUSE,
        "RMA WHRTN1 was made Nov 11, 15:00 UTC; the carrier says the parcel was delivered; the "
        "warehouse has to count it.",
    ),
    (
        replace(BASE, tickets=(Ticket("WHRTN1", "CountingInProgress", day(13)),)),
        Party.WAREHOUSE,
        "Ticket WHRTN1 is CountingInProgress since Nov 13, 15:00 UTC; the warehouse counts it "
        "before anything is decided.",
    ),
    (
        replace(CAME, stage=Stage.RECEIVED),
        Party.SERVICE,
        "Received Nov 14, 15:00 UTC: 2 of 2 units counted; bergen-loop judges it with the next "
        "sync.",
    ),
    (
        replace(CAME, stage=Stage.RECEIVED, verdict=replace(PAID, shadow=True), mode="shadow"),
        Party.BRAND,
        "Received Nov 14, 15:00 UTC: 2 of 2 units counted; in shadow bergen-loop would process it "
        "(rule complete); people of Northpine act: decide the return in Loop.",
    ),
    (
        replace(
            CAME, stage=Stage.WAITING, counted=SHORT,
            verdict=Verdict(Outcome.WAIT, "short", wait_until=day(21)),
        ),
        Party.WAREHOUSE,
        f"Received Nov 14, 15:00 UTC: {SHORT} (rule short); bergen-loop waits for the rest, then "
        "judges what is there, until Nov 21, 15:00 UTC.",
    ),
    (
        replace(CAME, stage=Stage.WAITING, verdict=Verdict(Outcome.ATTENTION, "safety:unclear")),
        Party.SERVICE,
        "Received Nov 14, 15:00 UTC: 2 of 2 units counted; bergen-loop reads the ticket once "
        "more, then judges it.",
    ),
    (
        replace(CAME, stage=Stage.SETTLING, verdict=PAID),
        Party.SERVICE,
        "Decided to process it (rule complete): 2 of 2 units counted; bergen-loop asks Loop with "
        "the next sync.",
    ),
    (
        replace(CAME, stage=Stage.SETTLING, verdict=replace(PAID, by="mara"), try_at=day(15, 16)),
        Party.SERVICE,
        "Decided to process it (by mara): 2 of 2 units counted; bergen-loop asks Loop again Nov "
        "15, 16:00 UTC.",
    ),
    (
        replace(CAME, stage=Stage.SETTLING, verdict=PAID, turn=day(15, 16)),
        Party.SERVICE,
        "Decided to process it (rule complete): 2 of 2 units counted; bergen-loop waits with it "
        "for its turn in the gradual start, until Nov 15, 16:00 UTC.",
    ),
    (
        replace(DONE, stage=Stage.SETTLING, call=Call.LOST),
        Party.SERVICE,
        "Decided to process it (rule complete): 2 of 2 units counted; the answer of Loop was "
        "lost: bergen-loop looks whether it was done.",
    ),
    (
        replace(DONE, stage=Stage.CONFIRMING, call=Call.TAKEN, due_at=day(15, 16)),
        Party.LOOP,
        "Loop took our call to process it, and does not show it closed yet; Loop carries it out, "
        "until Nov 15, 16:00 UTC.",
    ),
    (
        replace(DONE, stage=Stage.FLAGGED, verdict=FLAG, called=EffectKind.FLAG, counted=SHORT),
        Party.BRAND,
        f"Flagged in Loop Nov 15, 15:00 UTC: {SHORT} (rule damaged); people of Northpine act: "
        "decide the return in Loop; there is no limit.",
    ),
    (
        replace(DONE, stage=Stage.CLOSING, tickets=(Ticket("WHRTN1", "CountingInProgress"),)),
        Party.WAREHOUSE,
        "Processed in Loop Nov 15, 15:00 UTC: 2 of 2 units counted; the warehouse has to finish "
        "ticket WHRTN1 (CountingInProgress).",
    ),
    (
        replace(DONE, stage=Stage.COMPLETE),
        Party.NOBODY,
        "Processed in Loop Nov 15, 15:00 UTC: 2 of 2 units counted; the return is complete: "
        "nothing is left to do.",
    ),
    (
        replace(DONE, stage=Stage.COMPLETE, called=EffectKind.FLAG),
        Party.NOBODY,
        "Flagged, then closed by people in Loop Nov 15, 15:00 UTC: 2 of 2 units counted; the "
        "return is complete: nothing is left to do.",
    ),
    (
        replace(CAME, stage=Stage.COMPLETE, counted=""),
        Party.NOBODY,
        "Closed in Loop by someone else Nov 15, 15:00 UTC; the return is complete: nothing is "
        "left to do.",
    ),
    (
        replace(BASE, stage=Stage.CANCELLED),
        Party.NOBODY,
        "Cancelled in Loop; ticket WHRTN1 stays in REX11, which has no cancel call; nothing is "
        "left to do.",
    ),
    (
        replace(BASE, stage=Stage.EXPIRED),
        Party.NOBODY,
        "Expired in Loop before its parcel came; it goes on by itself if Loop opens it again or "
        "its parcel comes.",
    ),
    (
        replace(BASE, stage=Stage.IGNORED),
        Party.NOBODY,
        "Not for this warehouse: it goes elsewhere, or is older than the connection; bergen-loop "
        "leaves it alone.",
    ),
    (
        replace(BASE, mode="paused"),
        Party.OPERATOR,
        "RMA WHRTN1 was made Nov 11, 15:00 UTC; Northpine is paused: nothing is done meanwhile.",
    ),
    (
        replace(BASE, left=Left("mara", day(15), "the shop sorts it out")),
        Party.OPERATOR,
        "mara left it to people on Nov 15, 15:00 UTC (the shop sorts it out); nothing is done "
        "until something new happens to it.",
    ),
    (
        replace(
            CAME, stage=Stage.RECEIVED,
            asked=(Asked(Need.DECIDE_BY_HAND, "the receipt is not clear.", day(14, 16)),
                   Asked(Need.ACCESS, "x", day(15))),
        ),
        Party.OPERATOR,
        "Held since Nov 14, 16:00 UTC: the receipt is not clear (and 1 more); an operator acts: "
        "look at the receipt, then retry, correct its counts, or decide by hand.",
    ),
    (
        replace(
            CAME, stage=Stage.RECEIVED, open_in_loop=False,
            asked=(Asked(Need.DECIDE_BY_HAND, "in state review in Loop, not open", day(14)),),
        ),
        Party.BRAND,
        "Held since Nov 14, 15:00 UTC: in state review in Loop, not open; people of Northpine act: "
        "decide the return in Loop; or have it open there, then retry.",
    ),
    (
        replace(
            CAME, stage=Stage.FLAGGED,
            asked=(Asked(Need.CONFLICT, "open again in Loop", day(14), "jo"),),
        ),
        Party.BRAND,
        "Held since Nov 14, 15:00 UTC: open again in Loop; jo has it: decide the return in Loop.",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("facts", "who", "sentence"), SENTENCES)
def test_the_sentence(facts: Facts, who: Party, sentence: str) -> None:
    found = why(facts)
    assert (found.sentence(), found.who) == (sentence, who)


def test_every_stage_and_every_need_has_words() -> None:
    assert {f.stage for f, _, _ in SENTENCES} == set(Stage)
    assert all(module.advice(need) for need in Need)


def test_all_times_are_of_one_zone() -> None:
    york = ZoneInfo("America/New_York")
    facts = replace(
        CAME, stage=Stage.WAITING, verdict=Verdict(Outcome.WAIT, "short", wait_until=day(21))
    )
    sentence = why(facts, york).sentence(york)
    assert "Received Nov 14, 10:00:" in sentence
    assert sentence.endswith("until Nov 21, 10:00.")
    assert "UTC" not in sentence


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        (BASE, "We are waiting for the parcel of your return for order #1001. Please send it with "
               "its label."),
        (replace(CAME, stage=Stage.RECEIVED),
         "Your return for order #1001 arrived at our warehouse on November 14, and is being "
         "checked. You will hear from us as soon as that is done."),
        (replace(DONE, stage=Stage.COMPLETE),
         "Your return for order #1001 was completed on November 15. A refund takes a few days "
         "until it shows on your account."),
        (replace(DONE, stage=Stage.COMPLETE, called=EffectKind.FLAG),
         "Your return for order #1001 was completed on November 15."),
    ],
)  # fmt: skip
def test_the_reply_promises_nothing(facts: Facts, told: str) -> None:
    assert reply(facts) == f"Hello,\n\n{told}\n\nKind regards,\nNorthpine"


@pytest.mark.parametrize("stage", list(Stage))
def test_a_reply_tells_nothing_of_how_it_works(stage: Stage) -> None:
    text = reply(replace(DONE, stage=stage, verdict=FLAG, counted=SHORT)).casefold()
    assert not any(word in text for word in ("loop", "rex11", "rma", "flag", "ticket", "rule"))
