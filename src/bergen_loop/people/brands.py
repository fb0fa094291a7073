"""What people may do to brands whose settings are kept in the ledger.

Every change is a new version with who, when and why; nothing takes effect that would not work:
settings are checked as those of the file are, criteria are loaded, and an access that changes is
tried before. The workers take a new version up at their next tick, on every machine.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from itertools import count
from pathlib import Path
from typing import Any, NoReturn, cast

from bergen_loop.config import BrandSettings, ConfigError, Problem
from bergen_loop.config.criteria import criteria
from bergen_loop.config.models import BRAND_ID
from bergen_loop.config.roster import source_of
from bergen_loop.config.source import check_brand
from bergen_loop.domain.words import What
from bergen_loop.ledger.database import Ledger, Session
from bergen_loop.ledger.store import brands as kept
from bergen_loop.ledger.store import modes, returns
from bergen_loop.ledger.store.brands import State, Version
from bergen_loop.ledger.transaction import transaction
from bergen_loop.outside import breaker
from bergen_loop.people import places
from bergen_loop.people.actions import NotPossible
from bergen_loop.secrets import SecretError, SecretStores

Block = dict[str, Any]
ACCESS = {"loop": ("loop.",), "rex11": ("rex11.", "warehouse")}
"""Which fields make an access, by system: a change of one is tried before it takes effect."""
RESERVED = ("new",)
HOME = ("warehouse", "rex11.web_address")
"""Where the brand's open RMAs are: not changed under them."""


@dataclass(frozen=True, slots=True)
class Change:
    """One field that differs between two versions, as texts for people; None: it is not there."""

    field: str
    before: str | None
    after: str | None

    def __str__(self) -> str:
        if self.before is None:
            return f"{self.field}: {self.after} added"
        if self.after is None:
            return f"{self.field}: {self.before} taken out"
        return f"{self.field}: {self.before} → {self.after}"


class Outdated(NotPossible):
    """Somebody else has changed the brand meanwhile: the message says who, when and what."""

    def __init__(self, seen: Version | None, now: Version) -> None:
        done = (
            f"version {now.version} was made by {now.made_by} at {now.made_at:%Y-%m-%d %H:%M} UTC"
        )
        changes = "; ".join(map(str, diff(seen.content if seen else {}, now.content)))
        what = "it was removed" if not now.active else changes or "no setting differs"
        super().__init__(
            f"brand {now.brand} has been changed meanwhile: {done} ({now.reason}): {what}. "
            "Look at it, then make your change again"
        )
        self.now = now


Attempt = Callable[[str, BrandSettings, Collection[str]], list[Problem]]
"""Tries the named accesses (`loop`, `rex11`) of a brand for real; what does not work."""


def untried(_brand: str, _settings: BrandSettings, _accesses: Collection[str]) -> list[Problem]:
    """An attempt that trusts: for who has tried already."""
    return []


