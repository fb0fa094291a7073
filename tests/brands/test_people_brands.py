"""Brands kept in the ledger: added, changed, rolled back, removed; what would break is refused."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from bergen_loop import yaml_source
from bergen_loop.config import BrandSettings, ConfigError, Problem
from bergen_loop.domain.returns import Stage
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.store import brands as kept
from bergen_loop.ledger.store import modes
from bergen_loop.ledger.tables.core import BrandRow, JournalRow, RmaRow
from bergen_loop.ledger.transaction import transaction
from bergen_loop.people import brands as people
from bergen_loop.people import places
from bergen_loop.people.actions import NotPossible
from bergen_loop.people.brands import Act, Brands, Outdated, diff
from bergen_loop.secrets import SecretStores
from support.rows import a_return

ANNA, BEN = "Anna", "Ben"


def block(**changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "name": "Acme",
        "loop": {"api_key": "env:ACME_KEY"},
        "rex11": {"web_address": "w", "user_name": "u", "password": "env:ACME_PASSWORD"},
    }
    for name, value in changes.items():
        made[name] = {**made.get(name, {}), **value} if isinstance(value, dict) else value
    return made


@pytest.fixture
def place(ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Brands:
    monkeypatch.setenv("ACME_KEY", "a-key-of-some-length")
    monkeypatch.setenv("ACME_PASSWORD", "p")
    key = tmp_path / "key"
    key.write_text("jUvR9i_OWDEENPbS7X7IKO0qqMK0zPNyTSsDLB9h_uU=\n")
    key.chmod(0o600)
    url = ledger.url.render_as_string(hide_password=False)
    return Brands(ledger, SecretStores(tmp_path, url, key), tmp_path, {"filed"})


def act(who: str = ANNA, why: str = "because", **more: Any) -> Act:
    return Act(who, why, **more)


def told(ledger: Ledger) -> list[tuple[str, str, str]]:
    with ledger.read() as session:
        rows = session.scalars(sa.select(JournalRow).order_by(JournalRow.id))
        return [(r.happened or "", r.who, r.why) for r in rows]


def test_a_brand_is_added_changed_and_rolled_back_each_as_a_version_with_who_and_why(
    place: Brands,
) -> None:
    place.add(act(why="new customer"), "acme", block())
    place.change(act(BEN, "slower"), "acme", block(poll="2m"), 1)
    made = place.roll_back(act(ANNA, "too slow"), "acme", 1, 2)
    assert [(v.version, v.made_by, v.reason) for v in place.history("acme")] == [
        (3, ANNA, "too slow"),
        (2, BEN, "slower"),
        (1, ANNA, "new customer"),
    ]
    assert made.content == block()
    assert told(place.ledger) == [
        ("brand_connected", ANNA, "new customer"),
        ("brand_changed", BEN, "slower"),
        ("brand_rolled_back", ANNA, "too slow"),
    ]


def test_the_second_of_two_people_is_told_who_changed_what(place: Brands) -> None:
    place.add(act(), "acme", block())
    place.change(act(BEN, "more often"), "acme", block(poll="30s"), 1)
    with pytest.raises(Outdated, match=r"version 2 was made by Ben .*more often.*poll: 30s added"):
        place.change(act(ANNA), "acme", block(poll="5m"), 1)
    assert place.present("acme").content["poll"] == "30s"


def test_of_two_that_write_at_the_same_moment_one_is_told(place: Brands) -> None:
    place.add(act(), "acme", block())

    def meanwhile(*_: object) -> list[Problem]:
        place.change(act(BEN, "first"), "acme", block(name="Acme Ltd"), 1)
        return []

    with pytest.raises(Outdated, match="made by Ben"):
        place.change(act(ANNA, attempt=meanwhile), "acme", block(loop={"calls_per_minute": 9}), 1)
    assert [v.version for v in place.history("acme")] == [2, 1]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"loop": {"api_key": "in-the-clear"}}, "loop.api_key"),
        ({"loop": {"api_key": "env:NOT_SET"}}, "loop.api_key"),
        ({"poll": "soon"}, "poll"),
        ({"nonsense": 1}, "nonsense"),
        ({"mode": "live"}, "mode"),
        ({"criteria": "missing.yaml"}, "brands.acme.criteria"),
        ({"criteria": "rules:\n  - when: nonsense(\n"}, "criteria.rules[1].when"),
        ({"name": "bell\x07"}, "name"),
        ({"rex11": {"close": {"strategy": "http"}}}, "rex11.close"),
        ({"announce": {"start": "yesterday-ish"}}, "announce.start"),
        ({"poll": float("nan")}, "poll"),
    ],
)
def test_settings_that_cannot_be_used_are_refused_at_their_field(
    place: Brands, change: dict[str, Any], field: str
) -> None:
    place.add(act(), "acme", block())
    with pytest.raises(ConfigError) as caught:
        place.change(act(), "acme", block(**change), 1)
    assert field in {p.field for p in caught.value.problems}, caught.value
    assert place.present("acme").version == 1
    assert "in-the-clear" not in str(caught.value)


def test_a_key_that_does_not_work_is_refused_before_it_is_kept(place: Brands) -> None:
    place.add(act(), "acme", block())
    asked: list[tuple[str, str, set[str]]] = []

    def refuses(brand: str, settings: BrandSettings, accesses: Collection[str]) -> list[Problem]:
        asked.append((brand, settings.loop.api_key.get_secret_value(), set(accesses)))
        return [Problem("tried", 1, 1, "loop.api_key", "Loop refuses it", "ask for another")]

    typed = {"ledger:acme-loop-key-2": "a-new-key-typed"}
    wanted = block(loop={"api_key": "ledger:acme-loop-key-2"})
    with pytest.raises(ConfigError, match="Loop refuses it"):
        place.change(act(attempt=refuses, typed=typed), "acme", wanted, 1)
    assert asked == [("acme", "a-new-key-typed", {"loop"})]
    assert place.stores.vault.names() == []
    place.change(act(typed=typed), "acme", wanted, 1)
    assert [name for name, *_ in place.stores.vault.names()] == ["acme-loop-key-2"]
    assert "a-new-key-typed" not in str(place.history("acme"))


def test_only_an_access_that_changes_is_tried(
    place: Brands, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[set[str]] = []

    def attempt(_b: str, _s: BrandSettings, accesses: Collection[str]) -> list[Problem]:
        asked.append(set(accesses))
        return []

    tried = act(attempt=attempt)
    place.add(tried, "acme", block())
    place.change(tried, "acme", block(poll="2m"), 1)
    place.change(tried, "acme", block(poll="2m", rex11={"user_name": "v"}), 2)
    monkeypatch.setenv("FLOOR_KEY", "the-key-of-another-shop")
    other = block(warehouse="embedded", loop={"api_key": "env:FLOOR_KEY"})
    place.add(tried, "floor", other)
    assert asked == [{"loop", "rex11"}, {"rex11"}, {"loop"}]


def test_open_rmas_are_not_left_behind_in_another_warehouse(place: Brands) -> None:
    place.add(act(), "acme", block())
    pk = a_return(place.ledger, brand="acme", stage=Stage.ANNOUNCED)
    with place.ledger.write() as session:
        session.add(
            RmaRow(brand="acme", return_pk=pk, customer_po="LR-1", ticket_id="WHRTN1",
                   warehouse="NJ", items=[], tracking_numbers=[],
                   created_at=dt.datetime.now(dt.UTC))
        )  # fmt: skip
    with pytest.raises(ConfigError, match=r"rex11.web_address: 1 RMA\(s\) .* would be lost"):
        place.change(act(), "acme", block(rex11={"web_address": "elsewhere"}), 1)


def test_a_removed_brand_is_told_of_comes_back_by_a_roll_back_and_keeps_its_history(
    place: Brands,
) -> None:
    place.add(act(), "acme", block())
    place.remove(act(why="left us"), "acme", 1)
    assert place.export() == {}
    with pytest.raises(NotPossible, match="has no brand 'acme'; it has: none"):
        place.present("acme")
    with pytest.raises(NotPossible, match="roll it back"):
        place.change(act(), "acme", block(), 2)
    place.roll_back(act(why="is back"), "acme", 1, 2)
    assert place.present("acme").version == 3
    assert place.export() == {"acme": block()}


def test_a_live_brand_and_one_with_calls_in_doubt_are_not_removed(place: Brands) -> None:
    place.add(act(), "acme", block())
    a_return(place.ledger, brand="acme", stage=Stage.CONFIRMING)
    with transaction(place.ledger, "acme", dt.datetime.now(dt.UTC), ANNA) as tx:
        modes.set_mode(tx, "live", configured="shadow", why="go")
    with pytest.raises(NotPossible, match="pause it first"):
        place.remove(act(), "acme", 1)
    with transaction(place.ledger, "acme", dt.datetime.now(dt.UTC), ANNA) as tx:
        modes.set_mode(tx, "paused", configured="shadow", why="stocktake")
    with pytest.raises(NotPossible, match=r"what became of 1 call\(s\)"):
        place.remove(act(), "acme", 1)
    place.remove(act(), "acme", 1, anyway=True)
    with place.ledger.read() as session:
        assert session.get_one(BrandRow, "acme").epoch == 2, "a running tick is fenced off"


def test_a_brand_of_the_file_is_not_changed_here_and_it_says_why(place: Brands) -> None:
    for refused in (
        lambda: place.add(act(), "filed", block()),
        lambda: place.history("filed"),
        lambda: place.change(act(), "filed", block(), 1),
    ):
        with pytest.raises(NotPossible, match="stands in the configuration file"):
            refused()


@pytest.mark.parametrize("name", ["", "Acme", "a b", "x" * 42, "-x", "acme\n"])
def test_a_brand_needs_an_id(place: Brands, name: str) -> None:
    with pytest.raises(NotPossible, match="is no id"):
        place.add(act(), name, block())


def test_nothing_is_done_without_a_reason(place: Brands) -> None:
    with pytest.raises(NotPossible, match="say why"):
        place.add(act(why="  "), "acme", block())


def test_a_change_of_nothing_is_no_version(place: Brands) -> None:
    place.add(act(), "acme", block())
    assert place.change(act(), "acme", block(), 1).version == 1
    with pytest.raises(NotPossible, match="has the settings that hold"):
        place.roll_back(act(), "acme", 1, 1)
    with pytest.raises(NotPossible, match="has no version 7: it has 1 to 1"):
        place.roll_back(act(), "acme", 7, 1)


def test_times_from_a_yaml_file_are_kept_as_texts_and_nothing_as_null(place: Brands) -> None:
    start = dt.datetime(2026, 11, 1, 8, tzinfo=dt.UTC)
    announce = {"start": start, "destinations": {77: "NJ", "80": None}}
    made = place.add(act(), "acme", block(announce=announce))
    assert made.content["announce"] == {
        "start": "2026-11-01T08:00:00+00:00",
        "destinations": {"77": "NJ", "80": None},
    }


def test_a_diff_tells_nothing_from_null_and_a_mapping_from_a_value() -> None:
    one = {"a": {"80": None, "x": 1}, "b": "t", "c": {}}
    two = {"a": {"x": True}, "b": {"k": "t"}, "c": {}}
    assert [str(c) for c in diff(one, two)] == [
        "a.80: null taken out",
        "a.x: 1 → true",
        "b: t taken out",
        "b.k: t added",
    ]


def test_pausing_goes_back_to_the_mode_it_worked_in(place: Brands) -> None:
    ledger = place.ledger
    place.add(act(), "acme", block())
    now = dt.datetime.now(dt.UTC)
    with transaction(ledger, "acme", now, ANNA) as tx:
        modes.set_mode(tx, "live", configured="shadow", why="go")
        modes.take_effect(tx.session, now, tx.session.get_one(BrandRow, "acme"), "shadow")
    with transaction(ledger, "acme", now, ANNA) as tx:
        modes.set_mode(tx, "paused", configured="shadow", why="stocktake")
        assert people.worked_in(tx.session, "acme", "shadow") == "live"
        modes.set_mode(tx, None, configured="shadow", why="over")
        with pytest.raises(NotPossible, match="is not paused"):
            people.worked_in(tx.session, "acme", "shadow")


def test_the_stamp_differs_after_every_change_of_a_brand_or_a_secret(place: Brands) -> None:
    def stamp() -> kept.Stamp:
        with place.ledger.read() as session:
            return kept.stamp(session)

    seen = {stamp()}
    place.add(act(), "acme", block())
    seen.add(stamp())
    place.change(act(), "acme", block(poll="2m"), 1)
    seen.add(stamp())
    place.stores.put("ledger:other", "x", who=ANNA)
    seen.add(stamp())
    place.stores.put("ledger:other", "y", who=ANNA)
    seen.add(stamp())
    assert len(seen) == 5


OUTSIDE = [
    ({"kits_file": "secrets/loop-key"}, "kits_file", "does not end in .csv"),
    ({"kits_file": "/etc/passwd"}, "kits_file", "leads out of"),
    ({"kits_file": "../kits.csv"}, "kits_file", "leads out of"),
    ({"kits_file": "way-out.csv"}, "kits_file", "leads out of"),
    ({"criteria": "/etc/passwd"}, "criteria", "leads out of"),
    ({"criteria": "secrets/loop-key"}, "criteria", "does not end in .yaml"),
    ({"close": {"strategy": "file", "folder": "/tmp"}}, "close.folder", "leads out of"),
    ({"loop": {"api_key": "file:../key"}}, "loop.api_key", "leads out of"),
    ({"loop": {"api_key": "file:~/.ssh/id"}}, "loop.api_key", "leads out of"),
    ({"loop": {"api_key": "env:BERGEN_LOOP_KEY"}}, "loop.api_key", "the service's own"),
    ({"close": {"strategy": "http", "url": "https://x.example", "headers":
                {"x": "env: bergen_loop_database"}}}, "close.headers.x", "the service's own"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "field", "words"), OUTSIDE, ids=lambda v: str(v)[:40])
def test_settings_in_the_ledger_lead_nowhere_outside_and_to_no_secret_of_the_service(
    place: Brands, change: dict[str, Any], field: str, words: str
) -> None:
    """Who changes them has an account, not the machine: nothing of such a place is read or
    written, nor told."""
    (place.folder / "secrets").mkdir()
    (place.folder / "secrets" / "loop-key").write_text("never-shown")
    (place.folder / "way-out.csv").symlink_to("/etc/passwd")
    with pytest.raises(ConfigError) as refused:
        place.add(act(typed={"file:../key": "x"}), "acme", block(**change))
    (problem,) = refused.value.problems
    assert problem.field == field
    assert words in problem.message
    assert "never-shown" not in str(refused.value) and "root:" not in str(refused.value)
    assert not (place.folder.parent / "key").exists()


def test_a_place_outside_that_stood_there_already_may_stay(place: Brands) -> None:
    before = block(close={"strategy": "file", "folder": "/var/spool/closed"})
    places.check(before | {"poll": "2m"}, before, place.folder)
    with pytest.raises(ConfigError):
        places.check(before, block(), place.folder)


def test_a_block_that_grows_by_its_aliases_is_refused() -> None:
    pyramid = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
    )
    with pytest.raises(ConfigError, match="it has more than 100000 parts"):
        people.plain(yaml_source.load(pyramid))


@pytest.mark.parametrize("read", [yaml_source.load, yaml_source.values, yaml_source.compose])
def test_what_is_nested_too_deeply_is_refused_at_once(read: Callable[[str], object]) -> None:
    begin = time.process_time()
    for text in ("[" * 60_000, "a: 1\nb: " + "{c: " * 60_000):
        with pytest.raises(yaml_source.YamlMistake, match="nested too deeply"):
            read(text)
    assert time.process_time() - begin < 2
