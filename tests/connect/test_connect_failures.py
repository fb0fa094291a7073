"""Every failure says what to ask of whom, and nothing is written."""

from __future__ import annotations

from typing import Any

import pytest
from connect_support import Place
from typer.testing import CliRunner

from bergen_loop.cli.main import app

KEY, TOOLS = "Loop API key, scope Returns", "Loop API key, scope Developer Tools"
NOBODY = "http://127.0.0.1:9"


def refused(place: Place, name: str, **changes: Any) -> dict[str, Any]:
    """Connect with something wrong: nothing may be written. The check of this name."""
    before = place.config.read_text()
    result, found = place.connect(**changes)
    assert result.exit_code == 1
    assert place.config.read_text() == before
    assert not (place.folder / "secrets").exists()
    for secret in place.secrets:
        assert secret not in result.output
    assert found[name]["status"] == "failed", found
    return found[name]


def test_a_wrong_loop_key(place: Place) -> None:
    check = refused(place, KEY, loop={"api_key": "wrong"})
    assert "HTTP 401" in check["found"]
    assert check["ask"].startswith("Ask the brand's Loop admin for an API key with the scopes")


def test_a_loop_key_with_blanks(place: Place) -> None:
    check = refused(place, "Settings", loop={"api_key": "two words"})
    assert "two words" not in check["found"]
    assert "without blanks" in check["ask"]


@pytest.mark.parametrize("status", [401, 403])
def test_the_scope_developer_tools_is_missing(place: Place, status: int) -> None:
    place.refuse["/webhooks"] = status
    check = refused(place, TOOLS)
    assert f"HTTP {status}" in check["found"]
    assert "lacks the scope Developer Tools" in check["ask"]


def test_the_scope_returns_is_missing(place: Place) -> None:
    place.refuse["/return/list"] = 403
    check = refused(place, KEY)
    assert "lacks the scope Returns" in check["ask"]


@pytest.mark.parametrize("field", ["web_address", "user_name", "password"])
def test_wrong_rex11_credentials(place: Place, field: str) -> None:
    check = refused(place, "REX11 account", rex11={field: "wrong"})
    assert check["ask"].startswith("Ask Bergen")
    assert "this brand's three values" in check["ask"]


def test_loop_cannot_be_reached(place: Place) -> None:
    check = refused(place, KEY, loop={"base_url": f"{NOBODY}/api"})
    assert "Bergen's network people" in check["ask"]
    assert "Loop support" in check["ask"]


def test_rex11_cannot_be_reached(place: Place) -> None:
    check = refused(place, "REX11 account", rex11={"endpoint": f"{NOBODY}/x.asmx"})
    assert "Bergen's network people" in check["ask"]


def test_something_else_answers_at_loops_address(place: Place) -> None:
    check = refused(place, KEY, loop={"base_url": f"{place.url}/control/nothing"})
    assert "Check loop.base_url" in check["ask"]


def test_something_else_answers_at_rex11s_address(place: Place) -> None:
    check = refused(place, "REX11 account", rex11={"endpoint": f"{place.url}/control/config"})
    assert "rex11.endpoint" in check["ask"]


def test_too_many_calls(place: Place) -> None:
    place.refuse["/return/list"] = 429
    result, found = place.connect()
    assert result.exit_code == 0
    assert found[KEY]["status"] == "unknown"
    assert "Run this again in a minute" in found[KEY]["ask"]


def test_criteria_that_cannot_be_read(place: Place) -> None:
    check = refused(place, "Receipt criteria", criteria="none.yaml")
    assert "cannot be read" in check["found"]
    assert "criteria check" in check["ask"]


def test_what_depends_on_a_failure_is_skipped(place: Place) -> None:
    _, found = place.connect(loop={"api_key": "wrong"}, rex11={"password": "wrong"})
    for name in ("Recent returns in Loop", "Destinations", "Products known to REX11"):
        assert found[name]["status"] == "skipped"


def test_it_can_be_saved_all_the_same(place: Place) -> None:
    result, found = place.connect("--save-anyway", loop={"api_key": "wrong"})
    assert result.exit_code == 1
    assert found[KEY]["status"] == "failed"
    assert place.written()["mode"] == "shadow"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"announce": {"warehouse": "moon"}}, ["announce.warehouse", "'moon'", "NJ3B"]),
        ({"loop": {"base_url": "http://loop.test/api"}}, ["loop.base_url", "https"]),
        ({"loop": "yes"}, ["loop:"]),
        ({"brand": "Not An Id"}, ["'Not An Id' is no id of a brand"]),
        ({"brand": ""}, ["brand: is missing"]),
        ({"store": "drawer"}, ["store: is no store"]),
        ({"loop": {"api_key": "env:NOT_SET_ANYWHERE"}}, ["NOT_SET_ANYWHERE is not set"]),
        ({"rex11": {"web_adress": "x"}}, ["rex11.web_adress"]),
    ],
)
def test_answers_that_cannot_be_used(
    place: Place, changes: dict[str, Any], words: list[str]
) -> None:
    before = place.config.read_text()
    result = place.run("connect", "--from", str(place.answers(**changes)))
    text = " ".join(result.output.split())
    assert result.exit_code == 2, text
    assert all(w in text for w in words), text
    assert place.config.read_text() == before
    assert not (place.folder / "secrets").exists()


def test_a_literal_secret_cannot_go_into_the_environment(place: Place) -> None:
    result = place.run("connect", "--from", str(place.answers(store="env")))
    assert result.exit_code == 1
    assert "set NORTHPINE_LOOP_KEY where the service is started" in " ".join(result.output.split())
    assert place.brand.loop_key not in result.output


def test_no_answers_file(place: Place) -> None:
    result = place.run("connect", "--from", str(place.folder / "none.yaml"))
    assert result.exit_code == 2
    assert "cannot be read" in result.output


def test_questions_without_anyone_to_answer(place: Place) -> None:
    result = place.run("connect", stdin="")
    assert result.exit_code == 2
    assert "connect --from FILE" in " ".join(result.output.split())


def test_json_does_not_mix_with_questions(place: Place) -> None:
    result = place.run("connect", "--json")
    assert result.exit_code == 2
    assert "--json needs --from" in result.output


def test_an_unknown_brand_cannot_be_checked(place: Place) -> None:
    place.connect()
    result = place.run("connect", "--check-only", "--brand", "acme")
    assert result.exit_code == 2
    assert "northpine" in result.output


def test_a_configuration_that_is_broken_is_not_overwritten(place: Place) -> None:
    place.config.write_text("brands: [")
    result = place.run("connect", "--from", str(place.answers()))
    assert result.exit_code == 2
    assert place.config.read_text() == "brands: ["


def test_help_names_the_options() -> None:
    result = CliRunner().invoke(app, ["connect", "--help"], env={"COLUMNS": "200"})
    assert "--check-only" in result.output
