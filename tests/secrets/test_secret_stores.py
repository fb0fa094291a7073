"""Secrets by their reference: every scheme, and every failure with what to do about it."""

from __future__ import annotations

import stat
from pathlib import Path

import keyring
import keyring.backend
import keyring.backends.fail
import pytest
import sqlalchemy as sa
from cryptography.fernet import Fernet

from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.tables.core import JournalRow, SecretRow
from bergen_loop.secrets import SecretError, SecretStores
from bergen_loop.secrets import keys as secret_keys

SECRET = "s3cret-value"


class MemoryKeyring(keyring.backend.KeyringBackend):
    """A keyring that forgets."""

    priority = 1  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password


@pytest.fixture
def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SecretStores:
    monkeypatch.delenv(secret_keys.ENVIRONMENT, raising=False)
    monkeypatch.delenv("BERGEN_LOOP_DATABASE", raising=False)
    return SecretStores(tmp_path, f"sqlite:///{tmp_path}/ledger.db")


def failure(stores: SecretStores, reference: str) -> SecretError:
    with pytest.raises(SecretError) as caught:
        stores.get(reference)
    return caught.value


@pytest.mark.parametrize(
    "reference", ["s3cret-value", "ENV:X", "env:", "file:", "keyring:service", "keyring:/name", ""]
)
def test_what_is_no_reference_is_refused_and_never_quoted(
    stores: SecretStores, reference: str
) -> None:
    error = failure(stores, reference)
    assert "s3cret-value" not in str(error)
    assert "env:NAME, file:PATH, keyring:SERVICE/NAME or ledger:NAME" in error.fix


