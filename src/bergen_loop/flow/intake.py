"""Moments 1 and 2: walk Loop's lists of what changed, and take in what they show.

Without a state Loop lists open, closed and expired returns: that is the pull every tick makes.
Cancelled and returns in review are listed by themselves only, a walk each. They are looked at
before anything is announced or settled that waited for it, and else every `loop.look_aside`.

Webhooks only say "look now"; what a return is, is always read from Loop's API. So a webhook
that is forged, lost, late or repeated can do no more than cost a pull.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from bergen_loop.domain.announce import (
    AnnounceRules,
    destination_moved,
    kept_units,
    ready_at,
    why_not_announced,
)
from bergen_loop.domain.codes import normal_word
from bergen_loop.domain.criteria.deciding import NOT_OPEN
from bergen_loop.domain.returns import PROCESSING_FAILED, TO_JUDGE, LoopState, Return, Stage
from bergen_loop.domain.words import PAYING, Need, What
from bergen_loop.flow import shipments
from bergen_loop.flow.context import AHEAD, BrandContext
from bergen_loop.flow.transitions import (
    Known,
    follow,
    known_of,
    look_later,
    nothing_comes,
    settlement_shown,
)
from bergen_loop.ledger.codec import Document, digest, document, load_return
from bergen_loop.ledger.store import attention, cursors, effects, returns, webhooks
from bergen_loop.ledger.store.effects import EDITED_SINCE, UNDER_WAY, EffectState
from bergen_loop.ledger.tables.core import EffectRow, ReturnRow, RmaRow, WebhookRow
from bergen_loop.ledger.transaction import Transaction
from bergen_loop.outside.errors import Unauthorized
from bergen_loop.outside.loop.models import Listed, ParsedReturn, merge

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
MOST_AGAIN = timedelta(days=2)
"""How far a walk reaches back again where pages shifted while they were read."""
FAR, FAR_EVERY = timedelta(days=2), timedelta(hours=6)
"""How far a walk reaches back now and then: a list that was empty, behind the times or wrong for
hours, and answered well, is found out by nothing else."""
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

    @property
    def again(self) -> str:
        """The mark of from where on pages shifted while they were read, which hides returns."""
        return f"{self.deep}.again"

    @property
    def far(self) -> str:
        """The mark of when it last reached `FAR` back."""
        return f"{self.deep}.far"


_MAIN = _Walk(CURSOR, (None,), "deep.main")
DEEP = _MAIN.deep
_ASIDE = _Walk(ASIDE, ("cancelled", "review"), "deep.cancelled and review", "cancelled and review")


def pull(ctx: BrandContext) -> Pulled:
    """Walk everything updated since the last pull, with an overlap, and take it in."""
    result = Pulled()
    if ctx.tick.backlog:
        return result  # listed within the last `poll`: the calls are for what waits
    # Its time has come, or a webhook told of more than a new return or label.
    seen = _seen_aside(ctx)
    aside = seen is None or ctx.now() - seen >= ctx.settings.loop.look_aside
    if not aside and not ctx.tick.calm:
        with ctx.ledger.read() as session:
            aside = webhooks.told_of_more(session, ctx.brand, _ONLY_NEW)
    _run(ctx, _MAIN, result)
    if aside:
        _run(ctx, _ASIDE, result)
    return result


def look_aside(ctx: BrandContext) -> bool:
    """See what was cancelled or put in review, unless that was done within the last `poll`;
    whether it is all known."""
    seen = _seen_aside(ctx)
    if seen is not None and ctx.now() - seen < ctx.settings.poll:
        return True
    return _walked_now(ctx, _ASIDE)


def _seen_aside(ctx: BrandContext) -> datetime | None:
    return cursors.believed(ctx.marks(ASIDE), ctx.now() + AHEAD).get(ASIDE)


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
    if ctx.tick.other_shop:
        raise Unauthorized(ctx.tick.other_shop, system="Loop", brand=ctx.brand, call="list")
    started = ctx.now()
    under_way = cursors.mark_of_pull(walk.cursor)
    marks = ctx.marks(walk.cursor, walk.deep, walk.again, walk.far, under_way, cursors.FIRST_PULL)
    begun = under_way in marks
    marks = cursors.believed(marks, started + AHEAD)
    cursor = marks.get(walk.cursor)
    since, deep = _since(ctx, cursor, marks.get(walk.deep), started)
    again, result.shifted = marks.get(walk.again), False
    if deep and again is not None:
        since = min(since, again)
    first = since
    far = deep and _is_far(marks.get(walk.far), started)
    if far and cursor is not None:
        known = marks.get(cursors.FIRST_PULL, started) - ctx.settings.loop.backfill
        since = min(since, max(started - FAR, known))
    if cursor is None and walk is _MAIN:
        _note_first(ctx, started)
    span = FIRST_WINDOW
    long = begun or started - since > 2 * span
    if long:
        with ctx.noting(under_way) as tx:
            cursors.begin_pull(tx.session, ctx.brand, walk.cursor, since, started)
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
        # And writes what people are told of, which holds no return.
        with ctx.noting(walk.cursor, walk.deep, walk.again, walk.far, under_way) as tx:
            _tell_gaps(tx, walk, new_gaps, patient=patient)
            if new_gaps and patient:
                return
            cursors.set(tx.session, ctx.brand, walk.cursor, until)
            if last and long:
                cursors.end_pull(tx.session, ctx.brand, walk.cursor)
            if last and deep:
                if result.shifted or again is not None:
                    _mind_shifting(tx, walk, first if result.shifted else None)
                cursors.set(tx.session, ctx.brand, walk.deep, started)
                if far and whole and walk is _MAIN:
                    _lift_nameless(tx, result)
                if far:
                    cursors.set(tx.session, ctx.brand, walk.far, started)
                ctx.tick.reached_back |= walk is _MAIN
            if last and walk is _MAIN:
                returns.pulled(tx.session, ctx.brand, started)
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
    when it last was; all since then is walked twice, however long Loop was away."""
    settings = ctx.settings.loop
    if cursor is None:
        return started - settings.backfill, True
    # A long pull that was interrupted goes on as it was.
    running = started - cursor < max(settings.deep_every, settings.deep_overlap)
    if running and deep is not None and started - deep >= settings.deep_every:
        return min(cursor - settings.deep_overlap, deep, cursor) - settings.overlap, True
    return cursor - settings.overlap, deep is None


