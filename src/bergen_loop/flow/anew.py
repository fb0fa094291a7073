"""What follows from settings and criteria that have changed.

What they have decided about a return is decided anew: whether it is ours, whether a parcel comes,
when its RMA is made, what a wait is for. Loop shows nothing new of it then, so nobody else would
ever look at it again. And a key, or a warehouse's account, that has changed is first shown to be
the same brand's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from bergen_loop.domain.announce import words
from bergen_loop.domain.decision import Outcome
from bergen_loop.domain.returns import TO_JUDGE, Stage
from bergen_loop.domain.words import Need
from bergen_loop.flow import intake, settle, shipment_counts, shipments
from bergen_loop.flow.context import BrandContext
from bergen_loop.flow.intake import ASIDE, CURSOR
from bergen_loop.flow.transitions import known_of
from bergen_loop.ledger.codec import load_return
from bergen_loop.ledger.store import attention, calls, cursors, effects, journal, returns
from bergen_loop.ledger.store.statements import chunks
from bergen_loop.ledger.tables.core import ReturnRow
from bergen_loop.ledger.transaction import Transaction
from bergen_loop.outside.errors import NotFound, OutsideError, Unreadable

NOT_ANNOUNCED = (Stage.SEEN, Stage.NO_PARCEL, Stage.IGNORED)
BARS, NO_BARS = "shipments.on", "shipments.off"
"""The marks of since when a brand has return bars, and of since when none any more."""
KEY, THE_KEY = "loop.key.", "Loop's key"
"""How the marks begin of keys that are known to be the brand's (the keys themselves are not kept),
and what a person is asked about; and so of the warehouse's accounts."""
ACCOUNT, THE_ACCOUNT = "warehouse.account.", "the warehouse's account"
NOT_SENT = (Need.TICKET_REFUSED, Need.CODE_UNSENDABLE)
BAGS = "shipments.bags"
"""The mark of that the bags its returns name are noted."""
FEW = 3
"""Returns, or RMAs, that something new has to show one of."""
PER_WRITE = 200
"""Returns in one transaction, so that others' turn comes."""


def run(ctx: BrandContext) -> None:
    """Look at all of a brand's returns that are not announced, or wait for more, with the settings
    and criteria as they are now. It asks nothing outside, and can be done again."""
    with ctx.ledger.read() as session:
        new = returns.unended_pks(session, ctx.brand, NOT_ANNOUNCED)
        waiting = returns.unended_pks(session, ctx.brand, [Stage.WAITING])
    for pks in chunks(new, PER_WRITE):
        with ctx.ledger.read() as session:
            rows = returns.by_pks(session, pks)
        moved = [pk for pk, row in rows.items() if _stands_otherwise(ctx, row)]
        ctx.take_in(moved, lambda tx, some: _reconsider(ctx, tx, some), _set_aside)
    for pks in chunks(waiting, PER_WRITE):
        ctx.take_in(pks, lambda tx, some: _end_waits(ctx, tx, some), _set_aside)
    _note_bags(ctx)
    _lift_refused(ctx)
    for pks in chunks(_asked_to_decide(ctx), PER_WRITE):
        ctx.take_in(pks, lambda tx, some: _judge_anew(ctx, tx, some), _set_aside)
    with ctx.write() as tx:
        _named(ctx, tx)
        shipment_counts.wait_anew(ctx, tx)
        returns.brand_row(tx.session, ctx.brand).config_version = ctx.judged_by


def _stands_otherwise(ctx: BrandContext, row: ReturnRow) -> bool:
    """Whether it is elsewhere by these settings, or may be due: then its turn is looked up."""
    try:
        stage, _ = intake.stage_by(ctx.rules, load_return(row.content))
    except Exception:
        return True  # it is set aside by itself, and told
    return row.stage == Stage.SEEN or stage != row.stage


def _set_aside(tx: Transaction, pk: int, error: Exception) -> None:
    row = returns.by_pks(tx.session, [pk])[pk]
    why = f"looking at it by the new settings failed inside bergen-loop: {type(error).__name__}"
    tx.needs_person(Need.INTERNAL, why, row)


