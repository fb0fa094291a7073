"""What holds calls back: a system that does not answer, and a call that it refuses the brand.

- A *system* without an answer to `THRESHOLD` attempts in a row is called no more for `FIRST`; then
  one call is let through, and each that fails doubles the wait, up to `LONGEST`.
- A *call* of which the system says that the brand's credentials do not allow it is made no more
  for `FIRST_REFUSED`; then one is let through, and each that is refused doubles the wait, up to
  `LONGEST_REFUSED`. Other calls go on: a key may lack one right only.

Outcomes are judged by an error's scope alone. What is kept in the ledger is read at a tick's
start and written at its end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bergen_loop.domain.words import Need, What
from bergen_loop.ledger.database import Session
from bergen_loop.ledger.store import calls, returns
from bergen_loop.ledger.tables.core import BreakerRow
from bergen_loop.ledger.transaction import Transaction
from bergen_loop.outside.errors import Effect, OutsideError, Scope, Unauthorized, Unavailable
from bergen_loop.outside.http import Held

LOOP, REX11 = "loop", "rex11"
TITLES = {LOOP: "Loop", REX11: "REX11"}
THRESHOLD = 5
FIRST, LONGEST = timedelta(seconds=30), timedelta(minutes=15)
FIRST_REFUSED, LONGEST_REFUSED = timedelta(minutes=2), timedelta(hours=1)
NEEDLESS = timedelta(hours=2)
"""A refused call that nothing has made so long after it might have been is needed no more: what
waits for one makes it within an hour."""
NOT_NEEDED = "nothing has needed this call since it might be made again"
TELL_AFTER = timedelta(minutes=10)
"""A system suspended for so long is put on the attention list."""

_ASK = {
    LOOP: (
        "ask the brand's Loop admin for an API key with the scopes Returns (data, actions, "
        "grading), Developer Tools and Destinations (read); with Happy Returns also Happy Returns "
        "Shipments (read)"
    ),
    REX11: "ask Bergen for the brand's WebAddress, UserName and Password, and what they allow",
}


class Switch:
    """Closed, or open until a time at which one attempt is let through to see. Not thread-safe:
    its `Guard` is."""

    def __init__(self, threshold: int, first: timedelta, longest: timedelta) -> None:
        self._threshold, self._first, self._longest = threshold, first, longest
        self.failures = self.probes = 0
        self.opened_at: datetime | None = None
        self.open_until: datetime | None = None
        self.error: str | None = None
        self._probing_until: datetime | None = None

    def admit(self, now: datetime) -> bool:
        """Whether an attempt may be made; while it is open, one at a time."""
        if self.open_until is None:
            return True
        if now < self.open_until or (self._probing_until and now < self._probing_until):
            return False
        self._probing_until = now + self._first  # its outcome decides
        return True

    def suspended(self, now: datetime) -> bool:
        """Whether no attempt may be made at all."""
        return self.open_until is not None and now < self.open_until

    def failed(self, now: datetime, error: str) -> None:
        self.failures += 1
        self.error = error
        if self.opened_at is not None:
            if self._probing_until is None:
                return  # begun before it opened: says nothing new
            self.probes += 1
        elif self.failures < self._threshold:
            return
        self.opened_at = self.opened_at or now
        self.open_until = now + min(self._longest, self._first * 2 ** min(self.probes, 10))
        self._probing_until = None

    def untold(self) -> None:
        """The one that was let through says nothing: another may be."""
        self._probing_until = None

    def load(self, row: BreakerRow) -> None:
        self.failures, self.probes = row.failures, row.probes
        self.opened_at, self.open_until, self.error = row.opened_at, row.open_until, row.error

    def values(self) -> dict[str, object]:
        names = ("failures", "probes", "opened_at", "open_until", "error")
        return {name: getattr(self, name) for name in names}

    def next_try(self) -> str:
        if self._probing_until is not None or self.open_until is None:
            return "one is being tried"
        return f"the next try is at {self.open_until:%H:%M:%S} UTC"


_SAID = 200
"""Characters of the last error's words, which say what came instead of an answer."""