def _is_far(last: datetime | None, started: datetime) -> bool:
    """Whether a walk that reaches back is to reach far back."""
    return last is None or started - last >= FAR_EVERY


def _note_first(ctx: BrandContext, started: datetime) -> None:
    """From when on returns are seen as they come: older ones may have been announced before."""
    with ctx.noting(cursors.FIRST_PULL) as tx:
        if cursors.get(tx.session, ctx.brand, cursors.FIRST_PULL) is None:
            cursors.set(tx.session, ctx.brand, cursors.FIRST_PULL, started)


def _mind_shifting(tx: Transaction, walk: _Walk, since: datetime | None) -> None:
    """Where pages shifted all along a walk that reaches far back, so does the next one (`since`;
    None: they did not); not without end."""
    cursors.drop(tx.session, tx.brand, walk.again)
    if since is None:
        return
    if tx.now - since <= MOST_AGAIN:
        cursors.set(tx.session, tx.brand, walk.again, since)
        return
    tx.needs_person(
        Need.LIST_GAP,
        "the pages of Loop's list shift while they are read, which hides returns: updated since "
        f"{since:%Y-%m-%d %H:%M} UTC; run `bergen-loop reconcile` when less goes on in Loop",
        walk.name,
        "walked it again every hour",
    )


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
    seen, shifted = set[bytes](), False
    for page in pages:
        ctx.counts.add("loop.list.pages")
        prints = {x.fingerprint for x in page.listed if x.fingerprint is not None}
        shifted = shifted or not prints.isdisjoint(seen)
        seen |= prints
        result.pages += 1
        result.listed += len(page.listed)
        store(ctx, unread(ctx, page.listed), result)
        incomplete = page.incomplete or incomplete
    if incomplete is None:
        result.shifted = result.shifted or shifted
        return
    if until - since > SMALLEST and len(result.gaps) < MOST_GAPS:
        middle = since + (until - since) / 2
        _walk(ctx, (since, middle), state, result)
        _walk(ctx, (middle, until), state, result)
        return
    result.gaps.append(f"{since:%Y-%m-%d %H:%M:%S} to {until:%H:%M:%S} UTC ({incomplete})")


