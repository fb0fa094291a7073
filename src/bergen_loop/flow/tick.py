"""One tick of a brand: all flows in order. A failing step does not keep the others from their
work, except that nothing is decided unless Loop's list was walked to its end."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any

import structlog
from structlog.contextvars import bound_contextvars as told_as

from bergen_loop.config import BrandSettings
from bergen_loop.domain.hours import WorkingHours
from bergen_loop.domain.returns import Stage
from bergen_loop.domain.words import SETTLING, EffectKind, Need
from bergen_loop.flow import (
    anew,
    announce,
    close,
    intake,
    receive,
    settle,
    shipment_counts,
    shipment_rmas,
    shipments,
)
from bergen_loop.flow.calls import look_at, not_seen, not_understood
from bergen_loop.flow.context import AHEAD, BrandContext, Tick
from bergen_loop.ledger.database import LedgerError, Session, absence, trouble
from bergen_loop.ledger.locks import LockLost, brand_lock
from bergen_loop.ledger.store import (
    ahead,
    attention,
    calls,
    cursors,
    effects,
    journal,
    modes,
    quiet,
    returns,
)
from bergen_loop.ledger.tables.core import BrandRow
from bergen_loop.ledger.transaction import Transaction
from bergen_loop.outside.breaker import LOOP, NEEDLESS, REX11
from bergen_loop.outside.errors import OutsideError, Scope
from bergen_loop.tell import tracing
from bergen_loop.text import failure

log = structlog.get_logger()

BREATH = timedelta(seconds=1)
SEEN_AGAIN = ("listed", "pages", "shifted")
"""Counts of what a step looked at, whether or not there was anything new."""
TELL_AFTER = timedelta(hours=1)
"""How long a step may fail before it goes on the attention list."""


def _intake(ctx: BrandContext) -> dict[str, Any]:
    pulled = intake.pull(ctx)
    webhooks, named = intake.take_webhooks(ctx)
    look_at(ctx, [*pulled.backwards, *named])
    if ctx.tick.reached_back:
        not_understood(ctx)
        not_seen(ctx)
    return asdict(pulled) | {"webhooks": webhooks}


def _shipments(ctx: BrandContext) -> dict[str, Any]:
    """Loop's part and REX11's part each for itself: one that fails does not keep the other."""
    result, failures = shipments.Shipped(), list[OutsideError]()
    for part in (
        shipments.tell_loose,
        shipments.read_due,
        shipment_rmas.announce,
        shipment_counts.run,
    ):
        try:
            part(ctx, result)
        except OutsideError as error:
            failures.append(error)
    if failures:
        raise failures[0]
    return asdict(result)


STEPS: dict[str, Callable[[BrandContext], dict[str, Any]]] = {
    "intake": _intake,
    "announce": lambda ctx: asdict(announce.run(ctx)),
    "receive": lambda ctx: asdict(receive.run(ctx)),
    "shipments": _shipments,
    "settle": lambda ctx: asdict(settle.run(ctx)),
    "close": lambda ctx: asdict(close.run(ctx)),
}
"""The flows by name, in the order of a tick."""

BARS_LINGER = timedelta(days=60)
"""How long after return bars were switched off it is looked whether bags are missing in any known
shipment; the shipments that are known are followed to their ends."""

OF_THE_SHOP = ("intake", "shipments", "settle")
"""What is not done with a key that may be another shop's."""
OF_THE_WAREHOUSE = ("announce", "receive", "shipments")
"""What is not done with a warehouse's account that may be another client's."""
NEEDS = {"intake": LOOP, "announce": REX11, "receive": REX11, "settle": LOOP}
"""The system without which a step can do nothing."""


_Wait = tuple[Callable[[BrandSettings], timedelta], str]
_UNSHOWN: _Wait = (
    lambda settings: settings.announce.lost_ticket_wait,
    "announced until {:%H:%M:%S} UTC, for REX11 may not yet show tickets that the backup does not "
    "know",
)
WAITS_FOR_THE_PAST: Mapping[str, _Wait] = {
    "announce": _UNSHOWN,
    "shipments": _UNSHOWN,
    "settle": (
        lambda settings: settings.settle.confirm_within,
        "settled until {:%H:%M} UTC, for Loop may still carry out calls that the backup does not "
        "know",
    ),
}
"""How long a step waits after the ledger was put back from a backup, and what for."""


