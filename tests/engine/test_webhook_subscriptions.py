"""Loop's webhook subscriptions are looked at now and then: Loop gives up those that fail."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest
import sqlalchemy as sa
import structlog

from bergen_loop.config import ServiceSettings, Settings
from bergen_loop.domain.words import Need, What
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.store import attention, modes
from bergen_loop.ledger.tables.core import AttentionRow, JournalRow
from bergen_loop.outside.errors import OutsideError
from bergen_loop.people import subscriptions
from bergen_loop.service import workflows
from bergen_loop.service.registry import Registry
from support import worlds
from support.worlds import World

BRAND, URL = "northpine", "https://returns.example"


@pytest.fixture
def world() -> Generator[World]:
    with worlds.serving() as served:
        yield served


@pytest.fixture
def ctx(world: World, sqlite_ledger: Ledger) -> BrandContext:
    made = worlds.context(world, sqlite_ledger)
    subscriptions.ensure(made, URL)
    return made


def give_up(world: World, *triggers: str) -> None:
    """What Loop does after more than ten failed deliveries."""
    for hook in world.sandbox.brand(BRAND).hooks.values():
        if hook.trigger in triggers:
            hook.status = "inactive"


def active(world: World) -> set[str]:
    hooks = world.sandbox.brand(BRAND).hooks.values()
    return {h.trigger for h in hooks if h.status == "active"}


def items(ctx: BrandContext) -> list[AttentionRow]:
    with ctx.ledger.read() as session:
        return [i for i in attention.open_items(session) if i.kind == Need.WEBHOOKS]


def test_one_call_is_enough_where_all_are_active(world: World, ctx: BrandContext) -> None:
    before = len(world.sandbox.calls.find(limit=10**6))
    assert subscriptions.look(ctx, URL) == subscriptions.Subscribed(0, 0, 6)
    assert len(world.sandbox.calls.find(limit=10**6)) == before + 1
    assert items(ctx) == []


def test_what_loop_gave_up_is_active_again_and_people_are_told_why_until_it_stays(
    world: World, ctx: BrandContext
) -> None:
    give_up(world, "return.created", "label.created")
    subscriptions.look(ctx, URL)
    assert len(active(world)) == 6
    [item] = items(ctx)
    assert item.subject == "loop"
    assert item.reason.startswith(
        "Loop had deactivated 2 of the brand's webhooks (label.created, return.created). It does "
        "so after more than 10 deliveries in a row that were not answered with 2xx"
    )
    assert f"{URL}/webhooks/loop/{BRAND}" in item.reason
    assert item.tried == f"set active again at {world.now():%Y-%m-%d %H:%M} UTC"
    with ctx.ledger.read() as session:
        told = sa.select(JournalRow.why).where(JournalRow.happened == What.WEBHOOKS_SUBSCRIBED)
        assert list(session.scalars(told.order_by(JournalRow.id)))[1:] == [
            "0 made, 2 changed, 4 kept"
        ]

    give_up(world, "return.created")
    subscriptions.look(ctx, URL)
    assert [i.id for i in items(ctx)] == [item.id], "one item, however often"
    subscriptions.look(ctx, URL)
    assert items(ctx) == [], "they stayed active"


def test_one_that_is_gone_is_made_again(world: World, ctx: BrandContext) -> None:
    hooks = world.sandbox.brand(BRAND).hooks
    del hooks[next(iter(hooks))]
    assert subscriptions.look(ctx, URL) == subscriptions.Subscribed(1, 0, 5)
    assert len(active(world)) == 6
    assert items(ctx) == []


def test_where_they_cannot_be_set_active_people_are_told_and_it_is_tried_again(
    world: World, ctx: BrandContext
) -> None:
    give_up(world, "return.created")
    world.fault("loop", "status_500", operation="webhooks.update", count=10)
    with pytest.raises(OutsideError):
        subscriptions.look(ctx, URL)
    [item] = items(ctx)
    assert item.tried == ""
    with ctx.ledger.read() as session:
        assert subscriptions.due(session, BRAND, ctx.now()), "not only in six hours"


def test_they_are_looked_at_every_six_hours(world: World, ctx: BrandContext) -> None:
    subscriptions.look(ctx, URL)
    with ctx.ledger.read() as session:
        assert not subscriptions.due(session, BRAND, ctx.now())
        assert not subscriptions.due(session, BRAND, ctx.now() + subscriptions.EVERY / 2)
        assert subscriptions.due(session, BRAND, ctx.now() + subscriptions.EVERY)


class Service:
    """What the engine's schedule works with."""

    def __init__(self, world: World, ledger: Ledger, public_url: str | None) -> None:
        brands = {
            BRAND: worlds.brand_settings(world, BRAND),
            "polled": worlds.brand_settings(world, "lumen", loop={"webhook_secret": None}),
            "tidewater": worlds.brand_settings(world, "tidewater", mode=modes.PAUSED),
        }
        service = ServiceSettings.model_validate({"public_url": public_url})
        self.registry = Registry(Settings(service=service, brands=brands), ledger, Path())


@pytest.mark.parametrize(("public_url", "due"), [(URL, [BRAND]), (None, [])])
def test_only_brands_with_webhooks_are_looked_at(
    world: World, sqlite_ledger: Ledger, public_url: str | None, due: list[str]
) -> None:
    workflows.use(Service(world, sqlite_ledger, public_url).registry)
    try:
        assert workflows._webhooks_due() == due  # pyright: ignore[reportPrivateUsage]
    finally:
        workflows.use(None)


def test_loop_not_answering_is_logged_and_no_more(world: World, sqlite_ledger: Ledger) -> None:
    world.fault("loop", "status_401", count=10)
    workflows.use(Service(world, sqlite_ledger, URL).registry)
    try:
        with structlog.testing.capture_logs() as logged:
            workflows._look_at_webhooks(BRAND)  # pyright: ignore[reportPrivateUsage]
        assert workflows._webhooks_due() == [BRAND]  # pyright: ignore[reportPrivateUsage]
    finally:
        workflows.use(None)
    assert any("webhook subscriptions not looked at" in entry["event"] for entry in logged)