# -- taking in what they show -------------------------------------------------------------------

Json = dict[str, Any]
TO_COME = timedelta(days=1)
"""How far ahead of us Loop's clock may be, or a time without a zone."""


@dataclass(slots=True)
class Pulled:
    """What a pull brought."""

    pages: int = 0
    listed: int = 0
    changed: int = 0
    unreadable: int = 0
    gaps: list[str] = field(default_factory=list[str])
    """Windows that could not be walked to their end, and why."""
    shifted: bool = False
    """Whether the last walk showed a return twice, word for word: pages shifted meanwhile."""
    nameless: set[str] = field(default_factory=set[str])
    """What cannot be read, not even whose it is, by what its attention item is about."""
    backwards: list[str] = field(default_factory=list[str])
    """Returns listed in another state or with other units than the ledger's, but with an older
    time: a page behind the times, or a clock of Loop's that was put back. Looking at the return
    itself tells."""


@dataclass(frozen=True, slots=True)
class _Picture:
    """A return as an answer shows it, ready for the ledger."""

    answer: ParsedReturn
    return_: Return
    content: Document
    hash: str
    newest: bool = False
    """It has just been read by itself, so that it is newer even if Loop's clock has gone back."""


def _picture(
    answer: ParsedReturn, known: Return | None, now: datetime, *, newest: bool = False
) -> _Picture:
    """What an answer does not mention is as it is known, and so are units that are in doubt."""
    assert answer.value is not None
    shown = merge(known, answer) if known is not None else answer.value
    if late := _yet_to_come(shown, now):
        shown = replace(shown, doubts=tuple(dict.fromkeys((*shown.doubts, *late))))
    if known is not None and shown.doubts:
        shown = replace(shown, lines=known.lines)
    content = document(shown)
    # As it can be stored: the text that the ledger will give back.
    return _Picture(answer, load_return(content), content, digest(content), newest)


def _yet_to_come(return_: Return, now: datetime) -> list[str]:
    """Times that cannot be: a return of a time to come would be announced then."""
    times = {"created_at": return_.created_at, "updated_at": return_.updated_at}
    latest = now + TO_COME
    return [f"{n} is {at:%Y-%m-%d}, yet to come" for n, at in times.items() if at > latest]


def any_news(ctx: BrandContext, page: Sequence[Listed]) -> bool:
    """Whether there is anything in a page that is not in the ledger, readable or not."""
    parsed = unread(ctx, page)
    return any(p.value is None for p in parsed) or bool(_changed(ctx, parsed))


def unread(ctx: BrandContext, page: Sequence[Listed]) -> list[ParsedReturn]:
    """What a page says, without what is known to say what the ledger has, unless the page says
    something else of the same return as well."""
    said = [(listed, ctx.said.by(listed)) for listed in page]
    ids = [known[0] for _, known in said if known is not None]
    with ctx.ledger.read() as session:
        hashes = returns.hashes(session, ctx.brand, ids)
    new = {
        listed.read.return_id
        for listed, known in said
        if known is None or hashes.get(known[0]) != known[1]
    }
    return [listed.read for listed, known in said if known is None or known[0] in new]


