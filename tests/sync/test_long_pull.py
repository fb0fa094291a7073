"""The first pull of a brand, and one after days of downtime: window by window, wherever it is
stopped."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from bergen_loop.config import BrandSettings
from bergen_loop.domain.criteria import preset
from bergen_loop.flow import intake
from bergen_loop.flow.context import AHEAD, BrandContext
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.store import cursors
from bergen_loop.ledger.store.cursors import Backfill
from bergen_loop.ledger.tables.core import AttentionRow, CursorRow, JournalRow, ReturnRow
from bergen_loop.outside.errors import Unavailable
from bergen_loop.outside.loop.client import ReturnsPage
from bergen_loop.outside.loop.models import Listed
from loop_sandbox import ManualClock
from support.brands import configure

NOW = datetime(2026, 11, 10, 15, 0, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
OVERLAP = timedelta(minutes=10)
BRAND = "acme"

Window = tuple[datetime, datetime]


class Killed(BaseException):
    """The process is gone."""


@dataclass
class Shop:
    """Loop's list of returns, each closed at its own time."""

    clock: ManualClock
    times: list[datetime]
    asked: list[tuple[str | None, datetime, datetime]] = field(
        default_factory=list[tuple[str | None, datetime, datetime]]
    )
    on_page: Callable[[datetime, int], None] = lambda _since, _number: None
    """Called before each page, with its window's start and its number."""
    cut_off: bool = False
    """Whether its pages end too early."""

    def list_returns(
        self, since: datetime, until: datetime, *, state: str | None, page_size: int, **_: Any
    ) -> Iterator[ReturnsPage]:
        self.asked.append((state, since, until))
        found = [] if state else [n for n, at in enumerate(self.times) if since <= at <= until]
        for number, start in enumerate(range(0, max(1, len(found)), page_size), 1):
            self.clock.advance(1)
            self.on_page(since, number)
            page = tuple(Listed.of(self._return(n)) for n in found[start : start + page_size])
            cut = "the answer was cut off" if self.cut_off else None
            yield ReturnsPage(page, since, until, state, number, cut)

    def windows(self, state: str | None = None) -> list[Window]:
        return [(since, until) for s, since, until in self.asked if s == state]

    def _return(self, number: int) -> Any:
        at = f"{self.times[number]:%Y-%m-%dT%H:%M:%SZ}"
        line = {"line_item_id": number, "sku": "TEE", "outcome": "refund"}
        times = {"created_at": at, "updated_at": at}
        return {"id": number, "state": "closed", "line_items": [line], **times}


def every(step: timedelta, since: datetime, until: datetime = NOW) -> list[datetime]:
    return [since + n * step for n in range(int((until - since) / step))]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def shop(clock: ManualClock) -> Shop:
    """Three returns a day, a page each, for twenty-eight days."""
    return Shop(clock, every(8 * HOUR, NOW - 28 * DAY))


@pytest.fixture
def ctx(shop: Shop, clock: ManualClock, sqlite_ledger: Ledger) -> BrandContext:
    settings = BrandSettings.model_validate(
        {
            "name": "Acme",
            "loop": {"api_key": SecretStr("k"), "page_size": 1, "look_aside": "1h"},
            "warehouse": "embedded",
        }
    )
    return BrandContext(
        brand=BRAND,
        settings=settings,
        ledger=sqlite_ledger,
        loop=cast("Any", shop),
        warehouse=cast("Any", None),
        criteria=preset("standard"),
        now=clock.now,
    )


def taken_in(ctx: BrandContext) -> list[int]:
    """The returns in the ledger; each must have been noted once."""
    with ctx.ledger.read() as session:
        found = sorted(int(i) for i in session.scalars(sa.select(ReturnRow.return_id)))
        seen = sa.select(sa.func.count()).where(JournalRow.happened.in_(("seen", "seen_ended")))
        assert session.scalar(seen) == len(found)
    return found


def cursor(ctx: BrandContext) -> datetime | None:
    with ctx.ledger.read() as session:
        return cursors.get(session, BRAND, intake.CURSOR)


def shown(ctx: BrandContext) -> Backfill | None:
    """What people are shown now."""
    with ctx.ledger.read() as session:
        return cursors.pulls_under_way(session, [BRAND], ctx.now()).get(BRAND)


