"""Lives with reconciles, lost ledgers, kills and webhooks, on PostgreSQL as on SQLite: every
question that flows and repairs ask is asked of both. `tools/soak --database postgresql` plays
more."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from reliability_driver import Driver
from reliability_stage import Server

from support.postgres import Cluster


@pytest.mark.parametrize("seed", [61158, 61273])
def test_a_life_ends_well_on_postgresql(seed: int, tmp_path: Path, postgres: Cluster) -> None:
    with closing(Server(postgres)) as place:
        driver = Driver(tmp_path, seed, place=place)
        run = driver.play()
    assert run.verdict.problems == [], run.line
    assert any("reconcile" in step for step in run.story)
    assert driver.stage.lost_ledgers
