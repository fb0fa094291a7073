"""Secrets named by the configuration: found when it is loaded, or told by field and fix."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from bergen_loop.config import ConfigError, load_service, load_settings
from bergen_loop.secrets import SecretStores
from bergen_loop.secrets import keys as secret_keys


def write(folder: Path, api_key: str, service: str = "{}") -> Path:
    path = folder / "bergen-loop.yaml"
    path.write_text(
        f"""\
service: {service}
brands:
  acme:
    name: Acme
    loop: {{api_key: "{api_key}"}}
    rex11: {{web_address: a, user_name: b, password: "env:REX11_PASSWORD"}}
"""
    )
    return path


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REX11_PASSWORD", "pw")
    monkeypatch.delenv(secret_keys.ENVIRONMENT, raising=False)
    monkeypatch.delenv("BERGEN_LOOP_DATABASE", raising=False)


def test_a_relative_file_starts_at_the_configuration(tmp_path: Path) -> None:
    SecretStores(tmp_path).put("file:secrets/key", "from-file", who="test")
    acme = load_settings(write(tmp_path, "file:secrets/key")).brands["acme"]
    assert acme.loop.api_key.get_secret_value() == "from-file"
    assert "from-file" not in repr(acme) + str(acme.model_dump(mode="json"))


def test_a_secret_of_the_ledger_with_a_key_file(tmp_path: Path) -> None:
    secret_keys.new_key(tmp_path / "keys")
    service = f"{{database: 'sqlite:///{tmp_path}/l.db', key_file: keys}}"
    path = write(tmp_path, "ledger:acme-key", service)
    load_service(path)[1].put("ledger:acme-key", "from-ledger", who="test")
    acme = load_settings(path).brands["acme"]
    assert acme.loop.api_key.get_secret_value() == "from-ledger"


@pytest.mark.parametrize(
    ("reference", "message", "fix"),
    [
        ("plain-secret", "a secret does not belong into this file", "name where it is kept"),
        ("env:NOT_THERE", "environment variable NOT_THERE is not set", "set it for this process"),
        ("file:none", "cannot be read", "correct the path"),
        ("ledger:none", "the ledger holds no secret 'none'", "bergen-loop secrets set"),
    ],
)
def test_every_failure_names_field_and_fix(
    tmp_path: Path, reference: str, message: str, fix: str
) -> None:
    service = f"{{database: 'sqlite:///{tmp_path}/l.db'}}"
    with pytest.raises(ConfigError) as caught:
        load_settings(write(tmp_path, reference, service))
    (problem,) = caught.value.problems
    assert problem.field == "brands.acme.loop.api_key"
    assert (problem.line, message in problem.message, fix in problem.fix) == (5, True, True)
    assert "plain-secret" not in str(caught.value)


def test_a_wrong_key_is_told_at_the_field(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "ledger:k", f"{{database: 'sqlite:///{tmp_path}/l.db'}}")
    monkeypatch.setenv(secret_keys.ENVIRONMENT, Fernet.generate_key().decode())
    load_service(path)[1].put("ledger:k", "v", who="test")
    monkeypatch.delenv(secret_keys.ENVIRONMENT)
    with pytest.raises(ConfigError, match=r"brands\.acme\.loop\.api_key: there is no key for"):
        load_settings(path)
