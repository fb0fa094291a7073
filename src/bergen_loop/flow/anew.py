"""What follows from settings and criteria that have changed.

What they have decided about a return is decided anew: whether it is ours, whether a parcel comes,
when its RMA is made, what a wait is for. Loop shows nothing new of it then, so nobody else would
ever look at it again. And a key that has changed is first shown to be the same shop's."""

from __future__ import annotations

from collections.abc import Sequence

from bergen_loop.domain.announce import words
from bergen_loop.domain.decision import Outcome
from bergen_loop.domain.returns import Stage
from bergen_loop.domain.words import Need
from bergen_loop.flow import intake, settle, shipments
from bergen_loop.flow.context import BrandContext
from bergen_loop.flow.transitions import known_of
from bergen_loop.ledger.codec import load_return
from bergen_loop.ledger.store import attention, calls, cursors, returns
from bergen_loop.ledger.store.statements import chunks
from bergen_loop.ledger.tables.core import ReturnRow
from bergen_loop.ledger.transaction import Transaction
from bergen_loop.outside.errors import NotFound, OutsideError

NOT_ANNOUNCED = (Stage.SEEN, Stage.NO_PARCEL, Stage.IGNORED)
KEY = "loop.key."
"""The mark of a key that is known to be the brand's; the key itself is not kept."""
ASKED = f"{KEY}asked"
"""The mark of a person's being asked about one that is not."""
THE_KEY = "Loop's key"
BAGS = "shipments.bags"
"""The mark of that the bags its returns name are noted."""
FEW = 3
"""Returns that a new key has to show one of."""
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
    with ctx.write() as tx:
        _named(ctx, tx)
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


def _named(ctx: BrandContext, tx: Transaction) -> None:
    """Destinations that were asked about, and are listed now."""
    named, open_ = ctx.rules.destinations, attention.open_items(tx.session, ctx.brand)
    asked = [item.subject or "" for item in open_ if item.kind == Need.DESTINATION]
    about = [(Need.DESTINATION, d) for d in asked if not named or d.strip() in named]
    if about:
        tx.resolve_each(about, "the settings name the destination now")


# -- the shop ----------------------------------------------------------------------------------


def other_shop(ctx: BrandContext) -> str | None:
    """Why Loop is not to be asked with the brand's key, which is new: it shows none of the newest
    returns that are known, so it may be another shop's, whose returns would be taken for this
    brand's and paid by its criteria. None: it is the brand's."""
    mark = KEY + calls.key_hash(ctx.settings.loop.api_key.get_secret_value())[:16]
    marks = ctx.tick.marks or {}
    if mark in marks and ASKED not in marks:
        return None
    another = mark not in marks and any(name.startswith(KEY) for name in marks)
    if another and (why := _shows_nothing_known(ctx)):
        return why
    with ctx.noting(mark, ASKED) as tx:
        cursors.set(tx.session, tx.brand, mark, tx.now)
        cursors.drop(tx.session, tx.brand, ASKED)
        tx.resolve(Need.ACCESS, THE_KEY, "it shows the brand's returns")
    return None


def _shows_nothing_known(ctx: BrandContext) -> str | None:
    with ctx.ledger.read() as session:
        known = returns.newest_ids(session, ctx.brand, FEW)
    for return_id in known:
        ctx.counts.add("loop.details")
        try:
            ctx.loop.details(return_id)
        except NotFound:
            continue
        except OutsideError as error:
            return f"whether Loop's new key is this brand's cannot be seen: {error}"
        return None
    if not known:
        return None
    why = (
        f"Loop's key has been changed, and the new one shows none of this brand's newest returns "
        f"({', '.join(known)}): is it another shop's? Nothing is read from Loop or settled with "
        "it. Put the brand's own key in (loop.api_key); another shop is a brand of its own"
    )
    with ctx.noting(ASKED) as tx:
        cursors.set(tx.session, tx.brand, ASKED, tx.now)
        tx.needs_person(Need.ACCESS, why, THE_KEY, "looked for these returns; so does every sync")
    return why
