"""Every brand there is: those of the configuration file, and those that are kept in the ledger.

The file is for who keeps configuration in a repository: its brands win, and nothing but a change
of the file changes them. The others are added to them. The service's own settings stand in the
file only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bergen_loop.config.criteria import file_of
from bergen_loop.config.errors import ConfigError, Problem
from bergen_loop.config.models import BrandSettings, Settings
from bergen_loop.config.source import brands_in, check_brand, load_service, load_usable, stores_at
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.store import brands as kept
from bergen_loop.ledger.store import modes
from bergen_loop.ledger.store.brands import Stamp, Version
from bergen_loop.secrets import SecretStores


@dataclass(frozen=True, slots=True)
class Found:
    """All brands at one moment."""

    settings: Settings
    """With every brand that can be used."""
    broken: dict[str, list[Problem]] = field(default_factory=dict[str, list[Problem]])
    """What is wrong with the others."""
    versions: dict[str, Version] = field(default_factory=dict[str, Version])
    """Of each brand that is kept in the ledger and not in the file."""
    doubled: tuple[str, ...] = ()
    """Brands that stand in the file and in the ledger."""
    twins: frozenset[str] = frozenset()
    """Of the broken ones, those that have another's Loop key: they do not go on as they were."""


Filed = tuple[Settings, dict[str, list[Problem]]]
"""What a file says: settings without the brands that cannot be used, and what is wrong with
those."""


class Roster:
    """Where the brands are looked for."""

    def __init__(self, file: Path, *, needed: bool = True) -> None:
        """`needed`: whether the file must be there; without it all settings are the defaults."""
        self.file = file
        self.folder = file.resolve().parent
        self._needed = needed
        self._watched: tuple[Path, ...] = (file,)

    def service(self) -> Settings:
        """The file alone, without the brands that cannot be used. ConfigError."""
        return self.read()[0]

    def load(self, ledger: Ledger, read: Filed | None = None) -> Found:
        """All brands; `read`: what has just been `read`, which is not read again. ConfigError
        where the file as a whole cannot be used; what is wrong with a single brand is its own."""
        settings, broken = read or self.read()
        filed = {b: _asked(one) for b, one in settings.brands.items()}
        mine = {*settings.brands, *broken}
        with ledger.read() as session:
            versions = kept.newest(session) if kept.kept(session) else []
        active = {v.brand: v for v in versions if v.active}
        doubled = tuple(sorted(mine & active.keys()))
        added: dict[str, BrandSettings] = {}
        stores = self.stores()
        for brand, version in active.items():
            if brand in mine:
                continue
            try:
                added[brand] = checked(version, stores)
            except ConfigError as error:
                broken[brand] = error.problems
        brands = {**filed, **added}
        twins = _twins(ledger, brands, filed)
        for brand, other in twins.items():
            broken[brand] = [_one_shop(brand, other)]
        watched = brands
        brands = {b: one for b, one in brands.items() if b not in twins}
        self._watched = (self.file, *_files(watched.values(), self.folder))
        found = {b: v for b, v in active.items() if b not in mine}
        settings = settings.model_copy(update={"brands": brands})
        return Found(settings, broken, found, doubled, frozenset(twins))

    def stamp(self, ledger: Ledger) -> tuple[Stamp, tuple[object, ...]]:
        """What differs as soon as anything has changed that `load` reads: one query, and a look
        at the files' dates."""
        with ledger.read() as session:
            in_ledger = kept.stamp(session)
        return in_ledger, tuple(_seen(path) for path in self._watched)

    def in_file(self) -> frozenset[str]:
        """The brands that the file names, whether they can be used or not. ConfigError."""
        return brands_in(self.file) if self._there() else frozenset()

    def stores(self) -> SecretStores:
        """The stores of secrets, read anew. ConfigError."""
        return load_service(self.file)[1] if self._there() else stores_at(self.folder)

    def _there(self) -> bool:
        return self._needed or self.file.exists()

    def read(self) -> Filed:
        """The file alone. ConfigError."""
        return load_usable(self.file) if self._there() else (Settings(), {})


def _asked(one: BrandSettings) -> BrandSettings:
    """As a file says it: its `live` is a wish for a brand that has been in shadow."""
    return one.model_copy(update={"mode": modes.as_filed(one.mode)})


def checked(version: Version, stores: SecretStores) -> BrandSettings:
    """A version's settings with their secrets. ConfigError."""
    source = source_of(version.brand, version.version)
    return check_brand(version.content, stores, source, in_use=True)


def source_of(brand: str, version: int) -> str:
    """How messages name a brand's settings in the ledger."""
    return f"brand {brand}, version {version} in the ledger"


def said_twice(brand: str) -> str:
    """What to do about a brand that stands in the file and in the ledger."""
    return (
        f"brand {brand} stands in the configuration file and in the ledger: the file's settings "
        "hold. Remove it from the file, or from the ledger with "
        f"`bergen-loop brands remove {brand} --reason ...`"
    )


def _twins(
    ledger: Ledger, brands: Mapping[str, BrandSettings], filed: Collection[str]
) -> dict[str, str]:
    """Brands that have the Loop key of another one, which goes before them: of one shop's returns
    both would make RMAs, and both would pay. Whose returns are known goes before one without; then
    the file's; then the one that was there first."""
    by_key: dict[str, list[str]] = {}
    for brand, one in brands.items():
        by_key.setdefault(one.loop.api_key.get_secret_value(), []).append(brand)
    found: dict[str, str] = {}
    for alike in (names for names in by_key.values() if len(names) > 1):
        with ledger.read() as session:
            ranks = {b: (not kept.any_return(session, b), b not in filed,
                         *(v.made_at for v in kept.history(session, b)[-1:] if b not in filed))
                     for b in alike}  # fmt: skip
        first, *others = sorted(alike, key=lambda b: ranks[b])
        found |= dict.fromkeys(others, first)
    return found


def _one_shop(brand: str, other: str) -> Problem:
    return Problem(
        f"brand {brand}", 1, 1, f"brands.{brand}.loop.api_key",
        f"it is the Loop key of brand {other}: both would pay for the same returns",
        "name the key of this brand's own shop, or remove one of the two",
    )  # fmt: skip


def _files(brands: Iterable[BrandSettings], folder: Path) -> list[Path]:
    """What else the brands' settings are read from."""
    found: set[Path] = set()
    for one in brands:
        if (criteria := file_of(one, folder)) is not None:
            found.add(criteria)
        if one.kits_file is not None:
            found.add(folder / one.kits_file.path)
    return sorted(found)


def _seen(path: Path) -> tuple[int, int, int] | None:
    try:
        seen = path.stat()
    except OSError:
        return None
    return seen.st_mtime_ns, seen.st_size, seen.st_ino


def as_seen(brands: Mapping[str, BrandSettings], folder: Path) -> dict[str, object]:
    """What of each brand makes a new connection needed when it differs."""
    return {
        brand: (one, _seen(path) if (path := file_of(one, folder)) else None)
        for brand, one in brands.items()
    }
