"""What a return costs the service, step by step: processor time, statements, commits, documents.

python -m bench.cost [--returns 400] [--profile FILE]

Everything is in one process: the clients' transport calls straight into the sandbox, whose own
processor time is taken off. So nothing here is wall time, and other work on the machine disturbs
the figures little.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import tempfile
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy import event

from bench.report import Section, median, section
from bench.rig import ANNOUNCE, BRAND, NO_LIMIT, quiet
from bergen_loop.config import BrandSettings
from bergen_loop.domain.criteria import preset
from bergen_loop.flow import tick
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger import codec
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.tables.core import ReturnRow
from bergen_loop.outside.http import Around, SlidingWindowLimiter
from bergen_loop.outside.loop.client import LoopClient, LoopConfig
from bergen_loop.outside.warehouse.rex11 import Rex11Config, Rex11Warehouse
from bergen_loop.outside.wire import Incoming, Outgoing, Timeouts
from bergen_loop.service.service import collect_less
from loop_sandbox import ManualClock, SandboxWorld, Settings
from loop_sandbox.control import handle_control
from loop_sandbox.dispatch import handle_loop, handle_rex11
from loop_sandbox.wire import WireRequest

ROOT = "http://127.0.0.1:1"
START = datetime(2026, 11, 20, 15, 30, tzinfo=UTC)
MIX = {"complete": 90, "damaged": 10}
AROUND = "around"
"""Lock, begin and end of a tick."""
IDLE = "an idle tick"
IDLE_TICKS = 20
STEPS = (*(name for name in tick.STEPS if name != "shipments"), AROUND)
UNDER_WAY = ("seen", "announced", "received", "waiting", "settling", "confirming", "closing")


class Meter:
    """Counts by step. One step runs at a time; its threads count for it."""

    def __init__(self) -> None:
        self.counts: dict[str, Counter[str]] = defaultdict(Counter[str])
        self.step: str | None = None
        self._lock = threading.Lock()
        self._seen: dict[str, deque[str | None]] = {}
        """By name, in which step something was done: counted later, outside what is measured."""

    def add(self, name: str, by: float = 1) -> None:
        if self.step is not None:
            with self._lock:
                self.counts[self.step][name] += by  # type: ignore[assignment]

    @contextmanager
    def of(self, step: str) -> Generator[None]:
        before, self.step = self.step, step
        started = time.process_time()
        try:
            yield
        finally:
            self.add("cpu", time.process_time() - started)
            self.step = before
            for name, steps in self._seen.items():
                for one in (steps.popleft() for _ in range(len(steps))):
                    if one is not None:
                        self.counts[one][name] += 1

    def counted(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        note = self._seen.setdefault(name, deque()).append

        def call(argument: Any) -> Any:
            note(self.step)
            return function(argument)

        return call

    def watch(self, ledger: Ledger) -> None:
        """Count what goes to the database, and the documents read from and written to it."""
        engine = ledger.engine

        def statement(*_: Any) -> None:
            self.add("statements")

        def commit(*_: Any) -> None:
            self.add("commits")

        event.listen(engine, "before_cursor_execute", statement)
        event.listen(engine, "commit", commit)
        dialect: Any = engine.dialect
        dialect._json_serializer = self.counted("encoded", codec.encode)
        decoders: Any = codec
        decoders._json = _Decoder(self, codec._json)
        for kind, decoder in codec._decoders.items():
            decoders._decoders[kind] = _Decoder(self, decoder)


class _Decoder:
    """Counts what it decodes."""

    def __init__(self, meter: Meter, decoder: Any) -> None:
        inner = decoder.inner if isinstance(decoder, _Decoder) else decoder
        self.inner = inner
        self.decode = meter.counted("decoded", inner.decode)


class Wire:
    """Straight into the sandbox; its processor time is not the service's."""

    def __init__(self, world: SandboxWorld, meter: Meter) -> None:
        self._world = world
        self._meter = meter

    def __call__(self, request: Outgoing, _timeouts: Timeouts, /) -> Incoming:
        started = time.thread_time()
        url = urlsplit(request.url)
        loop = url.path.startswith("/loop/")
        wire = WireRequest(
            method=request.method,
            path=url.path.removeprefix("/loop" if loop else "/rex11"),
            query=dict(parse_qsl(url.query)),
            headers={k.lower(): v for k, v in request.headers.items()},
            body=request.content or b"",
            root=ROOT,
        )
        answer = (handle_loop if loop else handle_rex11)(self._world, wire).answer
        headers = {"content-type": answer.content_type, **answer.headers}
        self._meter.add("calls")
        self._meter.add("cpu", started - time.thread_time())
        pieces = (piece for piece in [answer.body])
        return Incoming(answer.status, {k.lower(): v for k, v in headers.items()}, pieces)