@dataclass(frozen=True, slots=True)
class Act:
    """Who does something, and why."""

    who: str
    why: str
    attempt: Attempt = untried
    typed: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """Secrets given with it, by the reference that the settings name them by: kept once all is
    checked."""
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Further particulars for the journal, such as what checks found."""

    def __post_init__(self) -> None:
        if not self.why.strip():
            raise NotPossible("say why, for the journal: a change of a brand needs a reason")

    def of_accesses(self, block: Mapping[str, Any]) -> list[str]:
        """Of the secrets given with it, those that Loop or the warehouse is called with."""
        told = cast("Block", block.get("events") or {})
        return [reference for reference in self.typed if reference != told.get("secret")]


@dataclass(frozen=True, slots=True)
class Brands:
    """The brands of a ledger, and what people may do to them. All raise NotPossible, with the
    reason for a person; ConfigError for settings that cannot be used, field by field; and
    SecretError for secrets that cannot be kept. Nothing is changed then."""

    ledger: Ledger
    stores: SecretStores
    folder: Path
    """Where relative paths of settings start."""
    in_file: Collection[str] = ()
    """Brands that stand in the configuration file."""

    # -- looking -------------------------------------------------------------------------------

    def present(self, brand: str) -> Version:
        """The version that holds."""
        with self.ledger.read() as session:
            return self._present(session, brand)

    def version(self, brand: str, number: int) -> Version:
        """A version of its history."""
        return _numbered(self.history(brand), number)

    def history(self, brand: str) -> list[Version]:
        """All versions, the newest first."""
        with self.ledger.read() as session:
            found = kept.history(session, brand)
            if not found:
                self._unknown(session, brand)
            return found

    def export(self, brands: Collection[str] = ()) -> dict[str, Block]:
        """The blocks of these brands, or of all, as in the configuration file: secrets by
        reference only."""
        with self.ledger.read() as session:
            wanted = brands or [v.brand for v in kept.newest(session) if v.active]
            return {b: dict(self._present(session, b).content) for b in wanted}

    # -- changing ------------------------------------------------------------------------------

    def add(self, act: Act, brand: str, block: Mapping[str, Any]) -> Version:
        """A new brand, in shadow."""
        if not re.fullmatch(BRAND_ID, brand):
            raise NotPossible(
                f"{brand!r} is no id of a brand: up to 41 small letters, digits, - and _, "
                "such as acme or acme-shoes"
            )
        if brand in RESERVED:
            raise NotPossible(f"{brand!r} cannot be the id of a brand: the console's own pages "
                              "have this name; choose another one")  # fmt: skip
        self._not_in_file(brand)
        with self.ledger.read() as session:
            before = kept.newest_of(session, brand)
        if before is not None and before.active:
            raise NotPossible(
                f"there is a brand {brand} already, since {before.made_at:%Y-%m-%d} by "
                f"{before.made_by}: change it, or choose another id"
            )
        number = before.version if before else 0
        content = self._checked(act, brand, block, before)
        made = self._next(act, brand, number, content)
        self._write(act, made, before, What.BRAND_CONNECTED)
        return made

    def change(self, act: Act, brand: str, block: Mapping[str, Any], seen: int) -> Version:
        """Other settings, whole. `seen` is the version they were made from. The present version
        where nothing differs."""
        before = self._seen(brand, seen)
        if not diff(before.content, plain(block)) and not act.typed:
            return before
        made = self._next(act, brand, seen, self._checked(act, brand, block, before))
        self._write(act, made, before, What.BRAND_CHANGED)
        return made

    def roll_back(self, act: Act, brand: str, to: int, seen: int) -> Version:
        """The settings of an earlier version again, as a new version; a removed brand comes
        back by it."""
        found = self.history(brand)
        before, wanted = found[0], _numbered(found, to)
        if before.version != seen:
            raise Outdated(_of(found, seen), before)
        if before.active and not diff(before.content, wanted.content):
            raise NotPossible(f"version {to} has the settings that hold already")
        self._not_in_file(brand)
        content = self._checked(act, brand, wanted.content, before)
        made = self._next(act, brand, seen, content)
        self._write(act, made, before, What.BRAND_ROLLED_BACK, to=to)
        return made

    def remove(self, act: Act, brand: str, seen: int, *, anyway: bool = False) -> Version:
        """Do nothing more for a brand. Its returns, journal and settings stay in the ledger.
        Refused for a live brand, and (unless `anyway`) while calls are in doubt."""
        before = self._seen(brand, seen)
        with self.ledger.read() as session:
            mode = modes.effective(returns.known_brand(session, brand), modes.SHADOW)
            doubts = kept.calls_in_doubt(session, brand)
        if mode == modes.LIVE and brand not in self.in_file:
            raise NotPossible(f"brand {brand} is live: pause it first")
        if doubts and not anyway and brand not in self.in_file:
            raise NotPossible(
                f"it is not known yet what became of {doubts} call(s) of brand {brand}: resume it "
                "until they are settled (`bergen-loop status`), or remove it anyway; they are "
                "then followed by nobody"
            )
        made = self._next(act, brand, seen, dict(before.content), State.REMOVED)
        self._write(act, made, before, What.BRAND_REMOVED)
        return made

    def take_in(self, act: Act, brand: str, block: Mapping[str, Any]) -> Version:
        """Import a brand's block: added, or changed where it is there."""
        with self.ledger.read() as session:
            before = kept.newest_of(session, brand)
        if before is None or not before.active:
            return self.add(act, brand, block)
        return self.change(act, brand, block, before.version)

    # -- parts ---------------------------------------------------------------------------------

    def _seen(self, brand: str, seen: int) -> Version:
        found = self.history(brand)
        if found[0].version != seen:
            raise Outdated(_of(found, seen), found[0])
        if not found[0].active:
            raise NotPossible(f"brand {brand} was removed: roll it back to have it again")
        return found[0]

    def _present(self, session: Session, brand: str) -> Version:
        found = kept.newest_of(session, brand)
        if found is None or not found.active:
            self._unknown(session, brand)
        return found

    def _unknown(self, session: Session, brand: str) -> NoReturn:
        self._not_in_file(brand)
        known = ", ".join(v.brand for v in kept.newest(session) if v.active) or "none"
        raise NotPossible(f"the ledger has no brand {brand!r}; it has: {known}")

    def _not_in_file(self, brand: str) -> None:
        if brand in self.in_file:
            raise NotPossible(
                f"brand {brand} stands in the configuration file, which people keep elsewhere: "
                "it is changed there. To keep it in the ledger instead, take it out of the file "
                "and import it (`bergen-loop brands import`)"
            )

    def _checked(
        self, act: Act, brand: str, block: Mapping[str, Any], before: Version | None
    ) -> Block:
        """The block as it is to be kept: whatever would not work is refused here."""
        content: Block = plain(block)
        if content.pop("mode", modes.SHADOW) != modes.SHADOW:
            fix = f"leave it out; `bergen-loop brands mode {brand} ...` sets it"
            raise _problem("mode", "the mode does not stand in the settings", fix)
        places.check(content, before.content if before else {}, self.folder)
        source = source_of(brand, before.version + 1 if before else 1)
        settings = check_brand(content, self.stores.knowing(act.typed), source)
        criteria(brand, settings, self.folder)
        changes = diff(before.content, content) if before and before.active else None
        if changes is None or any(c.field == "loop.api_key" for c in changes):
            self._own_shop(brand, settings)
        self._keep_home(brand, changes)
        accesses = _accesses(changes, settings, act.of_accesses(content))
        if accesses and (wrong := act.attempt(brand, settings, accesses)):
            raise ConfigError(wrong)
        return content

    def _own_shop(self, brand: str, settings: BrandSettings) -> None:
        """Of two brands with one Loop key only one would be taken up: see `config.roster`."""
        with self.ledger.read() as session:
            others = [v for v in kept.newest(session) if v.active and v.brand != brand]
        mine = settings.loop.api_key.get_secret_value()
        for other in others:
            with suppress(SecretError):
                loop = cast("Block", other.content.get("loop") or {})
                if self.stores.get(str(loop.get("api_key"))) == mine:
                    one = f"it is the Loop key of brand {other.brand}: both would pay for the "
                    fix = "name the key of this brand's own shop, or remove the other brand"
                    raise _problem("loop.api_key", f"{one}same returns", fix)

    def _keep_home(self, brand: str, changes: list[Change] | None) -> None:
        moved = [c for c in changes or () if c.field in HOME]
        if not moved:
            return
        with self.ledger.read() as session:
            open_ = kept.open_rmas(session, brand)
        if open_:
            raise _problem(
                moved[0].field,
                f"{open_} RMA(s) of this brand are open where it is now: they would be lost",
                "let these end first",
            )

    def _next(
        self, act: Act, brand: str, seen: int, content: Block, state: State = State.ACTIVE
    ) -> Version:
        now = datetime.now(UTC)
        return Version(brand, seen + 1, state, content, now, act.who, act.why.strip())

    def _write(
        self, act: Act, made: Version, before: Version | None, what: What, to: int | None = None
    ) -> None:
        """Keep the secrets, then the version: with its journal entry, and so that the next tick
        takes it up at once."""
        for reference, secret in act.typed.items():
            self.stores.put(reference, secret, who=act.who)
        changes = diff(before.content if before else {}, made.content)
        with transaction(self.ledger, made.brand, made.made_at, made.made_by) as tx:
            if not kept.add(tx.session, made):
                raise Outdated(before, kept.history(tx.session, made.brand)[0])
            row = returns.brand_row(tx.session, made.brand)
            row.nudged_at = tx.now
            if not made.active:
                row.epoch += 1  # the fence: a tick that runs now can write no further intent
            data: dict[str, Any] = {
                "version": made.version,
                "changes": [[c.field, c.before, c.after] for c in changes],
                **act.data,
            }
            if to is not None:
                data["to"] = to
            tx.journal(what, made.reason, data=data)
            if before is not None and _accesses(changes, None, act.of_accesses(made.content)):
                breaker.reset(tx)


