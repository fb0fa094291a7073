"""`bergen-loop secrets`: keep secrets, list their names, rotate their keys."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from bergen_loop.cli.output import console, fail, print_json, say, table, when
from bergen_loop.cli.setup import DEFAULT_CONFIG, ConfigOption, JsonOption, person
from bergen_loop.config import ConfigError, load_service
from bergen_loop.secrets import SecretError, SecretStores
from bergen_loop.secrets import keys as secret_keys

app = typer.Typer(no_args_is_help=True, help="Secrets: set, list, rotate. They are never shown.")


@app.command("set")
def set_secret(
    name: Annotated[
        str, typer.Argument(help="NAME (kept in the ledger), or a full reference: file:PATH ...")
    ],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Keep a secret. Its value comes from a prompt, or from standard input, never from the
    command's arguments, which other users of the machine can see."""
    reference = name if ":" in name else f"ledger:{name}"
    if sys.stdin.isatty():
        value = str(typer.prompt(f"Value of {reference}", hide_input=True))
    else:
        value = sys.stdin.read()
    try:
        stores_of(config).put(reference, value, who=person())
    except SecretError as error:
        fail(str(error))
    say(f"{reference} is kept; write it into the configuration like this")


@app.command("list")
def list_secrets(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """List the names of the ledger's secrets, never their values."""
    try:
        found = stores_of(config).vault.names()
    except SecretError as error:
        fail(str(error))
    if as_json:
        print_json([{"name": n, "set_at": at, "set_by": who} for n, at, who in found])
        return
    rows = [(f"ledger:{n}", when(at), who) for n, at, who in found]
    console.print(table("Secrets in the ledger", ["reference", "set (UTC)", "by"], rows))


@app.command("new-key")
def new_key(
    file: Annotated[Path, typer.Argument(help="The key file; made if it is not there.")],
) -> None:
    """Put a new encryption key first into a key file; older keys stay in it for reading."""
    try:
        count = secret_keys.new_key(file)
    except SecretError as error:
        fail(str(error))
    except OSError as error:
        fail(f"{file} cannot be written: {error.strerror}")
    say(f"{file}: {count} key(s), the first encrypts. Keep a copy somewhere safe:")
    say("without it the ledger's secrets are lost. Name it as service.key_file.")
    if count > 1:
        say("Now run `bergen-loop secrets rotate`, then remove the older lines.")


@app.command("rotate")
def rotate(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Encrypt the ledger's secrets anew under the first key; all or none."""
    try:
        count = stores_of(config).vault.rotate(who=person())
    except SecretError as error:
        fail(str(error))
    say(f"{count} secret(s) are encrypted under the first key; older keys can go")


def stores_of(config: Path) -> SecretStores:
    """The stores that the configuration's service block names."""
    try:
        return load_service(config)[1]
    except ConfigError as error:
        fail(f"the configuration cannot be used:\n{error}", 2)
