"""`make demo`: sandbox and service as processes of their own, the whole flow, visible."""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.live import Live
from sqlalchemy.orm import defer

from bergen_loop import logs
from bergen_loop.cli.output import Listing, table
from bergen_loop.console.words import MOMENTS, kind
from bergen_loop.domain.returns import Moment
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.read import views
from bergen_loop.ledger.tables.core import ReturnRow
from demo import results as outcome
from demo import settings
from demo.people import SupportTeam
from demo.processes import Process, free_port
from demo.world import SandboxControl

console = Console()
HURRIED = (
    "label_delay_seconds=3",
    "import_seconds=1",
    "review_held_seconds=5",
    "reopen_after_seconds=6",
    "reopen_seconds=3",
)
"""The sandbox's settings: seconds for what takes hours or days."""


def main() -> int:
    """Run it; 0 if every return is accounted for and nothing happened twice."""
    options = _options()
    logs.configure(json=False, level="WARNING")
    with tempfile.TemporaryDirectory(prefix="bergen-loop-demo-") as name:
        demo = Demo(Path(name), options)
        try:
            return demo.run()
        finally:
            demo.stop()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--returns", type=int, default=110, help="returns of each brand at start")
    parser.add_argument("--live", type=int, default=10, help="returns of each brand made meanwhile")
    parser.add_argument("--seed", type=int, default=7, help="the same seed gives the same world")
    parser.add_argument("--kills", type=int, default=0, help="SIGKILL the service so many times")
    parser.add_argument("--minutes", type=float, default=3.0, help="give up after so long")
    parser.add_argument("--port", type=int, default=0, help="of the console; 0: any free one")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the sandbox"
    )
    parser.add_argument("--json", type=Path, default=None, help="write the results to this file")
    return parser.parse_args()


