"""What programs have done: once, however often they ask for it.

An effect, its journal entry and its answer are written in one transaction, so a program that has
lost the answer repeats the call under the same Idempotency-Key, and gets the first answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from fastapi import HTTPException
from fastapi.responses import JSONResponse

from bergen_loop.console.access import NOT_FOUND, Person
from bergen_loop.console.api.models import Done
from bergen_loop.console.attention import Doing, do_in
from bergen_loop.console.problems import Code, Refusal
from bergen_loop.console.state import Console
from bergen_loop.console.working import WORK, Asked, carry_out
from bergen_loop.ledger.database import Session
from bergen_loop.ledger.read import listing
from bergen_loop.ledger.store import answers
from bergen_loop.ledger.store.answers import Answer, Keyed
from bergen_loop.ledger.transaction import Transaction
from bergen_loop.people.actions import NotPossible

REPLAYED = {"Idempotency-Replayed": "true"}
SOON = "1"
"""Seconds after which a call that is under way may be repeated."""

Act = Callable[[Session, Console, Person, datetime], str | None]
"""Does something in a transaction; the brand that it was done for, None where what it is about
is not there. Raises NotPossible."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a program wants done."""

    asked: Any
    """Plain data that tells it from anything else that may be asked for."""
    act: Act
    key: str | None = None
    """Its Idempotency-Key."""

    def under(self, key: str | None) -> Wanted:
        """The same, to be done once under a key."""
        return replace(self, key=key)


def on_return(name: str, which: tuple[str, str], note: str = "", why: str = "") -> Wanted:
    """One of the works on a return (brand, id): see `console.working`."""
    brand, return_id = which

    def act(session: Session, console: Console, person: Person, now: datetime) -> str | None:
        row = listing.one_return(session, person.scope, brand, return_id, lock=True)
        if row is None:
            return None
        tx = Transaction(session, brand, now, person.name)
        carry_out(tx, console.registry, WORK[name], row, Asked(why, note))
        return brand

    return Wanted([name, brand, return_id, note, why], act)


def on_item(doing: Doing, number: int, why: str, given: str | int | None = "") -> Wanted:
    """What can be done with an item of the attention list; `given`: what it is done with."""

    def act(session: Session, _: Console, person: Person, now: datetime) -> str | None:
        item = do_in(session, person, (doing, number, why), now, alone=False)
        return None if item is None else item.brand

    more = [] if given == "" else [given]
    return Wanted([doing.name, number, why, *more], act)


def done(console: Console, person: Person, wanted: Wanted) -> tuple[Answer, bool]:
    """The answer, and whether it was given before. A refusal is an answer as well, with the
    sentence as its body. Raises Refusal where the key stands for another call, or for the same
    one that is under way."""
    now, ledger = datetime.now(UTC), console.registry.ledger
    keyed = None
    if wanted.key and person.token:
        keyed = Keyed.of(person.token, wanted.key, wanted.asked)
    try:
        with answers.alone(keyed):
            try:
                with ledger.write() as session:
                    if keyed and (before := answers.first(session, now, keyed)):
                        return before, True
                    brand = wanted.act(session, console, person, now)
                    answer = Answer(200, Done().model_dump()) if brand else Answer(404, NOT_FOUND)
                    if keyed:
                        answers.keep(session, now, keyed, answer)
            except NotPossible as error:
                brand, answer = None, Answer(409, str(error))
                if keyed:
                    with ledger.write() as session:
                        answers.keep(session, now, keyed, answer)
    except answers.Running:
        why = "this very call is under way; repeat it in a moment for its answer"
        raise Refusal(Code.SAME_CALL_RUNNING, why, {"Retry-After": SOON}) from None
    except answers.OtherCall:
        why = "this Idempotency-Key was used for another call, or for one with another body"
        raise Refusal(Code.KEY_USED_OTHERWISE, why) from None
    if brand:
        console.sync_soon(brand)
    return answer, False


def respond(console: Console, person: Person, wanted: Wanted) -> JSONResponse:
    """The answer as it goes out. Raises HTTPException for one that refuses."""
    answer, again = done(console, person, wanted)
    headers = REPLAYED if again else {}
    if answer.status != 200:
        raise HTTPException(answer.status, answer.body, headers)
    return JSONResponse(answer.body, headers=headers)
