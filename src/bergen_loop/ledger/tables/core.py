"""The tables. Times are UTC; JSON columns hold plain JSON. Migrations: `ledger/migrations`."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator

from bergen_loop.domain.rma import TicketStatus
from bergen_loop.ledger.codec import Document, decode, encode
from bergen_loop.ledger.folding import find_index
from bergen_loop.ledger.packed import as_json, pack, packed_in, unpack


class UtcTime(TypeDecorator[datetime]):
    """An aware UTC datetime; SQLite has no zones, so it is stored naive there."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def bind_processor(self, dialect: sa.Dialect) -> Any:
        return _naive_text if dialect.name == "sqlite" else _in_utc

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Any:
        del coltype
        return _of_naive_text if dialect.name == "sqlite" else _in_utc


def _in_utc(value: datetime | None) -> datetime | None:
    if value is None or value.tzinfo is UTC:
        return value
    if value.tzinfo is None:
        raise ValueError(f"a time without zone cannot go into the ledger: {value!r}")
    return value.astimezone(UTC)


@lru_cache(1024)  # the rows of a transaction share their times
def _naive_text(value: datetime | None) -> str | None:
    value = _in_utc(value)
    return None if value is None else value.isoformat(" ", "microseconds")[:26]


@lru_cache(8192)
def _of_naive_text(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(f"{text}+00:00")


class TicketStatusName(TypeDecorator[str]):
    """A ticket's status in its normal form; a name we do not know as it came. An older release
    stored all of them as they came."""

    impl = sa.String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        del dialect
        return _normal_status(value)

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Any:
        del dialect, coltype
        return _normal_status


@lru_cache(1024)
def _normal_status(name: str | None) -> str | None:
    known = TicketStatus.read(name)
    return known.value if known else name


class PlainJson(TypeDecorator[Any]):
    """Plain data in a JSON column. The engine hands the text over (`ledger.database`)."""

    impl = sa.JSON(none_as_null=True)
    cache_ok = True

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Any:
        del dialect, coltype
        return _decoded


def _decoded(text: str | bytes | None) -> Any:
    return None if text is None else decode(text)


PACKS_FROM = "bergen_packs_from"
"""Of an engine's dialect: since when documents are written packed (seconds since 1970)."""


def _packing(dialect: sa.Dialect) -> Any:
    """Plain data or a document to what its column holds."""
    fit = as_json if dialect.name != "sqlite" else None

    def stored(value: Any) -> bytes | str | None:
        if value is None:
            return None
        text = encode(value)
        if time.time() < getattr(dialect, PACKS_FROM, math.inf):
            return text
        return fit(pack(text)) if fit else pack(text)

    return stored


class PackedJson(TypeDecorator[Any]):
    """Plain data in a JSON column, packed (`ledger.packed`). SQL does not look into it."""

    impl = sa.JSON(none_as_null=True)
    cache_ok = True

    def bind_processor(self, dialect: sa.Dialect) -> Any:
        return _packing(dialect)

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Any:
        del dialect, coltype
        return _unpacked


def _unpacked(stored: str | bytes | None) -> Any:
    if stored is None:
        return None
    packed = packed_in(stored)
    return decode(stored if packed is None else unpack(packed))


class DocumentJson(PackedJson):
    """A `Document`, unpacked and decoded only where it is looked into."""

    cache_ok = True

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Any:
        del dialect, coltype
        return _document


def _document(stored: str | bytes | None) -> Document | None:
    if stored is None:
        return None
    packed = packed_in(stored)
    if packed is not None:
        return Document(packed)
    return Document(stored if isinstance(stored, str) else stored.decode())


class Unpacked(FunctionElement[Any]):
    """Of a column of documents: the document where it is plain JSON, which SQL can look into."""

    type = sa.JSON(none_as_null=True)
    inherit_cache = True


@compiles(Unpacked, "postgresql")
def _any(element: Unpacked, compiler: Any, **kw: Any) -> str:  # pyright: ignore[reportUnusedFunction]
    return compiler.process(element.clauses, **kw)  # a packed one is a text, which has no fields


@compiles(Unpacked, "sqlite")
def _text_only(element: Unpacked, compiler: Any, **kw: Any) -> str:  # pyright: ignore[reportUnusedFunction]
    column = compiler.process(element.clauses, **kw)
    return f"CASE WHEN typeof({column}) = 'text' THEN {column} END"


class TimeOfChange(FunctionElement[datetime]):
    """The time by the database's clock, as it passes: the clock that all machines share, so that
    who follows changes by it misses none."""

    type = UtcTime()
    inherit_cache = True


@compiles(TimeOfChange, "postgresql")
def _on_postgresql(*_: Any, **__: Any) -> str:  # pyright: ignore[reportUnusedFunction]
    return "clock_timestamp()"


@compiles(TimeOfChange, "sqlite")
def _on_sqlite(*_: Any, **__: Any) -> str:  # pyright: ignore[reportUnusedFunction]
    return "strftime('%Y-%m-%d %H:%M:%f000', 'now')"


def _changed_at() -> Mapped[datetime | None]:
    return mapped_column(default=TimeOfChange(), onupdate=TimeOfChange())


Json = dict[str, Any]
DocumentOf = Mapping[str, Any]
BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


class Base(DeclarativeBase):
    """Naming constraints makes migrations the same on both databases."""

    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own convention
        datetime: UtcTime,
        Json: PlainJson,
        DocumentOf: DocumentJson,
        list[Any]: PlainJson,
    }