def _reconsider(ctx: BrandContext, tx: Transaction, pks: Sequence[int]) -> None:
    rows = returns.by_pks(tx.session, pks, lock=True)
    known = known_of(tx.session, list(rows.values()))
    for pk, row in rows.items():
        return_ = load_return(row.content)
        # Where that is set off: what its goods came, or come, in may be announced already.
        bagged = not ctx.rules.box_free_methods and return_.is_box_free(
            words(*ctx.settings.shipments.methods)
        )
        if row.stage in NOT_ANNOUNCED and not (known[pk].in_flight or bagged):
            intake.reconsider(ctx, tx, row, return_, known[pk].rmas)


def _end_waits(ctx: BrandContext, tx: Transaction, pks: Sequence[int]) -> None:
    """What would not wait any more, or less long, is judged now: on its tickets, read anew."""
    rows = returns.by_pks(tx.session, pks, lock=True)
    readings = returns.readings(tx.session, pks)
    for pk, row in rows.items():
        if row.stage != Stage.WAITING or row.held or row.due_at is None or row.due_at <= tx.now:
            continue
        try:
            now = settle.judge(ctx, row, readings[pk])
        except Exception:  # who judges it will tell a person
            row.due_at = tx.now
            continue
        ends = now.wait_until if now.outcome is Outcome.WAIT else tx.now
        row.due_at = min(row.due_at, ends or tx.now)


def _note_bags(ctx: BrandContext) -> None:
    """Bags that returns named while the brand had no return bars: once it has them, those whose
    shipment nobody has told of are looked for as well."""
    if ctx.settings.loop.happy_returns == (BAGS in ctx.marks(BAGS)):
        return
    pks = list[int]()
    if ctx.settings.loop.happy_returns:
        with ctx.ledger.read() as session:
            pks = returns.changed_since(session, ctx.brand, ctx.now() - shipments.IN_TRANSIT)
    for some in chunks(pks, PER_WRITE):
        with ctx.write() as tx:
            rows = returns.by_pks(tx.session, some)
            shipments.note_bags(ctx, tx, [load_return(row.content) for row in rows.values()])
    with ctx.noting(BAGS) as tx:
        if ctx.settings.loop.happy_returns:
            cursors.set(tx.session, tx.brand, BAGS, tx.now)
        else:
            cursors.drop(tx.session, tx.brand, BAGS)


def _lift_refused(ctx: BrandContext) -> None:
    """RMAs that were refused, or could not be sent, are tried by the settings of now, as if a
    person had wanted it."""
    with ctx.write() as tx:
        before = returns.brand_row(tx.session, ctx.brand).config_version or ""
        if before.partition("/")[0] == ctx.config_version:
            return  # only the criteria are others
        for item in attention.open_items(tx.session, ctx.brand):
            if item.kind in NOT_SENT and item.return_pk is not None:
                attention.retried(tx.session, tx.now, item, "the settings have changed")
                effects.try_now(tx.session, item.return_pk)


def _asked_to_decide(ctx: BrandContext) -> list[int]:
    """Returns (keys) about which a person is asked to decide, and nothing else."""
    with ctx.ledger.read() as session:
        open_ = [i for i in attention.open_items(session, ctx.brand) if i.return_pk is not None]
    kinds: dict[int, set[str]] = {}
    for item in open_:
        kinds.setdefault(item.return_pk or 0, set()).add(item.kind)
    return [pk for pk, of in kinds.items() if of == {Need.DECIDE_BY_HAND}]


