"""Bars in the terminal for long pulls, while the tick that pulls keeps its own thread."""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from rich.progress import Progress, TaskID

from bergen_loop.console import words
from bergen_loop.ledger.database import Ledger, LedgerError
from bergen_loop.ledger.store import cursors

EVERY = 0.5
"""Seconds between two looks at the ledger."""


@contextmanager
def history(progress: Progress, ledger: Ledger, brands: Sequence[str]) -> Generator[None]:
    """A bar for each of these brands that is in a long pull, as long as it is. Nothing is looked
    at where `progress` shows nothing."""
    if progress.disable:
        yield
        return
    bars, over = Bars(progress, ledger, brands), threading.Event()

    def watch() -> None:
        while not over.wait(EVERY):
            bars.look()

    thread = threading.Thread(target=watch, name="history", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class Bars:
    """The bars of some brands, one each while it is in a long pull."""

    def __init__(self, progress: Progress, ledger: Ledger, brands: Sequence[str]) -> None:
        self._progress, self._ledger, self._brands = progress, ledger, brands
        self._tasks: dict[str, TaskID] = {}

    def look(self) -> None:
        """Show how far they are now. Where the ledger does not answer, the next look may."""
        try:
            with self._ledger.read() as session:
                pulls = cursors.pulls_under_way(session, self._brands, datetime.now(UTC))
        except LedgerError:
            return
        for brand in self._tasks.keys() - pulls.keys():
            self._progress.remove_task(self._tasks.pop(brand))
        for brand, pull in pulls.items():
            if brand not in self._tasks:
                self._tasks[brand] = self._progress.add_task("", total=1.0)
            text = f"{brand}: {words.history(pull)}"
            self._progress.update(self._tasks[brand], completed=pull.share, description=text)
