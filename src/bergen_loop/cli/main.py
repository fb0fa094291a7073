"""`bergen-loop` and its commands. A command's module is imported when the command is called, so
that help and completion are there at once."""

from __future__ import annotations

import gc
import os
import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

COMMANDS = {
    "connect": (
        "connect:connect",
        "Connect a brand: ask, check every access for real, write it down in shadow mode. "
        "Running it again updates the brand.",
    ),
    "serve": ("ops:serve", "Run the service: schedules, webhooks and the console."),
    "status": ("standing:status", "How every brand stands, what is wrong first."),
    "doctor": (
        "doctor:doctor",
        "Look at everything the service needs; say what is wrong and what to do. Exit 1 for a "
        "problem.",
    ),
    "show": (
        "show:show",
        "Show a return: its seven moments, what was decided and why, every call.",
    ),
    "attention": ("attention:app", "What needs a person, and why."),
    "shipments": (
        "shipments:app",
        "Consolidated shipments of box-free returns (Happy Returns).",
    ),
    "claims": (
        "shipments:claims_app",
        "What shipments lack or brought damaged, after the money has moved.",
    ),
    "brands": ("brands:app", "Brands and their configuration."),
    "criteria": ("criteria:app", "Receipt criteria: read, check and try them."),
    "shadow": ("shadow:app", "Shadow mode: what would have been done."),
    "sync": ("sync:app", "Run the flows without the service."),
    "events": ("events:app", "Events for brands' own systems."),
    "audit": ("audit:app", "The journal: seal it, and look for tampering."),
    "secrets": ("secrets:app", "Secrets: set, list, rotate. They are never shown."),
    "accounts": ("accounts:app", "Accounts of the console, for the day nobody gets in."),
    "breaker": ("ops:breaker_app", "Systems that do not answer."),
    "reconcile": (
        "reconcile:reconcile_command",
        "Compare the ledger with Loop and REX11, repair what is safe, tell the rest.",
    ),
    "rebuild": (
        "reconcile:rebuild_command",
        "Recover a lost ledger from Loop and REX11, without doing anything twice.",
    ),
    "replay": (
        "reconcile:replay_command",
        "Try payloads again that could not be understood when they came.",
    ),
    "mcp": (
        "assistant:mcp",
        "Serve an assistant on standard input and output (Model Context Protocol), as the token "
        "in BERGEN_LOOP_TOKEN may.",
    ),
    "worker": (
        "ops:worker",
        "Run ticks, without console and webhooks: as many as you like on one PostgreSQL.",
    ),
    "workers": (
        "ops:list_workers",
        "List the processes that run ticks, and their last sign of life.",
    ),
    "backup": (
        "ops:backup",
        "Copy the embedded database into a file, while the service runs, and check the copy.",
    ),
    "restore": (
        "ops:restore",
        "Put a backup in the place of the embedded database. The service must not run.",
    ),
    "restored": (
        "ops:restored",
        "Tell that the database was put back from a backup by other means (PostgreSQL's tools).",
    ),
    "erase": (
        "ops:erase",
        "Erase a customer's personal data; what was done to the return and why stays.",
    ),
}
"""Name -> where it is (module:attribute, in this package), and the first paragraph of its help."""


class Commands(TyperGroup):
    """The commands: first only name and help of each, the whole of one when it is called."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        listed = {name: TyperCommand(name, help=help) for name, (_, help) in COMMANDS.items()}
        self.commands = {**listed, **self.commands}

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is called, and what it is called with."""
        if args and args[0] in COMMANDS:
            self.commands[args[0]] = load(args[0])
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; where the database goes away meanwhile, end with what to do."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            database = sys.modules.get("sqlalchemy.exc")  # not loaded: not its error
            if database is None or not isinstance(error, database.SQLAlchemyError):
                raise
            from bergen_loop.cli.output import fail
            from bergen_loop.cli.setup import opened
            from bergen_loop.ledger.down import down

            fail(down(error, opened()))


def load(name: str) -> Any:
    """A command of `COMMANDS`, whole."""
    module, _, attribute = COMMANDS[name][0].partition(":")
    found = getattr(import_module(f"bergen_loop.cli.{module}"), attribute)
    around = typer.Typer(add_completion=False)
    if isinstance(found, typer.Typer):
        around.add_typer(found, name=name)
    else:
        around.command(name)(found)
    return get_group(around).commands[name]


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    help="Joins Loop Returns to Bergen Logistics' REX11, both ways.",
    pretty_exceptions_enable=False,
)


def _version(value: bool) -> None:
    if value:
        from bergen_loop import __version__

        typer.echo(f"bergen-loop {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False,
    log_json: Annotated[bool, typer.Option("--log-json", help="Log JSON lines.")] = False,
    log_level: Annotated[str, typer.Option("--log-level", help="DEBUG, INFO, WARNING...")] = "INFO",
) -> None:
    """Options for every command."""
    from bergen_loop import logs
    from bergen_loop.cli.output import fail

    del version
    os.umask(os.umask(0o077) | 0o077)  # what it writes, the ledger first of all, is its owner's
    if log_level.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        fail(f"--log-level {log_level}: one of DEBUG, INFO, WARNING, ERROR", 2)
    logs.configure(json=log_json, level=log_level.upper())


@app.command(
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "help_option_names": [],  # its own --help has every setting and fault
    }
)
def sandbox(context: typer.Context) -> None:
    """Run the sandbox: a Loop API and a REX11 service to try things against."""
    from loop_sandbox.__main__ import main as sandbox_main

    raise typer.Exit(sandbox_main(context.args) or 0)


def main() -> None:
    """Entry point of the `bergen-loop` command."""
    # What is imported stays: to look through it for garbage at every step is a sixth of the start.
    gc.set_threshold(50_000, 20, 20)
    app()