def begin(ctx: BrandContext) -> None:
    """Note that a sync starts, and in which mode."""
    with ctx.ledger.write() as session:
        row = returns.brand_row(session, ctx.brand)
        now = ctx.now()
        _mind_clock(ctx, session, row, now)
        _mind_gap(ctx, session, row, now)
        listed = row.last_pull_at is not None and now - row.last_pull_at < ctx.settings.poll
        nudged = returns.take_nudge(session, row, now)
        _begin(ctx, session, row, backlog=ctx.behind and listed and not nudged)
        row.last_sync_started_at = now
        set_anew = row.config_version != ctx.judged_by
    absence.back()
    if ctx.paused:
        return
    _know_brand(ctx)
    if set_anew:
        anew.run(ctx)


def _know_brand(ctx: BrandContext) -> None:
    """Whether key and account are the brand's, and until when it had return bars."""
    ctx.tick.other_shop, ctx.tick.other_account = anew.other_shop(ctx), anew.other_account(ctx)
    ctx.tick.bars_until = anew.bars_until(ctx)


def _mind_clock(ctx: BrandContext, session: Session, row: BrandRow, now: datetime) -> None:
    """Where this machine's clock went back, the brand goes on from now, and people are told: what
    waited may have been decided too early."""
    by = ahead.by(row, now)
    if by <= AHEAD:
        return
    ahead.put_right(session, ctx.brand, now, ctx.settings.settle.confirm_within)
    reason = (
        f"this machine's clock went back by {by.total_seconds() / 3600:.1f} hours, from "
        f"{now + by:%Y-%m-%d %H:%M} UTC. Look at its time service; if it was ahead until then, "
        "look at what was decided meanwhile: waits may have ended too early"
    )
    log.error("the clock went back", brand=ctx.brand, by=str(by))
    tried = "times that lay ahead were put back to now; the lists are read once more"
    matter = attention.Matter(ctx.brand, Need.INTERNAL, reason, "clock", tried)
    attention.raise_item(session, now, matter)


def _mind_gap(ctx: BrandContext, session: Session, row: BrandRow, now: datetime) -> None:
    """Where no tick was for long, or this machine's clock has jumped ahead, a call in doubt is made
    again no sooner: only time in which it was looked for tells that it had no effect."""
    if row.last_sync_started_at is None:
        return
    since, settings = now - row.last_sync_started_at, ctx.settings
    waits = {
        SETTLING: settings.settle.lost_answer_wait,
        (EffectKind.TICKET, EffectKind.SHIPMENT_TICKET): settings.announce.lost_ticket_wait,
    }
    for kinds, wait in waits.items():
        unseen = since - wait / 2  # so it is looked for twice at the least
        if unseen > timedelta():
            effects.doubt_longer(session, now, ctx.brand, kinds, unseen)


def _begin(ctx: BrandContext, session: Session, row: BrandRow, *, backlog: bool) -> None:
    ctx.tick = Tick(backlog=backlog, epoch=ctx.tick.epoch)
    ctx.tick.mode = modes.take_effect(session, ctx.now(), row, ctx.settings.mode)
    ctx.tick.restored_at = row.restored_at
    ctx.tick.waits = quiet.at_hand(session, ctx.brand, ctx.now())
    if not ctx.live:  # what was judged in shadow waits on
        ctx.tick.waits -= {quiet.JUDGED}
    ctx.tick.marks = cursors.all_of(session, ctx.brand)
    if quiet.BREAKERS in ctx.tick.waits:
        ctx.breakers.load(session, ctx.brand)
    else:
        ctx.breakers.be_well()


def names(ctx: BrandContext) -> list[str]:
    """The steps of a tick that has begun: none for a paused brand."""
    if ctx.paused:
        return []
    # What is on its way is counted, and what pays is read again, though the brand has no more.
    waits = ctx.tick.waits
    signs = (quiet.SHIPMENTS, quiet.SHARES, quiet.BOXES)
    under_way = waits is None or not waits.isdisjoint(signs)
    lately = ctx.tick.bars_until and ctx.now() - ctx.tick.bars_until < BARS_LINGER
    shipments_too = ctx.settings.loop.happy_returns or under_way or bool(lately)
    return [name for name in STEPS if name != "shipments" or shipments_too]


