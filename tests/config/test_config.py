"""A broken file gives file, line, field and fix; all mistakes at once; secrets stay out."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bergen_loop.config import ConfigError, load_settings, parse_settings
from bergen_loop.config.roster import checked
from bergen_loop.config.source import check_brand
from bergen_loop.domain.announce import AnnounceWhen
from bergen_loop.domain.naming import KitPart
from bergen_loop.ledger.store.brands import State, Version
from bergen_loop.secrets import SecretStores

GOOD = """\
service:
  database: sqlite:///var/x.db
brands:
  acme:
    name: Acme
    loop:
      api_key: env:ACME_LOOP_KEY
    rex11:
      web_address: acme.example.com
      user_name: acme
      password: env:ACME_REX11
    announce:
      warehouse: nj2
      label_wait: 90m
      destinations: {"17": WEST, "18": null}
      start: 2026-11-01
"""


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_LOOP_KEY", "loop-key-value")
    monkeypatch.setenv("ACME_REX11", "rex11-password-value")


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_settings(text, "brands.yaml")
    return [str(p) for p in caught.value.problems]


def test_a_good_file_is_understood_with_safe_defaults() -> None:
    brand = parse_settings(GOOD, "brands.yaml").brands["acme"]
    assert brand.mode == "shadow", "nothing acts until someone says so"
    assert brand.loop.version == "2026-10"
    assert brand.loop.api_key.get_secret_value() == "loop-key-value"
    rules = brand.announce_rules()
    assert rules.warehouse == "BERGEN LOGISTICS NJ2"
    assert rules.destinations == {"17": "BERGEN LOGISTICS WEST", "18": None}
    assert rules.label_wait == timedelta(minutes=90)
    assert rules.start == datetime(2026, 11, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("name: Acme", "name: Acme\n    nam: x", 6, ["brands.acme.nam", "correct its spelling"]),
        ("      web_address: acme.example.com\n", "", 8, ["web_address", "add `web_address:`"]),
        ("warehouse: nj2", "warehouse: moon", 13, ["'moon'", "NJ3B"]),
        ("label_wait: 90m", "label_wait: soon", 14, ["'soon'", "30s, 15m"]),
        ("label_wait: 90m", "label_wait: -5m", 14, ["negative"]),
        ("env:ACME_LOOP_KEY", "env:NOT_SET", 7, ["NOT_SET is not set"]),
        ("env:ACME_LOOP_KEY", "loop-key-value", 7, ["env:"]),
        ("  acme:", "  Acme Inc:", 4, ["Acme Inc"]),
        ("user_name: acme", "user_name: acme\n      endpoint: http://x.test/a", 11, ["https"]),
        ("user_name: acme", "user_name: acme\n      time_zone: Mars/Base", 11, ["Mars/Base"]),
        ("name: Acme", "name: Acme\n    mode: fast", 6, ["'live', 'shadow' or 'paused'"]),
        ("start: 2026-11-01", "po_template: RMA", 16, ["{return_id}"]),
        ("start: 2026-11-01", "po_template: '{nope}'", 16, ["{return_id}"]),
        ("start: 2026-11-01", "po_template: '{order_name}'", 16, ["{return_id}"]),
        ("start: 2026-11-01", "po_template: '{return_id:9}'", 16, ["{return_id}"]),
        ("start: 2026-11-01", "po_template: '{return_id}{order_name}'", 16, ["the same PO"]),
        (
            "start: 2026-11-01",
            "po_template: 'LOOP RETURN {return_id} OF {order_name} TO US'",
            16,
            ["up to 57 characters", "po_length (50)"],
        ),
        ("start: 2026-11-01", "product_fields: {color: colour}", 16, ["'colour'", "variant.1"]),
        ("start: 2026-11-01", "product_fields: {fit: variant.1}", 16, ["'style', 'color'"]),
        ("start: 2026-11-01", "when: arrived", 16, ["'submitted', 'label'"]),
        ("name: Acme", "name: Acme\n    kits: {KIT: {}}", 6, ["'KIT' has no parts"]),
        ("name: Acme", "name: Acme\n    kits: {KIT: {A: 0}}", 6, ["kits.KIT.A", "greater than"]),
        (
            "name: Acme",
            "name: Acme\n    kits: {KIT: {A: 1}, 'kit ': {B: 1}}",
            6,
            ["more than once"],
        ),
        ("name: Acme", "name: Acme\n    kits: {KIT: {A: 1}, A: {B: 1}}", 6, ["a kit itself"]),
        ("name: Acme", "name: Acme\n    kits: {KIT: {A: {upc: '8.85E+11'}}}", 6, ["spreadsheet"]),
        ("name: Acme", "name: Acme\n    kits_file: none.csv", 6, ["none.csv cannot be read"]),
    ],
)
def test_a_mistake_is_told_with_its_place_and_its_fix(
    old: str, new: str, line: int, words: list[str]
) -> None:
    assert old in GOOD
    (problem,) = problems(GOOD.replace(old, new))
    assert problem.startswith(f"brands.yaml:{line}:"), problem
    assert "Fix: " in problem
    for word in words:
        assert word in problem, problem


def test_all_mistakes_are_told_at_once() -> None:
    text = GOOD.replace("warehouse: nj2", "warehouse: moon").replace("name: Acme", "nam: Acme")
    assert len(problems(text)) == 3, "the wrong field, the missing one, and the warehouse"


def test_broken_yaml_is_told_with_its_line() -> None:
    (problem,) = problems("brands:\n  acme: [1, 2\n  other: x\n")
    assert problem.startswith(("brands.yaml:2:", "brands.yaml:3:"))


KITS = """\
\ufeffKit;Part;Quantity;UPC;Size
KIT-1;A;1;0885909950805;
KIT-1;B;2;;M

