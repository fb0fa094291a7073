"""People, their sessions, and the tokens of the API."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.domain.words import What
from bergen_loop.ledger.scope import Scope
from bergen_loop.ledger.store import journal
from bergen_loop.ledger.tables.core import ApiTokenRow, SessionRow, UserRow

TOKEN_PREFIX = "blt_"  # noqa: S105 - tells what a found string is, and is none itself
TRIES = 5
"""Wrong passwords in a row, after which an account answers no more for a while."""
LOCK = timedelta(minutes=5)
SEEN_EVERY = timedelta(minutes=1)
"""A session's use is written down this often at most."""


class Role(StrEnum):
    """What somebody is here for."""

    OPERATOR = "operator"
    """Works the returns: decides, retries, ignores."""
    BRAND_SUPPORT = "brand_support"
    """Of a brand: sees its returns, asks for a sync, adds notes."""
    ENGINEER = "engineer"
    """An operator who also manages accounts and tokens."""
    READ_ONLY = "read_only"


class Taken(Exception):
    """The name is in use already."""


def any_user(session: Session) -> bool:
    """Whether there is an account at all."""
    return session.scalar(sa.select(UserRow.id).limit(1)) is not None


def user_named(session: Session, name: str) -> UserRow | None:
    """The account of this name."""
    return session.scalar(sa.select(UserRow).where(UserRow.name == name))


def users(session: Session) -> list[UserRow]:
    """All accounts, by name."""
    return list(session.scalars(sa.select(UserRow).order_by(UserRow.name)))


def add_user(
    session: Session,
    now: datetime,
    *,
    name: str,
    role: Role,
    brands: Iterable[str] | None,
    by: str,
    password_hash: str | None = None,
    issuer: str | None = None,
    subject: str | None = None,
) -> UserRow:
    """Make an account. Raises Taken."""
    if name == journal.SERVICE or user_named(session, name) is not None:
        raise Taken(f"the name {name!r} is taken")
    user = UserRow(
        name=name,
        password_hash=password_hash,
        issuer=issuer,
        subject=subject,
        role=role,
        brands=None if brands is None else sorted(brands),
        active=True,
        failed_sign_ins=0,
        created_at=now,
    )
    session.add(user)
    session.flush()
    journal.record(
        session,
        now,
        What.ACCOUNT_MADE,
        f"{name}: {role.value.replace('_', ' ')}, {brands_in_words(user.brands)}",
        brand=None,
        who=by,
        data={"user": user.id},
    )
    return user


def change_user(
    session: Session,
    now: datetime,
    user: UserRow,
    *,
    role: Role,
    brands: Iterable[str] | None,
    active: bool,
    by: str,
) -> None:
    """Change what an account may do. Its sessions end, so that the change holds at once."""
    before = f"{user.role}, {brands_in_words(user.brands)}, active: {user.active}"
    user.role, user.active = role, active
    user.brands = None if brands is None else sorted(brands)
    end_sessions(session, user)
    journal.record(
        session,
        now,
        What.ACCOUNT_CHANGED,
        f"{user.name}: {role.value.replace('_', ' ')}, {brands_in_words(user.brands)}"
        + ("" if active else ", switched off"),
        brand=None,
        who=by,
        data={"user": user.id, "before": before},
    )


def set_password(session: Session, now: datetime, user: UserRow, hash_: str, *, by: str) -> None:
    """Give an account a new password. Its sessions end."""
    user.password_hash, user.failed_sign_ins, user.locked_until = hash_, 0, None
    end_sessions(session, user)
    journal.record(session, now, What.PASSWORD_SET, f"of {user.name}", brand=None, who=by)


def brands_in_words(brands: list[str] | None) -> str:
    """The brands of an account or token, for people."""
    if brands is None:
        return "all brands"
    return ", ".join(brands) if brands else "no brand"


# -- signing in ---------------------------------------------------------------------------------


def failed(session: Session, now: datetime, user: UserRow) -> None:
    """A wrong password was given."""
    user.failed_sign_ins += 1
    why = f"wrong password ({user.failed_sign_ins} in a row)"
    if user.failed_sign_ins % TRIES == 0:
        user.locked_until = now + LOCK
        why += f"; the account answers no more until {user.locked_until:%H:%M} UTC"
    journal.record(session, now, What.SIGN_IN_REFUSED, why, brand=None, who=user.name)


