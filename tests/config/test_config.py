"""A broken file gives file, line, field and fix; all mistakes at once; secrets stay out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bergen_loop.config import ConfigError, load_settings, parse_settings

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