def diff(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """What differs between two blocks, field by field."""
    one, two = _fields(before), _fields(after)
    return [
        Change(name, _shown(one, name), _shown(two, name))
        for name in [*one, *(n for n in two if n not in one)]
        if name not in one or name not in two or json.dumps(one[name]) != json.dumps(two[name])
    ]


def _fields(block: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Every value by its whole name; an empty mapping is a value too."""
    found: dict[str, Any] = {}
    for key, value in block.items():
        if isinstance(value, Mapping) and value:
            found |= _fields(cast("Mapping[str, Any]", value), f"{path}{key}.")
        else:
            found[f"{path}{key}"] = value
    return found


def _shown(fields: Mapping[str, Any], name: str) -> str | None:
    if name not in fields:
        return None
    value = fields[name]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


LARGEST = 100_000
"""Parts of a block: a name in YAML may stand for ten parts of which each stands for ten."""


def plain(value: Any) -> Any:
    """A block as it is kept, of JSON's types only: times become texts, keys too. ConfigError
    for what cannot be kept."""
    return _plain(value, "", count(1))


def _plain(value: Any, path: str, parts: Iterator[int]) -> Any:
    if next(parts) > LARGEST:
        raise _problem("", f"it has more than {LARGEST} parts", "write less, or leave out aliases")
    if isinstance(value, Mapping):
        items = cast("Mapping[Any, Any]", value).items()
        return {str(k): _plain(v, f"{path}.{k}".lstrip("."), parts) for k, v in items}
    if isinstance(value, (list, tuple)):
        return [_plain(v, f"{path}[{n}]", parts) for n, v in enumerate(cast("list[Any]", value))]
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, str):
        if any(ch not in "\n\t" and not ch.isprintable() for ch in value):
            fix = "remove the control character"
            raise _problem(path, "a text here holds a character that cannot be kept", fix)
        return str(value)
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    raise _problem(path, f"a {type(value).__name__} cannot be kept", "write a text or a number")


def _accesses(
    changes: list[Change] | None, settings: BrandSettings | None, typed: Collection[str]
) -> frozenset[str]:
    """The accesses that are new or other than before. `changes`: None for a new brand."""
    found = {
        system
        for system, fields in ACCESS.items()
        if changes is None or any(c.field.startswith(fields) for c in changes)
    }
    if typed and not found:
        found = set(ACCESS)
    if settings is not None and settings.warehouse == "embedded":
        found.discard("rex11")
    return frozenset(found)


def _of(found: list[Version], number: int) -> Version | None:
    return next((v for v in found if v.version == number), None)


def _numbered(found: list[Version], number: int) -> Version:
    version = _of(found, number)
    if version is None:
        raise NotPossible(
            f"brand {found[0].brand} has no version {number}: it has 1 to {found[0].version}"
        )
    return version


def _problem(field_: str, message: str, fix: str) -> ConfigError:
    return ConfigError([Problem("(settings)", 1, 1, field_, message, fix)])


# -- pausing: of any brand, wherever its settings stand -----------------------------------------


def worked_in(session: Session, brand: str, configured: str) -> str:
    """The mode in which a paused brand worked last: live or shadow. NotPossible where it is not
    paused."""
    row = returns.known_brand(session, brand)
    if modes.effective(row, configured) != modes.PAUSED:
        raise NotPossible(f"brand {brand} is not paused")
    return (row.acted_mode if row else None) or modes.SHADOW
