"""The service as a process, killed for real (SIGKILL) at boundaries and at random moments."""

from __future__ import annotations

from pathlib import Path

from reliability_process import play

BOUNDARIES = ["ticket sent:1", "settlement sent:1", "note sent:1"]


def test_killed_at_boundaries_and_at_random(tmp_path: Path) -> None:
    site = play(tmp_path, seed=11, boundaries=BOUNDARIES, kills=1, returns=8)
    try:
        assert site.until_rest() == []
        assert site.doubled() == []
        assert site.kills == len(BOUNDARIES) + 1
    finally:
        site.close()