KIT-2;"C;D";1;;
"""


def with_kits(folder: Path, text: str, more: str = "") -> str:
    (folder / "kits.csv").write_text(text, encoding="utf-8")
    (folder / "brands.yaml").write_text(
        GOOD.replace("name: Acme", f"name: Acme\n    kits_file: kits.csv{more}")
    )
    return str(folder / "brands.yaml")


def test_kits_stand_in_the_file_and_in_a_csv_beside_it(tmp_path: Path) -> None:
    more = "\n    kits: {SET-9: {CUP: 1, LID: {quantity: 2, color: red}}}"
    path = Path(with_kits(tmp_path, KITS, more))
    brand = load_settings(path).brands["acme"]
    assert brand.announce_rules().kits == {
        "set-9": (KitPart("CUP", 1), KitPart("LID", 2, color="red")),
        "kit-1": (KitPart("A", 1, upc="0885909950805"), KitPart("B", 2, size="M")),
        "kit-2": (KitPart("C;D", 1),),
    }
    before = brand.version()
    with_kits(tmp_path, KITS.replace("B;2", "B;3"), more)
    assert load_settings(path).brands["acme"].version() != before, "the CSV is part of it"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("Kit;Part", "Set;Part", "has no column 'kit'"),
        ("Size", "Shape", "has a column 'shape'"),
        ("KIT-1;B;2;;M", "KIT-1;B;2", "line 3 has 3 values, not 5"),
        ("KIT-1;B;2;;M", "KIT-1;;2;;M", "line 3 lacks"),
        ("KIT-1;B;2;;M", "KIT-1;B;two;;M", "kit KIT-1 part B"),
        ("KIT-1;B;2;;M", "KIT-1;A;2;;M", "line 3 names part 'A'"),
        ("KIT-1;B;2;;M", "KIT-1;KIT-2;2;;M", "a kit itself"),
        ("0885909950805", "8.86E+11", "spreadsheet"),
        ("KIT-1;", "8.86E+11;", "spreadsheet"),
        ("KIT-1;B;2;;M", "KIT-1;'00123;2;;M", "is no SKU"),
        ("KIT-1;B;2;;M", "KIT-1;#N/A;2;;M", "is no SKU"),
        ("KIT-1;B;2;;M", "KIT-1;B;1_0;;M", "line 3: '1_0' is no quantity"),
        ("KIT-1;B;2;;M", "KIT-1;B;2;885909950805;M", "for several parts"),
        ("Kit;Part;Quantity", "Kit;Part;Quantity;Part", "'part' too many"),
    ],
)
def test_a_broken_csv_of_kits_is_told_with_its_line(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(Path(with_kits(tmp_path, KITS.replace(old, new))))
    (problem,) = caught.value.problems
    assert problem.field == "brands.acme.kits_file" and problem.line == 6
    assert words in problem.message, problem.message


@pytest.mark.parametrize("how", ["utf-16", "tabs", "sep", "blank cells"])
def test_a_csv_as_spreadsheets_write_it_is_read(tmp_path: Path, how: str) -> None:
    path = Path(with_kits(tmp_path, KITS))
    kits = load_settings(path).brands["acme"].announce_rules().kits
    changed = {
        "utf-16": KITS.lstrip("\ufeff").encode("utf-16"),
        "tabs": KITS.replace("C;D", "C D").replace(";", "\t").replace("C D", "C;D").encode(),
        "sep": ("sep=;\n" + KITS.lstrip("\ufeff")).encode(),
        "blank cells": KITS.replace("\n", ";;\n").encode(),
    }
    (tmp_path / "kits.csv").write_bytes(changed[how])
    assert load_settings(path).brands["acme"].announce_rules().kits == kits


def test_a_sku_or_place_that_looks_like_a_number_stays_what_it_is() -> None:
    more = "name: Acme\n    kits: {00123: {0456: 2}}\n    announce: {destinations: {077: NJ}}"
    text = re.sub(r"(?m)^    announce:\n(      .*\n)+", "", GOOD).replace("name: Acme", more)
    brand = parse_settings(text, "brands.yaml").brands["acme"]
    assert list(brand.kits) == ["00123"] and list(brand.kits["00123"]) == ["0456"]
    assert list(brand.announce.destinations) == ["077"]


@pytest.mark.parametrize("key", ["1e5", "null", "~", "1_000", "0x1F", "1.50", "true"])
def test_a_name_that_is_no_text_any_more_is_told(key: str) -> None:
    (problem,) = problems(GOOD.replace("name: Acme", f"name: Acme\n    kits: {{{key}: {{A: 1}}}}"))
    assert "not as text" in problem and "put it in quotes" in problem
    assert problem.startswith("brands.yaml:6:"), problem


@pytest.mark.parametrize(
    ("written", "words"),
    [("retention: 365", "no duration"), ("retention: 1h", "less than a day"),
     ("retention: 0d", "less than a day"), ("poll: 90", "no duration")],
)  # fmt: skip
def test_a_duration_says_of_what(written: str, words: str) -> None:
    """365 was read as seconds: customers' data was gone six minutes after their returns."""
    (problem,) = problems(GOOD.replace("name: Acme", f"name: Acme\n    {written}"))
    assert words in problem and problem.startswith("brands.yaml:6:")