class Demo:
    """One run."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self.options = options
        self.folder = folder
        self.interactive = sys.stdout.isatty() and os.environ.get("CI") != "true"
        self.port = options.port or free_port()
        sandbox_port = free_port()
        self.sandbox = SandboxControl(f"http://127.0.0.1:{sandbox_port}")
        self._sandbox_process = Process(
            [
                "loop_sandbox",
                *("--port", str(sandbox_port)),
                *("--seed", str(options.seed)),
                *("--returns", str(options.returns)),
                *(part for one in (*HURRIED, *options.set) for part in ("--set", one)),
            ],
            folder / "sandbox.log",
            {},
        )
        self._service = Process(
            [
                *("bergen_loop", "--log-json", "serve", "--no-auth"),
                *("--config", str(folder / "bergen-loop.yaml")),
            ],
            folder / "service.log",
            {},
        )
        self.random = random.Random(options.seed)  # noqa: S311 - a demonstration, not a secret
        self.ledger: Ledger | None = None
        self.killed = 0

    def run(self) -> int:
        """From nothing to the table of results."""
        started, began = time.monotonic(), time.time()
        console.rule("[bold]bergen-loop: Loop Returns and REX11, joined")
        self._sandbox_process.start(self.sandbox.healthy)
        config = settings.write(self.folder, self.sandbox.config(), self.port)
        self._start_service()
        self._subscribe(config)
        self.ledger = Ledger(f"sqlite:///{self.folder}/ledger.db")
        console.print(f"Console: [link]http://127.0.0.1:{self.port}/[/link]", highlight=False)
        quiet = self._drive(started)
        console.print()
        results = outcome.collect(self.ledger, self.sandbox)
        _print(results, time.monotonic() - started)
        first = round(results.first.timestamp() - began, 1) if results.first else None
        if first is not None:
            console.print(f"The first return was through all seven after {first} s.")
        if self.killed:
            console.print(f"[bold]Kills:[/] {self.killed}, all of them survived", highlight=False)
        if self.options.json:
            self.options.json.write_text(
                json.dumps({**results.as_json(), "first_through": first}, indent=2)
            )
        if not quiet:
            console.print("[bold red]Not everything came to rest in time.[/]")
        good = quiet and not results.violations and not results.unaccounted
        self._what_next(results)
        if self.interactive:
            self._wait_for_the_end()
        return 0 if good else 1

    def stop(self) -> None:
        """End both processes."""
        self._service.stop()
        self._sandbox_process.stop()
        self.sandbox.close()

    # -- driving --------------------------------------------------------------------------

    def _start_service(self) -> None:
        probe = SandboxControl(f"http://127.0.0.1:{self.port}")
        self._service.start(probe.healthy)
        probe.close()

    def _subscribe(self, config: Path) -> None:
        from bergen_loop.cli.setup import registry_of
        from bergen_loop.people import subscriptions

        registry = registry_of(config)
        for brand in registry.settings.brands:
            made = subscriptions.ensure(registry.context(brand), f"http://127.0.0.1:{self.port}")
            console.print(f"{brand}: {made.created} webhook subscriptions", highlight=False)

    def _drive(self, started: float) -> bool:
        """Let the world go on until nothing moves any more. False if time ran out."""
        assert self.ledger is not None
        until = started + self.options.minutes * 60
        team = SupportTeam(self.ledger, self.sandbox, settings.SHADOW)
        kills = [self.random.uniform(4, 40) for _ in range(self.options.kills)]
        quiet_since: float | None = None
        made = False
        with Live(self._progress(), console=console, refresh_per_second=2) as live:
            while time.monotonic() < until:
                now = time.monotonic() - started
                if not made and now > 5:
                    made = True
                    self._new_returns()
                self.sandbox.receive_parcels()
                acted = team.work()
                while kills and now > min(kills):
                    kills.remove(min(kills))
                    self._kill(live, now)
                live.update(self._progress())
                moving = outcome.still_moving(self.ledger, self.sandbox, settings.SHADOW)
                if moving or acted or not made or kills:
                    quiet_since = None
                elif quiet_since is None:
                    quiet_since = time.monotonic()
                elif time.monotonic() - quiet_since > 8:
                    return True
                time.sleep(0.5)
        return False

    def _kill(self, live: Live, now: float) -> None:
        """SIGKILL, and start again: told above the table."""
        self._service.kill()
        down = time.monotonic()
        self._start_service()
        took = time.monotonic() - down
        self.killed += 1
        live.console.print(
            f"[bold red]Killed[/] the service with SIGKILL at {now:.0f} s "
            f"({self.killed} of {self.options.kills}); it answers again after {took:.1f} s",
            highlight=False,
        )

    def _new_returns(self) -> None:
        """Customers submit returns while all this runs; webhooks tell of them."""
        for brand in self.sandbox.config()["brands"]:
            self.sandbox.post(
                "/control/returns", {"brand": brand["slug"], "count": self.options.live}
            )

    def _progress(self) -> Listing:
        rows: list[tuple[object, ...]] = []
        if self.ledger is not None:
            with self.ledger.read() as session:
                counts: dict[str, dict[Moment, int]] = {}
                for row in session.query(ReturnRow).options(defer(ReturnRow.content)):
                    of = counts.setdefault(row.brand, dict.fromkeys(Moment, 0))
                    of[views.moment_of(row)] += 1
            rows = [(brand, *of.values()) for brand, of in sorted(counts.items())]
        return table(
            "Returns by the last moment they reached",
            ["brand", *(f"{m.value} {MOMENTS[m]}" for m in Moment)],
            rows,
        )

    def _what_next(self, results: outcome.Results) -> None:
        """Something to try, for each who may look at it."""
        base, tries = f"http://127.0.0.1:{self.port}", list[tuple[str, str]]()
        if self.interactive:  # else it ends here, and nothing answers any more
            config = self.folder / "bergen-loop.yaml"
            tries.append(("what needs a person, by cause; ? tells the keys", f"{base}/attention"))
            if results.flagged:
                tries.append(("why a return was flagged", f"{base}/returns/{results.flagged}"))
            shadow = f"{base}/brands/{settings.SHADOW}/shadow"
            tries.append(("a brand in shadow: judged, not acted on", shadow))
            tries.append(("the same in a terminal", f"bergen-loop attention --config {config}"))
        tries.append(("the same, killed on the way", 'make demo DEMO="--kills 4"'))
        tries.append(("a brand of your own", "bergen-loop serve"))
        console.print("\n[bold]What to try next[/]")
        for what, how in tries:
            console.print(f"  {what}\n    [bold]{how}[/]", highlight=False, soft_wrap=True)

    def _wait_for_the_end(self) -> None:
        console.print(
            f"\nThe console stays at [bold]http://127.0.0.1:{self.port}/[/] until Ctrl-C.",
            highlight=False,
        )
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            console.print("Bye.")


def _print(results: outcome.Results, seconds: float) -> None:
    brands = sorted(results.brands)
    ends = sorted({k for c in results.brands.values() for k in c} - outcome.BESIDES)

    def row(name: str, key: str) -> tuple[object, ...]:
        numbers = [results.brands[b][key] for b in brands]
        return (name, *numbers, sum(numbers))

    rows = [row(end, end) for end in ends]
    rows.append(row("= all returns", "returns"))
    rows.append(row("of them through all seven moments", outcome.ALL_SEVEN))
    console.print(table(f"Results after {seconds:.0f} s", ["end", *brands, "together"], rows))
    named = Counter({kind(k): v for k, v in results.attention_reasons.items()})
    for title, counts in (
        ("Parcels that arrived", results.kinds),
        ("Flagged in Loop, by criterion", results.flag_reasons),
        ("Items that need a person, by kind", named),
    ):
        text = ", ".join(f"{k} {v}" for k, v in counts.most_common()) or "none"
        console.print(f"[bold]{title}:[/] {counts.total()}: {text}", highlight=False)
    for violation in results.violations:
        console.print(f"[bold red]violation:[/] {violation}", highlight=False)
    for return_id in results.unaccounted:
        console.print(f"[bold red]unaccounted:[/] return {return_id}", highlight=False)
    if not results.violations and not results.unaccounted:
        console.print(
            "[bold green]Every return accounted for; nothing processed twice, no ticket twice "
            "(by the sandbox's own call log).[/]"
        )


if __name__ == "__main__":
    raise SystemExit(main())
