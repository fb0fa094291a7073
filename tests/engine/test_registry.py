"""Which brands are due, and how the engine's settings follow from the service's."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from bergen_loop.config import ConfigError, ServiceSettings, Settings, load_usable
from bergen_loop.config.roster import Found
from bergen_loop.flow import tick
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.store import attention, returns
from bergen_loop.service import service
from bergen_loop.service.registry import Registry
from support import worlds
from support.rows import NOW, a_return


@pytest.fixture
def registry(sqlite_ledger: Ledger) -> Registry:
    with worlds.serving() as world:
        brands = {
            "one": worlds.brand_settings(world, "northpine"),
            "two": worlds.brand_settings(world, "lumen"),
            "paused": worlds.brand_settings(world, "tidewater", mode="paused"),
        }
    return Registry(Settings(brands=brands), sqlite_ledger, Path())


def test_new_brands_are_due_at_once_and_paused_ones_never(registry: Registry) -> None:
    assert registry.due(NOW) == ["one", "two"]


def test_a_brand_is_due_at_its_time_or_when_nudged(registry: Registry) -> None:
    with registry.ledger.write() as session:
        for brand in ("one", "two"):
            returns.brand_row(session, brand).next_due_at = NOW + timedelta(seconds=60)
    assert registry.due(NOW) == []
    with registry.ledger.write() as session:
        returns.brand_row(session, "two").nudged_at = NOW
    assert registry.due(NOW) == ["two"]
    assert registry.due(NOW - timedelta(seconds=1)) == [], "a busy brand is nudged for later"
    assert registry.due(NOW + timedelta(seconds=60)) == ["two", "one"]


def test_a_brand_that_a_clock_ahead_has_put_off_is_due(registry: Registry) -> None:
    with registry.ledger.write() as session:
        returns.brand_row(session, "one").next_due_at = NOW + timedelta(hours=1)
        returns.brand_row(session, "two").next_due_at = NOW + timedelta(minutes=5)
    assert registry.due(NOW) == registry.due(NOW) == ["one"]


def test_a_brand_is_connected_once(registry: Registry) -> None:
    assert registry.context("one") is registry.context("one")


def test_a_criteria_file_that_is_missing_is_told_so(registry: Registry) -> None:
    one = registry.settings.brands["one"].model_copy(update={"criteria": "none.yaml"})
    broken = Registry(Settings(brands={"one": one}), registry.ledger, Path())
    with pytest.raises(ConfigError, match=r"none\.yaml.*cannot be read"):
        broken.connect_all()


def test_the_engine_keeps_its_tables_beside_the_ledger(tmp_path: Path) -> None:
    settings = ServiceSettings()
    embedded = service.engine_url(settings, Ledger(f"sqlite:///{tmp_path}/bergen.db"))
    assert embedded == f"sqlite:///{tmp_path}/bergen-engine.db"
    url = "postgresql+psycopg://u:p@db/bergen"
    assert service.engine_url(settings, Ledger(url)) == url


def test_a_brand_that_cannot_be_used_is_left_out_and_told_of(
    sqlite_ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def block(name: str) -> str:
        return f"""\
  {name}:
    name: {name}
    loop: {{api_key: env:{name.upper()}_KEY}}
    rex11: {{web_address: a, user_name: b, password: env:{name.upper()}_KEY}}
"""

    path = tmp_path / "brands.yaml"
    path.write_text("brands:\n" + block("good") + block("bad"))
    monkeypatch.setenv("GOOD_KEY", "a-key-of-some-length")
    settings, broken = load_usable(path)
    assert list(settings.brands) == ["good"]
    assert list(broken) == ["bad"]
    registry = Registry(settings, sqlite_ledger, tmp_path)
    registry.take(Found(settings, broken))
    with sqlite_ledger.read() as session:
        (item,) = attention.open_items(session)
    assert item.brand == "bad"
    assert "BAD_KEY is not set" in item.reason
    monkeypatch.setenv("BAD_KEY", "another-key-of-some-length")
    settings, broken = load_usable(path)
    registry = Registry(settings, sqlite_ledger, tmp_path)
    assert registry.take(Found(settings, broken)) == {}
    with sqlite_ledger.read() as session:
        assert attention.open_items(session) == []


def test_a_brand_with_work_left_over_is_behind(registry: Registry) -> None:
    ctx = registry.context("one")
    assert not registry.behind("one")
    a_return(registry.ledger, brand="one", stage="received")
    tick.end(ctx, {"settle": {"decided": 0}})
    assert not registry.behind("one"), "nothing moves: it is looked at again after `poll`"
    tick.end(ctx, {"settle": {"decided": 150}})
    assert registry.behind("one")
