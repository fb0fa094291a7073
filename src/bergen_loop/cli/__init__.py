"""The command line: `bergen-loop`."""

from bergen_loop.cli.main import main

__all__ = ["main"]