def store(ctx: BrandContext, parsed: Sequence[ParsedReturn], result: Pulled) -> None:
    """Take returns in; only what changed is written. One that cannot be taken in is set aside,
    and the others go on."""
    bad = [p for p in parsed if p.value is None]
    changed = _changed(ctx, parsed)
    ctx.take_in(changed, lambda tx, some: _take_in(ctx, tx, some, result), _set_aside)
    ctx.take_in(bad, _keep_unreadable, _set_aside_answer)
    result.changed += len(changed)
    result.unreadable += len(bad)
    result.nameless.update(_about(p) for p in bad if not p.return_id)


def _changed(ctx: BrandContext, parsed: Sequence[ParsedReturn]) -> list[_Picture]:
    """Those of which the ledger has another picture, or none."""
    good = _one_each(parsed)
    if not good:
        return []
    with ctx.ledger.read() as session:
        stored = returns.pictures(session, ctx.brand, good)
    changed: list[_Picture] = []
    for return_id, answer in good.items():
        known = stored.get(return_id)
        before = load_return(known.content) if known else None
        picture = _picture(answer, before, ctx.now())
        if not picture.return_.doubts:  # time, or the rest of its page, may lift one
            ctx.said.remember(answer.fingerprint, return_id, picture.hash)
        if known is None or known.hash != picture.hash:
            changed.append(picture)
    return changed


def _one_each(parsed: Sequence[ParsedReturn]) -> dict[str, ParsedReturn]:
    """The readable returns of a page by id. Of one that is there twice the newest counts; two that
    are equally new and differ are a doubt."""
    found: dict[str, ParsedReturn] = {}
    for answer in parsed:
        if (value := answer.value) is None:
            continue
        known = found.setdefault(value.id, answer)
        other = known.value or value
        if value.updated_at > other.updated_at:
            found[value.id] = answer
        elif value.updated_at == other.updated_at and value != other:
            words = "one page lists it twice, with the same updated_at and different particulars"
            doubtful = replace(value, doubts=tuple(dict.fromkeys((*other.doubts, words))))
            found[value.id] = replace(answer, value=doubtful, problem=words)
    return found


def _take_in(
    ctx: BrandContext, tx: Transaction, changed: Sequence[_Picture], result: Pulled
) -> None:
    # Read again under the write lock: a person may have acted meanwhile.
    rows = returns.by_ids(tx.session, ctx.brand, [p.return_.id for p in changed])
    known = known_of(tx.session, list(rows.values()))
    add_all(ctx, tx, [p for p in changed if p.return_.id not in rows])
    for picture in changed:
        row = rows.get(picture.return_.id)
        if row is None:
            continue
        shown = picture.return_
        if _goes_back(row, shown) and row.return_id not in result.backwards:
            result.backwards.append(row.return_id)
        _update(ctx, tx, row, picture, known[row.id])
    shipments.note_bags(ctx, tx, [p.return_ for p in changed])
    clear = [(Need.UNREADABLE, p.return_.id) for p in changed if not p.return_.doubts]
    tx.resolve_each(clear, "Loop's answer can be read again")


def _goes_back(row: ReturnRow, shown: Return) -> bool:
    """Whether another state, or other units, are shown with an older time: of an earlier page, or
    Loop's clock has gone back and they are news. Its details tell."""
    if shown.updated_at >= row.loop_updated_at:
        return False
    return (
        shown.state != row.loop_state or shown.lines_key() != load_return(row.content).lines_key()
    )


# -- returns the ledger does not know yet -----------------------------------------------------


def add(ctx: BrandContext, tx: Transaction, answer: ParsedReturn) -> ReturnRow:
    """A return that the ledger does not know yet."""
    picture = _picture(answer, None, tx.now)
    [row] = add_all(ctx, tx, [picture])
    shipments.note_bags(ctx, tx, [picture.return_])
    return row


