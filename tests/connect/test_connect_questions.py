"""The questions, answered by a person who mistypes."""

from __future__ import annotations

import pytest
from connect_support import Place

from bergen_loop.cli import questions


@pytest.fixture(autouse=True)
def typed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets are read from standard input, as there is no terminal."""
    monkeypatch.setattr("getpass.getpass", lambda *_a, **_k: input())


def ask(place: Place, *answers: str) -> str:
    result = place.run(
        "connect",
        "--to",
        "file",
        "--loop-url",
        f"{place.url}/loop/api",
        "--rex11-endpoint",
        f"{place.url}/rex11/ws/v3prod/publicapiws.asmx",
        stdin="\n".join(answers) + "\n",
    )
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def test_a_brand_by_questions(place: Place) -> None:
    place.new_return(destination=77)
    b = place.brand
    text = ask(
        place,
        *("Not An Id", "new", "northpine", "Northpine Apparel"),
        *("wrong-key", "", "y", b.loop_key, b.webhook_secret),
        *("", b.web_address, b.user_name, "wrong", "y", "", "", b.password),
        *("can", "", "NJ", "", "2026-13-45", "2026-11-01", "strict", "file", "http:/no", ""),
        "WEST",
    )
    for secret in (*place.secrets, "wrong-key"):
        assert secret not in text
    assert "Write it like acme" in text
    assert "The console's own pages have this name" in text
    assert "2026-13-45: Input should be a valid datetime" in text
    assert "http:/no: must be a full https:// URL" in text
    assert "✗ Loop API key, scope Returns: Loop refuses" in text
    assert "✓ Loop API key, scope Returns" in text
    assert "✗ REX11 account" in text
    assert "Shadow mode is on for northpine" in text
    assert place.written() == {
        "name": "Northpine Apparel",
        "mode": "shadow",
        "loop": {
            "base_url": f"{place.url}/loop/api",
            "api_key": "file:secrets/northpine-loop-key",
            "webhook_secret": "file:secrets/northpine-webhook-secret",
        },
        "rex11": {
            "endpoint": f"{place.url}/rex11/ws/v3prod/publicapiws.asmx",
            "web_address": b.web_address,
            "user_name": b.user_name,
            "password": "file:secrets/northpine-rex11-password",
        },
        "announce": {
            "warehouse": "CAN",
            "supplier": {
                "company_name": "Northpine Apparel",
                "state": "NJ",
                "country": "USA",
            },
            "start": "2026-11-01",
            "destinations": {"77": "WEST"},
        },
        "criteria": "strict",
    }


def test_asked_again_enter_keeps_everything(place: Place) -> None:
    place.connect(criteria="strict")
    before = place.config.read_text()
    text = ask(place, "northpine", *[""] * 12)
    assert place.config.read_text() == before
    assert "Enter: keep file:secrets/northpine-loop-key" in text


def test_a_brand_whose_checks_fail_is_not_saved_unless_wanted(place: Place) -> None:
    before = place.config.read_text()
    result = place.run(
        "connect",
        "--loop-url",
        "http://127.0.0.1:9/api",
        "--rex11-endpoint",
        "http://127.0.0.1:9/x.asmx",
        stdin="\n".join(
            [
                "acme",
                "",
                "key",
                "",
                "n",
                "",
                "a",
                "b",
                "c",
                "n",
                "",
                "",
                "",
                "",
                "",
                "file",
                "",
                "n",
            ]
        ),
    )
    assert result.exit_code == 1
    assert "Save the brand all the same?" in result.output
    assert place.config.read_text() == before


def test_warehouses_are_offered_by_their_short_names() -> None:
    assert questions.SHORT[:2] == ("NJ", "WEST")
