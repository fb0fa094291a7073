"""The console's list and search over many returns, against the bare SQL.

python -m bench.pages [--size 1000000]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa
from starlette.testclient import TestClient

from bench.growth import fill
from bench.report import Section, median, section
from bench.rig import BRAND, rig
from bergen_loop.config import Settings
from bergen_loop.console.app import create_app
from bergen_loop.ledger.tables.core import ReturnRow
from bergen_loop.service.registry import Registry

RUNS = 9


def main() -> Section:
    """Measure, print, and return the section for docs/benchmarks.md."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=1_000_000)
    options, _ = parser.parse_known_args()
    middle = options.size // 2
    with rig(0) as r:
        fill(r, 0, options.size)
        registry = Registry(Settings(brands={BRAND: r.ctx.settings}), r.ledger, Path())
        app = create_app(registry, lambda _brand: None, signing_in=False)
        client = TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 50000))
        bare = {
            "list": sa.select(ReturnRow)
            .where(ReturnRow.brand == BRAND)
            .order_by(ReturnRow.submitted_at.desc(), ReturnRow.id.desc())
            .limit(50),
            "search": sa.select(ReturnRow).where(
                ReturnRow.brand == BRAND, ReturnRow.return_id == f"9{middle:08d}"
            ),
        }
        pages = {
            "list": "/returns",
            "search": f"/returns?q=9{middle:08d}",
        }
        rows: list[tuple[object, ...]] = []
        for name, path in pages.items():
            page = _time(lambda p=path: _get(client, p))
            sql = _time(lambda q=bare[name]: _run(registry, q))
            rows.append((name, f"{page * 1000:.0f}", f"{sql * 1000:.1f}", f"{page / sql:.0f}"))
    return section(
        "Pages of the console",
        "python -m bench.pages",
        [
            f"Server time of a page with {options.size:,} returns in an embedded ledger, median of "
            f"{RUNS}, against the bare SQL that fetches the same rows; the rest is the page's "
            "other questions (attention, brands, filters) and its HTML."
        ],
        ["page", "milliseconds", "bare SQL, ms", "ratio"],
        rows,
    )


def _get(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text[:300]


def _run(registry: Registry, query: sa.Select[ReturnRow]) -> None:
    with registry.ledger.read() as session:
        list(session.scalars(query))


def _time(work: Callable[[], None]) -> float:
    work()
    times: list[float] = []
    for _ in range(RUNS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return median(times)


if __name__ == "__main__":
    main()
