"""Trying the accesses of a brand before its changed settings take effect."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from bergen_loop.config import BrandSettings, Problem
from bergen_loop.connect.check import Check
from bergen_loop.connect.checkup import Checkup
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.store import brands as kept
from bergen_loop.people.brands import Attempt

FIELDS = {"loop": "loop.api_key", "rex11": "rex11", "shipments": "loop.happy_returns"}
"""Which field a failed check is told at, by the access it belongs to."""


CLOCK = "Clock"
"""A clock that is wrong is no fault of the settings."""


def attempts(ledger: Ledger, folder: Path) -> Attempt:
    """Tries what a brand needs to be synced, and that its Loop key is still the same shop's."""

    def attempt(brand: str, settings: BrandSettings, accesses: Collection[str]) -> list[Problem]:
        with ledger.read() as session:
            known = kept.any_return(session, brand)
        checkup = Checkup(brand, settings, folder)
        steps = {"loop": checkup.loop_steps, "rex11": checkup.rex11_steps}
        failed: list[Problem] = []
        for access in sorted(accesses):
            for name, run in steps[access]():
                if not name.startswith(CLOCK) and (check := run()).failed:
                    failed.append(_problem(brand, access, check))
        if "loop" in accesses and settings.loop.happy_returns and not failed:
            check = checkup.shipments()
            failed += [_problem(brand, "shipments", check)] if check.failed else []
        if "loop" in accesses and known and not failed:
            check = checkup.same_shop(known)
            failed += [_problem(brand, "loop", check)] if check.failed else []
        return failed

    return attempt


def _problem(brand: str, access: str, check: Check) -> Problem:
    return Problem(f"brand {brand}, tried", 1, 1, FIELDS[access],
                   f"{check.name}: {check.found}", check.ask)  # fmt: skip