def marks(ctx: BrandContext) -> set[str]:
    with ctx.ledger.read() as session:
        return set(session.scalars(sa.select(CursorRow.name)))


def spans(windows: Sequence[Window]) -> list[timedelta]:
    return [until - since for since, until in windows]


def covers(windows: Sequence[Window], since: datetime, until: datetime) -> bool:
    """Whether they follow one another without a gap."""
    joined = all(a[1] == b[0] for a, b in itertools.pairwise(windows))
    return joined and windows[0][0] == since and windows[-1][1] >= until


def kill_at(shop: Shop, pages: int, error: BaseException) -> None:
    """The end comes with the page after so many."""

    def look(_since: datetime, _number: int) -> None:
        nonlocal pages
        pages -= 1
        if pages < 0:
            shop.on_page = lambda _s, _n: None
            raise error

    shop.on_page = look


def test_windows_get_shorter_where_there_is_much(ctx: BrandContext, shop: Shop) -> None:
    shop.times = every(HOUR, NOW - 30 * DAY, NOW - 27 * DAY)
    intake.pull(ctx)
    # 24 pages a day, but at the ends: half a day has twelve, a quarter six, a good size.
    sizes = spans(shop.windows())
    assert sizes[:4] == [DAY, 12 * HOUR, 6 * HOUR, 6 * HOUR]
    assert covers(shop.windows(), NOW - 30 * DAY, NOW)
    assert taken_in(ctx) == list(range(len(shop.times)))


def test_windows_have_a_least_and_a_greatest_size(
    ctx: BrandContext, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "MANY", 2)
    monkeypatch.setattr(intake, "FEW", 1)
    start = NOW - 200 * DAY
    shop.times = every(timedelta(minutes=30), start, start + 50 * HOUR)
    configure(ctx, loop={"backfill": 200 * DAY})
    intake.pull(ctx)
    sizes = spans(shop.windows())
    assert max(sizes) <= intake.LONGEST + AHEAD
    assert intake.LONGEST in sizes
    assert min(sizes) == intake.SHORTEST
    assert covers(shop.windows(), NOW - 200 * DAY, NOW)
    assert len(taken_in(ctx)) == len(shop.times)


DOWN = Unavailable("down", system="Loop", brand=BRAND, call="list")


@pytest.mark.parametrize(
    ("pages", "error"),
    [(0, Killed()), (2, DOWN), (5, DOWN), (40, Killed()), (41, DOWN), (83, Killed())],
)
def test_it_is_taken_up_at_the_last_finished_window(
    ctx: BrandContext, shop: Shop, clock: ManualClock, pages: int, error: BaseException
) -> None:
    kill_at(shop, pages, error)
    with pytest.raises(type(error)):
        intake.pull(ctx)
    before, reached = shop.windows(), cursor(ctx)
    assert reached == (before[-1][0] if len(before) > 1 else None)
    one = shown(ctx)
    assert one is not None
    assert one.share == ((one.reached - one.since) / (one.until - one.since))

    clock.advance(7200)
    shop.asked, started = [], clock.now()
    seen: list[Backfill | None] = []
    shop.on_page = lambda _since, _number: seen.append(shown(ctx))
    intake.pull(ctx)
    again = reached - OVERLAP if reached else started - 30 * DAY
    assert covers(shop.windows(), again, started)
    assert taken_in(ctx) == list(range(len(shop.times)))
    assert cursor(ctx) == started
    first = seen[0]
    assert first is not None
    since = one.since if reached else again
    assert (first.since, first.until, first.left) == (since, started, None)
    assert not any("loop.updated_at." in m for m in marks(ctx) - {intake.ASIDE})


def test_what_is_shown_while_it_runs(ctx: BrandContext, shop: Shop) -> None:
    seen: list[Backfill] = []

    def look(_since: datetime, _number: int) -> None:
        one = shown(ctx)
        assert one is not None
        seen.append(one)

    shop.on_page = look
    intake.pull(ctx)
    main = [one for one in seen if one.walk == intake.CURSOR]
    aside = [one for one in seen if one.walk == intake.ASIDE]
    assert seen == main + aside, "one walk after the other"
    for walk in (main, aside):
        shares = [one.share for one in walk]
        assert shares == sorted(shares)
        assert (shares[0], shares[-1] > 0.4) == (0, True)
    # A page a second, evenly spread; a window, six of them, is what the cursor moves by.
    for at in (20, 40, 60):
        left = main[at].left
        assert left is not None
        assert left.total_seconds() == pytest.approx(len(main) - at, abs=12)
    assert shown(ctx) is None


