"""`bergen-loop brands ...` on brands that are kept in the ledger."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from connect_support import Place
from ruamel.yaml import YAML

from bergen_loop.domain.words import What

WHY = ("--reason", "asked for")


@pytest.fixture
def kept(place: Place) -> Place:
    """Northpine, kept in the ledger."""
    result, _ = place.connect(to="ledger", store="ledger")
    assert result.exit_code == 0, result.output
    return place


def brand(place: Place, *arguments: str) -> Any:
    result = place.run("brands", *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refused(place: Place, *arguments: str) -> str:
    result = place.run("brands", *arguments)
    assert result.exit_code == 2, result.output
    return " ".join(result.output.split())


def test_a_connected_brand_is_in_the_ledger_and_the_file_is_left_alone(place: Place) -> None:
    before = place.config.read_text()
    place.connect(to="ledger", store="ledger")
    after = place.config.read_text()
    assert after.replace("\n  key_file: bergen-loop.key", "") == before, "but for the key it needs"
    (listed,) = brand(place, "list")
    assert (listed["brand"], listed["kept_in"], listed["version"], listed["mode"]) == (
        "northpine",
        "ledger",
        1,
        "shadow",
    )
    shown = brand(place, "show", "northpine")
    assert shown["settings"]["name"] == "Northpine Apparel"
    assert shown["settings"]["loop"]["api_key"].startswith("ledger:northpine-loop-key-")
    assert "mode" not in shown["settings"]
    (entry,) = [j for j in place.journal() if j.happened == What.BRAND_CONNECTED]
    assert entry.why.startswith("connected; checks: ")
    assert {c["name"] for c in entry.data["checks"]} >= {"REX11 account"}
    for secret in place.secrets:
        assert secret not in place.run("brands", "show", "northpine").output


def test_a_configuration_that_cannot_be_written_is_no_hindrance(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whoever runs the tests may write anywhere.
    monkeypatch.setattr("bergen_loop.connect.configfile.writable", lambda _path: False)
    before = place.config.read_text()
    result, _ = place.connect(to="ledger", store="ledger")
    assert result.exit_code == 0, result.output
    assert place.config.read_text() == before
    assert (place.folder / "ledger.key").stat().st_mode & 0o077 == 0
    assert [b["mode"] for b in brand(place, "list")] == ["shadow"]


def test_connecting_again_asks_about_nothing_new_and_makes_a_version_only_of_a_change(
    kept: Place,
) -> None:
    kept.connect(to="ledger", store="ledger")
    assert brand(kept, "show", "northpine")["version"] == 1
    kept.connect(to="ledger", store="ledger", announce={"warehouse": "EU"})
    shown = brand(kept, "show", "northpine")
    assert (shown["version"], shown["settings"]["announce"]["warehouse"]) == (2, "EU")


def test_a_brand_stays_where_it_is_kept(kept: Place) -> None:
    result = kept.run("connect", "--to", "file", "--from", str(kept.answers()))
    assert result.exit_code == 2
    assert "brand northpine is kept in the ledger" in " ".join(result.output.split())
    assert "northpine" not in kept.config.read_text()


def test_fields_are_changed_with_who_and_why_and_rolled_back(kept: Place) -> None:
    before = brand(kept, "show", "northpine")["settings"]
    done = kept.run("brands", "edit", "northpine", "--set", "poll=2m", "--set",
                    "announce.destinations={'80': null}", *WHY)  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "poll: 2m added" in done.output
    assert "announce.destinations.80: null added" in done.output
    assert kept.run("brands", "rollback", "northpine", "1", *WHY).exit_code == 0
    steps = brand(kept, "history", "northpine")
    assert [(s["version"], s["reason"]) for s in steps[:2]] == [(3, "asked for"), (2, "asked for")]
    assert steps[0]["changes"] == [
        {"field": "announce.destinations.80", "before": "null", "after": None},
        {"field": "poll", "before": "2m", "after": None},
    ]
    assert brand(kept, "show", "northpine")["settings"] == before
    assert brand(kept, "show", "northpine", "--version", "2")["settings"]["poll"] == "2m"


def test_what_would_break_is_refused_and_nothing_changes(kept: Place) -> None:
    edit = ("edit", "northpine", *WHY)
    assert "poll: 'soon' is no duration" in refused(kept, *edit, "--set", "poll=soon")
    assert "write FIELD=VALUE" in refused(kept, *edit, "--set", "poll")
    assert "never an argument" in refused(kept, *edit, "--set", "loop.api_key=in-the-clear")
    missing = refused(kept, *edit, "--set", "loop.api_key=ledger:no-such")
    assert "the ledger holds no secret 'no-such'" in missing
    assert "cannot be read" in refused(kept, *edit, "--set", "criteria=none.yaml")
    kept.refuse["/warehouse/return/list"] = 401
    wrong = refused(kept, *edit, "--set", "loop.calls_per_minute=100")
    assert "Loop refuses the API key" in wrong
    assert brand(kept, "show", "northpine")["version"] == 1
    untried = kept.run("brands", *edit, "--set", "loop.calls_per_minute=100", "--untried")
    assert untried.exit_code == 0


def test_a_key_of_another_shop_is_refused(kept: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.new_return()
    assert kept.run("sync", "once").exit_code == 0
    other = next(b for b in kept.world.brands.values() if b.loop_key != kept.brand.loop_key)
    monkeypatch.setenv("OTHER_KEY", other.loop_key)
    wrong = refused(kept, "edit", "northpine", *WHY, "--set", "loop.api_key=env:OTHER_KEY")
    assert "the key is another shop's" in wrong


def test_the_second_of_two_is_told(kept: Place) -> None:
    assert kept.run("brands", "edit", "northpine", "--set", "poll=2m", *WHY).exit_code == 0
    told = refused(kept, "edit", "northpine", "--set", "poll=3m", "--seen", "1", *WHY)
    assert "has been changed meanwhile: version 2 was made by" in told
    assert "poll: 2m added" in told


def test_the_editor_is_opened_again_with_what_is_wrong_until_it_is_right(
    kept: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts: list[str] = []

    def edits(text: str, **_how: Any) -> str:
        texts.append(text)
        poll = "soon" if len(texts) == 1 else "2m"
        return text.replace("poll: soon\n", "") + f"poll: {poll}\n"

    monkeypatch.setattr("click.edit", edits)
    done = kept.run("brands", "edit", "northpine", *WHY)
    assert done.exit_code == 0, done.output
    assert "poll: soon" in texts[1], "what was typed is still there"
    assert "#!! brand northpine" in texts[1]
    assert "is no duration" in texts[1]
    assert brand(kept, "show", "northpine")["settings"]["poll"] == "2m"


def test_left_as_it_is_nothing_changes(kept: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("click.edit", lambda text, **_how: text)
    done = kept.run("brands", "edit", "northpine", *WHY)
    assert "nothing differs" in done.output
    monkeypatch.setattr("click.edit", lambda *_a, **_how: "")
    assert kept.run("brands", "edit", "northpine", *WHY).exit_code == 1
    assert brand(kept, "show", "northpine")["version"] == 1


def test_a_secret_typed_in_the_editor_goes_into_the_ledger(
    kept: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def edits(text: str, **_how: Any) -> str:
        block = YAML(typ="safe").load(text)
        block["loop"]["webhook_secret"] = "a-new-hook-secret"
        return json.dumps(block)

    monkeypatch.setattr("click.edit", edits)
    assert kept.run("brands", "edit", "northpine", *WHY).exit_code == 0
    reference = brand(kept, "show", "northpine")["settings"]["loop"]["webhook_secret"]
    assert reference.startswith("ledger:northpine-webhook-secret-")
    assert b"a-new-hook-secret" not in b"".join(
        p.read_bytes() for p in kept.folder.iterdir() if p.is_file()
    )


def test_paused_and_resumed_removed_and_brought_back(kept: Place) -> None:
    assert kept.run("brands", "pause", "northpine", *WHY).exit_code == 0
    assert brand(kept, "list")[0]["mode"] == "paused"
    assert kept.run("sync", "once").exit_code == 0
    assert kept.run("brands", "resume", "northpine", *WHY).exit_code == 0
    assert brand(kept, "list")[0]["mode"] == "shadow"
    assert kept.run("brands", "remove", "northpine", *WHY).exit_code == 0
    assert brand(kept, "list") == []
    assert kept.run("brands", "rollback", "northpine", "1", *WHY).exit_code == 0
    assert brand(kept, "list")[0]["version"] == 3


def test_exported_and_imported_they_are_the_same(
    kept: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOUTHPINE_KEY", kept.world.brand("lumen").loop_key)
    text = kept.run("brands", "export").stdout
    blocks = YAML(typ="safe").load(text)["brands"]
    assert list(blocks) == ["northpine"]
    blocks["southpine"] = {**blocks["northpine"], "name": "Southpine", "mode": "live"}
    blocks["southpine"]["loop"] = {**blocks["northpine"]["loop"], "api_key": "env:SOUTHPINE_KEY"}
    blocks["broken"] = {"name": "Broken"}
    blocks["twin"] = {**blocks["northpine"], "name": "Twin"}
    file = kept.folder / "brands.yaml"
    file.write_text(json.dumps({"brands": blocks}))
    result = kept.run("brands", "import", str(file), *WHY, "--json")
    assert result.exit_code == 1, "two could not be used"
    done = json.loads(result.stdout)
    assert (done["northpine"]["version"], done["southpine"]["version"]) == (1, 1)
    assert "loop: Field required" in done["broken"]["problem"]
    assert "it is the Loop key of brand northpine: both would pay" in done["twin"]["problem"]
    assert {b["brand"]: b["mode"] for b in brand(kept, "list")} == {
        "northpine": "shadow",
        "southpine": "shadow",
    }


def test_a_brand_of_the_file_is_not_changed_here(place: Place) -> None:
    place.connect(to="file")
    assert "stands in the configuration file" in refused(place, "edit", "northpine", *WHY,
                                                         "--set", "poll=2m")  # fmt: skip
    assert [b["kept_in"] for b in brand(place, "list")] == ["file"]
    assert place.run("brands", "pause", "northpine", *WHY).exit_code == 0


def test_a_brand_in_both_is_told_of_and_the_file_holds(kept: Place) -> None:
    blocks = YAML(typ="safe").load(kept.run("brands", "export").stdout)["brands"]
    blocks["northpine"]["name"] = "Of the file"
    text = kept.config.read_text().replace("brands: {}", f"brands: {json.dumps(blocks)}")
    kept.config.write_text(text)
    (listed,) = brand(kept, "list")
    assert (listed["name"], listed["kept_in"], listed["also_in_ledger"]) == (
        "Of the file",
        "file",
        True,
    )
    told = " ".join(kept.run("status").output.split())
    assert "stands in the configuration file and in the ledger" in told
    assert kept.run("brands", "remove", "northpine", *WHY).exit_code == 0
    assert brand(kept, "list")[0]["also_in_ledger"] is False


def test_an_embedded_warehouse_connects_too(place: Place) -> None:
    result, found = place.connect(to="ledger", store="ledger", warehouse="embedded", rex11=None)
    assert result.exit_code == 0, result.output
    assert "REX11 account" not in found
    assert brand(place, "show", "northpine")["settings"]["warehouse"] == "embedded"
    assert place.run("sync", "once").exit_code == 0


def test_without_any_brand_the_list_says_how_to_begin(place: Place, tmp_path: Path) -> None:
    assert "bergen-loop connect" in place.run("brands", "list").output
