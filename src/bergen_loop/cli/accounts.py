"""`bergen-loop accounts ...`: for the day nobody who may manage accounts gets in."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from bergen_loop.cli.output import console, fail, table, when
from bergen_loop.cli.setup import DEFAULT_CONFIG, ConfigOption, open_ledger, person, settings_of
from bergen_loop.console import passwords
from bergen_loop.ledger.read import people

app = typer.Typer(no_args_is_help=True, help="Accounts of the console, for the day nobody gets in.")


@app.command("list")
def list_accounts(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Show all accounts."""
    with open_ledger(settings_of(config)).read() as session:
        found = people.users(session)
    rows = [
        (u.name, u.role.replace("_", " "), people.brands_in_words(u.brands),
         "yes" if u.active else "no", "yes" if u.totp_secret else "no", when(u.signed_in_at))
        for u in found
    ]  # fmt: skip
    columns = ["name", "role", "brands", "may sign in", "second factor", "last here (UTC)"]
    console.print(table("Accounts", columns, rows))


@app.command("reset")
def reset(
    name: Annotated[str, typer.Argument(help="The account's name, as `accounts list` shows it.")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Give an account a new password, shown once, and take its second factor away."""
    password = passwords.issued()
    hash_, by = passwords.hashed(password), person()
    with open_ledger(settings_of(config)).write() as session:
        user = people.user_named(session, name)
        if user is None or user.password_hash is None:
            fail(f"there is no account {name!r} that signs in with a password here", 2)
        deed = people.Deed(session, datetime.now(UTC), by)
        if user.totp_secret:
            people.remove_second_factor(deed, user)
        people.set_password(deed, user, hash_, issued=True)
    told = f"{password}\nUse it within seven days; it is changed at the first sign-in."
    console.print(told)