class Run:
    """One brand with its returns, and the clock that all share."""

    def __init__(self, folder: Path, meter: Meter) -> None:
        self.meter = meter
        self.clock = ManualClock(START)
        self.world = SandboxWorld(
            7,
            0,
            clock=self.clock,
            settings=Settings(
                unkind=False,  # what an unkind system leaves to people would never end
                late_label_share=0.0,
                rate_limit_per_minute=NO_LIMIT,
                processing_min_seconds=1.0,
                processing_max_seconds=2.0,
            ),
        )
        self.ledger = Ledger(f"sqlite:///{folder}/ledger.db")
        self.ledger.migrate()
        meter.watch(self.ledger)
        self.ctx = _connect(self)

    def tick(self) -> None:
        """What `tick.run` does, step by step."""
        self.clock.advance(61.0)
        self.world.run_due()
        with self.meter.of(AROUND), tick.holding(self.ctx):
            tick.begin(self.ctx)
            results: dict[str, dict[str, Any]] = {}
            for name in tick.names(self.ctx):
                cpu = time.process_time()
                with self.meter.of(name):
                    results[name] = tick.step(self.ctx, name)
                self.meter.counts[AROUND]["cpu"] -= time.process_time() - cpu  # type: ignore[assignment]
            tick.end(self.ctx, results)
        wrong = {name: r["error"] for name, r in results.items() if "error" in r}
        if wrong:
            raise RuntimeError(f"steps failed: {wrong}")

    def left(self, *stages: str) -> int:
        """Returns in these stages that no person has to look at."""
        query = sa.select(sa.func.count()).where(ReturnRow.held.is_(False))
        with self.ledger.read() as session:
            return session.scalar(query.where(ReturnRow.stage.in_(stages))) or 0

    def control(self, path: str, **values: Any) -> None:
        request = WireRequest("POST", f"/{path}", body=json.dumps(values).encode())
        out = handle_control(self.world, request)
        if out.answer.status >= 300:
            raise RuntimeError(out.answer.body.decode())

    def lives(self, number: int) -> None:
        """So many returns, from submitted to complete or flagged."""
        while number > 0:
            self.control("returns", brand=BRAND, count=min(number, 1000), late_label=False)
            number -= 1000
        self.tick()
        while self.left("seen"):
            self.tick()
        self.control("parcels/auto", mix=MIX)
        while self.left(*UNDER_WAY):
            self.tick()

    def idle(self) -> None:
        for _ in range(IDLE_TICKS):
            self.tick()

    def close(self) -> None:
        self.ledger.close()