def add_all(ctx: BrandContext, tx: Transaction, new: Sequence[_Picture]) -> list[ReturnRow]:
    """Returns that the ledger does not know yet; a first pull brings very many."""
    rows: list[ReturnRow] = []
    why: list[tuple[What, str]] = []
    for picture in new:
        shown = picture.return_
        stage, what, reason = _first_stage(ctx.rules, shown)
        row = ReturnRow(
            brand=ctx.brand,
            return_id=shown.id,
            stage=stage,
            held=False,
            seen_at=tx.now,
            submitted_at=shown.created_at,
            due_at=_due(shown, ctx.rules, tx.now) if stage is Stage.SEEN else None,
            completed_at=tx.now if stage is Stage.COMPLETE else None,
        )
        _fill(row, picture, tx.now)
        rows.append(row)
        why.append((what, reason))
    tx.session.add_all(rows)
    tx.session.flush()
    returns.add_lines(tx.session, [(r.id, p.return_) for r, p in zip(rows, new, strict=True)])
    for row, picture, (what, reason) in zip(rows, new, why, strict=True):
        tx.journal(what, reason, row)
        _mind_doubts(tx, row, picture)
    tx.session.flush()
    return rows


_ENDED = {
    LoopState.CLOSED: Stage.COMPLETE,
    LoopState.CANCELLED: Stage.CANCELLED,
    LoopState.EXPIRED: Stage.EXPIRED,
}


def _first_stage(rules: AnnounceRules, return_: Return) -> tuple[Stage, What, str]:
    """Where a new return stands, and why."""
    stage, why = stage_by(rules, return_)
    if stage is Stage.IGNORED:
        return stage, What.SEEN_ENDED, why
    if return_.state in _ENDED:
        why = f"already {return_.state} in Loop when first seen"
        return _ENDED[return_.state], What.SEEN_ENDED, why
    return stage, What.SEEN, why


def stage_by(rules: AnnounceRules, return_: Return) -> tuple[Stage, str]:
    """Where a return that has not ended stands before there is an RMA, and why."""
    skip = why_not_announced(return_, rules)
    if skip and skip.not_ours:
        return Stage.IGNORED, f"left alone: {skip.reason}"
    if skip and skip.no_parcel:
        return Stage.NO_PARCEL, f"no RMA: {skip.reason}"
    return Stage.SEEN, f"submitted in Loop at {return_.created_at:%Y-%m-%d %H:%M} UTC"


def _due(return_: Return, rules: AnnounceRules, now: datetime) -> datetime | None:
    ready = ready_at(return_, rules)
    return max(now, ready) if ready else None


def _fill(row: ReturnRow, picture: _Picture, now: datetime) -> None:
    return_ = picture.return_
    row.loop_state = return_.state
    row.order_name = return_.order_name
    row.customer_email = return_.customer_email
    row.tracking_number = return_.label.tracking_number
    row.outcome = return_.outcome
    row.currency = return_.currency
    row.total = str(return_.totals.total) if return_.totals.total is not None else None
    row.content, row.content_hash = picture.content, picture.hash
    # A time to come would make everything that follows look older, and be left out.
    ahead = return_.updated_at > now + AHEAD
    row.loop_updated_at = now if ahead else return_.updated_at


# -- returns it knows -------------------------------------------------------------------------


def update(
    ctx: BrandContext,
    tx: Transaction,
    row: ReturnRow,
    answer: ParsedReturn,
    *,
    newest: bool = False,
) -> Return:
    """Take in another picture of a known return, and what follows from it; the return as it is
    known now. `newest`: it has just been read by itself, so that it is newer even if Loop's clock
    has gone back."""
    picture = _picture(answer, load_return(row.content), tx.now, newest=newest)
    _update(ctx, tx, row, picture, known_of(tx.session, [row])[row.id])
    shipments.note_bags(ctx, tx, [picture.return_])
    return picture.return_


