"""A brand's real flows over a real ledger against a sandbox, with one clock for all of them.

`Stage.tick` is one sync. A fuse may kill it half-way; then everything but the ledger's file is
dropped and made anew, as a restart does; a ledger in PostgreSQL as well.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from reliability_fuse import CrashNow, Fuse, MortalLedger
from reliability_wire import ROOT, DirectTransport

from bergen_loop.config import BrandSettings
from bergen_loop.console import webhooks
from bergen_loop.domain.criteria import load_criteria
from bergen_loop.flow import tick
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.database import Ledger
from bergen_loop.outside.http import Around, SlidingWindowLimiter
from bergen_loop.outside.loop.client import LoopClient, LoopConfig
from bergen_loop.outside.warehouse.rex11 import Rex11Config, Rex11Warehouse
from bergen_loop.outside.warehouse.rex11.config import Retries as Rex11Retries
from loop_sandbox import ManualClock, SandboxWorld, Settings
from loop_sandbox.model import LoopReturn, Ticket
from loop_sandbox.webhooks import Delivery
from support import brands
from support.ledgers import template
from support.postgres import Cluster
from support.wires import over

START = datetime(2026, 11, 20, 15, 30, tzinfo=UTC)
BRAND = "northpine"
CRITERIA = """\
name: reliability
rules:
  - name: damaged
    when: receipt.damaged > 0
    then:
      flag: {reason: damaged, note: "Warehouse found damage. {problems}"}
  - name: unexpected
    when: receipt.wrong > 0 || receipt.extra > 0
    then:
      flag: {reason: unexpected items, note: "Other items than announced. {problems}"}
  - name: open
    when: receipt.open_tickets > 0
    then:
      wait:
        for: 2h
        then:
          flag: {reason: parcel overdue, note: "A parcel is missing. {problems}"}
  - name: complete
    when: receipt.complete
    then: process
  - name: short
    when: receipt.short > 0
    then:
      wait:
        for: 2h
        then:
          remove_lines: {select: [short]}
"""


class File:
    """Where a ledger stays when everything else is dropped: a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / "ledger.db"
        self.url = f"sqlite:///{self._path}"
        if not self._path.exists():
            shutil.copy(template(), self._path)

    def lose(self) -> None:
        """Begin with an empty one."""
        for old in self._path.parent.glob("ledger.db*"):
            if old.is_dir():
                shutil.rmtree(old)
            else:
                old.unlink()
        shutil.copy(template(), self._path)


