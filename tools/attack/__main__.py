"""Attacks on a release, whichever: `python tools/attack [--tree FOLDER] [NAME ...]`.

FOLDER holds the sources of a release (`git worktree add --detach FOLDER COMMIT`); left out, these.
The process ends with the number of attacks that got what they were after.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from pathlib import Path

from attacks import ATTACKS, Outcome
from release import Release


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    here = Path(__file__).parents[2]
    parser.add_argument("--tree", type=Path, default=here)
    parser.add_argument("names", nargs="*", choices=[a.__name__ for a in ATTACKS] + [[]])
    given = parser.parse_args()
    broke = 0
    with tempfile.TemporaryDirectory() as folder:
        release = Release(given.tree.resolve(), Path(folder))
        try:
            for attack in ATTACKS:
                if given.names and attack.__name__ not in given.names:
                    continue
                began = time.monotonic()
                try:
                    outcome = attack(release)
                except Exception:
                    traceback.print_exc()
                    outcome = Outcome(False, "could not be tried")
                broke += outcome.broke
                word = "BROKE" if outcome.broke else "held"
                took = time.monotonic() - began
                print(f"{word:6}{attack.__name__:24}{took:5.0f} s  {outcome.seen}", flush=True)  # noqa: T201
        except BaseException:
            print(release.said()[-3000:], file=sys.stderr)  # noqa: T201
            raise
        finally:
            release.end()
    return broke


if __name__ == "__main__":
    sys.exit(main())
