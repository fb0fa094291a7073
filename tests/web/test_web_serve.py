"""The service as it is started and ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest

CONFIG = """
service: {database: "sqlite:///ledger.db", schedule: 1s}
brands:
  acme:
    name: Acme
    mode: paused
    loop: {api_key: "env:TEST_KEY", base_url: "http://127.0.0.1:9/loop/api"}
    rex11:
      {endpoint: "http://127.0.0.1:9/x", web_address: x, user_name: x, password: "env:TEST_KEY"}
"""


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_engine_end_its_work(tmp_path: Path, how: signal.Signals) -> None:
    (tmp_path / "c.yaml").write_text(CONFIG)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    told = "import bergen_loop.service.service as s; stop = s.Engine.stop\n"
    told += "def say(self, *a): stop(self, *a); print('engine ended', flush=True)\n"
    told += "s.Engine.stop = say; from bergen_loop.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", told, "serve", "-c", "c.yaml", "--port", str(port)],
        cwd=tmp_path,
        env={**os.environ, "TEST_KEY": "k"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        answer = _wait(f"{url}/health", process)
        assert answer.json() == {"status": "ok"}
        assert httpx2.get(f"{url}/login").headers["location"] == "/setup"
        process.send_signal(how)
        out, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert "engine ended" in out
    assert process.returncode == 0
    assert f"Make the first one at {url}/setup?code=" in errors


def _wait(url: str, process: subprocess.Popen[str]) -> httpx2.Response:
    for _ in range(600):
        assert process.poll() is None, process.communicate()
        try:
            return httpx2.get(url)
        except httpx2.TransportError:
            time.sleep(0.1)
    raise AssertionError("it does not answer")
