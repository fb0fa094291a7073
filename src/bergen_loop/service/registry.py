"""The brands of this process, connected when first needed."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from bergen_loop.config import BrandSettings, ConfigError, Problem, Settings
from bergen_loop.domain.words import Need
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.store import attention, modes, returns
from bergen_loop.ledger.tables.core import BrandRow
from bergen_loop.service import wiring as brands


class Registry:
    """Settings, ledger, and a context per brand. Thread-safe."""

    def __init__(self, settings: Settings, ledger: Ledger, folder: Path) -> None:
        """`folder` is where relative paths in the settings start."""
        self.settings = settings
        self.ledger = ledger
        self._folder = folder
        self._lock = threading.Lock()
        self._contexts: dict[str, BrandContext] = {}

    def __contains__(self, brand: str) -> bool:
        return brand in self.settings.brands

    def brand(self, brand: str) -> BrandSettings:
        """A brand's settings. KeyError for an unknown one."""
        return self.settings.brands[brand]

    def context(self, brand: str) -> BrandContext:
        """The brand's context, made at the first call. ConfigError, KeyError."""
        with self._lock:
            if brand not in self._contexts:
                self._contexts[brand] = brands.connect(
                    brand, self.settings.brands[brand], self.ledger, self._folder
                )
            return self._contexts[brand]

    def leave_out_broken(self, known: Mapping[str, list[Problem]]) -> dict[str, list[Problem]]:
        """Connect every brand; leave out those that cannot be, and put them on the attention
        list. `known` are brands that the configuration's check has left out already."""
        broken = dict(known)
        for brand in list(self.settings.brands):
            try:
                self.context(brand)
            except ConfigError as error:
                broken[brand] = error.problems
        usable = {b: s for b, s in self.settings.brands.items() if b not in broken}
        self.settings = self.settings.model_copy(update={"brands": usable})
        self._tell(broken)
        return broken

    def _tell(self, broken: Mapping[str, list[Problem]]) -> None:
        now = datetime.now(UTC)
        with self.ledger.write() as session:
            for brand, problems in broken.items():
                words = "; ".join(f"{p.field}: {p.message} ({p.fix})" for p in problems)
                attention.raise_item(
                    session,
                    now,
                    brand=brand,
                    kind=Need.CONFIGURATION,
                    subject="settings",
                    reason=f"this brand is left out, its settings cannot be used: {words}",
                )
            for brand in self.settings.brands:
                attention.resolve_kind(
                    session,
                    now,
                    brand=brand,
                    kind=Need.CONFIGURATION,
                    subject="settings",
                    resolution="its settings can be used",
                )

    def connect_all(self) -> None:
        """Connect every brand now, so that a mistake shows at start. ConfigError."""
        for brand in self.settings.brands:
            self.context(brand)

    def paused(self) -> set[str]:
        """Brands for which nothing is to be done."""
        rows = self._rows()
        return {
            brand
            for brand, settings in self.settings.brands.items()
            if modes.effective(rows.get(brand), settings.mode) == modes.PAUSED
        }

    def _rows(self) -> dict[str, BrandRow]:
        with self.ledger.read() as session:
            return returns.brand_rows(session)

    def behind(self, brand: str) -> bool:
        """Whether a brand is working off a backlog."""
        with self.ledger.read() as session:
            row = returns.known_brand(session, brand)
            return row is not None and brands.is_behind(row)

    def due(self, now: datetime) -> list[str]:
        """Brands that are to be synced now, the longest overdue first."""
        rows = self._rows()
        wanted: list[tuple[datetime, str]] = []
        for brand, settings in self.settings.brands.items():
            row = rows.get(brand)
            if modes.effective(row, settings.mode) == modes.PAUSED:
                continue
            if row is None:
                wanted.append((datetime.min.replace(tzinfo=now.tzinfo), brand))
            elif brands.is_due(now, row.next_due_at, row.nudged_at):
                wanted.append((row.nudged_at or row.next_due_at or now, brand))
        return [brand for _, brand in sorted(wanted)]