def test_environment(stores: SecretStores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", f" {SECRET}\n")
    assert stores.get("env:A_KEY") == SECRET
    monkeypatch.setenv("A_KEY", " ")
    assert "A_KEY is not set" in failure(stores, "env:A_KEY").message
    with pytest.raises(SecretError, match="set A_KEY where the service is started"):
        stores.put("env:A_KEY", SECRET, who="test")


def test_a_file_is_written_for_its_owner_alone_and_read_back(
    stores: SecretStores, tmp_path: Path
) -> None:
    stores.put("file:kept/key", SECRET, who="test")
    path = tmp_path / "kept" / "key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stores.get("file:kept/key") == SECRET
    assert stores.get(f"file:{path}") == SECRET
    stores.put("file:kept/key", "another", who="test")
    assert stores.get("file:kept/key") == "another"
    assert [p.name for p in path.parent.iterdir()] == ["key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644])
def test_a_file_that_others_may_read_or_change_is_refused(
    stores: SecretStores, tmp_path: Path, mode: int
) -> None:
    path = tmp_path / "key"
    path.write_text(SECRET)
    path.chmod(mode)
    error = failure(stores, "file:key")
    assert f"(mode {mode:04o})" in error.message
    assert error.fix == f"run: chmod 600 {path}"


def test_files_that_hold_no_secret(stores: SecretStores, tmp_path: Path) -> None:
    assert "No such file" in failure(stores, "file:none").message
    for name, content, message in (
        ("empty", b" \n", "is empty"),
        ("binary", b"\xff\xfe", "not UTF-8"),
    ):
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o600)
        assert message in failure(stores, f"file:{name}").message
    (tmp_path / "folder").mkdir(mode=0o700)
    assert "Is a directory" in failure(stores, "file:folder").message


def test_keyring(stores: SecretStores) -> None:
    before, memory = keyring.get_keyring(), MemoryKeyring()
    keyring.set_keyring(memory)
    try:
        stores.put("keyring:bergen-loop/acme/key", SECRET, who="test")
        assert memory.kept == {("bergen-loop", "acme/key"): SECRET}
        assert stores.get("keyring:bergen-loop/acme/key") == SECRET
        assert "holds no 'other'" in failure(stores, "keyring:bergen-loop/other").message
        keyring.set_keyring(keyring.backends.fail.Keyring())  # pyright: ignore[reportUnknownArgumentType]
        assert "keyring cannot be used" in failure(stores, "keyring:bergen-loop/acme").message
        with pytest.raises(SecretError, match="use file: or ledger: instead"):
            stores.put("keyring:bergen-loop/acme", SECRET, who="test")
    finally:
        keyring.set_keyring(before)


def test_the_ledger_keeps_it_encrypted_and_journals_its_name_only(
    stores: SecretStores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(secret_keys.ENVIRONMENT, Fernet.generate_key().decode())
    stores.put("ledger:acme-key", SECRET, who="ada")
    stores.put("ledger:acme-key", SECRET + "2", who="ben")
    assert stores.get("ledger:acme-key") == SECRET + "2"
    assert [(n, who) for n, _, who in stores.vault.names()] == [("acme-key", "ben")]
    with Ledger(f"sqlite:///{tmp_path}/ledger.db").read() as session:
        journal = [(j.what, j.why, j.who) for j in session.scalars(sa.select(JournalRow))]
    assert journal == [
        ("secret stored", "acme-key", "ada"),
        ("secret replaced", "acme-key", "ben"),
    ]
    assert SECRET.encode() not in b"".join(p.read_bytes() for p in tmp_path.glob("ledger.db*"))


def test_the_ledger_without_key_with_a_wrong_one_or_without_the_secret(
    stores: SecretStores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "holds no secret 'acme'" in failure(stores, "ledger:acme").message
    assert not (tmp_path / "ledger.db").exists()  # looking must not make a database
    with pytest.raises(SecretError, match=r"set BERGEN_LOOP_KEY, or name a key file"):
        stores.put("ledger:acme", SECRET, who="test")
    monkeypatch.setenv(secret_keys.ENVIRONMENT, "short")
    with pytest.raises(SecretError, match="no key"):
        stores.put("ledger:acme", SECRET, who="test")
    monkeypatch.setenv(secret_keys.ENVIRONMENT, Fernet.generate_key().decode())
    stores.put("ledger:acme", SECRET, who="test")
    monkeypatch.setenv(secret_keys.ENVIRONMENT, Fernet.generate_key().decode())
    assert "a key that is not here" in failure(stores, "ledger:acme").message
    assert failure(stores, "ledger:acme").fix.startswith("add the former key")
    with pytest.raises(SecretError, match="no name for a secret"):
        stores.put("ledger:Not A Name", SECRET, who="test")


def test_an_empty_secret_is_not_kept(stores: SecretStores) -> None:
    with pytest.raises(SecretError, match="is empty"):
        stores.put("file:key", " \n", who="test")


def test_a_database_that_cannot_be_reached_is_named_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(secret_keys.ENVIRONMENT, Fernet.generate_key().decode())
    monkeypatch.delenv("BERGEN_LOOP_DATABASE", raising=False)
    url = "postgresql+psycopg://u:pw-of-database@127.0.0.1:1/none?connect_timeout=1"
    error = failure(SecretStores(tmp_path, url), "ledger:acme")
    assert "cannot be reached" in error.message
    assert "pw-of-database" not in str(error)
    assert "service.database" in error.fix


def test_rotation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(secret_keys.ENVIRONMENT, raising=False)
    monkeypatch.delenv("BERGEN_LOOP_DATABASE", raising=False)
    file, database = tmp_path / "keys", f"sqlite:///{tmp_path}/ledger.db"

    def stores() -> SecretStores:
        return SecretStores(tmp_path, database, Path("keys"))

    assert secret_keys.new_key(file) == 1
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    stores().put("ledger:a", "one", who="test")
    stores().put("ledger:b", "two", who="test")
    assert secret_keys.new_key(file) == 2
    assert stores().get("ledger:a") == "one"  # under the older key still
    assert stores().vault.rotate(who="ada") == 2
    newest = file.read_text().split()[0]
    file.write_text(newest)
    assert (stores().get("ledger:a"), stores().get("ledger:b")) == ("one", "two")


def test_a_rotation_that_cannot_be_whole_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BERGEN_LOOP_DATABASE", raising=False)
    first, second = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    stores = SecretStores(tmp_path, f"sqlite:///{tmp_path}/ledger.db")
    monkeypatch.setenv(secret_keys.ENVIRONMENT, first)
    stores.put("ledger:a", "one", who="test")
    monkeypatch.setenv(secret_keys.ENVIRONMENT, second)
    stores.put("ledger:b", "two", who="test")
    with Ledger(f"sqlite:///{tmp_path}/ledger.db").read() as session:
        before = {r.name: r.token for r in session.scalars(sa.select(SecretRow))}
    with pytest.raises(SecretError, match="nothing was changed"):
        stores.vault.rotate(who="ada")
    with Ledger(f"sqlite:///{tmp_path}/ledger.db").read() as session:
        assert {r.name: r.token for r in session.scalars(sa.select(SecretRow))} == before


def test_a_key_file_is_guarded_like_a_secret(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    secret_keys.new_key(file)
    file.chmod(0o644)
    with pytest.raises(SecretError, match="chmod 600"):
        secret_keys.new_key(file)
    file.chmod(0o600)
    file.write_text("not a key")
    with pytest.raises(SecretError, match="holds something that is no key"):
        secret_keys.new_key(file)
