"""The API against its own description: whatever is sent, it answers as it says."""

from __future__ import annotations

import itertools
import re
from collections.abc import Generator
from typing import Any

import pytest
import schemathesis
from schemathesis.engine.core import Engine
from schemathesis.engine.events import EngineFinished, FatalError, NonFatalError, ScenarioFinished
from schemathesis.hooks import unregister
from web_support import Desk

from bergen_loop.ledger.read.people import Role

SECONDS = 20
"""It is cut off after so long; what it has found until then counts."""
TRIES = 5
"""Inputs per call beyond the ones that follow from the description; the same every time."""


def test_the_api_keeps_to_its_description(full: Desk) -> None:
    token = full.token(Role.ENGINEER).headers["authorization"]
    settings: dict[str, Any] = {
        "headers": {"Authorization": token},
        "seed": 1,
        "max-time": SECONDS,
        "workers": 1,
        "continue-on-failure": True,
        "generation": {
            "mode": "all",
            "max-examples": TRIES,
            "deterministic": True,
            "database": "none",
            "no-shrink": True,
        },
        "phases": {"stateful": {"enabled": False}},
        # The token above is sent even then; who sends none: see test_every_route.
        "checks": {"missing_required_header": {"enabled": False}},
    }
    config = schemathesis.Config.from_dict(settings)
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", full.app, config=config)
    failures, called = list[str](), set[str]()
    cases = 0
    chosen = schema.include(path_regex="^/api/v1/")
    for event in Engine(chosen).execute():  # pyright: ignore[reportArgumentType]
        if isinstance(event, ScenarioFinished):
            cases += len(event.recorder.cases)
            called.add(event.recorder.label)
            failures += problems(event)
        elif isinstance(event, (NonFatalError, FatalError)):
            failures.append(repr(event))
        elif isinstance(event, EngineFinished):
            assert event.running_time < 30
    assert failures == []
    assert len(called) >= 10
    assert cases > 100


_numbers = itertools.count()


@pytest.fixture(autouse=True)
def keys_of_their_own() -> Generator[None]:
    """Each call under a new key, as the description says."""
    schemathesis.hook("before_call")(new_key)
    yield
    unregister(new_key)


def new_key(_context: Any, case: Any, _how: Any) -> None:
    """Keys that are none stay so."""
    key = (case.headers or {}).get("Idempotency-Key")
    if isinstance(key, str) and re.fullmatch(r"[!-~]{1,200}", key):
        case.headers["Idempotency-Key"] = f"{key}-{next(_numbers)}"


def problems(event: ScenarioFinished) -> list[str]:
    """What was wrong, each with the request that shows it."""
    return [
        f"{event.recorder.label}: {check.name}: {check.failure_info.failure} "
        f"for {check.failure_info.code_sample}"
        for checks in event.recorder.checks.values()
        for check in checks
        if check.failure_info is not None
    ]