class Guard:
    """What holds back the calls to one system for one brand. Thread-safe."""

    def __init__(self, system: str) -> None:
        self.system = system
        self.now: Callable[[], datetime] = lambda: datetime.now(UTC)
        self._lock = threading.Lock()
        self._switch = _system_switch()
        self._refused: dict[str, Switch] = {}
        """By the name of the call."""
        self._answered = False

    def admit(self, call: str) -> None:
        """Before an attempt. Raises Held: as Unavailable or Unauthorized, nothing was sent."""
        with self._lock:
            now = self.now()
            refused = self._refused.get(call)
            if refused and refused.suspended(now):
                raise Held(Unauthorized, self._refusal(call, refused))
            if not self._switch.admit(now):
                raise Held(Unavailable, self._silence())
            if refused and not refused.admit(now):
                self._switch.untold()
                raise Held(Unauthorized, self._refusal(call, refused))

    def suspended(self) -> str | None:
        """Why the system is not to be called at all now; None where one may try."""
        with self._lock:
            return self._silence() if self._switch.suspended(self.now()) else None

    @property
    def answered(self) -> bool:
        """Whether the system has answered since this was loaded, as it should."""
        with self._lock:
            return self._answered

    def held_until(self, call: str) -> datetime | None:
        """Until when this call is not made, for it is refused to the brand; None: it may be."""
        with self._lock:
            refused = self._refused.get(call)
            return refused.open_until if refused and refused.suspended(self.now()) else None

    def attempted(self, call: str, error: OutsideError | None, seconds: float = 0.0) -> None:
        """An attempt has ended, with this error or well."""
        with self._lock:
            now = self.now()
            if error is not None and error.scope is Scope.SYSTEM and error.status != 429:
                came = f"{call} after {seconds:.0f} s: {error.message[:_SAID]}"
                self._switch.failed(now, came)
                if refused := self._refused.get(call):
                    refused.untold()
                return
            if self._switch.failures:  # an answer came, if not a nice one (429: the limiter's)
                self._switch = _system_switch()
            if error is not None and error.scope is Scope.ACCESS:
                refused = self._refused.setdefault(call, _call_switch())
                refused.failed(now, error.message)
            elif error is None or error.effect is Effect.REFUSED:
                self._answered = True
                self._refused.pop(call, None)
            elif refused := self._refused.get(call):
                refused.untold()

    def untold(self, call: str) -> None:
        """An attempt that was let through says nothing."""
        with self._lock:
            self._switch.untold()
            if refused := self._refused.get(call):
                refused.untold()

    def load(self, rows: Mapping[str, BreakerRow]) -> None:
        """Be as the ledger has it: rows by `BreakerRow.system`."""
        with self._lock:
            self._switch, self._refused, self._answered = _system_switch(), {}, False
            for key, row in rows.items():
                system, _, call = key.partition(":")
                if system != self.system:
                    continue
                switch = self._refused.setdefault(call, _call_switch()) if call else self._switch
                switch.load(row)

    def values(self) -> dict[str, dict[str, object]]:
        """What the ledger is to keep, by `BreakerRow.system`; nothing where all is well."""
        with self._lock:
            found = {f"{self.system}:{call}": x.values() for call, x in self._refused.items()}
            if self._switch.failures:
                found[self.system] = self._switch.values()
            return found

    def _silence(self) -> str:
        switch = self._switch
        return (
            f"calls to {TITLES[self.system]} are suspended, since {switch.failures} in a row got "
            f"no good answer ({switch.error}); {switch.next_try()}"
        )

    def _refusal(self, call: str, switch: Switch) -> str:
        return (
            f"{TITLES[self.system]} refuses this brand's access for {call} since "
            f"{switch.opened_at:%Y-%m-%d %H:%M} UTC ({switch.error}); {switch.next_try()}"
        )


def _system_switch() -> Switch:
    return Switch(THRESHOLD, FIRST, LONGEST)


def _call_switch() -> Switch:
    return Switch(1, FIRST_REFUSED, LONGEST_REFUSED)


@dataclass(slots=True, init=False)
class Breakers:
    """A brand's guards, and what of them the ledger knows."""

    loop: Guard
    rex11: Guard
    _known: set[str]

    def __init__(self) -> None:
        self.loop, self.rex11 = Guard(LOOP), Guard(REX11)
        self._known = set()

    def of(self, system: str) -> Guard:
        return self.loop if system == LOOP else self.rex11

    def use_clock(self, now: Callable[[], datetime]) -> None:
        """Have both go by this time."""
        self.loop.now = self.rex11.now = now

    def load(self, session: Session, brand: str) -> None:
        """At a tick's start."""
        self._be({row.system: row for row in calls.breakers_of(session, brand)})

    def be_well(self) -> None:
        """The same where the ledger is known to have nothing of them."""
        self._be({})

    def _be(self, rows: Mapping[str, BreakerRow]) -> None:
        self._known = set(rows)
        for guard in (self.loop, self.rex11):
            guard.load(rows)

    def save(self, tx: Transaction) -> None:
        """At a tick's end; people are told of what they need to know. What a person has reset
        meanwhile stays reset."""
        values = {**self.loop.values(), **self.rex11.values()}
        if not self._known and not values:
            return  # all was well when the tick began, and is now
        rows = {row.system: row for row in calls.breakers_of(tx.session, tx.brand)}
        reset_meanwhile = self._known - set(rows)
        values = {key: x for key, x in values.items() if key not in reset_meanwhile}
        needless = {key for key, x in values.items() if self._needless(key, x, tx.now)}
        values = {key: x for key, x in values.items() if key not in needless}
        if not rows and not values:
            return
        for key in set(rows) - set(values):
            _drop(tx, rows.pop(key), "it works again" if key not in needless else NOT_NEEDED)
        for key in sorted(values):
            was_open = key in rows and rows[key].opened_at is not None
            rows[key] = calls.keep_breaker(tx.session, tx.brand, key, values[key])
            _tell_open(tx, rows[key], was_open)
        for system in TITLES:
            refused = [row for key, row in rows.items() if key.startswith(f"{system}:")]
            _tell_refused(tx, system, refused)

    def _needless(self, key: str, values: Mapping[str, object], now: datetime) -> bool:
        """Whether a refused call is of no matter any more: what it was made for has settled by
        itself, so that nothing has tried it since it may be, though the system is there."""
        system, _, call = key.partition(":")
        until = values["open_until"]
        if not call or not isinstance(until, datetime) or not self.of(system).answered:
            return False
        return now - until >= NEEDLESS