def step(ctx: BrandContext, name: str) -> dict[str, Any]:
    """Run one flow. Its failure is counted and told, not raised: `{"error": "..."}`."""
    bound = log.bind(brand=ctx.brand, step=name)
    if why := _not_now(ctx, name):
        bound.info("step left out", why=why)
        return {"error": why}
    try:
        span = tracing.span(f"step {name}", {"brand": ctx.brand})
        with told_as(brand=ctx.brand, step=name), span:
            result = STEPS[name](ctx)
    except OutsideError as error:
        bound.warning("step failed", error=str(error))
        ctx.counts.add(f"{name}.failed")
        ctx.tick.failed[name] = error
        return {"error": str(error)}
    except LockLost:
        raise  # another sync has taken over: stop at once
    except LedgerError as error:
        why = trouble(error)
        if not absence.gone(error):
            bound.error("step failed on the ledger", why=why)
        ctx.counts.add(f"{name}.failed")
        return {"error": why}
    except Exception as error:
        bound.exception("step failed inside")
        ctx.counts.add(f"{name}.failed")
        return {"error": failure(error)}
    if any(result.values()):
        bound.info("step done", **result)
    return result


def _not_now(ctx: BrandContext, name: str) -> str | None:
    """Why a step is left out: its system is suspended, or nothing is to be settled yet after the
    ledger was put back from a backup."""
    system = NEEDS.get(name)
    if system and (suspended := ctx.breakers.of(system).suspended()):
        return suspended
    if why := _strange(ctx, name):
        return why
    if ctx.tick.restored_at is None or name not in WAITS_FOR_THE_PAST:
        return None
    wait, why = WAITS_FOR_THE_PAST[name]
    until = ctx.tick.restored_at + wait(ctx.settings)
    if ctx.now() >= until:
        return None
    at = f"{ctx.tick.restored_at:%H:%M} UTC"
    return f"the ledger was restored at {at}: nothing is {why.format(until)}"


def _strange(ctx: BrandContext, name: str) -> str | None:
    """Why a step would work with what may be somebody else's."""
    shop = ctx.tick.other_shop if name in OF_THE_SHOP else None
    return shop or (ctx.tick.other_account if name in OF_THE_WAREHOUSE else None)


def end(ctx: BrandContext, results: dict[str, dict[str, Any]]) -> None:
    """Note how the sync went; what was wrong with a step is resolved when it works again."""
    errors = [f"{name}: {r['error']}" for name, r in results.items() if "error" in r]
    told = {name: r.get("error") for name, r in results.items()} | ctx.tick.calls
    told |= _needless(ctx, told)
    failing = ctx.marks(*map(_failing, told))
    with ctx.write() as tx:
        row = returns.brand_row(tx.session, ctx.brand)
        row.last_sync_finished_at = tx.now
        row.last_sync_ok = not errors
        row.last_sync_error = "; ".join(errors) or None
        if not errors:
            row.last_good_sync_at = row.last_sync_finished_at
        with tx.session.no_autoflush:  # the row is written once
            row.next_due_at = _next_due(ctx, tx, results, failed=bool(errors))
        _count(ctx, tx)
        ctx.breakers.save(tx)
        _mind(ctx, tx, told, failing)


def _needless(ctx: BrandContext, told: Mapping[str, str | None]) -> dict[str, None]:
    """Kinds of calls that were told as failing, and that nothing waits to make any more: what they
    were for has settled otherwise."""
    marks = ctx.tick.marks or {}
    kinds = [k for k in EffectKind if k not in told and _failing(k) in marks]
    if not kinds:
        return {}
    since = ctx.now() - NEEDLESS
    with ctx.ledger.read() as session:
        return {k: None for k in kinds if not effects.still_tried(session, ctx.brand, k, since)}


def _next_due(
    ctx: BrandContext, tx: Transaction, results: dict[str, dict[str, Any]], *, failed: bool
) -> datetime:
    """When to look again: at once while there is a backlog that moves, else after `poll`, and
    ever more rarely, up to `poll_max`, while nothing happens; but never later than the next
    return is due."""
    poll, now = ctx.settings.poll, tx.now
    ctx.behind = False
    if failed:
        return now + poll
    if results.get("receive", {}).get("read") and returns.any_to_read(tx.session, ctx.brand):
        ctx.behind = True
        return now + BREATH
    moved = _moved(results)
    row = returns.brand_row(tx.session, ctx.brand)
    row.quiet_looks = 0 if moved else quieter(row.quiet_looks)
    soon = now + interval(ctx.settings, ctx.brand, signs(ctx, tx.session, row), now)[0]
    due = returns.earliest_due(tx.session, ctx.brand)
    if due is None or due > soon:
        return soon
    if due > now:
        return due
    ctx.behind = moved
    return now + (BREATH if moved else poll)


