"""What changes of a brand is taken up before its next tick, on every machine, without a restart."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import event

from bergen_loop.config import ConfigError
from bergen_loop.config.roster import Roster
from bergen_loop.domain.criteria import preset_text
from bergen_loop.domain.words import Need
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.store import attention
from bergen_loop.outside.budget import shared_limiter
from bergen_loop.people.brands import Act, Brands
from bergen_loop.secrets import SecretStores
from bergen_loop.service import registry as registries
from bergen_loop.service import workflows
from bergen_loop.service.registry import Registry
from support.rows import a_return

BLOCK = {
    "name": "Acme",
    "loop": {"api_key": "env:ACME_KEY"},
    "rex11": {"web_address": "w", "user_name": "u", "password": "env:ACME_KEY"},
}
FILED = """\
brands:
  filed:
    name: {name}
    loop: {{api_key: env:ACME_KEY}}
    rex11: {{web_address: a, user_name: b, password: env:ACME_KEY}}
    criteria: {criteria}
"""


class Installation:
    """A configuration file, a ledger, and as many machines as wanted."""

    def __init__(self, ledger: Ledger, folder: Path) -> None:
        self.ledger, self.folder = ledger, folder
        self.config = folder / "bergen-loop.yaml"
        self.config.write_text("service: {}\n")

    def machine(self) -> Registry:
        roster = Roster(self.config)
        found = roster.load(self.ledger)
        made = Registry(found.settings, self.ledger, self.folder, roster)
        made.take(found)
        return made

    @property
    def brands(self) -> Brands:
        return Brands(self.ledger, SecretStores(self.folder), self.folder)

    def add(self, brand: str = "acme", key: str = "ACME_KEY") -> None:
        self.brands.add(Act("Anna", "new"), brand, {**BLOCK, "loop": {"api_key": f"env:{key}"}})

    def change(self, seen: int, **changes: object) -> None:
        self.brands.change(Act("Anna", "other"), "acme", {**BLOCK, **changes}, seen)

    def told(self) -> dict[str, str]:
        with self.ledger.read() as session:
            items = attention.open_items(session)
            return {
                f"{i.brand} {i.subject}": i.reason for i in items if i.kind == Need.CONFIGURATION
            }


@pytest.fixture
def place(ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installation:
    monkeypatch.setenv("ACME_KEY", "a-key-of-some-length")
    monkeypatch.setenv("OTHER_KEY", "a-key-of-another-shop")
    return Installation(ledger, tmp_path)


def due(registry: Registry) -> list[str]:
    return registry.due(datetime.now(UTC))


def test_a_service_without_any_brand_takes_up_the_first_one(place: Installation) -> None:
    one, two = place.machine(), place.machine()
    assert due(one) == []
    place.add()
    assert due(one) == ["acme"]
    two.look()
    assert two.context("acme").settings.name == "Acme"


def test_a_tick_keeps_what_it_began_with_and_the_next_has_the_new_settings(
    place: Installation,
) -> None:
    place.add()
    machines = [place.machine(), place.machine()]
    begun = [m.context("acme") for m in machines]
    place.change(1, poll="2m", criteria="strict")
    for machine, before in zip(machines, begun, strict=True):
        machine.look()
        after = machine.context("acme")
        assert (before.criteria.name, after.criteria.name) == ("standard", "strict")
        assert before.config_version != after.config_version


def test_a_brand_that_has_not_changed_keeps_its_context(place: Installation) -> None:
    place.add()
    registry = place.machine()
    before = registry.context("acme")
    place.add("other", "OTHER_KEY")
    registry.look()
    assert registry.context("acme") is before
    assert "other" in registry


def test_of_two_brands_with_one_shops_key_one_is_taken_up(
    place: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both would make RMAs of the same returns, and both would pay."""
    place.add("zest")
    machines = [place.machine()]
    before = machines[0].context("zest")
    with pytest.raises(ConfigError, match="it is the Loop key of brand zest: both would pay"):
        place.add("acme")
    place.add("acme", "OTHER_KEY")
    monkeypatch.setenv("OTHER_KEY", "a-key-of-some-length")
    machines.append(place.machine())
    for machine in machines:
        machine.look()
        assert ("zest" in machine, "acme" in machine, due(machine)) == (True, False, ["zest"])
    assert machines[0].context("zest") is before, "the one that was there goes on"
    assert "it is the Loop key of brand zest: both would pay" in place.told()["acme settings"]
    # The file's goes before one of the ledger of which no return is known.
    place.config.write_text(FILED.format(name="Filed", criteria="standard"))
    for machine in machines:
        machine.look()
        assert ("zest" in machine, "filed" in machine) == (False, True)
    a_return(place.ledger, "1", "zest")
    started = place.machine()
    assert ("zest" in started, "filed" in started) == (True, False)