def test_a_brand_kept_in_the_ledger_goes_on_with_what_an_earlier_release_took() -> None:
    block: dict[str, Any] = {
        "name": "Acme",
        "loop": {"api_key": "env:ACME_LOOP_KEY"},
        "rex11": {
            "web_address": "acme.example.com",
            "user_name": "a",
            "password": "env:ACME_REX11",
        },
        "poll": 90,
    }
    now = datetime(2026, 11, 1, tzinfo=UTC)
    kept = Version("acme", 1, State.ACTIVE, block, now, "mara", "connected")
    assert checked(kept, SecretStores()).poll == timedelta(seconds=90)
    with pytest.raises(ConfigError, match="no duration"):
        check_brand(block, SecretStores(), "a form")


def test_a_zone_without_summer_time_is_a_doubt() -> None:
    text = GOOD.replace("user_name: acme", "user_name: acme\n      time_zone: EST")
    [(field, message, _)] = parse_settings(text, "brands.yaml").brands["acme"].doubts()
    assert (field, message) == ("rex11.time_zone", "EST has no summer time")


def test_a_kit_in_both_places_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="stands in `kits` and in `kits_file`"):
        load_settings(Path(with_kits(tmp_path, KITS, "\n    kits: {kit-1: {A: 1}}")))


def test_the_settings_of_announcing_reach_the_domain() -> None:
    text = GOOD.replace(
        "label_wait: 90m",
        "when: in_transit\n      product_fields: {style: title | sku}\n      po_length: 30\n"
        "      code_length: 20\n      no_parcel_method_types: [In-Store, locker]",
    )
    rules = parse_settings(text, "brands.yaml").brands["acme"].announce_rules()
    assert rules.when is AnnounceWhen.IN_TRANSIT
    assert rules.product_fields == {"style": "title | sku"}
    assert (rules.po_length, rules.code_length) == (30, 20)
    assert rules.no_parcel_method_types == {"instore", "locker"}


@pytest.mark.parametrize("text", ["", "# nothing", "brands:\n", "service: {port: 9000}\n"])
def test_a_file_needs_no_brand_for_they_may_stand_in_the_ledger(text: str) -> None:
    assert parse_settings(text, "brands.yaml").brands == {}


@pytest.mark.parametrize("text", ["[]", "just text"])
def test_a_file_that_is_no_mapping_is_told_so(text: str) -> None:
    (problem,) = problems(text)
    assert "start with `service:` or `brands:`" in problem


def test_a_missing_file_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(tmp_path / "none.yaml")
    assert "cannot be read" in str(caught.value)


def test_no_message_shows_a_secret_written_into_the_file_by_mistake() -> None:
    text = GOOD.replace("env:ACME_LOOP_KEY", "sk-very-secret-1")
    assert "sk-very-secret-1" not in "\n".join(problems(text))


def test_secrets_are_in_no_dump_and_not_in_the_version() -> None:
    brand = parse_settings(GOOD, "brands.yaml").brands["acme"]
    assert "loop-key-value" not in repr(brand)
    assert "loop-key-value" not in brand.model_dump_json()
    assert len(brand.version()) == 12


def test_the_version_follows_the_content() -> None:
    first = parse_settings(GOOD, "a").brands["acme"].version()
    same = parse_settings("# a comment\n" + GOOD, "b").brands["acme"].version()
    other = parse_settings(GOOD.replace("90m", "91m"), "c").brands["acme"].version()
    assert first == same != other
