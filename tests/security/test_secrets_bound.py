"""A secret of the ledger is one under its own name only."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography.fernet import Fernet

from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.tables.core import SecretRow
from bergen_loop.secrets import SecretError
from bergen_loop.secrets import keys as secret_keys
from bergen_loop.secrets.keys import KeySource
from bergen_loop.secrets.vault import Vault

OLD = Fernet.generate_key()


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(secret_keys.ENVIRONMENT, OLD.decode())
    monkeypatch.delenv("BERGEN_LOOP_DATABASE", raising=False)
    return f"sqlite:///{tmp_path}/ledger.db"


def tokens(url: str) -> dict[str, str]:
    ledger = Ledger(url)
    with ledger.read() as session:
        found = {row.name: row.token for row in session.scalars(sa.select(SecretRow))}
    ledger.close()
    return found


def overwrite(url: str, name: str, token: str) -> None:
    ledger = Ledger(url)
    with ledger.write() as session:
        session.get_one(SecretRow, name).token = token
    ledger.close()


def store_as_the_first_release_did(url: str, **values: str) -> None:
    values["made"] = "made"
    for name in values:
        Vault(url, KeySource()).put(name, "x", who="me")
    for name, value in values.items():
        overwrite(url, name, Fernet(OLD).encrypt(value.encode()).decode())


def test_a_secret_put_under_anothers_name_is_none(url: str) -> None:
    vault = Vault(url, KeySource())
    vault.put("acme-loop-key", "acme's", who="me")
    vault.put("evil-loop-key", "evil's", who="me")
    overwrite(url, "evil-loop-key", tokens(url)["acme-loop-key"])
    vault = Vault(url, KeySource())
    assert vault.get("acme-loop-key") == "acme's"
    with pytest.raises(SecretError, match="or for another name"):
        vault.get("evil-loop-key")
    with pytest.raises(SecretError, match="nothing was changed"):
        vault.rotate(who="me")


@pytest.mark.parametrize("token", ["2:", "2:AAAA", "2:%%%", "", "gAAAA", "2:" + "A" * 400])
def test_a_spoiled_token_is_no_secret(url: str, token: str) -> None:
    Vault(url, KeySource()).put("a", "one", who="me")
    Vault(url, KeySource()).put("b", "two", who="me")
    overwrite(url, "a", token)
    with pytest.raises(SecretError):
        Vault(url, KeySource()).get("a")


def test_those_of_an_older_release_are_read_and_bound_by_rotating(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_as_the_first_release_did(url, one="1", two="2")
    old = tokens(url)
    assert [Vault(url, KeySource()).get(n) for n in ("one", "two", "made")] == ["1", "2", "made"]
    new = Fernet.generate_key().decode()
    monkeypatch.setenv(secret_keys.ENVIRONMENT, f"{new},{OLD.decode()}")
    assert Vault(url, KeySource()).rotate(who="me") == 3
    monkeypatch.setenv(secret_keys.ENVIRONMENT, new)
    assert [Vault(url, KeySource()).get(n) for n in ("one", "two", "made")] == ["1", "2", "made"]
    assert all(secret_keys.bound(token) for token in tokens(url).values())
    monkeypatch.setenv(secret_keys.ENVIRONMENT, f"{new},{OLD.decode()}")
    overwrite(url, "two", old["one"])  # from a backup, as it was before
    with pytest.raises(SecretError, match="not bound to its name"):
        Vault(url, KeySource()).get("two")
    with pytest.raises(SecretError, match="not bound to its name"):
        Vault(url, KeySource()).rotate(who="me")


def test_keeping_another_binds_none_that_was_put_there_since(url: str) -> None:
    Vault(url, KeySource()).put("one", "1", who="me")
    Vault(url, KeySource()).put("two", "2", who="me")
    overwrite(url, "two", Fernet(OLD).encrypt(b"another's, of a backup").decode())
    Vault(url, KeySource()).put("three", "3", who="me")
    with pytest.raises(SecretError, match="not bound to its name"):
        Vault(url, KeySource()).get("two")


def test_keeping_a_new_one_binds_those_of_an_older_release(url: str) -> None:
    store_as_the_first_release_did(url, one="1")
    Vault(url, KeySource()).put("new", "n", who="me")
    assert all(secret_keys.bound(token) for token in tokens(url).values())
    assert [Vault(url, KeySource()).get(n) for n in ("one", "made", "new")] == ["1", "made", "n"]
