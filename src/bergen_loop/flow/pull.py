"""Walking Loop's list of what changed (moments 1 and 2); `intake` takes in what it shows.

Without a state Loop lists open, closed and expired returns: that is the pull every tick makes.
Cancelled and returns in review are listed by themselves only, a walk each. They are looked at
before anything is announced or settled that waited for it, and else every `loop.look_aside`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from bergen_loop.domain.words import Need
from bergen_loop.flow.context import AHEAD, BrandContext
from bergen_loop.flow.intake import Pulled, store, unread
from bergen_loop.ledger.store import cursors, returns, webhooks
from bergen_loop.ledger.transaction import Transaction

CURSOR = "loop.updated_at"
ASIDE = "loop.updated_at.aside"
SHORTEST, LONGEST = timedelta(hours=1), timedelta(days=4)
"""A long pull goes by windows and moves its cursor after each, so that it resumes where a crash
left it. Windows get shorter where there is much, and longer where there is little."""
FIRST_WINDOW = timedelta(days=1)
MANY, FEW = 12, 4
"""Pages of a window from which on the next is shorter, or up to which it is longer."""
SMALLEST = timedelta(minutes=1)
MOST_GAPS = 5
"""So many windows that end too early are no matter of windows: halving more of them is in vain."""
PATIENCE = timedelta(hours=1)
"""How long the cursor waits at a window that cannot be walked to its end. So long nothing counts
as pulled, hence nothing is settled once the last whole pull is too old."""
_ONLY_NEW = ("return.created", "label.created", "label.updated")
"""Triggers that tell nothing of cancelled returns or of those in review."""


@dataclass(frozen=True, slots=True)
class _Walk:
    """What is listed together, and how its cursor and its attention items are called."""

    cursor: str
    states: tuple[str | None, ...]
    deep: str
    """The mark of when it last reached far back."""
    name: str = ""


_MAIN = _Walk(CURSOR, (None,), "deep.main")
DEEP = _MAIN.deep
_ASIDE = _Walk(ASIDE, ("cancelled", "review"), "deep.cancelled and review", "cancelled and review")


def pull(ctx: BrandContext) -> Pulled:
    """Walk everything updated since the last pull, with an overlap, and take it in."""
    result = Pulled()
    if ctx.tick.backlog:
        return result  # listed within the last `poll`: the calls are for what waits
    # Its time has come, or a webhook told of more than a new return or label.
    with ctx.ledger.read() as session:
        seen = cursors.get(session, ctx.brand, ASIDE)
        aside = seen is None or ctx.now() - seen >= ctx.settings.loop.look_aside
        aside = aside or webhooks.told_of_more(session, ctx.brand, _ONLY_NEW)
    _run(ctx, _MAIN, result)
    if aside:
        _run(ctx, _ASIDE, result)
    return result


def look_aside(ctx: BrandContext) -> bool:
    """See what was cancelled or put in review, unless that was done within the last `poll`;
    whether it is all known."""
    with ctx.ledger.read() as session:
        seen = cursors.get(session, ctx.brand, ASIDE)
    if seen is not None and ctx.now() - seen < ctx.settings.poll:
        return True
    return _walked_now(ctx, _ASIDE)


def look_before_paying(ctx: BrandContext) -> bool:
    """See what people did until a moment ago: all of Loop's lists are walked since this tick
    began; whether they could be, to their end. One look serves every return of the tick."""
    return all(walk.name in ctx.tick.walked or _walked_now(ctx, walk) for walk in (_MAIN, _ASIDE))


def _walked_now(ctx: BrandContext, walk: _Walk) -> bool:
    result = Pulled()
    _run(ctx, walk, result)
    # What goes back in time is looked at by the next intake, which comes before anything is paid.
    return not result.gaps and not result.backwards


def _run(ctx: BrandContext, walk: _Walk, result: Pulled) -> None:
    """Window by window from the walk's cursor to now."""
    started = ctx.now()
    with ctx.ledger.read() as session:
        marks = cursors.get_all(session, ctx.brand, [walk.cursor, walk.deep])
        begun = cursors.pull_begun(session, ctx.brand, walk.cursor)
    cursor = marks.get(walk.cursor)
    since, deep = _since(ctx, cursor, marks.get(walk.deep), started)
    if cursor is None and walk is _MAIN:
        _note_first(ctx, started)
    span = FIRST_WINDOW
    long = begun or started - since > 2 * span
    if long:
        with ctx.ledger.write() as session:
            cursors.begin_pull(session, ctx.brand, walk.cursor, since, started)
    whole = True
    while since < started:
        until = min(since + span, started)
        last = until == started
        gaps, pages = len(result.gaps), result.pages
        for state in walk.states:
            _walk(ctx, (since, until + AHEAD if last else until), state, result)
        new_gaps = result.gaps[gaps:]
        whole = whole and not new_gaps
        patient = cursor is not None and started - cursor <= PATIENCE
        with ctx.write() as tx:
            _tell_gaps(tx, walk, new_gaps, patient=patient)
            if new_gaps and patient:
                return
            cursors.set(tx.session, ctx.brand, walk.cursor, until)
            if last and long:
                cursors.end_pull(tx.session, ctx.brand, walk.cursor)
            if last and deep:
                cursors.set(tx.session, ctx.brand, walk.deep, started)
                ctx.tick.reached_back |= walk is _MAIN
            if last and walk is _MAIN:
                returns.brand_row(tx.session, ctx.brand).last_pull_at = started
        if result.pages - pages >= MANY:
            span = max(SHORTEST, span / 2)
        elif result.pages - pages <= FEW:
            span = min(LONGEST, span * 2)
        since = until
    if whole:
        ctx.tick.walked.add(walk.name)