def _judge_anew(ctx: BrandContext, tx: Transaction, pks: Sequence[int]) -> None:
    """What the criteria asked a person about, and would decide themselves now, is judged, on its
    tickets read anew."""
    rows = returns.by_pks(tx.session, pks, lock=True)
    readings = returns.readings(tx.session, pks)
    decisions = returns.latest_decisions(tx.session, list(pks))
    for pk, row in rows.items():
        decision = decisions.get(pk)
        if row.stage not in TO_JUDGE or not row.held or decision is None:
            continue
        if (decision.by, decision.outcome) != (journal.SERVICE, Outcome.ATTENTION):
            continue
        if not readings[pk].receipts or readings[pk].receipt_ids != decision.receipt_ids:
            continue
        if settle.judge(ctx, row, readings[pk]).outcome is Outcome.ATTENTION:
            continue
        for rma in readings[pk].rmas:
            rma.to_read, rma.read_due_at = rma.ticket_id is not None, None
        row.stage = Stage.WAITING
        tx.resolve(Need.DECIDE_BY_HAND, row, "the settings or criteria have changed")


def _named(ctx: BrandContext, tx: Transaction) -> None:
    """Destinations that were asked about, and are listed now."""
    named, open_ = ctx.rules.destinations, attention.open_items(tx.session, ctx.brand)
    asked = [item.subject or "" for item in open_ if item.kind == Need.DESTINATION]
    about = [(Need.DESTINATION, d) for d in asked if not named or d.strip() in named]
    if about:
        tx.resolve_each(about, "the settings name the destination now")


# -- return bars -------------------------------------------------------------------------------


def bars_until(ctx: BrandContext) -> datetime | None:
    """Until when a brand had return bars that has none any more; None: it has some, or never had.
    What was dropped off by then waits for its consolidated shipment all the same."""
    marks = ctx.tick.marks or {}
    on = ctx.settings.loop.happy_returns
    if on and (BARS not in marks or NO_BARS in marks):
        with ctx.noting(BARS, NO_BARS) as tx:
            cursors.set(tx.session, tx.brand, BARS, tx.now)
            cursors.drop(tx.session, tx.brand, NO_BARS)
            tx.resolve(Need.CONFIGURATION, shipments.SWITCH, "it is switched on")
    if on or BARS not in marks:
        return None if on else marks.get(NO_BARS)
    with ctx.noting(BARS, NO_BARS) as tx:
        cursors.set(tx.session, tx.brand, NO_BARS, tx.now)
        cursors.drop(tx.session, tx.brand, BARS)
        return tx.now


# -- whose key, whose account ------------------------------------------------------------------


def other_shop(ctx: BrandContext) -> str | None:
    """Why Loop is not to be asked with the brand's key, which is new: it shows none of the newest
    returns that are known, so it may be another shop's, whose returns would be taken for this
    brand's and paid by its criteria. None: it is the brand's."""
    key = calls.key_hash(ctx.settings.loop.api_key.get_secret_value())
    return _Access(KEY, THE_KEY, "it shows the brand's returns").strange(ctx, key, _shows_nothing)


def other_account(ctx: BrandContext) -> str | None:
    """Why nothing is to be asked of, or made in, the brand's warehouse, which is another one now:
    it has none of the newest RMAs that are known. Returns would be announced to somebody else's
    warehouse, or a second time, and what was announced would be looked for in vain. None: it is
    the brand's."""
    told = _Access(ACCOUNT, THE_ACCOUNT, "it has the brand's RMAs", may_be_left_alone=True)
    return told.strange(ctx, _account(ctx), _has_nothing)


