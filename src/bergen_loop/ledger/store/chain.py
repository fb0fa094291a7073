"""The journal shows tampering: each brand's entries form a chain, each seal made of the one before
it and of everything in its entry.

Entries are written unsealed, since many write at once and none may wait for another. `seal` puts
what has been committed since at the chain's end, in one batch; which entry follows which is its
position, not its id: an entry with a lower id may be committed later.

Texts can be erased without breaking the chain. What is sealed of them is a digest under a salt of
the entry's own; erasing takes the salt away, so that nothing can be guessed from the digest, and
the digest of what is left is written into the entry that tells of the erasure.

Who may write to the database can forge a whole chain anew, but not the seals that were noted
elsewhere: in the log once an hour, and by `verify`.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.store.statements import insert
from bergen_loop.ledger.tables.core import ChainRow, JournalRow

AT_A_TIME = 500
NO_BRAND = ""
MASKED = "masked"
"""In the data of an entry: entries whose texts were erased, and the digests of what is left."""
_NAMED = 20


@dataclass(frozen=True, slots=True)
class Head:
    """How far a chain goes."""

    brand: str
    position: int
    seal: str


@dataclass(slots=True)
class Chain:
    """What verifying a chain showed."""

    brand: str
    head: Head | None = None
    sealed: int = 0
    erased: int = 0
    """Entries whose texts were erased, as another entry says."""
    unsealed: int = 0
    """Written since the last sealing."""
    before: int = 0
    """Written before there were chains: nothing can be said of them."""
    problems: list[str] = field(default_factory=list[str])

    def wrong(self, problem: str) -> None:
        """Keep a problem, and no more of them than people read."""
        if len(self.problems) < _NAMED:
            self.problems.append(problem)
        elif len(self.problems) == _NAMED:
            self.problems.append("... and more")


# -- sealing ------------------------------------------------------------------------------------


def seal_all(ledger: Ledger, now: datetime, brands: Iterable[str]) -> list[Head]:
    """Seal what these brands' entries, and those of no brand, have grown by; the chains that
    grew. Any number of processes may do so at once."""
    with ledger.read() as session:
        known = set(session.scalars(sa.select(ChainRow.brand)))
    grown: list[Head] = []
    for brand in sorted({*known, *brands, NO_BRAND}):
        head = None
        while (next_head := _seal_some(ledger, now, brand)) is not None:
            head = next_head
        if head is not None:
            grown.append(head)
    return grown


def heads(session: Session) -> list[Head]:
    """The ends of all chains."""
    rows = session.scalars(
        sa.select(ChainRow).where(ChainRow.position > 0).order_by(ChainRow.brand)
    )
    return [Head(row.brand, row.position, row.seal) for row in rows]


def _seal_some(ledger: Ledger, now: datetime, brand: str) -> Head | None:
    with ledger.read() as session:
        known = session.get(ChainRow, brand)
        begins = known.begins_after if known else 0
        if session.scalar(_unsealed(brand, begins).limit(1)) is None:
            return None  # without the lock of a writer
    with ledger.write() as session:
        return seal(session, now, brand)


def seal(session: Session, now: datetime, brand: str) -> Head | None:
    """Seal up to `AT_A_TIME` entries; the chain's end, None where there was nothing to seal."""
    empty = {"brand": brand, "begins_after": 0, "position": 0, "seal": ""}
    session.execute(insert(session, ChainRow).values(empty).on_conflict_do_nothing())
    # One at a time; and nobody erases texts while they are read here.
    chain = session.scalars(
        sa.select(ChainRow).where(ChainRow.brand == brand).with_for_update()
    ).one()
    query = _unsealed(brand, chain.begins_after).with_for_update()
    rows = session.scalars(
        query.limit(AT_A_TIME), execution_options={"populate_existing": True}
    ).all()
    for row in rows:
        chain.position += 1
        salt = secrets.token_hex(16)
        row.position, row.salt = chain.position, salt
        row.digest = text_digest(salt, row.why, row.data)
        row.seal = chain.seal = _seal(chain.seal or _beginning(chain), row)
    if not rows:
        return None
    chain.sealed_at = now
    session.flush()
    return Head(brand, chain.position, chain.seal)


def _unsealed(brand: str, begins_after: int) -> sa.Select[JournalRow]:
    return (
        sa.select(JournalRow)
        .where(_of(brand), JournalRow.position.is_(None), JournalRow.id > begins_after)
        .order_by(JournalRow.id)
    )


def _of(brand: str) -> sa.ColumnElement[bool]:
    return JournalRow.brand.is_(None) if brand == NO_BRAND else JournalRow.brand == brand


def text_digest(salt: str, why: str, data: Mapping[str, Any]) -> str:
    """What is sealed of an entry's texts."""
    return _digest(salt, why, data)


_APART = frozenset({"why", "data", "salt", "seal"})
_COLUMNS = tuple(c.key for c in JournalRow.__table__.columns if c.key not in _APART)


def _seal(before: str, row: JournalRow) -> str:
    """What is null is left out, so that a column that comes later changes no earlier seal."""
    values = {name: getattr(row, name) for name in _COLUMNS}
    at = row.at.isoformat(timespec="microseconds")
    return _digest(before, {**{n: v for n, v in values.items() if v is not None}, "at": at})


def _beginning(chain: ChainRow) -> str:
    return _digest("bergen-loop journal", chain.brand, chain.begins_after)


