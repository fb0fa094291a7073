"""`python tools/attack`: what the first release fell to, tried on this one; here the quick part."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ATTACK = Path(__file__).parents[2] / "tools" / "attack"
QUICK = ("files_of_all", "told_apart", "led_elsewhere", "measured_by_anybody", "looked_alike")


def test_the_quick_attacks_on_a_running_service_get_nothing() -> None:
    done = subprocess.run(
        [sys.executable, str(ATTACK), *QUICK], capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    words = [line.split()[:2] for line in done.stdout.splitlines()]
    assert sorted(words) == sorted(["held", name] for name in QUICK)
    assert "could not be tried" not in done.stdout
