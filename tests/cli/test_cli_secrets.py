"""Secrets on the command line: in by prompt or standard input, never out."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_support import Past, run, text

from bergen_loop.config import load_settings

SECRET = "s3cret-value"


@pytest.fixture
def keyed(past: Past) -> Past:
    assert run("secrets", "new-key", str(past.folder / "keys")).exit_code == 0
    return past


def test_a_secret_goes_in_and_is_used_but_never_shown(keyed: Past) -> None:
    result = keyed.run("secrets", "set", "acme-key", stdin=f"{SECRET}\n")
    assert result.exit_code == 0
    assert "ledger:acme-key is kept" in text(result)
    config = keyed.config.read_text()
    keyed.config.write_text(config.replace('api_key: "file:secret"', "api_key: ledger:acme-key"))
    acme = load_settings(keyed.config).brands["acme"]
    assert acme.loop.api_key.get_secret_value() == SECRET
    listed = keyed.json("secrets", "list")
    assert [s["name"] for s in listed] == ["acme-key"]
    outputs = [result.output, str(listed), keyed.run("secrets", "list").output]
    assert not [o for o in outputs if SECRET in o]


def test_a_secret_can_be_set_while_the_configuration_lacks_it(keyed: Past) -> None:
    config = keyed.config.read_text()
    keyed.config.write_text(config.replace('api_key: "file:secret"', "api_key: ledger:acme-key"))
    assert keyed.run("status").exit_code == 2
    assert keyed.run("secrets", "set", "ledger:acme-key", stdin=SECRET).exit_code == 0
    assert keyed.run("status").exit_code == 0


def test_other_stores_by_their_reference(past: Past) -> None:
    assert past.run("secrets", "set", "file:kept/key", stdin=SECRET).exit_code == 0
    assert (past.folder / "kept" / "key").read_text().strip() == SECRET


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("acme", SECRET, "there is no key for the ledger's secrets"),
        ("env:ACME", SECRET, "set ACME where the service is started"),
        ("file:x", " ", "is empty"),
        ("drawer:x", SECRET, "name where it is kept"),
    ],
)
def test_a_secret_that_cannot_be_kept(
    past: Past, tmp_path: Path, name: str, value: str, words: str
) -> None:
    past.config.write_text(past.config.read_text().replace(", key_file: keys", ""))
    result = past.run("secrets", "set", name, stdin=value)
    assert result.exit_code == 1
    assert words in text(result)
    assert SECRET not in result.output


def test_rotation(keyed: Past) -> None:
    keyed.run("secrets", "set", "a", stdin="one")
    again = run("secrets", "new-key", str(keyed.folder / "keys"))
    assert "2 key(s)" in text(again)
    assert "bergen-loop secrets rotate" in text(again)
    assert "1 secret(s) are encrypted" in text(keyed.run("secrets", "rotate"))
    newest = (keyed.folder / "keys").read_text().split()[0]
    (keyed.folder / "keys").write_text(newest)
    config = keyed.config.read_text()
    keyed.config.write_text(config.replace('api_key: "file:secret"', "api_key: ledger:a"))
    assert load_settings(keyed.config).brands["acme"].loop.api_key.get_secret_value() == "one"
    assert newest not in again.output


def test_without_a_configuration_it_says_so(tmp_path: Path) -> None:
    result = run("secrets", "list", "-c", str(tmp_path / "none.yaml"))
    assert result.exit_code == 2
    assert "cannot be read" in text(result)