def title(key: str) -> str:
    """`BreakerRow.system` for people: `Loop`, or `Loop process`."""
    system, _, call = key.partition(":")
    return f"{TITLES.get(system, system)} {call}".strip()


def reset(tx: Transaction) -> list[str]:
    """Make the brand's calls again at once, for a person says that the system is back or the
    access mended: the `BreakerRow.system`s that were suspended. The next tick, which is asked
    for, takes it up."""
    rows, why = calls.breakers_of(tx.session, tx.brand), f"reset by {tx.who}"
    for row in rows:
        _drop(tx, row, why)
    for system in TITLES:
        tx.resolve(Need.ACCESS, system, f"{why}: tried again")
    returns.brand_row(tx.session, tx.brand).nudged_at = tx.now
    return [row.system for row in rows if row.opened_at]


def try_now(tx: Transaction, system: str = "") -> list[str]:
    """Let one call through at once, of one system or of all that are held back for the brand; what
    comes of it decides. Unlike `reset` it does not claim that they are back: the incident goes on,
    from when it began, if they are not. The `BreakerRow.system`s concerned."""
    rows = [
        row
        for row in calls.breakers_of(tx.session, tx.brand)
        if row.opened_at and (not system or row.system.partition(":")[0] == system)
    ]
    for row in rows:
        row.open_until = tx.now
    if rows:
        titles = ", ".join(title(row.system) for row in rows)
        tx.journal(What.SYSTEM_TRIED, f"one call is let through: {titles}", data={"system": titles})
        returns.brand_row(tx.session, tx.brand).nudged_at = tx.now
    return [row.system for row in rows]


def _drop(tx: Transaction, row: BreakerRow, why: str) -> None:
    calls.drop_breaker(tx.session, row)
    if row.opened_at is None:
        return
    tx.journal(What.SYSTEM_CALLED_AGAIN, why, data={"system": title(row.system)})
    if row.system in TITLES:
        tx.resolve(Need.UNREACHABLE, row.system, why)


def _tell_open(tx: Transaction, row: BreakerRow, was_open: bool) -> None:
    if row.opened_at is None:
        return
    why = _why(row)
    if not was_open:
        tx.journal(What.SYSTEM_SUSPENDED, why, data={"system": title(row.system)})
    if row.system in TITLES and tx.now - row.opened_at >= TELL_AFTER:
        tx.needs_person(
            Need.UNREACHABLE,
            f"{why}; it is tried again from time to time. If it is back, "
            f"`bergen-loop breaker reset {tx.brand}` tries at once",
            row.system,
            f"{row.probes} further call(s) since {row.opened_at:%Y-%m-%d %H:%M} UTC",
        )


def _why(row: BreakerRow) -> str:
    system, _, call = row.system.partition(":")
    if call:
        return f"{TITLES[system]} refuses this brand's access for {call}: {row.error}"
    return f"{TITLES[system]} gave no good answer {row.failures} times in a row: {row.error}"


def _tell_refused(tx: Transaction, system: str, refused: list[BreakerRow]) -> None:
    """One item for all that a system refuses the brand, or none any more."""
    if not refused:
        tx.resolve(Need.ACCESS, system, "it works again, or nothing needs it any more")
        return
    tx.needs_person(
        Need.ACCESS,
        "; ".join(_refusals(system, refused)),
        system,
        "each is tried again from time to time, and goes on by itself when it works; "
        f"`bergen-loop breaker reset {tx.brand}` tries at once",
    )


def _refusals(system: str, refused: list[BreakerRow]) -> Iterator[str]:
    names = ", ".join(row.system.partition(":")[2] for row in refused)
    yield f"{TITLES[system]} refuses this brand's access for {names}"
    yield from dict.fromkeys(row.error for row in refused if row.error)
    yield _ASK[system]