def _connect(run: Run) -> BrandContext:
    known = run.world.brands[BRAND]
    settings = BrandSettings.model_validate(
        {
            "name": known.name,
            "mode": "live",
            "loop": {"api_key": SecretStr(known.loop_key), "base_url": f"{ROOT}/loop/api"},
            "rex11": {
                "endpoint": f"{ROOT}/rex11/ws/v3prod/publicapiws.asmx",
                "web_address": known.web_address,
                "user_name": known.user_name,
                "password": SecretStr(known.password),
            },
            "announce": ANNOUNCE,
            "settle": {"concurrency": 8},
        }
    )
    wire = Wire(run.world, run.meter)
    loop = LoopClient(
        brand=BRAND,
        api_key=known.loop_key,
        config=LoopConfig(base_url=settings.loop.base_url),
        around=Around(limiter=SlidingWindowLimiter(NO_LIMIT), transport=wire),
    )
    rex11 = Rex11Config(
        endpoint=settings.rex11.endpoint,
        web_address=known.web_address,
        user_name=known.user_name,
        password=known.password,
    )
    return BrandContext(
        brand=BRAND,
        settings=settings,
        ledger=run.ledger,
        loop=loop,
        warehouse=Rex11Warehouse(BRAND, rex11, around=Around(transport=wire)),
        criteria=preset("standard"),
        now=run.clock.now,
    )


def measured(number: int, profile: cProfile.Profile | None = None) -> dict[str, Counter[str]]:
    """Counts by step for so many returns, and for an idle tick, each by one."""
    quiet()
    collect_less()  # as the service does
    meter = Meter()
    with tempfile.TemporaryDirectory(prefix="bergen-loop-bench-") as name:
        run = Run(Path(name), meter)
        run.tick()  # compiled statements and first imports are not what a return costs
        run.clock.advance(3600.0)  # older returns may have been announced before: looked up
        run.lives(20)
        meter.counts.clear()
        if profile is not None:
            profile.enable()
        run.lives(number)
        if profile is not None:
            profile.disable()
        found = {step: _share(counts, number) for step, counts in meter.counts.items()}
        run.clock.advance(7200.0)  # nothing of it is listed again
        run.tick()
        run.tick()
        meter.counts.clear()
        run.idle()
        idle = Counter[str]()
        for counts in meter.counts.values():
            idle.update(counts)
        run.close()
    return found | {IDLE: _share(idle, IDLE_TICKS)}


def _share(counts: Counter[str], number: int) -> Counter[str]:
    return Counter({name: value / number for name, value in counts.items()})  # type: ignore[arg-type]


COLUMNS = ("statements", "commits", "decoded", "encoded", "calls")


def main() -> Section:
    """Measure, print, and return the section for docs/benchmarks.md."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--returns", type=int, default=400)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--profile", type=Path)
    options, _ = parser.parse_known_args()
    if options.profile:
        profile = cProfile.Profile()
        measured(options.returns, profile)
        profile.dump_stats(options.profile)
    runs = [measured(options.returns) for _ in range(options.runs)]
    total = [_sum([r[s] for s in STEPS]) for r in runs]
    rows = [_row("a return, its whole way", total)]
    rows += [_row(f"- {step}", [r[step] for r in runs]) for step in STEPS]
    rows.append(_row(IDLE, [r[IDLE] for r in runs]))
    return section(
        "What a return costs",
        "python -m bench.cost",
        [
            f"{options.returns} returns of one brand, all at once, from submitted to complete "
            "(90 %) or flagged (10 %), on SQLite, the sandbox called in the same process without "
            f"sockets and its processor time taken off; medians of {options.runs} runs. "
            "Statements are those sent to the database (one that writes many rows is one), "
            "documents are the JSON columns decoded and encoded. *Around* is the tick's lock, "
            "beginning and end."
        ],
        ["", "CPU ms", "statements", "commits", "documents read", "documents written", "calls"],
        rows,
    )


def _sum(parts: list[Counter[str]]) -> Counter[str]:
    total = Counter[str]()
    for part in parts:
        total.update(part)
    return total


def _row(name: str, runs: list[Counter[str]]) -> tuple[object, ...]:
    cpu = median([1000 * r["cpu"] for r in runs])
    return (name, f"{cpu:.2f}", *(f"{median([r[c] for r in runs]):.2f}" for c in COLUMNS))


if __name__ == "__main__":
    main()