def _update(
    ctx: BrandContext,
    tx: Transaction,
    row: ReturnRow,
    picture: _Picture,
    known: Known,
) -> None:
    return_ = picture.return_
    if return_.updated_at < row.loop_updated_at and not picture.newest:
        return  # an older picture from an earlier page: what we have is newer
    before, state = load_return(row.content), row.loop_state
    _fill(row, picture, tx.now)
    _mind_doubts(tx, row, picture)
    kept = kept_units(before, ctx.rules) != kept_units(return_, ctx.rules)
    if kept or before.lines_key() != return_.lines_key():
        _edited(tx, row, before, return_)
        _mind_paying(known.settlement, before, return_, kept=kept)
    if before.label.tracking_number != return_.label.tracking_number:
        _label_moved(tx, row, return_)
    if row.stage == Stage.ANNOUNCED and _delivered(return_) and not _delivered(before):
        look_later(tx, known.rmas)
    if row.announced_at and (moved := destination_moved(before, return_, ctx.rules)):
        tx.journal(What.DESTINATION, moved, row)
    follow(tx, row, known, news=state != row.loop_state)
    settlement_shown(tx, row, known.settlement)
    if before.state in _LOOKED_AT and return_.state is LoopState.OPEN and row.stage in TO_JUDGE:
        _open_again(tx, row)
    if row.stage == Stage.IGNORED and before.destination_id != return_.destination_id:
        stage, what, why = _first_stage(ctx.rules, return_)
        if stage is not Stage.IGNORED:
            tx.enter(row, stage)
            tx.journal(what, f"its destination is {return_.destination_id} now: {why}", row)
    if row.stage in (Stage.SEEN, Stage.NO_PARCEL):
        reconsider(ctx, tx, row, return_, known.rmas)


def _delivered(return_: Return) -> bool:
    return any(normal_word(x.status) == "delivered" for x in (return_.label, *return_.labels))


def _mind_doubts(tx: Transaction, row: ReturnRow, picture: _Picture) -> None:
    """What cannot be relied on is kept as it came, and a person looks before anything is announced
    or paid on it."""
    doubts = picture.return_.doubts
    if not doubts:
        return
    problem = "; ".join(doubts)
    body = json.dumps(picture.answer.raw, ensure_ascii=False, default=str)
    tx.keep_raw("loop.list", body, problem, row.return_id)
    if Stage(row.stage).terminal:
        return  # nothing hangs on it; should Loop open it again, its doubts go to a person then
    tx.needs_person(
        Need.UNREADABLE,
        f"what Loop shows of this return cannot be relied on: {problem}. Look at it in Loop",
        row,
        "the answer is kept as it came; every later one is read again",
    )


def _edited(tx: Transaction, row: ReturnRow, before: Return, after: Return) -> None:
    returns.replace_lines(tx.session, row.id, after)
    tx.journal(
        What.EDITED,
        f"its units changed from {len(before.lines)} to {len(after.lines)}, or which of them the "
        "customer keeps; the receipt is judged by the new ones",
        row,
        {
            "before": [x.line_item_id for x in before.lines],
            "after": [x.line_item_id for x in after.lines],
        },
    )
    if row.stage in TO_JUDGE:
        row.stage, row.due_at = Stage.RECEIVED, tx.now


def _mind_paying(effect: EffectRow | None, before: Return, after: Return, *, kept: bool) -> None:
    """An edit that is none of our call's own while it is under way: what Loop pays then is not what
    was counted, and is looked at when it shows the return closed."""
    if effect is None or effect.kind not in PAYING or effect.state not in UNDER_WAY:
        return
    taken_off = {str(i) for i in effect.payload.get("line_item_ids") or ()}
    was, now = (
        {unit for unit in of.lines_key() if unit[0] not in taken_off} for of in (before, after)
    )
    if kept or was != now:
        effect.payload = {**effect.payload, EDITED_SINCE: True}