def _since(
    ctx: BrandContext, cursor: datetime | None, deep: datetime | None, started: datetime
) -> tuple[datetime, bool]:
    """Where a walk begins, and whether that is farther back than usual: every so often, for a
    page that shifted while it was read hides a return from each of several short overlaps. `deep`:
    when it last was."""
    settings = ctx.settings.loop
    if cursor is None:
        return started - settings.backfill, True
    # A long pull that was interrupted goes on as it was.
    running = started - cursor < max(settings.deep_every, settings.deep_overlap)
    if running and deep is not None and started - deep >= settings.deep_every:
        return cursor - max(settings.deep_overlap, settings.overlap), True
    return cursor - settings.overlap, deep is None


def _note_first(ctx: BrandContext, started: datetime) -> None:
    """From when on returns are seen as they come: older ones may have been announced before."""
    with ctx.ledger.write() as session:
        if cursors.get(session, ctx.brand, cursors.FIRST_PULL) is None:
            cursors.set(session, ctx.brand, cursors.FIRST_PULL, started)


def _tell_gaps(tx: Transaction, walk: _Walk, gaps: list[str], *, patient: bool) -> None:
    if patient and gaps:
        tx.needs_person(
            Need.LIST_INCOMPLETE,
            f"Loop's list of returns cannot be walked to its end: updated {gaps[0]}",
            walk.name,
            "halved the window down to a minute; every sync walks it again",
        )
        return
    tx.resolve(Need.LIST_INCOMPLETE, walk.name, "the list is walked on")
    if gaps:
        more = f", and {len(gaps) - 1} more, the last one {gaps[-1]}" if len(gaps) > 1 else ""
        tx.needs_person(
            Need.LIST_GAP,
            f"Loop's list of returns could not be walked to its end: updated {gaps[0]}{more}; "
            "compare that time with Loop by hand, or run `bergen-loop reconcile` later",
            walk.name,
            "halved the window down to a minute, again and again",
        )


def _walk(
    ctx: BrandContext, window: tuple[datetime, datetime], state: str | None, result: Pulled
) -> None:
    """Where Loop's cursor ends a walk too early, the window is halved: nothing in it may be
    lost."""
    since, until = window
    pages = ctx.loop.list_returns(
        since, until, filter="updated_at", state=state, page_size=ctx.settings.loop.page_size
    )
    incomplete: str | None = None
    for page in pages:
        ctx.counts.add("loop.list.pages")
        result.pages += 1
        result.listed += len(page.listed)
        store(ctx, unread(ctx, page.listed), result)
        incomplete = page.incomplete or incomplete
    if incomplete is None:
        return
    if until - since > SMALLEST and len(result.gaps) < MOST_GAPS:
        middle = since + (until - since) / 2
        _walk(ctx, (since, middle), state, result)
        _walk(ctx, (middle, until), state, result)
        return
    result.gaps.append(f"{since:%Y-%m-%d %H:%M:%S} to {until:%H:%M:%S} UTC ({incomplete})")