class BrandRow(Base):
    """What is remembered of a brand between syncs; its settings are configuration."""

    __tablename__ = "brands"

    brand: Mapped[str] = mapped_column(primary_key=True)
    config_version: Mapped[str | None]
    """Of the settings and criteria that its returns have been looked at by."""
    last_sync_started_at: Mapped[datetime | None]
    last_sync_finished_at: Mapped[datetime | None]
    last_sync_ok: Mapped[bool | None]
    last_sync_error: Mapped[str | None]
    last_good_sync_at: Mapped[datetime | None]
    """When a sync last ended without an error."""
    last_pull_at: Mapped[datetime | None]
    """When Loop's list was last walked to its end: decisions need a fresh one."""
    nudged_at: Mapped[datetime | None]
    """A webhook asked for a sync; cleared by the sync that starts after it."""
    next_due_at: Mapped[datetime | None]
    quiet_looks: Mapped[int | None]
    """In how many looks in a row nothing was found."""
    epoch: Mapped[int] = mapped_column(default=0)
    """Counts the holders of the brand's lock: an earlier holder can write no intent any more."""
    mode: Mapped[str | None]
    """live, shadow or paused, as set by a command; None: as the configuration says."""
    acted_mode: Mapped[str | None]
    """The mode of the last tick: a tick that finds another carries the change out."""
    restored_at: Mapped[datetime | None]
    """When the ledger was put back from a backup: what was done after the backup was made is not
    in it, so it is looked for before it is done."""
    pace_returns: Mapped[int | None]
    """A gradual start: so many returns are paid an hour at most ..."""
    pace_amount: Mapped[str | None]
    """... and so much money, of each currency; a decimal string ..."""
    pace_until: Mapped[datetime | None]
    """... until then. None: there is no gradual start."""


