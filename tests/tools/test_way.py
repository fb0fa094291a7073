"""`python tools/way`: one return, traced from Loop's list to complete."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from bergen_loop.flow import tick

WAY = Path(__file__).parents[2] / "tools" / "way"


def test_every_moment_of_the_way_is_counted_and_the_whole_counts_nothing_twice() -> None:
    done = subprocess.run(
        [sys.executable, str(WAY), "--json"], capture_output=True, text=True, check=True
    )
    rows = json.loads(done.stdout)
    whole = rows.pop("whole way")
    assert list(rows) == [*(name for name in tick.STEPS if name != "shipments"), "tick"]
    for name, row in rows.items():
        assert 0 < row["files"] <= row["functions"] <= row["calls"], name
        assert 0 < row["depth"] <= whole["depth"], name
    assert whole["calls"] == sum(row["calls"] for row in rows.values())
    for shared in ("files", "functions"):
        assert max(r[shared] for r in rows.values()) < whole[shared]
        assert whole[shared] < sum(r[shared] for r in rows.values())
