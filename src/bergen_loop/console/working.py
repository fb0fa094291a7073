"""What people may do about a return: each action asks once more, and is journaled with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bergen_loop.console.access import Permission, Person
from bergen_loop.domain.decision import NOTE_LIMIT, Outcome
from bergen_loop.domain.returns import BY_HAND, Stage
from bergen_loop.domain.words import What
from bergen_loop.ledger.codec import digest, storable
from bergen_loop.ledger.database import Session
from bergen_loop.ledger.store import journal, modes, returns
from bergen_loop.ledger.tables.core import ReturnRow
from bergen_loop.ledger.transaction import Transaction
from bergen_loop.people import actions, golive
from bergen_loop.people.actions import ByHand, NotPossible
from bergen_loop.service.registry import Registry
from bergen_loop.text import shortened

TEXT_LIMIT = 500
"""Characters of a reason."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody wrote into the confirmation."""

    why: str = ""
    note: str = ""
    seen: str = ""
    """The `picture` of the return that they had before them."""


@dataclass(frozen=True, slots=True)
class Work:
    """An action on a return."""

    name: str
    button: str
    heading: str
    permission: Permission
    does: str
    """What it leads to, for the confirmation."""
    done: str
    """What is said afterwards."""
    run: Callable[[Transaction, ReturnRow, Asked], None]
    asks_why: bool = False
    asks_note: bool = False
    settles: bool = False
    """It ends in a call that cannot be undone."""


def _resync(tx: Transaction, row: ReturnRow, asked: Asked) -> None:
    actions.resync(tx, row, asked.why)


def _note(tx: Transaction, row: ReturnRow, asked: Asked) -> None:
    actions.add_note(tx, row, asked.note, asked.why)


def _process(tx: Transaction, row: ReturnRow, asked: Asked) -> None:
    actions.decide(tx, row, ByHand(Outcome.PROCESS, asked.why))


def _flag(tx: Transaction, row: ReturnRow, asked: Asked) -> None:
    actions.decide(tx, row, ByHand(Outcome.FLAG, asked.why, asked.note or None))


def _release(tx: Transaction, row: ReturnRow, asked: Asked) -> None:
    golive.release(tx, row, asked.why)


RELEASE = "release"
WORK: dict[str, Work] = {
    w.name: w
    for w in (
        Work(
            "process",
            "Process…",
            "Process this return by hand",
            Permission.ACT,
            "Loop is asked to process it: refunds are paid, exchanges ordered, credit given. "
            "This cannot be undone.",
            "Decided: Loop is asked to process it with the next sync.",
            _process,
            asks_why=True,
            settles=True,
        ),
        Work(
            "flag",
            "Flag…",
            "Flag this return by hand",
            Permission.ACT,
            "Loop is asked to put it into review, with a note. From then on people of the brand "
            "decide it in Loop; bergen-loop never processes it.",
            "Decided: Loop is asked to flag it with the next sync.",
            _flag,
            asks_why=True,
            asks_note=True,
            settles=True,
        ),
        Work(
            RELEASE,
            "Pay before its turn…",
            "Let this return go before its turn",
            Permission.ACT,
            "It waits for its turn in the brand's gradual start. Loop is asked to process it with "
            "the next sync instead: refunds are paid, exchanges ordered, credit given. This cannot "
            "be undone. It counts against the limit of the hour.",
            "Let go: Loop is asked to process it with the next sync.",
            _release,
            asks_why=True,
            settles=True,
        ),
        Work(
            "note",
            "Add a note…",
            "Add a note in Loop",
            Permission.NOTE,
            f"The note is added to the return in Loop (at most {NOTE_LIMIT} characters).",
            "The note is added in Loop with the next sync.",
            _note,
            asks_note=True,
        ),
        Work(
            "resync",
            "Sync again…",
            "Look at this return again",
            Permission.NOTE,
            "Its tickets are read again in REX11, and the return is looked at, with the next "
            "sync. Nothing is changed in Loop or REX11 by that alone.",
            "It is looked at again with the next sync.",
            _resync,
        ),
    )
}


def offered(person: Person, row: ReturnRow, *, waits: bool) -> list[Work]:
    """The actions that fit the person and where the return stands; `waits`: for its turn in a
    gradual start."""
    return [w for w in WORK.values() if person.can(w.permission) and _fits(w, row, waits=waits)]


def _fits(work: Work, row: ReturnRow, *, waits: bool) -> bool:
    if work.name == RELEASE:
        return waits
    if not work.settles:
        return work.name == "note" or not Stage(row.stage).terminal
    return row.loop_state == "open" and row.stage in BY_HAND


def picture(session: Session, row: ReturnRow) -> str:
    """A fingerprint of what a decision is made on: it changes when the return, its receipts or
    its standing do."""
    receipts = returns.receipt_ids(session, row.id)
    return digest([row.stage, row.loop_state, row.content_hash, receipts])[:16]


def changed_since(session: Session, row: ReturnRow) -> str:
    """That a return is not any more what somebody has seen, and what happened to it last: who did
    what."""
    last = [e for e in journal.entries(session, row.id) if e.happened != What.RESOLVED][-1:]
    told = "".join(
        f" The last that happened: {e.who}, {e.at:%Y-%m-%d %H:%M} UTC, {e.what}"
        + (f" ({shortened(e.why, 200)})" if e.why else "")
        for e in last
    )
    return f"the return has changed since you opened this page: look at it again.{told}"


def warnings(session: Session, registry: Registry, work: Work, row: ReturnRow) -> list[str]:
    """What somebody should know before deciding by hand."""
    if not work.settles:
        return []
    found: list[str] = []
    if row.received_at is None:
        found.append("The warehouse has received nothing of this return yet.")
    mode = _mode(session, registry, row.brand)
    if mode != modes.LIVE:
        found.append(_not_live(mode))
    return found


def carry_out(
    tx: Transaction, registry: Registry, work: Work, row: ReturnRow, asked: Asked
) -> None:
    """Do it, if the return is still what the person has seen. Raises NotPossible."""
    if work.settles and asked.seen != picture(tx.session, row):
        raise NotPossible(changed_since(tx.session, row))
    if work.settles and (mode := _mode(tx.session, registry, row.brand)) != modes.LIVE:
        raise NotPossible(_not_live(mode))
    if len(asked.why) > TEXT_LIMIT:
        told = f"the reason has {len(asked.why)} characters, more than {TEXT_LIMIT}"
        raise NotPossible(told, "why")
    work.run(tx, row, Asked(storable(asked.why), storable(asked.note)))


def _mode(session: Session, registry: Registry, brand: str) -> str:
    if brand not in registry:
        return modes.PAUSED
    return modes.effective(returns.known_brand(session, brand), registry.brand(brand).mode)


def _not_live(mode: str) -> str:
    return (
        f"the brand is {'in shadow mode' if mode == modes.SHADOW else mode}: nothing is sent to "
        "Loop for it, so decide this return in Loop itself"
    )
