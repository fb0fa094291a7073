"""People, their sessions, and the tokens of the API."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from bergen_loop.domain import names
from bergen_loop.domain.words import What
from bergen_loop.ledger.scope import Scope
from bergen_loop.ledger.store import journal
from bergen_loop.ledger.store.journal import Actor
from bergen_loop.ledger.tables.access import PlaceRow
from bergen_loop.ledger.tables.core import ApiTokenRow, JournalRow, SessionRow, UserRow

TOKEN_PREFIX = "blt_"  # noqa: S105 - tells what a found string is, and is none itself
KNOWN_FOR = timedelta(days=90)
"""So long an account is known at a place where it has signed in."""
ISSUED_FOR = timedelta(days=7)
"""Within this time an issued password is used, or it is none any more."""
CODE_WAIT = timedelta(minutes=5)
"""Between the password and the second factor."""
LOOKED_BACK = 100
"""Changes of accounts, for the last one of one of them."""
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
    FLOOR = "floor"
    """Of the warehouse: counts parcels on the floor page, and sees nothing else."""


@dataclass(frozen=True, slots=True)
class Deed:
    """Something done to accounts or tokens: in which transaction, when, and by whom."""

    session: Session
    now: datetime
    who: str | Actor

    @property
    def name(self) -> str:
        """As the journal calls them."""
        return self.who.name if isinstance(self.who, Actor) else self.who

    @property
    def source(self) -> str | None:
        """The address they come from."""
        return self.who.source if isinstance(self.who, Actor) else None

    def journal(self, what: What, why: str, data: Mapping[str, Any] | None = None) -> None:
        """Append it, under their name."""
        journal.record(
            self.session,
            self.now,
            journal.Entry(what, why, brand=None, who=self.who, data=data or {}),
        )


@dataclass(frozen=True, slots=True)
class Grant:
    """What an account or a token may."""

    role: Role
    brands: Iterable[str] | None
    """None: all."""

    @property
    def listed(self) -> list[str] | None:
        """Its brands as they are kept."""
        return None if self.brands is None else sorted(self.brands)

    @property
    def words(self) -> str:
        """For people."""
        return f"{self.role.value.replace('_', ' ')}, {brands_in_words(self.listed)}"


@dataclass(frozen=True, slots=True)
class Account:
    """One to be made. `issued`: somebody else knows its password."""

    name: str
    grant: Grant
    password_hash: str | None = None
    issued: bool = False
    issuer: str | None = None
    subject: str | None = None


class Taken(Exception):
    """The name, or one that looks like it, is in use already."""


def any_user(session: Session) -> bool:
    """Whether there is an account at all."""
    return session.scalar(sa.select(UserRow.id).limit(1)) is not None


def user_named(session: Session, name: str) -> UserRow | None:
    """The account of this name."""
    return session.scalar(sa.select(UserRow).where(UserRow.name == name))


def user_at(session: Session, issuer: str, subject: str) -> UserRow | None:
    """The account of who is `subject` at an OpenID provider."""
    return session.scalar(
        sa.select(UserRow).where(UserRow.issuer == issuer, UserRow.subject == subject)
    )


def users(session: Session) -> list[UserRow]:
    """All accounts, by name."""
    return list(session.scalars(sa.select(UserRow).order_by(UserRow.name)))


def add_user(deed: Deed, account: Account) -> UserRow:
    """Make an account. Raises Taken."""
    _not_taken(account.name, deed.session.scalars(sa.select(UserRow.name)))
    grant = account.grant
    user = UserRow(
        name=account.name,
        password_hash=account.password_hash,
        issued_at=deed.now if account.issued else None,
        issuer=account.issuer,
        subject=account.subject,
        role=grant.role,
        brands=grant.listed,
        active=True,
        created_at=deed.now,
    )
    deed.session.add(user)
    deed.session.flush()
    deed.journal(What.ACCOUNT_MADE, f"{account.name}: {grant.words}", {"user": user.id})
    return user


def _not_taken(name: str, taken: Iterable[str]) -> None:
    """Raises Taken."""
    alike = names.skeleton(name)
    for other in (journal.SERVICE, *taken):
        if other == name:
            raise Taken(f"the name {name!r} is taken")
        if names.skeleton(other) == alike:
            raise Taken(f"the name looks like {other!r}, which is taken")


def standing(user: UserRow) -> str:
    """What an account may do, as a form carries it: another one says that it was changed since."""
    return hashed(f"{user.role} {brands_in_words(user.brands)} {user.active}")[:16]


def changed_by(session: Session, user: UserRow) -> str | None:
    """Who changed last what an account may do."""
    changes = sa.select(JournalRow).where(
        JournalRow.brand.is_(None),
        JournalRow.return_pk.is_(None),
        JournalRow.happened == What.ACCOUNT_CHANGED,
    )
    newest = session.scalars(changes.order_by(JournalRow.id.desc()).limit(LOOKED_BACK))
    return next((row.who for row in newest if row.data.get("user") == user.id), None)


def change_user(deed: Deed, user: UserRow, grant: Grant, *, active: bool) -> None:
    """Change what an account may do. Its sessions end, so that the change holds at once, and the
    tokens it made end where it may make none any more."""
    before = f"{user.role}, {brands_in_words(user.brands)}, active: {user.active}"
    user.role, user.brands, user.active = grant.role, grant.listed, active
    end_sessions(deed.session, user)
    if not (active and grant.role is Role.ENGINEER and user.brands is None):
        made = sa.select(ApiTokenRow).where(ApiTokenRow.account_id == user.id)
        for token in deed.session.scalars(made.order_by(ApiTokenRow.id)):
            revoke_token(deed, token)
    why = f"{user.name}: {grant.words}" + ("" if active else ", switched off")
    deed.journal(What.ACCOUNT_CHANGED, why, {"user": user.id, "before": before})


def set_password(deed: Deed, user: UserRow, hash_: str, *, issued: bool) -> None:
    """Give an account a new password; `issued` by somebody else, who knows it. Its sessions
    end."""
    user.password_hash, user.issued_at = hash_, deed.now if issued else None
    end_sessions(deed.session, user)
    deed.journal(What.PASSWORD_SET, f"of {user.name}")


def brands_in_words(brands: list[str] | None) -> str:
    """The brands of an account or token, for people."""
    if brands is None:
        return "all brands"
    return ", ".join(brands) if brands else "no brand"


# -- the second factor --------------------------------------------------------------------------


def set_second_factor(deed: Deed, user: UserRow, secret: str, codes: Iterable[str]) -> None:
    """Have an account sign in with a second factor; `codes` are for the day it is lost."""
    user.totp_secret, user.totp_new, user.totp_step = secret, None, None
    user.recovery_codes = [hashed(code) for code in codes]
    end_sessions(deed.session, user)
    deed.journal(What.SECOND_FACTOR_SET, "")


def remove_second_factor(deed: Deed, user: UserRow) -> None:
    """Have an account sign in by password alone. Its sessions end."""
    user.totp_secret = user.totp_new = user.totp_step = user.recovery_codes = None
    end_sessions(deed.session, user)
    deed.journal(What.SECOND_FACTOR_REMOVED, f"of {user.name}")


def take_recovery_code(deed: Deed, user: UserRow, code: str) -> bool:
    """Whether it is one that is left; it is gone then."""
    left = list(user.recovery_codes or [])
    if hashed(code) not in left:
        return False
    left.remove(hashed(code))
    user.recovery_codes = left
    deed.journal(What.RECOVERY_CODE_USED, f"{len(left)} left")
    return True


# -- signing in ---------------------------------------------------------------------------------


def known_at(session: Session, now: datetime, user: UserRow, places: Iterable[str]) -> str | None:
    """The first of the places where the account has signed in lately."""
    query = sa.select(PlaceRow.place).where(
        PlaceRow.user_id == user.id, PlaceRow.seen_at > now - KNOWN_FOR
    )
    known = set(session.scalars(query))
    return next((place for place in places if place in known), None)


def get_known(session: Session, now: datetime, user: UserRow, places: Iterable[str]) -> None:
    """The account has signed in at these places."""
    old = now - KNOWN_FOR
    session.execute(sa.delete(PlaceRow).where(PlaceRow.seen_at <= old, PlaceRow.user_id == user.id))
    for place in places:
        session.merge(PlaceRow(user_id=user.id, place=place, seen_at=now))


def start_session(
    deed: Deed, user: UserRow, *, lasts: timedelta, how: str, browser: str | None = None
) -> str:
    """Sign somebody in; the value for the cookie."""
    deed.session.execute(sa.delete(SessionRow).where(SessionRow.expires_at <= deed.now))
    user.signed_in_at = deed.now
    deed.journal(What.SIGNED_IN, how)
    token, row = _new_session(deed.session, deed.now, user, lasts)
    row.source, row.browser = deed.source, browser
    return token


def await_code(session: Session, now: datetime, user: UserRow) -> str:
    """The password was right: what the second factor is shown with; the value for the cookie."""
    token, row = _new_session(session, now, user, CODE_WAIT)
    row.awaits_code = True
    return token


def _new_session(
    session: Session, now: datetime, user: UserRow, lasts: timedelta
) -> tuple[str, SessionRow]:
    token = secrets.token_urlsafe(32)
    row = SessionRow(
        token_hash=hashed(token), user_id=user.id, csrf=secrets.token_urlsafe(24),
        awaits_code=False, created_at=now, seen_at=now, expires_at=now + lasts,
    )  # fmt: skip
    session.add(row)
    return token, row


def awaiting_code(session: Session, now: datetime, token: str) -> UserRow | None:
    """Whose second factor is awaited in the browser of this cookie."""
    row, user = _session_row(session, token) or (None, None)
    if row is None or user is None or not row.awaits_code:
        return None
    return user if user.active and row.expires_at > now else None


def session_of(
    session: Session, now: datetime, token: str, idle: timedelta
) -> tuple[SessionRow, UserRow] | None:
    """The session of a cookie and whose it is, unless it has run out or its account is off."""
    found = _session_row(session, token)
    if found is None:
        return None
    row, user = found
    if row.awaits_code or row.expires_at <= now or row.seen_at + idle <= now or not user.active:
        return None
    return row, user


def _session_row(session: Session, token: str) -> tuple[SessionRow, UserRow] | None:
    found = session.execute(
        sa.select(SessionRow, UserRow)
        .join(UserRow, UserRow.id == SessionRow.user_id)
        .where(SessionRow.token_hash == hashed(token))
    ).first()
    return None if found is None else (found[0], found[1])


def touch(session: Session, now: datetime, token: str) -> None:
    """Note that a session is in use."""
    session.execute(
        sa.update(SessionRow).where(SessionRow.token_hash == hashed(token)).values(seen_at=now)
    )


def end_session(session: Session, now: datetime, token: str, who: str) -> None:
    """Sign a browser out."""
    drop_session(session, token)
    journal.record(session, now, journal.Entry(What.SIGNED_OUT, "", brand=None, who=who))


def drop_session(session: Session, token: str) -> None:
    """End a session that another takes the place of."""
    session.execute(sa.delete(SessionRow).where(SessionRow.token_hash == hashed(token)))


def sessions_of(session: Session, now: datetime, account: int, idle: timedelta) -> list[SessionRow]:
    """Where an account is signed in, the session in use last first."""
    query = sa.select(SessionRow).where(
        SessionRow.user_id == account,
        SessionRow.expires_at > now,
        SessionRow.seen_at > now - idle,
        SessionRow.awaits_code.is_not(sa.true()),
    )
    return list(session.scalars(query.order_by(SessionRow.seen_at.desc(), SessionRow.token_hash)))


def end_other_sessions(session: Session, now: datetime, user: UserRow, token: str) -> None:
    """Sign an account out everywhere but in the browser of this cookie."""
    others = (SessionRow.user_id == user.id) & (SessionRow.token_hash != hashed(token))
    ended = len(session.scalars(sa.select(SessionRow.token_hash).where(others)).all())
    session.execute(sa.delete(SessionRow).where(others))
    why = f"{ended} other session(s)"
    journal.record(session, now, journal.Entry(What.SIGNED_OUT, why, brand=None, who=user.name))


def end_sessions(session: Session, user: UserRow) -> None:
    """Sign an account out everywhere."""
    session.execute(sa.delete(SessionRow).where(SessionRow.user_id == user.id))


# -- tokens -------------------------------------------------------------------------------------


def add_token(
    deed: Deed, name: str, grant: Grant, *, expires_at: datetime | None, account: int | None = None
) -> str:
    """Make a token of the API, which ends with `account`; its value is not kept. Raises Taken."""
    _not_taken(name, deed.session.scalars(sa.select(ApiTokenRow.name)))
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    row = ApiTokenRow(
        name=name,
        token_hash=hashed(token),
        role=grant.role,
        brands=grant.listed,
        created_by=deed.name,
        account_id=account,
        created_at=deed.now,
        expires_at=expires_at,
    )
    deed.session.add(row)
    deed.journal(What.TOKEN_MADE, f"{name}: {grant.words}")
    return token


def revoke_token(deed: Deed, row: ApiTokenRow) -> None:
    """Have a token refused from now on."""
    if row.revoked_at is None:
        row.revoked_at = deed.now
        deed.journal(What.TOKEN_REVOKED, row.name)


def tokens(session: Session) -> list[ApiTokenRow]:
    """All tokens, the newest first."""
    return list(session.scalars(sa.select(ApiTokenRow).order_by(ApiTokenRow.id.desc())))


def token_row(session: Session, now: datetime, token: str) -> ApiTokenRow | None:
    """The token of this value, unless it has run out, was revoked, or its maker is off."""
    row = session.scalar(sa.select(ApiTokenRow).where(ApiTokenRow.token_hash == hashed(token)))
    if row is None or row.revoked_at or (row.expires_at and row.expires_at <= now):
        return None
    maker = session.get(UserRow, row.account_id) if row.account_id else None
    return row if maker is None or maker.active else None


def scope_of(row: UserRow | ApiTokenRow) -> Scope:
    """The brands an account or token may see."""
    return Scope.of(row.brands)


def hashed(token: str) -> str:
    """What is kept of a random token: it cannot be guessed, so a plain hash is enough."""
    return hashlib.sha256(token.encode()).hexdigest()