def _digest(*parts: object) -> str:
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


# -- erasing ------------------------------------------------------------------------------------


def masked(rows: Iterable[JournalRow]) -> dict[str, str]:
    """To be called with entries whose texts have just been masked, in the same transaction: what
    the entry that tells of it must hold under `MASKED`."""
    told: dict[str, str] = {}
    for row in rows:
        if row.seal is not None:
            row.salt = None
            told[str(row.id)] = text_digest("", row.why, row.data)
    return told


# -- verifying ----------------------------------------------------------------------------------


def verify(
    session: Session, brands: Sequence[str] | None = None, noted: Iterable[Head] = ()
) -> list[Chain]:
    """Walk the chains (all, or some brands'); `noted` are ends that were written down earlier
    and must still lie on them."""
    rows = {row.brand: row for row in session.scalars(sa.select(ChainRow))}
    noted = list(noted)
    if brands is None:
        found = session.scalars(sa.select(JournalRow.brand).distinct())
        wanted = {*rows, *(head.brand for head in noted), *(one or NO_BRAND for one in found)}
    else:
        wanted = set(brands)
    erased = _Erased()
    chains = [
        _walk(session, brand, rows.get(brand), [h for h in noted if h.brand == brand], erased)
        for brand in sorted(wanted | {NO_BRAND})
    ]
    if brands is not None:
        for brand in rows.keys() - wanted:
            _walk(session, brand, rows[brand], [], erased)  # it may tell of an erasure here
    erased.judge()
    return [chain for chain in chains if brands is None or chain.brand in wanted]


class _Erased:
    """Entries whose texts are not the sealed ones, and what other entries tell of them."""

    def __init__(self) -> None:
        self._found: list[tuple[Chain, JournalRow]] = []
        self._told: dict[str, tuple[int, str]] = {}

    def found(self, chain: Chain, row: JournalRow) -> None:
        self._found.append((chain, row))

    def hear(self, row: JournalRow) -> None:
        told: object = row.data.get(MASKED)
        if not isinstance(told, dict):
            return
        for entry, digest in told.items():  # pyright: ignore[reportUnknownVariableType]
            if row.id >= self._told.get(str(entry), (0, ""))[0]:  # pyright: ignore[reportUnknownArgumentType]
                self._told[str(entry)] = row.id, str(digest)  # pyright: ignore[reportUnknownArgumentType]

    def judge(self) -> None:
        for chain, row in self._found:
            told = self._told.get(str(row.id))
            if told is None or told[1] != text_digest("", row.why, row.data):
                chain.wrong(f"entry {row.id}: its texts were changed, and no erasure says so")
            else:
                chain.erased += 1


def _walk(
    session: Session, brand: str, row: ChainRow | None, noted: Sequence[Head], erased: _Erased
) -> Chain:
    chain = Chain(brand)
    begins = row.begins_after if row else 0
    _count_unsealed(session, chain, begins)
    last, before = 0, _beginning(row) if row else ""
    noted_at = {head.position: head for head in noted}
    for entry in _sealed(session, brand):
        position = entry.position or 0
        if position != last + 1:
            missing = f"{last + 1}" if position == last + 2 else f"{last + 1} to {position - 1}"
            chain.wrong(
                f"position(s) {missing} missing before entry {entry.id}"
                if position > last
                else f"entry {entry.id} is at position {position} a second time"
            )
        if entry.seal != _seal(before, entry):
            chain.wrong(f"entry {entry.id} (position {position}) is not as it was sealed")
        if entry.salt is None:
            erased.found(chain, entry)
        elif entry.digest != text_digest(entry.salt, entry.why, entry.data):
            chain.wrong(f"entry {entry.id} (position {position}): its texts were changed")
        else:
            erased.hear(entry)
        head = noted_at.pop(position, None)
        if head is not None and head.seal != entry.seal:
            chain.wrong(f"position {position} has another seal than was noted")
        chain.sealed += 1
        last, before = position, entry.seal or ""
    if row is not None and row.position:
        chain.head = Head(brand, row.position, row.seal)
        if (last, before) != (row.position, row.seal):
            chain.wrong(f"it ends at position {last}, not at {row.position} as it should")
    elif last:
        chain.wrong("the record of its end is missing")
    for position in noted_at:
        chain.wrong(f"position {position}, which was noted, is not there (a restored backup?)")
    return chain


def _sealed(session: Session, brand: str) -> Iterator[JournalRow]:
    """By position, some at a time: a chain may be longer than memory."""
    last = (-1, 0)
    place = sa.tuple_(JournalRow.position, JournalRow.id)
    while True:
        query = (
            sa.select(JournalRow)
            .where(_of(brand), JournalRow.position.is_not(None), place > last)
            .order_by(JournalRow.position, JournalRow.id)
            .limit(AT_A_TIME)
        )
        rows = session.scalars(query).all()
        yield from rows
        if len(rows) < AT_A_TIME:
            return
        last = (rows[-1].position or 0, rows[-1].id)
        session.expunge_all()


def _count_unsealed(session: Session, chain: Chain, begins_after: int) -> None:
    open_ = (_of(chain.brand), JournalRow.position.is_(None))
    query = sa.select(sa.func.count()).select_from(JournalRow)
    chain.unsealed = session.scalar(query.where(*open_, JournalRow.id > begins_after)) or 0
    chain.before = session.scalar(query.where(*open_, JournalRow.id <= begins_after)) or 0
