"""A secret and a customer's address, planted; a whole flow with faults, at DEBUG; then a search
in everything that was written or can be seen."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from demo import settings as demo_settings
from demo.processes import Process, free_port
from demo.world import SandboxControl
from fastapi.testclient import TestClient

from bergen_loop.config import load_settings
from bergen_loop.console.app import create_app
from bergen_loop.ledger.database import Ledger
from bergen_loop.service.registry import Registry

MIX = {"complete": 40, "damaged": 20, "garbled": 20, "extra": 20}
FAULTS: list[dict[str, Any]] = [
    {"system": "rex11", "kind": kind, "probability": 0.08, "seconds": 1}
    for kind in ("status_500", "html", "truncated", "soap_fault", "reset_mid_body", "expired_token")
] + [
    {"system": "loop", "kind": kind, "probability": 0.05, "seconds": 1}
    for kind in ("status_500", "html", "truncated", "reset_mid_body", "refusal")
]
STRUCK = 2
WHERE_A_CUSTOMER_MAY_BE = {"returns", "returns_fragments", "raw_payloads", "webhooks", "decisions"}
"""Tables: the return itself, its index of fragments (which reads like it), payloads that could
not be understood, the facts of a decision."""


def run_through(folder: Path) -> tuple[Path, list[str], str]:
    """A whole flow; the configuration file, the secrets, and everything that was logged."""
    port = free_port()
    sandbox = Process(
        ["loop_sandbox", "--port", str(port), "--returns", "6", "--log-level", "warning"],
        folder / "sandbox.out",
        {},
    )
    control = SandboxControl(f"http://127.0.0.1:{port}")
    sandbox.start(control.healthy)
    known = control.config()
    config = demo_settings.write(folder, known, free_port())
    text = config.read_text().replace("mode: shadow", "mode: live").replace("poll: 3s", "poll: 1s")
    config.write_text(text.replace("label_wait: 8s", "label_wait: 1s"))
    names = ("loop_api_key", "loop_webhook_secret", "rex11_password")
    secrets = [str(brand[name]) for brand in known["brands"] for name in names]
    control.post("/control/faults", FAULTS)
    with (folder / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "bergen_loop", "--log-level", "DEBUG", "worker", "-c",
             str(config)],
            stdout=log, stderr=subprocess.STDOUT, env={**os.environ, "COLUMNS": "5000"},
        )  # fmt: skip
    try:
        _work(control, folder / "worker.log")
    finally:
        worker.terminate()
        worker.wait(30)
        sandbox.stop()
        control.close()
    return config, secrets, (folder / "worker.log").read_text(errors="replace")


def _work(control: SandboxControl, log: Path) -> None:
    """With faults until they have struck; then without, as far as processing."""

    def go_on(until: Callable[[], bool]) -> None:
        ends = time.monotonic() + 90
        while not until() and time.monotonic() < ends:
            control.post("/control/parcels/auto", {"mix": MIX})
            time.sleep(1)

    def processed() -> bool:
        return bool(control.get("/control/calls", operation="process")["calls"])

    go_on(lambda: log.read_text(errors="replace").count("step failed") > STRUCK)
    httpx2.delete(f"{control.url}/control/faults")
    go_on(processed)
    assert processed(), "it has gone as far as processing"


def rows(database: Path) -> Iterable[tuple[str, str]]:
    """Every row of every table as text."""
    with sqlite3.connect(database) as opened:
        tables = [t for (t,) in opened.execute("SELECT name FROM sqlite_master WHERE type='table'")]
        for table in tables:
            for row in opened.execute(f'SELECT * FROM "{table}"'):
                yield table, repr(row)


@pytest.mark.xdist_group("machines")
def test_nothing_leaks(tmp_path: Path) -> None:
    config, secrets, log = run_through(tmp_path)
    assert "outside call" in log, "it has logged at DEBUG"
    assert log.count("step failed") > STRUCK, "the faults have struck"
    for secret in secrets:
        assert secret not in log
    assert "customer" in repr(list(rows(tmp_path / "ledger.db")))
    assert "@example.com" not in log.replace("-api@example.com", "")
    for name in ("ledger.db", "ledger-engine.db"):
        for table, text in rows(tmp_path / name):
            for secret in secrets:
                assert secret not in text, table
            if name != "ledger.db" or table not in WHERE_A_CUSTOMER_MAY_BE:
                assert "@example.com" not in text, f"{name}: {table}: {text[:300]}"
    _look_at_pages(config, secrets)


def _look_at_pages(config: Path, secrets: list[str]) -> None:
    settings = load_settings(config)
    ledger = Ledger(settings.service.database)
    app = create_app(Registry(settings, ledger, config.parent), lambda _: None, signing_in=False)
    client = TestClient(app, base_url="http://127.0.0.1")
    with sqlite3.connect(str(ledger.url.database)) as opened:
        found = list(opened.execute("SELECT brand, return_id FROM returns"))
    pages = ["/", "/attention", "/returns", "/audit", "/metrics", "/ready", "/api/v1/openapi.json"]
    pages += [f"/returns/{brand}/{return_id}" for brand, return_id in found]
    pages += [f"/brands/{brand}" for brand in settings.brands]
    seen = 0
    for page in pages:
        answer = client.get(page)
        seen += answer.status_code == 200
        for secret in secrets:
            assert secret not in answer.text, page
    assert seen > len(found)
    ledger.close()
