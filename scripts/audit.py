"""Are there known weaknesses in the pinned packages? `make audit`.

Says so where the advisories cannot be reached: finding nothing would else look like safety.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

LOCK = Path(__file__).parents[1] / "requirements-dev.lock"
"""Holds what users install as well."""
SERVICES = ("osv", "pypi")
"""Asked in this order; the first that knows our packages counts."""
UNREACHABLE = 3


def ask(service: str) -> tuple[list[dict[str, object]], str]:
    """Packages as the service knows them, or none and why."""
    command = [
        *(sys.executable, "-m", "pip_audit", "--requirement", str(LOCK), "--no-deps"),
        *("--disable-pip", "--vulnerability-service", service, "--format", "json"),
        *("--progress-spinner", "off", "--timeout", "20"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    try:
        found = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        lines = done.stderr.strip().splitlines()
        return [], lines[-1] if lines else f"pip-audit ended with {done.returncode}"
    known = [d for d in found if "skip_reason" not in d]
    return known, f"it knows none of {len(found)} packages"


def main() -> int:
    """0: nothing known; 1: weaknesses, listed; 3: could not be found out."""
    for service in SERVICES:
        known, problem = ask(service)
        if known:
            return report(service, known)
        sys.stderr.write(f"advisories of {service} cannot be used: {problem}\n")
    sys.stderr.write("NOT AUDITED: no source of advisories could be reached from here\n")
    return UNREACHABLE


def report(service: str, known: list[dict[str, object]]) -> int:
    """List what was found."""
    weak = [d for d in known if d["vulns"]]
    for found in weak:
        sys.stdout.write(f"{found['name']} {found['version']}: {json.dumps(found['vulns'])}\n")
    sys.stdout.write(f"{len(known)} packages asked of {service}: {len(weak)} with weaknesses\n")
    return 1 if weak else 0


if __name__ == "__main__":
    raise SystemExit(main())