class ReturnRow(Base):
    """One return, where it stands, and when it reached each moment."""

    __tablename__ = "returns"
    __table_args__ = (
        sa.UniqueConstraint("brand", "return_id"),
        sa.Index("ix_returns_work", "brand", "stage", "held", "due_at"),
        sa.Index("ix_returns_changed", "changed_at", "id"),
        sa.Index("ix_returns_changed_brand", "brand", "changed_at", "id"),
    )
    __mapper_args__ = {"eager_defaults": False}  # noqa: RUF012 - SQLAlchemy's own convention

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    brand: Mapped[str]
    return_id: Mapped[str]
    stage: Mapped[str]
    held: Mapped[bool] = mapped_column(default=False)
    """True while an item of the attention list blocks it."""
    due_at: Mapped[datetime | None]
    """The next time a flow should look at it; None: when something happens to it."""
    loop_state: Mapped[str]
    order_name: Mapped[str | None]
    customer_email: Mapped[str | None]
    tracking_number: Mapped[str | None]
    outcome: Mapped[str | None]
    currency: Mapped[str | None]
    total: Mapped[str | None]
    """Money as Loop's decimal string."""
    content: Mapped[DocumentOf]
    """The return as `domain.Return`, in JSON."""
    content_hash: Mapped[str]
    loop_updated_at: Mapped[datetime]
    submitted_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    announced_at: Mapped[datetime | None]
    received_at: Mapped[datetime | None]
    decided_at: Mapped[datetime | None]
    settled_at: Mapped[datetime | None]
    """When Loop was seen to show it closed (or in review after our flag)."""
    rma_closed_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    changed_at: Mapped[datetime | None] = _changed_at()
    """When this row was last written; of what an older release wrote, when it was upgraded."""


class LineRow(Base):
    """The units of a return, for search and side-by-side views."""

    __tablename__ = "return_lines"
    return_pk: Mapped[int] = mapped_column(
        BigId, sa.ForeignKey("returns.id", ondelete="CASCADE"), primary_key=True
    )
    line_item_id: Mapped[str] = mapped_column(primary_key=True)
    sku: Mapped[str | None]
    barcode: Mapped[str | None]
    title: Mapped[str | None]
    outcome: Mapped[str | None]
    reason: Mapped[str | None]
    price: Mapped[str | None]