def start_session(
    session: Session, now: datetime, user: UserRow, *, lasts: timedelta, how: str
) -> str:
    """Sign somebody in; the value for the cookie."""
    session.execute(sa.delete(SessionRow).where(SessionRow.expires_at <= now))
    token = secrets.token_urlsafe(32)
    session.add(
        SessionRow(
            token_hash=hashed(token),
            user_id=user.id,
            csrf=secrets.token_urlsafe(24),
            created_at=now,
            seen_at=now,
            expires_at=now + lasts,
        )
    )
    user.failed_sign_ins, user.locked_until, user.signed_in_at = 0, None, now
    journal.record(session, now, What.SIGNED_IN, how, brand=None, who=user.name)
    return token


def session_of(
    session: Session, now: datetime, token: str, idle: timedelta
) -> tuple[SessionRow, UserRow] | None:
    """The session of a cookie and whose it is, unless it has run out or its account is off."""
    found = session.execute(
        sa.select(SessionRow, UserRow)
        .join(UserRow, UserRow.id == SessionRow.user_id)
        .where(SessionRow.token_hash == hashed(token))
    ).first()
    if found is None:
        return None
    row, user = found
    if row.expires_at <= now or row.seen_at + idle <= now or not user.active:
        return None
    return row, user


def touch(session: Session, now: datetime, token: str) -> None:
    """Note that a session is in use."""
    session.execute(
        sa.update(SessionRow).where(SessionRow.token_hash == hashed(token)).values(seen_at=now)
    )


def end_session(session: Session, now: datetime, token: str, who: str) -> None:
    """Sign a browser out."""
    session.execute(sa.delete(SessionRow).where(SessionRow.token_hash == hashed(token)))
    journal.record(session, now, What.SIGNED_OUT, "", brand=None, who=who)


def end_sessions(session: Session, user: UserRow) -> None:
    """Sign an account out everywhere."""
    session.execute(sa.delete(SessionRow).where(SessionRow.user_id == user.id))


# -- tokens -------------------------------------------------------------------------------------


def add_token(
    session: Session,
    now: datetime,
    *,
    name: str,
    role: Role,
    brands: Iterable[str] | None,
    expires_at: datetime | None,
    by: str,
) -> str:
    """Make a token of the API; its value is not kept. Raises Taken."""
    taken = session.scalar(sa.select(ApiTokenRow.id).where(ApiTokenRow.name == name))
    if taken is not None:
        raise Taken(f"the name {name!r} is taken")
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    row = ApiTokenRow(
        name=name,
        token_hash=hashed(token),
        role=role,
        brands=None if brands is None else sorted(brands),
        created_by=by,
        created_at=now,
        expires_at=expires_at,
    )
    session.add(row)
    why = f"{name}: {role.value.replace('_', ' ')}, {brands_in_words(row.brands)}"
    journal.record(session, now, What.TOKEN_MADE, why, brand=None, who=by)
    return token


def revoke_token(session: Session, now: datetime, row: ApiTokenRow, *, by: str) -> None:
    """Have a token refused from now on."""
    if row.revoked_at is None:
        row.revoked_at = now
        journal.record(session, now, What.TOKEN_REVOKED, row.name, brand=None, who=by)


def tokens(session: Session) -> list[ApiTokenRow]:
    """All tokens, the newest first."""
    return list(session.scalars(sa.select(ApiTokenRow).order_by(ApiTokenRow.id.desc())))


def token_row(session: Session, now: datetime, token: str) -> ApiTokenRow | None:
    """The token of this value, unless it has run out or was revoked."""
    row = session.scalar(sa.select(ApiTokenRow).where(ApiTokenRow.token_hash == hashed(token)))
    if row is None or row.revoked_at or (row.expires_at and row.expires_at <= now):
        return None
    return row


def scope_of(row: UserRow | ApiTokenRow) -> Scope:
    """The brands an account or token may see."""
    return Scope.of(row.brands)


def hashed(token: str) -> str:
    """What is kept of a random token: it cannot be guessed, so a plain hash is enough."""
    return hashlib.sha256(token.encode()).hexdigest()