_LOOKED_AT = (LoopState.REVIEW, LoopState.EXPIRED, LoopState.CANCELLED)
"""People of the brand have to act in Loop; when they have, nothing else waits for them."""


def _open_again(tx: Transaction, row: ReturnRow) -> None:
    """Its parcel came while it was in review (or had expired, or was cancelled): people were told
    that it could not be judged. Now it can be."""
    why = "Loop shows the return open: the criteria judge it now"
    decision = returns.latest_decision(tx.session, row.id)
    tx.resolve(Need.UNEXPECTED_RECEIPT, row, why)
    tx.resolve(Need.CONFLICT, row, why)
    if decision is not None and decision.rule == NOT_OPEN:
        tx.resolve(Need.DECIDE_BY_HAND, row, why)
    tx.enter(row, Stage.RECEIVED)


def _label_moved(tx: Transaction, row: ReturnRow, after: Return) -> None:
    why = f"tracking number {after.label.tracking_number}"
    if row.stage == Stage.ANNOUNCED:
        why += "; its ticket exists already and REX11 has no call to change it"
    tx.journal(What.LABEL, why, row)


def reconsider(
    ctx: BrandContext, tx: Transaction, row: ReturnRow, return_: Return, rmas: Sequence[RmaRow]
) -> None:
    """Before there is an RMA, an edit, a label or other settings decide anew whether and when to
    make one. Where one may be made already, the next announcing finds out."""
    if return_.state not in (LoopState.OPEN, LoopState.REVIEW):
        return
    skip = why_not_announced(return_, ctx.rules)
    if skip and (skip.no_parcel or skip.not_ours) and not rmas:
        if row.stage != stage_by(ctx.rules, return_)[0]:
            nothing_comes(tx, row, skip)
        return
    due = _due(return_, ctx.rules, tx.now)
    row.due_at = min(filter(None, (row.due_at, due)), default=None)
    if row.stage != Stage.SEEN:
        row.stage = Stage.SEEN
        why = skip.reason if skip else "there is something to send back now"
        tx.journal(What.RECONSIDERED, why, row)


# -- what cannot be taken in ------------------------------------------------------------------


def _keep_unreadable(tx: Transaction, items: Sequence[ParsedReturn]) -> None:
    rows = returns.by_ids(tx.session, tx.brand, [i.return_id for i in items if i.return_id])
    for item in items:
        _unreadable(tx, item, item.problem or "not understood", rows)


def _unreadable(
    tx: Transaction, item: ParsedReturn, problem: str, rows: Mapping[str, ReturnRow]
) -> None:
    body = json.dumps(item.raw, ensure_ascii=False, default=str)
    if not tx.keep_raw("loop.list", body, problem, item.return_id):
        return  # the very same payload is on the list, or a person has dealt with it
    tx.needs_person(
        Need.UNREADABLE,
        f"Loop's answer about this return could not be understood: {problem}. Look at it in Loop",
        rows.get(item.return_id or "") or _about(item),
        "the payload is kept as it came; the next pull reads it again",
    )


def _about(item: ParsedReturn) -> str:
    """What the attention item of an answer is about that cannot be read: its return, or itself."""
    return item.return_id or digest(json.dumps(item.raw, ensure_ascii=False, default=str))[:12]


def _lift_nameless(tx: Transaction, result: Pulled) -> None:
    """What could not be read, not even whose it was, and is not in the list any more, which was
    walked from before it was told: its return is listed, and read, as it should be."""
    gone = [
        (Need.UNREADABLE, about)
        for about in attention.nameless(tx.session, tx.brand, tx.now - FAR)
        if about not in result.nameless
    ]
    tx.resolve_each(gone, "Loop's list does not hold it any more")