@dataclass(frozen=True, slots=True)
class _Access:
    """Something the brand's systems are reached by, which may be somebody else's."""

    marks: str
    """How the marks of those that are known to be the brand's begin."""
    about: str
    """What a person is asked about."""
    proof: str
    may_be_left_alone: bool = False
    """Whether a person may say, by ignoring the item, that it is the brand's all the same."""

    @property
    def asked(self) -> str:
        """The mark of a person's being asked."""
        return f"{self.marks}asked"

    def strange(
        self,
        ctx: BrandContext,
        hash_: str,
        shows_nothing: Callable[[BrandContext], tuple[str, bool] | None],
    ) -> str | None:
        """Why it is not to be used; None: it is the brand's."""
        mark = self.marks + hash_[:16]
        marks = ctx.tick.marks or {}
        if mark in marks and self.asked not in marks:
            return None
        another = mark not in marks and any(name.startswith(self.marks) for name in marks)
        proof = self.proof
        if another and self._left_alone(ctx, marks):
            proof = "a person has said that it is the brand's"
        elif another and (found := shows_nothing(ctx)) is not None:
            why, for_sure = found
            if for_sure:
                with ctx.noting(self.asked) as tx:
                    cursors.set(tx.session, tx.brand, self.asked, tx.now)
                    tried = "looked for these; so does every sync"
                    tx.needs_person(Need.ACCESS, why, self.about, tried)
            return why
        with ctx.noting(mark, self.asked) as tx:
            cursors.set(tx.session, tx.brand, mark, tx.now)
            cursors.drop(tx.session, tx.brand, self.asked)
            tx.resolve(Need.ACCESS, self.about, proof)
        return None

    def _left_alone(self, ctx: BrandContext, marks: Mapping[str, datetime]) -> bool:
        if not self.may_be_left_alone or self.asked not in marks:
            return False
        with ctx.ledger.read() as session:
            ended = attention.ended(session, ctx.brand, Need.ACCESS, self.about)
        return ended == attention.Ended.IGNORED


def _shows_nothing(ctx: BrandContext) -> tuple[str, bool] | None:
    """Why Loop's new key is not to be used, and whether that is for sure."""
    with ctx.ledger.read() as session:
        known = returns.newest_ids(session, ctx.brand, FEW)
    for return_id in known:
        ctx.counts.add("loop.details")
        try:
            ctx.loop.details(return_id)
        except NotFound:
            continue
        except OutsideError as error:
            return f"whether Loop's new key is this brand's cannot be seen: {error}", False
        return None
    if not known:
        _begin_anew(ctx)
        return None
    return (
        f"Loop's key has been changed, and the new one shows none of this brand's newest returns "
        f"({', '.join(known)}): is it another shop's? Nothing is read from Loop or settled with "
        "it. Put the brand's own key in (loop.api_key); another shop is a brand of its own"
    ), True


def _begin_anew(ctx: BrandContext) -> None:
    """Nothing tells yet whose a new key is. So none counts as known, and Loop's lists are read from
    the beginning: while another shop's was in use, the brand's own returns were not seen."""
    names = [CURSOR, ASIDE, *(n for n in ctx.tick.marks or () if n.startswith(KEY))]
    with ctx.noting(*names) as tx:
        for name in names:
            cursors.drop(tx.session, tx.brand, name)


def _account(ctx: BrandContext) -> str:
    """Which warehouse it is; another password is no other account."""
    if ctx.settings.warehouse == "embedded":
        return calls.key_hash("embedded")
    rex11 = ctx.settings.rex11
    parts = (rex11.endpoint, rex11.web_address, rex11.user_name)
    return calls.key_hash("\n".join(part.strip().casefold() for part in parts))


def _has_nothing(ctx: BrandContext) -> tuple[str, bool] | None:
    """Why the brand's new warehouse is not to be used, and whether that is for sure."""
    with ctx.ledger.read() as session:
        known = returns.newest_tickets(session, ctx.brand, FEW)
        open_ = returns.count_awaited(session, ctx.brand)
    for ticket_id, customer_po in known:
        ctx.counts.add("rex11.ticket")
        try:
            ctx.warehouse.receipt(ticket_id, customer_po)
        except (NotFound, Unreadable):
            continue
        except OutsideError as error:
            return (
                f"whether the new warehouse account is this brand's cannot be seen: {error}",
                False,
            )
        return None
    if not known:
        return None
    embedded = ctx.settings.warehouse == "embedded"
    place = "this service's own floor page" if embedded else ctx.settings.rex11.web_address
    tickets = ", ".join(ticket for ticket, _ in known)
    return (
        f"the brand's warehouse has been changed to {place}, which has none of its newest RMAs "
        f"({tickets}): is it another client's? Nothing is announced to it or counted by it. Put "
        "the brand's own back (warehouse, rex11.web_address, rex11.user_name). If the brand has "
        f"moved there for good, ignore this item: then RMAs are made there, and of the {open_} "
        "that are open with the former one nothing is heard any more"
    ), True
