"""What most commands need first: settings, ledger, registry."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bergen_loop.cli.output import errors, fail, line
from bergen_loop.config import ConfigError, Settings, load_settings, load_usable
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.store import journal
from bergen_loop.ledger.store.journal import Actor

if TYPE_CHECKING:
    from bergen_loop.service.registry import Registry

ConfigOption = Annotated[
    Path,
    typer.Option(
        "--config",
        "-c",
        help="Configuration file.",
        envvar="BERGEN_LOOP_CONFIG",
        show_default=True,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
BrandsOption = Annotated[list[str] | None, typer.Option("--brand", "-b", help="Only these brands.")]
DEFAULT_CONFIG = Path("bergen-loop.yaml")


def settings_of(path: Path) -> Settings:
    """The settings, or an end with every mistake listed."""
    try:
        return load_settings(path)
    except ConfigError as error:
        fail(f"the configuration cannot be used:\n{error}", 2)


def brands_of(settings: Settings, wanted: Sequence[str] | None) -> list[str]:
    """The brands that are wanted, all where none is named; an end where one is unknown."""
    unknown = [name for name in wanted or () if name not in settings.brands]
    if unknown:
        known = ", ".join(settings.brands)
        fail(f"unknown brand(s) {', '.join(unknown)}; configured: {known}", 2)
    return list(wanted or settings.brands)


def open_ledger(settings: Settings, *, migrate: bool = True) -> Ledger:
    """The ledger, migrated."""
    ledger = Ledger(os.environ.get("BERGEN_LOOP_DATABASE", settings.service.database))
    if migrate:
        ledger.migrate()
    return ledger


def registry_of(path: Path) -> Registry:
    """Everything connected, or an end with what is wrong."""
    from bergen_loop.service.registry import Registry

    settings = settings_of(path)
    registry = Registry(settings, open_ledger(settings), path.resolve().parent)
    try:
        registry.connect_all()
    except ConfigError as error:
        fail(f"the configuration cannot be used:\n{error}", 2)
    return registry


def service_registry_of(path: Path) -> Registry:
    """As `registry_of`, for a service: brands that cannot be used are told of and left out."""
    from bergen_loop.service.registry import Registry

    try:
        settings, broken = load_usable(path)
    except ConfigError as error:
        fail(f"the configuration cannot be used:\n{error}", 2)
    registry = Registry(settings, open_ledger(settings), path.resolve().parent)
    for brand, problems in registry.leave_out_broken(broken).items():
        for problem in problems:
            errors.print(line((f"brand {brand} is left out:", "bold yellow"), f" {problem}"))
    return registry


def person() -> str:
    """Who runs this command, for the journal; from now on it is they who act, on this machine."""
    try:
        name = f"{getpass.getuser()} (command line)"
    except (KeyError, OSError):
        name = "somebody (command line)"
    journal.acting(Actor(name, source=socket.gethostname()))
    return name
