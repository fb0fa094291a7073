"""The yardstick with Celery and Redis: one task per return, as a capable user would write it.

The benchmark starts a Redis of its own and a worker that imports this module; the module gets
what it works with from the JSON file that the environment variable `FLOW` names.
"""

# Celery and Redis come by scripts/bench-deps.sh only.
# pyright: reportMissingImports=false, reportFunctionMemberAccess=false

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

try:
    import redis
    from celery import Celery, group
except ImportError as error:
    raise SystemExit(f"{error.name} is not installed: run scripts/bench-deps.sh") from None

from demo.processes import Process, free_port

from bench.rig import NO_LIMIT, Rig, connect
from bench.spent import spending
from bergen_loop.flow.context import BrandContext
from bergen_loop.ledger.database import Ledger
from bergen_loop.outside.errors import OutsideError
from bergen_loop.outside.http import SlidingWindowLimiter

FLOW = "BERGEN_LOOP_BENCH_FLOW"
POOLS = ("prefork", "threads")
CONCURRENCY = 8
PATIENCE = 300.0
"""Seconds for a backlog to be done."""

done = sa.Table(
    "celery_returns",
    sa.MetaData(),
    sa.Column("return_id", sa.Text, primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
)

_file = os.environ.get(FLOW)
_given: dict[str, Any] = json.loads(Path(_file).read_text(encoding="utf-8")) if _file else {}
app = Celery("bench", broker=_given.get("redis"), backend=_given.get("redis"))
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
)

_clients: BrandContext | None = None
_clients_lock = threading.Lock()


def _connected() -> BrandContext:
    """The clients and the database of this worker process, made at first use."""
    global _clients
    with _clients_lock:
        if _clients is None:
            ledger = Ledger(_given["database"])
            limiter = SlidingWindowLimiter(limit=NO_LIMIT)
            _clients = connect(ledger, _given["config"], limiter, CONCURRENCY)
        return _clients


@app.task
def warm(ticket: str) -> None:
    """Have a worker connected; it lasts long enough for every other one to get a turn."""
    _connected().warehouse.receipt(ticket)
    time.sleep(0.2)


@app.task(autoretry_for=(OutsideError, OutsideError), retry_backoff=True, max_retries=5)
def settle(return_id: str, ticket: str) -> str:
    """Read the ticket, process or flag and note, remember it: one commit."""
    ctx = _connected()
    if all(not line.damaged for line in ctx.warehouse.receipt(ticket).lines):
        ctx.loop.process(return_id)
    else:
        ctx.loop.flag(return_id)
        ctx.loop.add_note(return_id, "damaged")
    with ctx.ledger.write() as session:
        session.execute(sa.insert(done).values(return_id=return_id, state="done"))
    return "done"


def worked_off(
    r: Rig, url: str, pairs: Sequence[tuple[str, str]], pool: str
) -> tuple[float, Counter[str]]:
    """Seconds from the first task sent until all are done, and whose processor time they took.
    `pairs` are (return, ticket), `url` the database, `pool` one of POOLS."""
    with r.ledger.write() as session:
        done.create(session.connection())
    with (
        tempfile.TemporaryDirectory(prefix="bergen-loop-bench-") as folder,
        _worker(r, url, pool, Path(folder)),
    ):
        _all(warm.s(ticket) for _, ticket in pairs[: 2 * CONCURRENCY])
        with spending(url) as spent:
            started = time.perf_counter()
            _all(settle.s(return_id, ticket) for return_id, ticket in pairs)
            seconds = time.perf_counter() - started
    with r.ledger.read() as session:
        rows = session.scalar(sa.select(sa.func.count()).select_from(done))
    if rows != len(pairs):
        raise RuntimeError(f"Celery has recorded {rows} of {len(pairs)} returns")
    return seconds, spent


def _all(tasks: Any) -> None:
    group(tasks).apply_async().get(timeout=PATIENCE, interval=0.01)


@contextmanager
def _worker(r: Rig, url: str, pool: str, folder: Path) -> Generator[None]:
    """A worker with nothing in its queue, ready for tasks."""
    broker = str(app.conf.broker_url)
    redis.Redis.from_url(broker).flushall()
    flow = folder / "flow.json"
    flow.touch(mode=0o600)
    flow.write_text(json.dumps({"redis": broker, "database": url, "config": r.config}))
    root = Path(__file__).resolve().parents[1]
    worker = Process(
        [
            *("celery", "-A", "bench.celery_flow", "worker", "--loglevel", "ERROR"),
            *("--pool", pool, "--concurrency", str(CONCURRENCY)),
            *("--without-gossip", "--without-mingle", "--without-heartbeat"),
        ],
        folder / "worker.log",
        {FLOW: str(flow), "PYTHONPATH": f"{root / 'src'}{os.pathsep}{root}"},
    )
    try:
        worker.start(lambda: bool(app.control.ping(timeout=0.5)))
        yield
    except Exception:
        print(worker.tail())  # noqa: T201 - the folder is gone in a moment
        raise
    finally:
        worker.stop()


@contextmanager
def redis_server() -> Generator[None]:
    """A Redis of the benchmark's own, as it is usually made durable: an append-only file, on
    the disk once a second. `app` uses it. Raises FileNotFoundError where there is none."""
    program = shutil.which("redis-server")
    if program is None:
        raise FileNotFoundError("redis-server is not installed: run scripts/bench-deps.sh")
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    with tempfile.TemporaryDirectory(prefix="bergen-loop-redis-") as folder:
        server = subprocess.Popen(  # noqa: S603 - our own program
            [
                *(program, "--bind", "127.0.0.1", "--port", str(port), "--dir", folder),
                *("--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
            ],
            stdout=subprocess.DEVNULL,
        )
        try:
            _until_it_answers(url)
            app.conf.update(broker_url=url, result_backend=url)
            yield
        finally:
            app.close()
            server.terminate()
            server.wait(15)


def _until_it_answers(url: str) -> None:
    until = time.monotonic() + 10
    with redis.Redis.from_url(url) as client:
        while True:
            try:
                client.ping()
                return
            except redis.ConnectionError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)