def test_the_walks_are_taken_up_each_by_itself(
    ctx: BrandContext, shop: Shop, clock: ManualClock
) -> None:
    def stop_aside(_since: datetime, _number: int) -> None:
        if shop.asked[-1][0] == "review" and len(shop.windows("review")) == 3:
            raise Killed

    shop.on_page = stop_aside
    with pytest.raises(Killed):
        intake.pull(ctx)
    one = shown(ctx)
    assert one is not None
    assert one.walk == intake.ASIDE
    reached = shop.windows("review")[-1][0]
    clock.advance(60)
    shop.asked, shop.on_page = [], lambda _since, _number: None
    intake.pull(ctx)
    assert shop.windows()[0][0] == NOW - OVERLAP, "this one had come to its end"
    assert shop.windows("review")[0][0] == reached - OVERLAP
    assert shop.windows("cancelled") == shop.windows("review")
    assert shown(ctx) is None


def test_after_days_of_downtime_it_goes_on_where_it_stopped(
    ctx: BrandContext, shop: Shop, clock: ManualClock
) -> None:
    intake.pull(ctx)
    stopped = cursor(ctx)
    assert stopped is not None
    clock.advance(4 * DAY.total_seconds())
    shop.times += every(HOUR, NOW + HOUR, clock.now())
    shop.asked, seen = [], list[Backfill | None]()
    shop.on_page = lambda _since, _number: seen.append(shown(ctx))
    intake.pull(ctx)
    assert shop.windows()[0][0] == stopped - OVERLAP
    first, later = seen[0], seen[-1]
    assert first is not None
    assert later is not None
    assert (first.since, first.left) == (stopped - OVERLAP, None)
    assert later.left is not None
    assert taken_in(ctx) == list(range(len(shop.times)))
    assert shown(ctx) is None


def test_a_short_pull_is_no_backfill(ctx: BrandContext, shop: Shop, clock: ManualClock) -> None:
    intake.pull(ctx)
    clock.advance(DAY.total_seconds())
    seen: list[Backfill | None] = []
    shop.on_page = lambda _since, _number: seen.append(shown(ctx))
    intake.pull(ctx)
    assert set(seen) == {None}


def test_its_last_days_are_still_the_same_backfill(
    ctx: BrandContext, shop: Shop, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taken up with less to go than makes a pull a long one: nothing of the time in which it did
    not run is counted."""
    monkeypatch.setattr(intake, "FEW", 0)

    def stop_on_the_last_day(since: datetime, _number: int) -> None:
        if since == NOW - DAY:
            raise Killed

    shop.on_page = stop_on_the_last_day
    with pytest.raises(Killed):
        intake.pull(ctx)
    reached = cursor(ctx)
    assert reached is not None
    clock.advance(6 * 3600)
    started, seen = clock.now(), list[Backfill | None]()
    assert started - reached < 2 * intake.FIRST_WINDOW
    shop.on_page = lambda _since, _number: seen.append(shown(ctx))
    intake.pull(ctx)
    first = seen[0]
    assert first is not None
    assert (first.since, first.until, first.left) == (NOW - 30 * DAY, started, None)
    assert shown(ctx) is None


def test_pages_that_are_all_cut_off_take_few_calls_and_are_one_item(
    ctx: BrandContext, shop: Shop, clock: ManualClock
) -> None:
    intake.pull(ctx)
    shop.cut_off = True
    items: list[list[str]] = []
    for _ in range(4):
        clock.advance(25 * 60)
        shop.asked = []
        intake.pull(ctx)
        assert len(shop.windows()) < 40, "no window is halved in vain"
        with ctx.ledger.read() as session:
            still_open = sa.select(AttentionRow.kind).where(AttentionRow.open_key.is_not(None))
            of_main = still_open.where(AttentionRow.subject == "")
            items.append(list(session.scalars(of_main)))
    waits, behind = "list_incomplete", "list_gap"
    assert items == [[waits], [waits], [behind], [behind, waits]], "then of later windows, too"