def _moved(results: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether anything happened."""
    return any(v for r in results.values() for k, v in r.items() if k not in SEEN_AGAIN)


def next_look(ctx: BrandContext, session: Session, row: BrandRow | None) -> str:
    """How often the brand is looked at as things are now, and why: for people."""
    if row is None:
        return "at once: it has never been looked at"
    known = signs(ctx, session, row)
    every, why = interval(ctx.settings, ctx.brand, known, ctx.now())
    return f"every {every.total_seconds():.0f} s: {why}"


def signs(ctx: BrandContext, session: Session, row: BrandRow) -> Signs:
    """What the time of the next look goes by."""
    key = calls.key_hash(ctx.settings.loop.api_key.get_secret_value())
    return Signs(
        quiet=row.quiet_looks or 0,
        awaited=returns.any_awaited(session, ctx.brand),
        hours=ctx.warehouse_hours(session),
        calls=calls.counted(session, key),
    )


def _failing(name: str) -> str:
    """The mark of since when a step or a kind of call fails."""
    return f"failing.{name}"


def _mind(
    ctx: BrandContext,
    tx: Transaction,
    errors: Mapping[str, str | None],
    failing: Mapping[str, datetime],
) -> None:
    """A step that keeps failing holds its brand's returns up, so a person has to know; so does a
    kind of call that fails while others are answered. Where a whole system does not answer, or
    refuses the brand, that is told, and once."""
    for name, error in errors.items():
        mark = _failing(name)
        since = failing.get(mark)
        if error is None and since is not None:
            cursors.drop(tx.session, tx.brand, mark)
            tx.resolve(Need.STEP_FAILING, name, "it works again")
        elif error is not None and since is None:
            cursors.set(tx.session, tx.brand, mark, tx.now)
        elif error is None or since is None or _told_otherwise(ctx, name):
            continue
        elif tx.now - since >= TELL_AFTER:
            what = f"the step {name} has" if name in STEPS else f"{name} calls have"
            reason = f"{what} failed since {since:%Y-%m-%d %H:%M} UTC: {error}"
            tx.needs_person(Need.STEP_FAILING, reason, name, "every sync tries it again")


def _told_otherwise(ctx: BrandContext, name: str) -> bool:
    """Whether a step fails for what is told otherwise: its system is suspended, or refuses, or the
    key is another shop's, or a step before it fails for the very same call."""
    if _strange(ctx, name):
        return True
    error = ctx.tick.failed.get(name)
    if error is not None:
        before = takewhile(lambda step: step != name, STEPS)
        failed = [of for step in before if (of := ctx.tick.failed.get(step))]
        if any((of.system, of.call) == (error.system, error.call) for of in failed):
            return True
    system = REX11 if name == announce.LOOK_UPS else NEEDS.get(name)
    if error is not None:
        system = error.system.casefold()
    refused = error is not None and error.scope is Scope.ACCESS
    return refused or (system is not None and ctx.breakers.of(system).suspended() is not None)


def run(ctx: BrandContext) -> dict[str, dict[str, Any]]:
    """A whole tick under the brand's lock; what each step did, by name. Raises BrandBusy."""
    with holding(ctx):
        begin(ctx)
        results = {name: step(ctx, name) for name in names(ctx)}
        end(ctx, results)
    return results


# -- how often a brand is looked at -------------------------------------------------------------
#
# While nothing happens ever more rarely, from `poll` to `poll_max`. But a receipt is found only as
# fast as REX11's statuses are asked: so every `poll` while parcels are awaited and the warehouse
# works, by the times of its receipts so far. Where a key's calls are scarce, half as often.

QUIETER = 1.5
"""By how much longer the interval gets with every look in which nothing happened."""
SPREAD = 0.1
MANY = 40
SCARCE = 0.5
"""Of a key's calls a minute, when more are in use."""


@dataclass(frozen=True, slots=True)
class Signs:
    """What the interval goes by."""

    quiet: int
    """Looks in a row that found nothing."""
    awaited: bool
    """Whether the brand has parcels that are to come."""
    hours: WorkingHours
    calls: int
    """Of its key that count against the limit now."""


def quieter(looks: int | None) -> int:
    """One more in a row that found nothing."""
    return min((looks or 0) + 1, MANY)


def interval(
    settings: BrandSettings, brand: str, signs: Signs, now: datetime
) -> tuple[timedelta, str]:
    """How long until the next look, and why, for people."""
    poll, longest = settings.poll, max(settings.poll, settings.poll_max)
    soon, why = min(longest, poll * QUIETER**signs.quiet), f"{signs.quiet} looks found nothing"
    if signs.quiet == 0:
        why = "something happened a moment ago"
    elif signs.awaited and signs.hours.working(now):
        soon, why = poll, f"parcels are awaited, and the warehouse works ({signs.hours})"
    elif signs.awaited and signs.hours.hours:
        why += f", and the warehouse does not work now ({signs.hours})"
    if signs.calls > SCARCE * settings.loop.calls_per_minute:
        soon = min(longest, 2 * soon)
        why += f"; half as often, for {signs.calls} of its key's calls are in use"
    # 0.9 to 1 times, its own for each brand: those that began together do not stay together.
    return soon * (1 - SPREAD * (zlib.crc32(brand.encode()) % 1000) / 1000), why


# -- what a webhook tells of --------------------------------------------------------------------

FEW = 20
"""RMAs that are made at once; more are for a tick, which takes its turn among the others'."""


def may_hurry(ctx: BrandContext, row: BrandRow | None) -> bool:
    """Whether new returns of a brand can be seen to by themselves: its lists are read on from
    where they are, and it is not working off a backlog or something that has failed."""
    return (
        row is not None
        and bool(row.last_sync_ok)
        and row.last_pull_at is not None
        and ctx.now() - row.last_pull_at <= ctx.settings.poll + ctx.settings.poll_max
        and row.next_due_at is not None
        and (row.last_sync_finished_at or ctx.now()) + BREATH < row.next_due_at
    )


def hurry(ctx: BrandContext) -> bool:
    """The first moments alone, for what a webhook has told of: the returns that Loop lists as
    changed are taken in, and those that can have their RMA get it. When the next tick is due does
    not change, and the request for one stays until this has gone well; whether it has. Raises
    BrandBusy."""
    with holding(ctx):
        with ctx.ledger.write() as session:
            row, began = returns.brand_row(session, ctx.brand), ctx.now()
            returns.hurried(session, ctx.brand, began)
            _begin(ctx, session, row, backlog=False)
        if ctx.paused:
            return False
        _know_brand(ctx)
        results = {"intake": step(ctx, "intake")}
        with ctx.ledger.read() as session:
            few = len(returns.due_pks(session, ctx.brand, [Stage.SEEN], ctx.now(), FEW + 1)) <= FEW
        if few and "error" not in results["intake"]:
            results["announce"] = step(ctx, "announce")
        well = few and not any("error" in r for r in results.values())
        with ctx.write() as tx:
            row = returns.brand_row(tx.session, ctx.brand)
            if well and row.nudged_at is not None and row.nudged_at <= began:
                row.nudged_at = None
            if _moved(results):
                row.quiet_looks = 0
            due = returns.earliest_due(tx.session, ctx.brand)
            row.next_due_at = min(filter(None, (row.next_due_at, due)), default=None)
            _count(ctx, tx)
            ctx.breakers.save(tx)
    return well


def _count(ctx: BrandContext, tx: Transaction) -> None:
    """Write down what was called and counted."""
    ctx.log_calls(tx)
    journal.count(tx.session, ctx.brand, ctx.counts.take())


@contextmanager
def holding(ctx: BrandContext) -> Generator[None]:
    """Hold the brand's lock, and let intents be written under its epoch only."""
    with (
        tracing.span("tick", {"brand": ctx.brand}),
        brand_lock(ctx.ledger, ctx.brand) as epoch,
    ):
        ctx.tick.epoch = epoch
        try:
            with ctx.threads():
                yield
        finally:
            ctx.tick.epoch = ctx.tick.waits = ctx.tick.marks = None