class RmaRow(Base):
    """One RMA (ticket) of a return. `customer_po` is chosen before the call (I3)."""

    __tablename__ = "rmas"
    __table_args__ = (
        sa.UniqueConstraint("brand", "customer_po"),
        sa.UniqueConstraint("brand", "ticket_id"),
        sa.Index("ix_rmas_return", "return_pk"),
        sa.Index("ix_rmas_to_read", "brand", "to_read"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    brand: Mapped[str]
    return_pk: Mapped[int] = mapped_column(BigId, sa.ForeignKey("returns.id", ondelete="CASCADE"))
    parcel: Mapped[int] = mapped_column(default=1)
    customer_po: Mapped[str]
    ticket_id: Mapped[str | None]
    warehouse: Mapped[str]
    items: Mapped[list[Any]] = mapped_column(PackedJson)
    tracking_numbers: Mapped[list[Any]]
    ticket_status: Mapped[str | None] = mapped_column(TicketStatusName)
    status_seen_at: Mapped[datetime | None]
    to_read: Mapped[bool] = mapped_column(default=False)
    """The ticket has come to a status at which its counts are to be read."""
    read_status: Mapped[str | None] = mapped_column(TicketStatusName)
    """The final status at which it was last read, as long as it holds: a changed ticket is read
    once."""
    unread_since: Mapped[datetime | None]
    """Since when reading it fails for a passing reason."""
    read_due_at: Mapped[datetime | None]
    """Not read again before this, where reading it fails."""
    created_at: Mapped[datetime]
    confirmed_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    close_evidence: Mapped[str | None]
    shipment_pk: Mapped[int | None] = mapped_column(BigId)
    """Of a share in a consolidated shipment (`tables.shipments`): its tickets are the shipment's,
    and what of their counts is the return's is its receipt."""


class ReceiptRow(Base):
    """A ticket as read at a time; a growing receipt gives several."""

    __tablename__ = "receipts"
    __table_args__ = (sa.UniqueConstraint("rma_pk", "content_hash"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    rma_pk: Mapped[int] = mapped_column(BigId, sa.ForeignKey("rmas.id", ondelete="CASCADE"))
    read_at: Mapped[datetime]
    content: Mapped[DocumentOf]
    content_hash: Mapped[str]
    """Of what was read; behind a `#`, which time it was read, or which correction of it this is."""
    corrects: Mapped[int | None] = mapped_column(BigId)
    """The receipt, as it was read, of which a person has corrected counts: it stays as it is."""
    by: Mapped[str | None]
    """Who corrected it; None: it is as the warehouse gave it."""
    evidence: Mapped[str | None] = mapped_column(sa.Text)
    """What they know it from."""


class ReceiptFileRow(Base):
    """A file that shows what a person corrected a receipt from."""

    __tablename__ = "receipt_files"
    __table_args__ = (sa.Index("ix_receipt_files_receipt", "receipt_pk"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    receipt_pk: Mapped[int] = mapped_column(BigId, sa.ForeignKey("receipts.id", ondelete="CASCADE"))
    name: Mapped[str]
    content_type: Mapped[str]
    body: Mapped[bytes] = mapped_column(sa.LargeBinary)


def state_of(facts: Mapping[str, Any]) -> str | None:
    """In which state Loop showed the return, by the facts of a decision."""
    ret: object = facts.get("ret")
    return cast("Json", ret).get("state") if isinstance(ret, dict) else None


def _state_in_facts(context: Any) -> str | None:
    return state_of(context.get_current_parameters()["facts"])


class DecisionRow(Base):
    """A decision with all that explains it: receipt, rule, facts, versions (I7)."""

    __tablename__ = "decisions"
    __table_args__ = (sa.Index("ix_decisions_return", "return_pk"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    brand: Mapped[str]
    return_pk: Mapped[int] = mapped_column(BigId, sa.ForeignKey("returns.id", ondelete="CASCADE"))
    decided_at: Mapped[datetime]
    outcome: Mapped[str]
    rule: Mapped[str]
    reason: Mapped[str]
    note: Mapped[str | None]
    wait_until: Mapped[datetime | None]
    line_item_ids: Mapped[list[Any]]
    criteria_version: Mapped[str]
    config_version: Mapped[str]
    facts: Mapped[DocumentOf]
    receipt_ids: Mapped[list[Any]]
    shadow: Mapped[bool] = mapped_column(default=False)
    by: Mapped[str] = mapped_column(default="bergen-loop")
    judged_state: Mapped[str | None] = mapped_column(default=_state_in_facts)
    """In which state Loop showed the return, where the criteria judged it: what `facts` say. Of
    what an older release wrote it is null until the facts are packed: `judged_state`."""


class EffectRow(Base):
    """The intent and outcome of a call that changes something outside.

    `key` is unique per brand, and process, flag and remove_lines share one key per return
    (`settle:ID`): that constraint is what makes I1 hold.
    """

    __tablename__ = "effects"
    __table_args__ = (
        sa.UniqueConstraint("brand", "key"),
        sa.Index("ix_effects_open", "brand", "kind", "state"),
        sa.Index("ix_effects_return", "return_pk"),
        sa.Index(
            "ix_effects_later",
            "brand",
            "kind",
            "state",
            "try_at",
            sqlite_where=sa.text("try_at IS NOT NULL"),
            postgresql_where=sa.text("try_at IS NOT NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    brand: Mapped[str]
    return_pk: Mapped[int | None] = mapped_column(
        BigId, sa.ForeignKey("returns.id", ondelete="CASCADE")
    )
    key: Mapped[str]
    kind: Mapped[str]
    state: Mapped[str]
    attempts: Mapped[int] = mapped_column(default=1)
    payload: Mapped[Json]
    intended_at: Mapped[datetime]
    doubt_since: Mapped[datetime | None]
    """Since when its outcome is unknown and being looked for."""
    try_at: Mapped[datetime | None]
    """Not before this time is it sent again; None: at once."""
    finished_at: Mapped[datetime | None]
    outcome: Mapped[str | None]
    """In words: what the system answered, or what looking showed."""


class JournalRow(Base):
    """Append-only: who did what, when and why (I7)."""

    __tablename__ = "journal"
    __table_args__ = (
        sa.Index("ix_journal_return", "return_pk", "id"),
        sa.Index("ix_journal_chain", "brand", "position", "id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    at: Mapped[datetime]
    brand: Mapped[str | None]
    return_pk: Mapped[int | None] = mapped_column(BigId)
    who: Mapped[str]
    account_id: Mapped[int | None] = mapped_column(BigId)
    """Of people with an account: names are spoken, this is never given again."""
    source: Mapped[str | None]
    """The address from which they did it."""
    happened: Mapped[str | None]
    """A `What`: what programs go by."""
    what: Mapped[str]
    """The same in words, for people."""
    why: Mapped[str]
    data: Mapped[Json]
    position: Mapped[int | None] = mapped_column(BigId)
    """In the chain of its brand's entries; null until it is sealed, see `ledger.store.chain`."""
    salt: Mapped[str | None]
    """Of `digest`; gone where the texts have been erased."""
    digest: Mapped[str | None]
    """Of the salt, `why` and `data`, as they were sealed."""
    seal: Mapped[str | None]
    """Of the seal before it and everything in this entry."""


class ChainRow(Base):
    """The end of a brand's chain of journal entries."""

    __tablename__ = "journal_chains"

    brand: Mapped[str] = mapped_column(primary_key=True)
    """Empty for what belongs to no brand."""
    begins_after: Mapped[int] = mapped_column(BigId)
    """The last entry written before there were chains."""
    position: Mapped[int] = mapped_column(BigId)
    seal: Mapped[str]
    sealed_at: Mapped[datetime | None]


class RawRow(Base):
    """A payload that could not be understood, kept as it came."""

    __tablename__ = "raw_payloads"
    __table_args__ = (sa.UniqueConstraint("brand", "source", "digest"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    brand: Mapped[str]
    source: Mapped[str]
    digest: Mapped[str]
    at: Mapped[datetime]
    problem: Mapped[str]
    return_id: Mapped[str | None]
    body: Mapped[str] = mapped_column(sa.Text)


class CursorRow(Base):
    """How far a recurring read has come."""

    __tablename__ = "cursors"

    brand: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[datetime]


class ProductRow(Base):
    """Whether the warehouse knows a product (asked once, then remembered)."""

    __tablename__ = "products"

    brand: Mapped[str] = mapped_column(primary_key=True)
    upc: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str]
    checked_at: Mapped[datetime]
    since: Mapped[datetime]
    """When it came into this state."""
    called: Mapped[dict[str, Any] | None] = mapped_column(PlainJson)
    """What the warehouse calls it (Style, Color, Size, Sku ...), where it has said so."""


class AttentionRow(Base):
    """Something a person has to look at. At most one open item per `open_key`."""

    __tablename__ = "attention"
    __table_args__ = (
        sa.UniqueConstraint("brand", "open_key"),
        sa.Index("ix_attention_return", "return_pk"),
        sa.Index("ix_attention_changed", "changed_at", "id"),
        sa.Index("ix_attention_changed_brand", "brand", "changed_at", "id"),
    )
    __mapper_args__ = {"eager_defaults": False}  # noqa: RUF012 - SQLAlchemy's own convention

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    brand: Mapped[str]
    return_pk: Mapped[int | None] = mapped_column(
        BigId, sa.ForeignKey("returns.id", ondelete="CASCADE")
    )
    kind: Mapped[str]
    """A `Need`."""
    subject: Mapped[str | None]
    """What it is about: the return's id in Loop, a UPC, a system ..."""
    open_key: Mapped[str | None]
    reason: Mapped[str]
    tried: Mapped[str]
    blocking: Mapped[bool] = mapped_column(default=True)
    opened_at: Mapped[datetime]
    resolved_at: Mapped[datetime | None]
    resolved_by: Mapped[str | None]
    resolution: Mapped[str | None]
    ended: Mapped[str | None]
    """An `Ended`: in which way it was resolved."""
    ended_at_stage: Mapped[str | None]
    """Where its return stood then."""
    tried_again_at: Mapped[datetime | None]
    tried_again_by: Mapped[str | None]
    """A person's last retry. Where it comes to the same, the item is opened again, as old as it
    is."""
    assignee: Mapped[str | None]
    """Who has taken it on."""
    snoozed_until: Mapped[datetime | None]
    """Off the list until then; it holds its return all the same."""
    changed_at: Mapped[datetime | None] = _changed_at()
    """As of a return."""


class WebhookRow(Base):
    """A verified webhook delivery, kept until it has been acted on; its digest tells repeats."""

    __tablename__ = "webhooks"
    __table_args__ = (
        sa.UniqueConstraint("brand", "digest"),
        sa.Index("ix_webhooks_todo", "brand", "handled_at"),
        sa.Index("ix_webhooks_return", "brand", "return_id", "id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    brand: Mapped[str]
    digest: Mapped[str]
    received_at: Mapped[datetime]
    topic: Mapped[str]
    trigger: Mapped[str]
    return_id: Mapped[str | None]
    body: Mapped[str] = mapped_column(sa.Text)
    handled_at: Mapped[datetime | None]


class CounterRow(Base):
    """Counts that must survive a restart: calls by kind and outcome, refused webhooks."""

    __tablename__ = "counters"

    brand: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[int]


class SecretRow(Base):
    """A secret, encrypted under a key that is kept outside the ledger."""

    __tablename__ = "secrets"

    name: Mapped[str] = mapped_column(primary_key=True)
    token: Mapped[str] = mapped_column(sa.Text)
    """Fernet token."""
    set_at: Mapped[datetime]
    set_by: Mapped[str]


class UserRow(Base):
    """A person who may use the console, by a password or by single sign-on."""

    __tablename__ = "users"
    __table_args__ = (sa.UniqueConstraint("issuer", "subject"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    name: Mapped[str] = mapped_column(unique=True)
    """What the journal calls them."""
    password_hash: Mapped[str | None]
    """Argon2id; None: signs in elsewhere."""
    issued_at: Mapped[datetime | None]
    """When somebody else gave it this password: the first thing to do is to change it."""
    totp_secret: Mapped[str | None]
    """The second factor's, in base 32, sealed (`secrets.seeds`); None: there is none."""
    totp_new: Mapped[str | None]
    """One that has been shown and not been proven yet, sealed as well."""
    totp_step: Mapped[int | None] = mapped_column(BigId)
    """The time step of the last code that was taken: each is taken once."""
    recovery_codes: Mapped[list[Any] | None] = mapped_column(PlainJson)
    """Hashes of those that are left."""
    issuer: Mapped[str | None]
    subject: Mapped[str | None]
    """Who they are at the OpenID provider."""
    role: Mapped[str]
    brands: Mapped[list[Any] | None] = mapped_column(PlainJson)
    """The brands they may see; None: all."""
    active: Mapped[bool] = mapped_column(default=True)
    failed_sign_ins: Mapped[int] = mapped_column(default=0)
    locked_until: Mapped[datetime | None]
    """Both for releases before `sign_in_tries` only."""
    created_at: Mapped[datetime]
    signed_in_at: Mapped[datetime | None]


class SessionRow(Base):
    """A browser that is signed in. The cookie's value is kept as its hash only."""

    __tablename__ = "sessions"
    __table_args__ = (sa.Index("ix_sessions_expiry", "expires_at"),)

    token_hash: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(
        BigId, sa.ForeignKey("users.id", ondelete="CASCADE"), index=True
    )
    csrf: Mapped[str]
    awaits_code: Mapped[bool | None]
    """The password was right, the second factor is still to come: it opens nothing yet."""
    source: Mapped[str | None]
    """The address from which it was begun."""
    browser: Mapped[str | None]
    """What the browser calls itself."""
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class ApiTokenRow(Base):
    """A token of the JSON API. Kept as its hash only; shown once, when it is made."""

    __tablename__ = "api_tokens"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    name: Mapped[str] = mapped_column(unique=True)
    """What the journal calls whoever uses it."""
    token_hash: Mapped[str] = mapped_column(unique=True)
    role: Mapped[str]
    brands: Mapped[list[Any] | None] = mapped_column(PlainJson)
    created_by: Mapped[str]
    account_id: Mapped[int | None] = mapped_column(BigId)
    """Whose account it ends with."""
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class ErasureRow(Base):
    """A request to erase a return's customer: kept, since Loop may show the customer again."""

    __tablename__ = "erasures"

    return_pk: Mapped[int] = mapped_column(
        BigId, sa.ForeignKey("returns.id", ondelete="CASCADE"), primary_key=True
    )
    asked_at: Mapped[datetime]
    asked_by: Mapped[str]


class WorkerRow(Base):
    """A process that runs ticks, and when it was last alive by the database's clock."""

    __tablename__ = "workers"

    executor_id: Mapped[str] = mapped_column(primary_key=True)
    host: Mapped[str]
    pid: Mapped[int]
    version: Mapped[str]
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]


class BreakerRow(Base):
    """A brand's outside system that does not answer, or a call that it refuses the brand's access,
    and when it is tried again."""

    __tablename__ = "breakers"

    brand: Mapped[str] = mapped_column(primary_key=True)
    system: Mapped[str] = mapped_column(primary_key=True)
    """`loop` or `rex11`; with the call, where only that is refused: `loop:process`."""
    failures: Mapped[int]
    """Attempts that failed in a row."""
    opened_at: Mapped[datetime | None]
    """Since when calls are suspended; None: they are not."""
    open_until: Mapped[datetime | None]
    """When one call is let through to see."""
    probes: Mapped[int] = mapped_column(default=0)
    """How many such calls have failed since: each makes the next wait longer."""
    error: Mapped[str | None]


class BudgetRow(Base):
    """The calls a minute of one Loop key, shared by all processes. Locked while it is dealt out."""

    __tablename__ = "budgets"

    key_hash: Mapped[str] = mapped_column(primary_key=True)
    paused_until_ms: Mapped[int] = mapped_column(BigId, default=0)
    """Milliseconds since 1970 by the database's clock: Loop said 429."""


class BudgetLeaseRow(Base):
    """Calls of a budget given to one process."""

    __tablename__ = "budget_leases"
    __table_args__ = (sa.Index("ix_budget_leases_key", "key_hash", "counts_until_ms"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    key_hash: Mapped[str]
    permits: Mapped[int]
    counts_until_ms: Mapped[int] = mapped_column(BigId)
    """Until then they count against the limit."""


# -- indexes that people's questions need --------------------------------------------------------

_OPEN_ITEM = "resolved_at IS NULL"
_BY_PEOPLE = "who <> 'bergen-loop'"
_OF_A_BRAND = "return_pk IS NULL"
"""A journal entry about the brand as a whole."""


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


def held_only() -> sa.ColumnElement[bool]:
    """The returns that an item of the attention list holds, as their partial indexes say it."""
    return ReturnRow.held.is_(True)


def judged_state() -> sa.ColumnElement[str | None]:
    """In which state Loop showed a return that was judged."""
    said = Unpacked(DecisionRow.facts)["ret"]["state"].as_string()
    return sa.func.coalesce(DecisionRow.judged_state, said)


def decided_time() -> sa.ColumnElement[datetime]:
    """When moment 5 was reached: by our decision, or by someone in Loop."""
    return sa.func.coalesce(ReturnRow.decided_at, ReturnRow.settled_at)


# Lists, newest first: all brands or one, with or without a stage, or what is held.
sa.Index("ix_returns_list", ReturnRow.submitted_at, ReturnRow.id)
sa.Index("ix_returns_list_stage", ReturnRow.stage, ReturnRow.submitted_at, ReturnRow.id)
sa.Index("ix_returns_list_brand", ReturnRow.brand, ReturnRow.submitted_at, ReturnRow.id)
sa.Index(
    "ix_returns_list_brand_stage",
    ReturnRow.brand,
    ReturnRow.stage,
    ReturnRow.submitted_at,
    ReturnRow.id,
)
_HELD: dict[str, Any] = {
    "sqlite_where": sa.text("held IS 1"),
    "postgresql_where": sa.text("held IS true"),
}
sa.Index("ix_returns_held", ReturnRow.submitted_at, ReturnRow.id, **_HELD)
sa.Index("ix_returns_held_brand", ReturnRow.brand, ReturnRow.submitted_at, ReturnRow.id, **_HELD)

# Search: exact finds in the order of ids, prefixes in the order of the text.
find_index("ix_returns_find_id", ReturnRow.return_id, ReturnRow.id)
find_index("ix_returns_find_order", ReturnRow.order_name, ReturnRow.id)
find_index("ix_returns_find_tracking", ReturnRow.tracking_number, ReturnRow.id)
find_index("ix_returns_find_customer", ReturnRow.customer_email, ReturnRow.id)
find_index("ix_rmas_find_po", RmaRow.customer_po, RmaRow.return_pk)
find_index("ix_rmas_find_ticket", RmaRow.ticket_id, RmaRow.return_pk)
find_index("ix_return_lines_find_sku", LineRow.sku, LineRow.return_pk)
sa.Index("ix_rmas_shares", RmaRow.shipment_pk, **_where("shipment_pk IS NOT NULL"))

# Figures: how many returns of a brand reached a moment since a time, which, and how long after.
sa.Index("ix_returns_at_seen", ReturnRow.brand, ReturnRow.seen_at, ReturnRow.id)
sa.Index("ix_returns_at_announced", ReturnRow.brand, ReturnRow.announced_at, ReturnRow.id)
sa.Index("ix_returns_at_received", ReturnRow.brand, ReturnRow.received_at, ReturnRow.id)
sa.Index("ix_returns_at_decided", ReturnRow.brand, decided_time(), ReturnRow.id)
sa.Index(
    "ix_returns_at_closed",
    ReturnRow.brand,
    ReturnRow.rma_closed_at,
    ReturnRow.id,
    ReturnRow.submitted_at,
)
sa.Index("ix_returns_at_complete", ReturnRow.brand, ReturnRow.completed_at, ReturnRow.id)
sa.Index(
    "ix_decisions_day",
    DecisionRow.brand,
    DecisionRow.outcome,
    DecisionRow.decided_at,
)

# The attention list, and what people did.
sa.Index("ix_attention_list", AttentionRow.id, **_where(_OPEN_ITEM))
sa.Index("ix_attention_list_brand", AttentionRow.brand, AttentionRow.id, **_where(_OPEN_ITEM))
_ENDED = (AttentionRow.resolved_at, AttentionRow.id)
sa.Index("ix_attention_ended", *_ENDED)
sa.Index("ix_attention_ended_brand", AttentionRow.brand, *_ENDED)
sa.Index("ix_attention_about", AttentionRow.brand, AttentionRow.kind, AttentionRow.subject)
_IGNORED = "ended = 'ignored'"
sa.Index("ix_attention_ignored", *_ENDED, **_where(_IGNORED))
sa.Index("ix_attention_ignored_brand", AttentionRow.brand, *_ENDED, **_where(_IGNORED))
sa.Index("ix_journal_people", JournalRow.id, **_where(_BY_PEOPLE))
sa.Index("ix_journal_people_brand", JournalRow.brand, JournalRow.id, **_where(_BY_PEOPLE))
sa.Index("ix_journal_people_who", JournalRow.who, JournalRow.id, **_where(_BY_PEOPLE))
sa.Index("ix_journal_of_brand", JournalRow.brand, JournalRow.id, **_where(_OF_A_BRAND))
