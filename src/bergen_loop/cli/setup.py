"""What most commands need first: settings, ledger, registry."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from bergen_loop.cli.output import errors, fail, line, warn
from bergen_loop.config import ConfigError, Problem, ServiceSettings, Settings, load_service
from bergen_loop.config.roster import Roster, said_twice
from bergen_loop.ledger.database import Ledger, LedgerError
from bergen_loop.ledger.down import down
from bergen_loop.ledger.store import journal
from bergen_loop.ledger.store.journal import Actor
from bergen_loop.secrets.vault import DATABASE_VARIABLE

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
_opened: list[str] = []


def settings_of(path: Path) -> Settings:
    """The settings with all brands, those in the ledger too; or an end with every mistake of the
    file listed. A brand of the ledger that cannot be used is told of and left out."""
    try:
        roster = Roster(path)
        read = roster.read()
        with closing(open_ledger(read[0], migrate=False)) as ledger:
            found = roster.load(ledger, read)
        if mine := [p for b in found.broken if b in roster.in_file() for p in found.broken[b]]:
            raise ConfigError(mine)
    except ConfigError as error:
        _unusable(path, error)
    _tell(found.broken, found.doubled)
    return found.settings


def _unusable(path: Path, error: ConfigError) -> NoReturn:
    """End with every mistake; or with the database alone, where its secrets cannot be read."""
    with suppress(ConfigError):
        service, _ = load_service(path)
        url = database_url(service)
        try:
            Ledger(url).engine.connect().close()
        except (LedgerError, OSError, ImportError) as gone:
            fail(down(gone, url))
    fail(f"the configuration cannot be used:\n{error}", 2)


def brands_of(settings: Settings, wanted: Sequence[str] | None) -> list[str]:
    """The brands that are wanted, all where none is named; an end where one is unknown."""
    unknown = [name for name in wanted or () if name not in settings.brands]
    if unknown:
        known = ", ".join(settings.brands)
        fail(f"unknown brand(s) {', '.join(unknown)}; configured: {known}", 2)
    return list(wanted or settings.brands)


def open_ledger(settings: Settings, *, migrate: bool = True) -> Ledger:
    """The ledger, migrated; or an end that says where it was looked for and what to do."""
    url = database_url(settings.service)
    _opened.append(url)
    try:
        ledger = Ledger(url)
        if migrate:
            ledger.migrate()
    except (LedgerError, OSError, ImportError) as error:
        fail(down(error, url))
    return ledger


def opened() -> str:
    """The address of the ledger that this command has opened; empty before."""
    return _opened[-1] if _opened else ""


def database_url(service: ServiceSettings) -> str:
    """Where the ledger is: the environment's word goes before the file's."""
    return os.environ.get(DATABASE_VARIABLE, service.database)


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
    """As `registry_of`, for a service: brands come and go while it runs, and those that cannot
    be used are told of and left out. Without a configuration file at the usual place all
    settings are the defaults."""
    from bergen_loop.service.registry import Registry

    try:
        roster = Roster(path, needed=path != DEFAULT_CONFIG)
        read = roster.read()
        ledger = open_ledger(read[0])
        found = roster.load(ledger, read)
        registry = Registry(found.settings, ledger, roster.folder, roster)
    except ConfigError as error:
        _unusable(path, error)
    if not path.exists():
        where = ledger.url.render_as_string(hide_password=True)
        errors.print(f"there is no {path} here: defaults hold, the ledger is {where}")
    _tell(registry.take(found), found.doubled)
    return registry


def _tell(broken: Mapping[str, list[Problem]], doubled: Iterable[str]) -> None:
    for brand, problems in broken.items():
        for problem in problems:
            errors.print(line((f"brand {brand} is left out:", "bold yellow"), f" {problem}"))
    for brand in doubled:
        warn(said_twice(brand))


def person() -> str:
    """Who runs this command, for the journal; from now on it is they who act, on this machine."""
    try:
        name = f"{getpass.getuser()} (command line)"
    except (KeyError, OSError):
        name = "somebody (command line)"
    journal.acting(Actor(name, source=socket.gethostname()))
    return name
