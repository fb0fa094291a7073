"""What the sandbox says about itself."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest
from sandbox_support import Box

from loop_sandbox import Settings, cli, manual
from loop_sandbox.__main__ import main
from loop_sandbox.faults import DOCS, KINDS, QUIRKS, TRANSPORT


def test_the_help_explains_every_setting_and_fault_within_80_columns(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    first_words = {line.split()[0] for line in lines if line.strip()}
    assert {f.name for f in fields(Settings) if f.metadata} <= first_words
    assert set(KINDS) <= first_words
    assert set(TRANSPORT) | set(QUIRKS) <= set(DOCS)
    assert all(f.metadata["doc"] for f in fields(Settings) if f.metadata)


def test_the_start_prints_where_and_with_what(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    served: dict[str, Any] = {}
    monkeypatch.setattr(cli.uvicorn, "run", lambda app, **how: served.update(how))
    rule = {"system": "loop", "kind": "html", "nth": 1}
    arguments = ["--port", "8899", "--returns", "2", "--set", "unkind=true", "--set"]
    assert main([*arguments, "not_found=404", "--fault", json.dumps(rule)]) == 0
    shown = capsys.readouterr().out
    b = Box(returns=2).brand
    root = "http://127.0.0.1:8899"
    for needed in (
        f"{root}/", f"{root}/loop/api", f"{root}/rex11/ws/v3prod/publicapiws.asmx", b.loop_key,
        b.webhook_secret, b.web_address, b.user_name, b.password, "as unkind as the real systems",
    ):  # fmt: skip
        assert needed in shown
    assert served["port"] == 8899


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--set", "auto_process_brands=acme"], "no brand 'acme'; there are: lumen"),
        (["--fault", "html"], "wants a rule as a JSON object"),
        (["--fault", '{"kind": "gremlins"}'], "kind must be one of"),
    ],
)
def test_a_wrong_start_says_why(
    capsys: pytest.CaptureFixture[str], arguments: list[str], error: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert error in capsys.readouterr().err


def test_the_front_page_shows_brands_keys_and_links(box: Box) -> None:
    answer = box.http.get("/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    for brand in box.world.brands.values():
        for needed in (brand.name, brand.loop_key, brand.user_name, brand.password):
            assert needed in answer.text
    assert "http://testserver/loop/api" in answer.text
    for link in ("config", "summary", "calls", "effects", "settings", "faults"):
        assert f'href="/control/{link}"' in answer.text
        assert box.http.get(f"/control/{link}").status_code == 200
    assert manual.help_text().splitlines()[0] in answer.text
    assert box.http.get("/nothing").status_code == 404