class Server:
    """The same in a cluster of PostgreSQL's."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.url = cluster.new_ledger()

    def lose(self) -> None:
        """Begin with an empty one."""
        self._cluster.drop(self.url)
        self.url = self._cluster.new_ledger()

    def close(self) -> None:
        """Throw it away."""
        self._cluster.drop(self.url)


class Stage:
    """One brand on its stage: sandbox, ledger, clock."""

    def __init__(
        self,
        folder: Path,
        seed: int = 7,
        *,
        returns: int = 0,
        concurrency: int = 4,
        url: str | None = None,
        world: SandboxWorld | None = None,
        brand_changes: dict[str, Any] | None = None,
        place: File | Server | None = None,
        **settings: Any,
    ) -> None:
        """`url`: talk to the world over sockets there instead of directly."""
        self.clock = ManualClock(START)
        if world:
            assert isinstance(world.clock, ManualClock)
            self.clock = world.clock
        quick: dict[str, Any] = {
            "hang_seconds": 0.01,
            "late_label_share": 0.0,
            "import_seconds": 30.0,
        }
        self.world = world or SandboxWorld(
            seed,
            returns,
            clock=self.clock,
            settings=Settings(**(quick | settings)),
            sender=self._deliver,
        )
        self.brand = self.world.brands[BRAND]
        self.url = url
        self.skew = timedelta(0)
        self.settings = _settings(self.brand, concurrency, url or ROOT, brand_changes or {})
        self.criteria = load_criteria(CRITERIA, source="reliability.yaml")
        self.kills = 0
        self.ticks = 0
        self.lost_ledgers = 0
        self.turn = 0
        """Number of points passed when the scene took its turn."""
        self.last: dict[str, str] = {}
        """Steps of the last tick that failed."""
        self.unreachable: set[str] = set()
        """Calls that find no connection: certainly not carried out."""
        self.by_hand: set[str] = set()
        """Returns that a person decided about."""
        self.needless: set[str] = set()
        """Tickets that the warehouse has taken up again although they had been replaced."""
        self.bugs: list[str] = []
        """Steps that failed for another reason than what Loop or REX11 did."""
        self.place = place or File(folder)
        self.ctx = self._connect()

    # The service

    def now(self) -> datetime:
        """The service's clock."""
        return self.clock.now() + self.skew

    def _connect(self) -> BrandContext:
        fuse = Fuse()
        ledger = MortalLedger(self.place.url, pool_size=8)
        point: Callable[[str], None] = lambda name: self.fuse(name)  # noqa: E731
        ledger.fuse = point
        self.fuse = fuse
        clock = self.clock
        direct = over(DirectTransport(self.world, point, self.unreachable))
        transport = None if self.url else direct
        seconds = functools.partial(_monotonic, clock)
        warehouse = Rex11Warehouse(
            BRAND,
            Rex11Config(
                endpoint=self.settings.rex11.endpoint,
                web_address=self.brand.web_address,
                user_name=self.brand.user_name,
                password=self.brand.password,
                retries=Rex11Retries(attempts=3, first_wait=0.0, longest_wait=0.0, jitter=0.0),
            ),
            around=Around(transport=transport),
        )
        return BrandContext(
            brand=BRAND,
            settings=self.settings,
            ledger=ledger,
            loop=LoopClient(
                brand=BRAND,
                api_key=self.brand.loop_key,
                config=LoopConfig(base_url=self.settings.loop.base_url),
                around=Around(
                    limiter=SlidingWindowLimiter(300, clock=seconds, sleep=clock.advance),
                    transport=transport,
                    sleep=clock.advance,
                    monotonic=seconds,
                    now=self.now,
                ),
            ),
            warehouse=warehouse,
            criteria=self.criteria,
            now=self.now,
            boundary=point,
        )

    def restart(self) -> None:
        """Drop everything in memory; only the ledger's file stays."""
        self.close()
        self.ctx = self._connect()

    def close(self) -> None:
        self.ctx.ledger.close()

    def tick(self, fuse: Fuse | None = None, *, after: float = 30.0) -> bool:
        """One sync, `after` seconds after the last; False if the fuse killed it."""
        self.clock.advance(after)
        self.world.run_due()
        self.world.webhooks.flush()
        self.ticks += 1
        self.fuse = fuse if fuse and fuse.blown is None else Fuse()
        try:
            results = tick.run(self.ctx)
        except CrashNow:
            self.kills += 1
            self.restart()
            return False
        self.last = {name: r["error"] for name, r in results.items() if "error" in r}
        self.bugs += [
            f"{name}: {error}"
            for name, error in self.last.items()
            if not error.startswith(("Loop ", "REX11 ", "the ledger was restored"))
        ]
        return True

    def act(self, work: Callable[[BrandContext], object], fuse: Fuse | None = None) -> bool:
        """Some other piece of work under a fuse, such as a reconcile."""
        self.fuse = fuse if fuse and fuse.blown is None else Fuse()
        try:
            work(self.ctx)
        except CrashNow:
            self.kills += 1
            self.restart()
            return False
        return True

    def rest(self) -> None:
        """Tick until nothing more can happen by itself: every wait of ours passes."""
        self.world.faults.clear()
        for after in QUIET:
            self.tick(after=after)

    def fresh_ledger(self) -> None:
        """Lose the ledger."""
        self.world.webhooks.flush()
        self.lost_ledgers += 1
        self.close()
        self.place.lose()
        self.ctx = self._connect()

    # The outside

    def new_return(self, **kwargs: Any) -> LoopReturn:
        return self.world.new_return(BRAND, **kwargs)

    def control(self, path: str, **values: Any) -> dict[str, Any]:
        """A call of the sandbox's control side; its error becomes a ValueError."""
        import json

        from loop_sandbox.control import handle_control
        from loop_sandbox.wire import WireRequest

        body = json.dumps(values).encode()
        out = handle_control(self.world, WireRequest("POST", f"/{path}", body=body))
        answer = json.loads(out.answer.body)
        if out.answer.status >= 300:
            raise ValueError(answer["error"])
        return answer

    def fault(self, system: str, kind: str, **rule: Any) -> None:
        self.control("faults", system=system, kind=kind, **rule)

    def tickets(self, return_id: str | None = None) -> list[Ticket]:
        return [
            t for t in self.brand.tickets.values() if return_id is None or t.return_id == return_id
        ]

    def parcel(self, return_: LoopReturn, kind: str) -> None:
        """The parcel of a return comes, if it has a Draft ticket."""
        with suppress(ValueError):
            self.control("parcels", **{"return": return_.id, "kind": kind})

    def _deliver(self, item: Delivery) -> str:
        """A webhook reaches the service's real endpoint code, in a process of its own."""
        ledger = Ledger(self.place.url)
        try:
            taken = webhooks._take(  # pyright: ignore[reportPrivateUsage]
                _Brands(self.settings, ledger),  # type: ignore[arg-type]
                BRAND,
                item.body,
                item.signature,
            )
        except Exception as error:
            self.bugs.append(f"webhook {item.trigger}: {error!r}")
            raise
        finally:
            ledger.close()
        return str(taken.status)


QUIET = (5.0, 30.0, 60.0, 90.0, 180.0, 960.0, 960.0, 30.0, 3700.0, 30.0, 3700.0, 30.0, 960.0, 960.0,
         3700.0, 30.0, 300.0, 960.0, 960.0, 3700.0, 300.0, 30.0)  # fmt: skip


class _Brands:
    """What the webhook endpoint needs of a registry."""

    def __init__(self, settings: BrandSettings, ledger: Ledger) -> None:
        self._settings = settings
        self.ledger = ledger

    def __contains__(self, brand: str) -> bool:
        return brand == BRAND

    def brand(self, _brand: str) -> BrandSettings:
        return self._settings


def _monotonic(clock: ManualClock) -> float:
    return clock.now().timestamp()


def _settings(brand: Any, concurrency: int, root: str, changes: dict[str, Any]) -> BrandSettings:
    given = brands.of_sandbox(
        brand,
        root,
        loop={"page_size": 3},
        announce={"label_wait": "60s"},
        settle={"concurrency": concurrency},
    )
    return brands.changed(given, **changes)