def _set_aside(tx: Transaction, picture: _Picture, error: Exception) -> None:
    _set_aside_answer(tx, picture.answer, error)


def _set_aside_answer(tx: Transaction, answer: ParsedReturn, error: Exception) -> None:
    """It was understood, but cannot be put into the ledger."""
    rows = returns.by_ids(tx.session, tx.brand, [answer.return_id] if answer.return_id else [])
    _unreadable(tx, answer, f"it cannot be stored ({type(error).__name__})", rows)


# -- webhooks ---------------------------------------------------------------------------------


def take_webhooks(ctx: BrandContext, limit: int = 1000) -> tuple[int, list[str]]:
    """Act on what deliveries say beyond "look now": a failed processing. Their number, and the
    returns to look at one by one, for no list may show what they tell of: a label can come
    without a new `updated_at`, and a list can miss a return."""
    if ctx.tick.calm:
        return 0, []
    with ctx.ledger.read() as session:
        todo = webhooks.untaken(session, ctx.brand, limit)
    if not todo:
        return 0, []
    ctx.take_in(todo, lambda tx, some: _take_deliveries(ctx, tx, some), _drop_delivery)
    with ctx.ledger.read() as session:
        named = [hook.return_id for hook in todo if hook.return_id]
        rows = returns.by_ids(session, ctx.brand, named)
        return len(todo), [
            hook.return_id
            for hook in todo
            if hook.return_id and _wants_a_look(hook, rows.get(hook.return_id))
        ]


def _wants_a_look(hook: WebhookRow, row: ReturnRow | None) -> bool:
    if row is None:
        return True  # nothing lists it
    waits_for_label = row.stage == Stage.SEEN and row.tracking_number is None
    return waits_for_label and hook.trigger.startswith("label.")


def _take_deliveries(ctx: BrandContext, tx: Transaction, todo: Sequence[WebhookRow]) -> None:
    fresh = webhooks.by_pks(tx.session, [hook.id for hook in todo])
    for hook in fresh:
        if hook.trigger == PROCESSING_FAILED and hook.return_id:
            _processing_failed(tx, hook)
        elif hook.trigger == webhooks.SHIPMENT and ctx.rules.box_free_methods:
            shipments.take_webhook(tx, hook)
        elif hook.trigger == webhooks.SHIPMENT:
            shipments.tell_unwanted(tx, hook)
        # The body holds a customer's address and has done its duty.
        hook.handled_at, hook.body = tx.now, ""


def _drop_delivery(tx: Transaction, hook: WebhookRow, error: Exception) -> None:
    [fresh] = webhooks.by_pks(tx.session, [hook.id])
    tx.keep_raw("webhook", fresh.body, f"{type(error).__name__}", fresh.return_id)
    tx.needs_person(
        Need.INTERNAL,
        f"a webhook ({fresh.trigger}) could not be acted on: {type(error).__name__}; what it said "
        "is kept",
        f"webhook {fresh.id}",
    )
    fresh.handled_at, fresh.body = tx.now, ""


def _processing_failed(tx: Transaction, hook: WebhookRow) -> None:
    row = returns.by_id(tx.session, tx.brand, hook.return_id or "")
    if row is None or row.stage not in (Stage.SETTLING, Stage.CONFIRMING):
        return
    try:
        message = str(json.loads(hook.body).get("message") or "no reason given")
    except (ValueError, AttributeError, RecursionError):
        message = "no reason given"
    effect = effects.settlements_of(tx.session, [row.id]).get(row.id)
    if effect and effect.state in UNDER_WAY:
        tx.outcome(effect, EffectState.FAILED, f"Loop: {message}")
    tx.needs_person(
        Need.PROCESSING_FAILED,
        f"Loop could not process the return: {message}. See in Loop why, then retry or finish it "
        "there",
        row,
        "one process call, which Loop had accepted; it is not repeated by itself",
    )
