"""`bergen-loop reconcile` and `bergen-loop rebuild`, over sockets."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from bergen_loop.cli.main import app
from support import worlds


class Office:
    """A sandbox, and a configuration for one of its brands."""

    def __init__(self, folder: Path, world: worlds.World) -> None:
        self.folder = folder
        self.world = world
        self.brand = world.sandbox.brands["northpine"]
        world.advance((datetime.now(UTC) - world.now()).total_seconds())
        for name, secret in (("key", self.brand.loop_key), ("password", self.brand.password)):
            (folder / name).touch(mode=0o600)
            (folder / name).write_text(secret)
        (folder / "c.yaml").write_text(
            f"""\
service: {{database: "sqlite:///{folder}/ledger/l.db"}}
brands:
  northpine:
    name: Northpine
    mode: live
    loop: {{api_key: "file:{folder}/key", base_url: "{world.url}/loop/api"}}
    rex11:
      endpoint: "{world.url}/rex11/ws/v3prod/publicapiws.asmx"
      web_address: {self.brand.web_address}
      user_name: {self.brand.user_name}
      password: "file:{folder}/password"
    announce:
      add_products: true
      supplier: {{company_name: Northpine, state: NJ, country: United States}}
"""
        )

    def run(self, *arguments: str) -> Result:
        command = [*arguments, "-c", str(self.folder / "c.yaml")]
        return CliRunner().invoke(app, command, env={"COLUMNS": "160"})

    def json(self, *arguments: str) -> Any:
        result = self.run(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    world = worlds.World(returns=6, seed=7)
    yield Office(tmp_path, world)
    world.close()


def test_a_lost_ledger_is_rebuilt_by_command(office: Office) -> None:
    office.json("sync", "once")
    before = set(office.brand.tickets)
    assert before
    shutil.rmtree(office.folder / "ledger")
    office.world.advance(60)  # a new ticket is not found by its PO at once
    [summary] = office.json("rebuild")["summaries"]
    assert summary["returns"] == len(office.brand.returns)
    assert summary["counts"]["attention"] == 0
    office.json("sync", "once")
    assert before <= set(office.brand.tickets)  # and what waited for a product's import
    assert [po for po, ids in office.brand.tickets_by_po.items() if len(ids) > 1] == []
    assert office.json("reconcile")["summaries"][0]["counts"]["repaired"] == 0


def test_differences_are_told_in_words(office: Office) -> None:
    office.json("sync", "once")
    return_ = next(r for r in office.brand.returns.values() if r.state == "open")
    # As if the change had been stamped by a clock far behind: no sync will see it.
    return_.state = "cancelled"
    return_.updated_at += 1
    office.brand.by_updated.move(return_.updated_at - 1, return_.updated_at, return_.id)
    result = office.run("reconcile", "--brand", "northpine")
    assert result.exit_code == 0, result.output
    assert f"return {return_.id} is cancelled in Loop" in result.stdout
    assert office.json("show", return_.id)[0]["return"]["stage"] == "cancelled"


def test_mistakes_are_told(office: Office) -> None:
    result = office.run("rebuild", "--brand", "nobody")
    assert result.exit_code == 2
    assert "unknown brand(s) nobody" in result.output
    office.world.sandbox.brands["northpine"].loop_key = "another-key-now"
    result = office.run("reconcile")
    assert result.exit_code == 1
    assert "run it again" in " ".join(result.output.split())