def test_a_removed_brand_stops(place: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    place.add()
    registry = place.machine()
    place.brands.remove(Act("Anna", "left"), "acme", 1)
    assert due(registry) == []
    monkeypatch.setattr(workflows, "_registry", registry)
    tick: Callable[[str], object] = workflows._tick.__wrapped__  # type: ignore[attr-defined]  # pyright: ignore
    assert tick("acme") == {"skipped": "no longer configured"}
    assert registry.brand("acme").name == "Acme", "a page that is about to read it may"


def test_settings_that_cannot_be_used_any_more_leave_those_that_worked(
    place: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.add()
    registry, fresh = place.machine(), Roster(place.config)
    monkeypatch.delenv("ACME_KEY")
    place.folder.joinpath("bergen-loop.yaml").write_text("service: {port: 9000}\n")
    registry.look()
    assert registry.context("acme").settings.name == "Acme"
    assert "goes on with its former settings" in place.told()["acme settings"]
    assert "ACME_KEY is not set" in place.told()["acme settings"]
    assert list(fresh.load(place.ledger).broken) == ["acme"], "one that starts now leaves it out"
    monkeypatch.setenv("ACME_KEY", "a-key-of-some-length")
    registry.look()
    assert place.told() != {}, "it is not tried at every look"
    monkeypatch.setattr(registries, "AGAIN", 0.0)
    registry._again_at = 0.0  # pyright: ignore[reportPrivateUsage]
    registry.look()
    assert place.told() == {}


def test_the_files_brands_are_taken_up_too_and_win(place: Installation) -> None:
    place.add("filed")
    registry = place.machine()
    assert registry.brand("filed").name == "Acme"
    assert registry.version("filed") is not None
    place.config.write_text(FILED.format(name="Of the file", criteria="standard"))
    registry.look()
    assert registry.brand("filed").name == "Of the file"
    assert registry.version("filed") is None
    assert "in the configuration file and in the ledger" in place.told()["filed doubled"]
    Brands(place.ledger, SecretStores(), place.folder, {"filed"}).remove(
        Act("Anna", "it is in the file"), "filed", 1
    )
    registry.look()
    assert place.told() == {}
    assert registry.brand("filed").name == "Of the file"


def test_a_file_that_is_broken_while_it_is_written_changes_nothing(place: Installation) -> None:
    place.config.write_text(FILED.format(name="Right", criteria="standard"))
    registry = place.machine()
    for text in ("brands: [", FILED.format(name="Wrong", criteria="missing.yaml")):
        place.config.write_text(text)
        registry.look()
        assert registry.context("filed").settings.name == "Right"
    assert (
        "missing.yaml" in place.told()["filed settings"]
        or "criteria" in place.told()["filed settings"]
    )


def test_a_criteria_file_is_read_again_when_it_changes(place: Installation) -> None:
    rules = place.folder / "rules.yaml"
    rules.write_text(preset_text("standard"))
    place.config.write_text(FILED.format(name="F", criteria="rules.yaml"))
    registry = place.machine()
    before = registry.context("filed").criteria.version
    rules.write_text(preset_text("strict"))
    registry.look()
    assert registry.context("filed").criteria.version != before


def test_another_limit_of_the_key_holds_at_once(place: Installation) -> None:
    place.add()
    registry = place.machine()
    limiter = shared_limiter(place.ledger, "a-key-of-some-length", 300)
    place.change(1, loop={"api_key": "env:ACME_KEY", "calls_per_minute": 90})
    registry.look()
    assert limiter.limit == 90
    assert place.told() == {}


def test_one_look_is_one_query_where_nothing_has_changed(place: Installation) -> None:
    place.add()
    registry = place.machine()
    registry.look()
    asked: list[str] = []
    event.listen(place.ledger.engine, "before_cursor_execute", lambda *a: asked.append(a[2]))
    registry.look()
    assert len([q for q in asked if q.startswith("SELECT")]) == 1
