"""The brands of this process, connected when first needed."""

from __future__ import annotations

import math
import threading
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import structlog

from bergen_loop.config import BrandSettings, ConfigError, Problem, Settings
from bergen_loop.config.operations import EventSettings
from bergen_loop.config.roster import Found, Roster, as_seen, said_twice
from bergen_loop.domain.words import Need
from bergen_loop.flow.context import AHEAD, BrandContext
from bergen_loop.ledger.database import Ledger, Session
from bergen_loop.ledger.store import attention, modes, returns
from bergen_loop.ledger.store.brands import Version
from bergen_loop.ledger.tables.core import BrandRow
from bergen_loop.outside.budget import change_limit
from bergen_loop.service import wiring as brands

log = structlog.get_logger()

AGAIN = 60.0
"""Seconds after which it is tried anew to use settings that could not be used: what is wrong may
be a secret that was not there."""


class Registry:
    """Settings, ledger, and a context per brand. Thread-safe.

    With a roster, brands come and go while it runs: `look` takes up what has changed in the file
    or in the ledger. It is called before every tick, on every machine, so that a tick begins with
    what holds, and keeps it to its end; and by pages now and then.
    """

    def __init__(
        self, settings: Settings, ledger: Ledger, folder: Path, roster: Roster | None = None
    ) -> None:
        """`folder` is where relative paths in the settings start. Without `roster` the settings
        never change."""
        self.ledger = ledger
        self.roster = roster
        self.settings = settings
        self.folder = folder
        self._lock = threading.RLock()
        self._contexts: dict[str, BrandContext] = {}
        self._versions: dict[str, Version] = {}
        self._known = dict(settings.brands)
        """Every brand there has been: who is about to read one that is removed may do so."""
        self._as_seen: dict[str, object] = {}
        self._stamp: object = None
        self._looked = -math.inf
        self._begun: frozenset[str] = frozenset()
        """Brands that the ledger remembers something of: of the others it is asked each time."""
        self._again_at = math.inf

    def __contains__(self, brand: str) -> bool:
        return brand in self.settings.brands

    def brand(self, brand: str) -> BrandSettings:
        """A brand's settings. KeyError for an unknown one."""
        return self._known[brand]

    def version(self, brand: str) -> Version | None:
        """The version of its settings in the ledger; None for a brand of the file."""
        return self._versions.get(brand)

    def context(self, brand: str) -> BrandContext:
        """The brand's context, made at the first call and whenever its settings have changed.
        ConfigError, KeyError."""
        with self._lock:
            if brand not in self._contexts:
                settings = self.settings.brands[brand]
                self._contexts[brand] = brands.connect(brand, settings, self.ledger, self.folder)
            return self._contexts[brand]

    def look(self, *, within: float = 0.0) -> None:
        """Take up what has changed of the brands; not again if it has been looked within so many
        seconds. What cannot be used changes nothing: a brand goes on with the settings it had,
        and a person is told. Not to be called inside a transaction, for it may write."""
        if self.roster is None or time.monotonic() - self._looked < within:
            return
        with self._lock:
            self._looked = time.monotonic()
            stamp = self.roster.stamp(self.ledger)
            if stamp == self._stamp and self._looked < self._again_at:
                return
            self._again_at = math.inf
            try:
                if self.take(self.roster.load(self.ledger)):
                    self._again_at = self._looked + AGAIN
            except ConfigError as error:
                log.error("the configuration stays as it was", problems=str(error))
            self._stamp = stamp

    def take(self, found: Found) -> dict[str, list[Problem]]:
        """Go on with these brands. What is wrong with those that cannot be used is put on the
        attention list and returned; of these, those that worked before stay as they were."""
        with self._lock:
            usable, broken = dict(found.settings.brands), dict(found.broken)
            before, seen = self.settings.brands, as_seen(usable, self.folder)
            self._change_limits(usable.values())
            for brand in list(usable):
                if seen[brand] == self._as_seen.get(brand) and brand in before:
                    usable[brand] = before[brand]
                    continue
                try:
                    made = brands.connect(brand, usable[brand], self.ledger, self.folder)
                except ConfigError as error:
                    broken[brand] = error.problems
                    del usable[brand]
                    continue
                self._contexts[brand] = made
                log.info("brand taken up", brand=brand)
            going_on = [b for b in broken if b in self._contexts and b not in found.twins]
            usable |= {b: before[b] for b in going_on if b in before}
            for brand in [b for b in self._contexts if b not in usable]:
                del self._contexts[brand]
                log.info("brand left", brand=brand)
            self._as_seen = {b: one for b, one in seen.items() if b in usable and b not in broken}
            self._versions = dict(found.versions)
            self._known |= usable
            self.settings = self.settings.model_copy(update={"brands": usable})
            self._tell(broken, found.doubled)
            return broken

    def _change_limits(self, settings: Iterable[BrandSettings]) -> None:
        """Loop's limit is of the key: another one holds at once, unless brands that share the
        key say different things."""
        limits: dict[str, set[int]] = defaultdict(set)
        for one in settings:
            limits[one.loop.api_key.get_secret_value()].add(one.loop.calls_per_minute)
        for key, said in limits.items():
            if len(said) == 1:
                change_limit(self.ledger, key, said.pop())

    def _tell(self, broken: Mapping[str, list[Problem]], doubled: Collection[str]) -> None:
        now = datetime.now(UTC)
        with self.ledger.write() as session:
            for brand, problems in broken.items():
                words = "; ".join(f"{p.field}: {p.message} ({p.fix})" for p in problems)
                held = "goes on with its former settings, for the new ones"
                left = held if brand in self.settings.brands else "is left out, its settings"
                reason = f"this brand {left} cannot be used: {words}"
                _raise(session, now, brand, "settings", reason)
            for brand in doubled:
                _raise(session, now, brand, "doubled", said_twice(brand))
            open_ = attention.open_of_kind(session, Need.CONFIGURATION)
            for brand, subject in open_:
                fine = brand not in (broken if subject == "settings" else doubled)
                if fine and subject in ("settings", "doubled"):
                    attention.resolve_kinds(
                        session,
                        now,
                        brand=brand,
                        about=[(Need.CONFIGURATION, subject)],
                        resolution="its settings can be used",
                    )

    def connect_all(self) -> None:
        """Connect every brand now, so that a mistake shows at start. ConfigError."""
        for brand in self.settings.brands:
            self.context(brand)

    def endpoints(self) -> dict[str, EventSettings]:
        """Where the brands' own systems are told of their returns, by brand: of now, for what is
        read of the journal is told to those that are known then."""
        self.look()
        return {b: one.events for b, one in self.settings.brands.items() if one.events}

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
        return list(self.due_rows(now))

    def due_rows(self, now: datetime) -> dict[str, BrandRow | None]:
        """The same, with what is remembered of each; None: nothing yet."""
        self.look()
        all_begun = self._begun.issuperset(self.settings.brands)
        polls = (p for s in self.settings.brands.values() for p in (s.poll, s.poll_max))
        latest = now + max(polls, default=AHEAD) + AHEAD  # later only by a clock that was ahead
        with self.ledger.read() as session:
            rows = returns.brand_rows(session, due=now if all_begun else None, latest=latest)
        if not all_begun:
            self._begun = frozenset(rows)
        wanted: list[tuple[datetime, str]] = []
        for brand, settings in self.settings.brands.items():
            row = rows.get(brand)
            if row is None and brand in self._begun:
                continue
            if modes.effective(row, settings.mode) == modes.PAUSED:
                continue
            if row is None:
                wanted.append((datetime.min.replace(tzinfo=now.tzinfo), brand))
            elif brands.is_due(now, row.next_due_at, row.nudged_at) or (
                row.next_due_at and row.next_due_at > latest
            ):
                wanted.append((row.nudged_at or row.next_due_at or now, brand))
        return {brand: rows.get(brand) for _, brand in sorted(wanted)}


def _raise(session: Session, now: datetime, brand: str, subject: str, reason: str) -> None:
    attention.raise_item(
        session,
        now,
        attention.Matter(brand=brand, kind=Need.CONFIGURATION, about=subject, reason=reason),
    )
