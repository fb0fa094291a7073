"""Starting the sandbox from the command line."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from typing import Any, cast

import uvicorn

from loop_sandbox import manual
from loop_sandbox.app import create_app
from loop_sandbox.catalogue import make_brands
from loop_sandbox.faults import FaultRule, parse_rule
from loop_sandbox.settings import Settings
from loop_sandbox.world import SandboxWorld


def run(
    port: int = 8801,
    *,
    host: str = "127.0.0.1",
    seed: int = 7,
    returns_per_brand: int = 80,
    settings: Settings | None = None,
    faults: Sequence[FaultRule] = (),
    log_level: str = "info",
) -> None:
    """Serve until interrupted."""
    # Connections dropped on purpose are no errors of the server.
    logging.getLogger("uvicorn.error").addFilter(
        lambda record: "without completing response" not in record.getMessage()
    )
    world = SandboxWorld(seed, returns_per_brand, settings=settings)
    world.faults.rules.extend(faults)
    sys.stdout.write(manual.start_text(world, f"http://{host}:{port}"))
    sys.stdout.flush()
    uvicorn.run(create_app(world), host=host, port=port, log_level=log_level, access_log=False)


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and serve; 2 for a wrong setting."""
    parser = argparse.ArgumentParser(
        prog="python -m loop_sandbox",
        description="A Loop API and a REX11 service to run against, in memory, with faults.",
        epilog=manual.help_text(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8801)
    parser.add_argument("--seed", type=int, default=7, help="the same seed gives the same world")
    parser.add_argument("--returns", type=int, default=80, help="returns of each brand at start")
    parser.add_argument("--log-level", default="info")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting, as in POST /control/settings; may be repeated",
    )
    parser.add_argument(
        "--fault", action="append", default=[], metavar="RULE", help="a fault rule as JSON"
    )
    given = parser.parse_args(argv)
    settings = Settings()
    try:
        settings.update(_pairs(given.set))
        _check_brands(settings)
        rules = [_rule(text) for text in given.fault]
    except ValueError as error:
        parser.error(str(error))
    run(
        given.port,
        host=given.host,
        seed=given.seed,
        returns_per_brand=given.returns,
        settings=settings,
        faults=rules,
        log_level=given.log_level,
    )
    return 0


def _check_brands(settings: Settings) -> None:
    known = {b.slug for b in make_brands(0, settings.default_warehouse)}
    for slug in settings.brands_named() - known:
        raise ValueError(f"no brand {slug!r}; there are: {', '.join(sorted(known))}")


def _rule(text: str) -> FaultRule:
    try:
        value: Any = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ValueError(f"--fault wants a rule as a JSON object, not {text!r}")
    rule = parse_rule(cast("dict[str, Any]", value))
    if rule.kind == "clock_skew":
        raise ValueError("a clock_skew is a setting at start: loop_skew_seconds, rex11_...")
    return rule


def _pairs(texts: Sequence[str]) -> dict[str, Any]:
    """NAME=VALUE with VALUE as JSON where it is JSON, else as text."""
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"--set wants NAME=VALUE, not {text!r}")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found
