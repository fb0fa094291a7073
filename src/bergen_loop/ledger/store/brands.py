"""Settings of brands that are kept in the ledger, version by version; drafts of new ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.domain.returns import Stage
from bergen_loop.ledger.store.effects import OPEN
from bergen_loop.ledger.store.statements import insert
from bergen_loop.ledger.tables.brands import BrandDraftRow, BrandSettingsRow
from bergen_loop.ledger.tables.core import EffectRow, ReturnRow, RmaRow, SecretRow

SETTLING = (Stage.SETTLING, Stage.CONFIRMING)


class State(StrEnum):
    """Whether there is such a brand."""

    ACTIVE = "active"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a brand's settings."""

    brand: str
    version: int
    state: State
    content: Mapping[str, Any]
    """The brand's block as in the configuration file; secrets by reference only."""
    made_at: datetime
    made_by: str
    reason: str

    @property
    def active(self) -> bool:
        return self.state is State.ACTIVE


@dataclass(frozen=True, slots=True)
class Draft:
    """A brand that somebody is about to connect."""

    brand: str
    version: int
    content: Mapping[str, Any]
    progress: Mapping[str, Any]
    changed_at: datetime
    changed_by: str


Stamp = tuple[int, int, datetime | None]


def stamp(session: Session) -> Stamp:
    """What differs as soon as any brand's settings or any secret have changed. Counts, for rows
    are only added, and transactions need not end in the order of their times."""
    settings = sa.select(sa.func.count()).select_from(BrandSettingsRow).scalar_subquery()
    secrets = sa.select(sa.func.count()).select_from(SecretRow).scalar_subquery()
    changed = sa.select(sa.func.max(SecretRow.set_at)).scalar_subquery()
    row = session.execute(sa.select(settings, secrets, changed)).one()
    return row[0], row[1], row[2]


def kept(session: Session) -> bool:
    """Whether the ledger has a place for brands yet: it may not be migrated."""
    return sa.inspect(session.connection()).has_table(BrandSettingsRow.__tablename__)


def newest(session: Session) -> list[Version]:
    """The version that holds of each brand, also of those that were removed, by name."""
    last = (
        sa.select(BrandSettingsRow.brand, sa.func.max(BrandSettingsRow.version).label("version"))
        .group_by(BrandSettingsRow.brand)
        .subquery()
    )
    query = (
        sa.select(BrandSettingsRow)
        .join(
            last,
            sa.and_(
                BrandSettingsRow.brand == last.c.brand,
                BrandSettingsRow.version == last.c.version,
            ),
        )
        .order_by(BrandSettingsRow.brand)
    )
    return [_version(row) for row in session.scalars(query)]


def history(session: Session, brand: str) -> list[Version]:
    """All versions of a brand, the newest first."""
    query = sa.select(BrandSettingsRow).where(BrandSettingsRow.brand == brand)
    return [_version(r) for r in session.scalars(query.order_by(BrandSettingsRow.version.desc()))]


def newest_of(session: Session, brand: str) -> Version | None:
    """The version of a brand that holds."""
    query = sa.select(BrandSettingsRow).where(BrandSettingsRow.brand == brand)
    row = session.scalar(query.order_by(BrandSettingsRow.version.desc()).limit(1))
    return _version(row) if row else None


def add(session: Session, version: Version) -> bool:
    """Add a version; False where somebody else has added one of this number."""
    values = {
        "brand": version.brand,
        "version": version.version,
        "state": version.state.value,
        "content": dict(version.content),
        "made_at": version.made_at,
        "made_by": version.made_by,
        "reason": version.reason,
    }
    statement = insert(session, BrandSettingsRow).values(**values).on_conflict_do_nothing()
    return session.scalar(statement.returning(BrandSettingsRow.version)) is not None


def _version(row: BrandSettingsRow) -> Version:
    return Version(
        row.brand, row.version, State(row.state), row.content, row.made_at, row.made_by, row.reason
    )


# -- what of a brand is under way ---------------------------------------------------------------


def calls_in_doubt(session: Session, brand: str) -> int:
    """How many calls may have had an effect that is not known yet: settlings that Loop has not
    shown the end of, and any call whose answer was lost."""
    settling = sa.select(sa.func.count()).where(
        ReturnRow.brand == brand, ReturnRow.stage.in_(SETTLING)
    )
    lost = sa.select(sa.func.count()).where(
        EffectRow.brand == brand,
        EffectRow.state.in_(OPEN),
        sa.or_(
            EffectRow.return_pk.is_(None),
            EffectRow.return_pk.not_in(
                sa.select(ReturnRow.id).where(
                    ReturnRow.brand == brand, ReturnRow.stage.in_(SETTLING)
                )
            ),
        ),
    )
    return (session.scalar(settling) or 0) + (session.scalar(lost) or 0)


def open_rmas(session: Session, brand: str) -> int:
    """How many RMAs of returns that have not ended stand in the warehouse system."""
    ended = [s.value for s in Stage if s.terminal]
    query = (
        sa.select(sa.func.count())
        .select_from(RmaRow)
        .join(ReturnRow, ReturnRow.id == RmaRow.return_pk)
        .where(
            ReturnRow.brand == brand,
            ReturnRow.stage.not_in(ended),
            RmaRow.ticket_id.is_not(None),
        )
    )
    return session.scalar(query) or 0


def any_return(session: Session, brand: str) -> str | None:
    """The id in Loop of a return of the brand, the newest one that is known."""
    query = sa.select(ReturnRow.return_id).where(ReturnRow.brand == brand)
    return session.scalar(query.order_by(ReturnRow.id.desc()).limit(1))


# -- drafts -------------------------------------------------------------------------------------


def draft_of(session: Session, brand: str) -> Draft | None:
    """The draft of this name."""
    row = session.get(BrandDraftRow, brand)
    return _draft(row) if row else None


def drafts(session: Session) -> list[Draft]:
    """All drafts, the one changed last first."""
    query = sa.select(BrandDraftRow).order_by(BrandDraftRow.changed_at.desc())
    return [_draft(row) for row in session.scalars(query)]


def save_draft(session: Session, draft: Draft) -> bool:
    """Save a draft; `draft.version` is one more than what was seen. False where somebody else
    has saved it meanwhile."""
    values = {
        "version": draft.version,
        "content": dict(draft.content),
        "progress": dict(draft.progress),
        "changed_at": draft.changed_at,
        "changed_by": draft.changed_by,
    }
    if draft.version == 1:
        new = insert(session, BrandDraftRow).values(brand=draft.brand, **values)
        made = session.scalar(new.on_conflict_do_nothing().returning(BrandDraftRow.version))
        return made is not None
    update = (
        sa.update(BrandDraftRow)
        .where(BrandDraftRow.brand == draft.brand, BrandDraftRow.version == draft.version - 1)
        .values(**values)
    )
    saved = session.scalar(
        update.returning(BrandDraftRow.version), execution_options={"synchronize_session": False}
    )
    return saved is not None


def drop_draft(session: Session, brand: str) -> None:
    """Forget a draft."""
    session.execute(sa.delete(BrandDraftRow).where(BrandDraftRow.brand == brand))


def _draft(row: BrandDraftRow) -> Draft:
    return Draft(row.brand, row.version, row.content, row.progress, row.changed_at, row.changed_by)
