"""Asking before what cannot be undone."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from bergen_loop.cli.output import fail

YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def sure(question: str, yes: bool) -> None:
    """Go on only if a person says so, or has said so with `--yes`; else the command ends, and
    nothing has been changed."""
    if yes:
        return
    if not interactive():
        fail(
            "this cannot be undone, and there is no terminal to ask at: nothing was changed. "
            "Repeat it with --yes if it is meant",
            2,
        )
    if not typer.confirm(question):
        fail("nothing was changed")


def interactive() -> bool:
    """Whether somebody is there to answer."""
    return sys.stdin.isatty()
