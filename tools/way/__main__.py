"""The way of one return through the code: `python tools/way [--json]`.

A return that nothing is unusual about goes from Loop's list to complete, by real ticks against the
sandbox over HTTP. Counted is what of src/bergen_loop runs meanwhile, in every thread, by the
tick's step: files; functions, which is whatever has a `def` of its own (methods, properties and
inner functions too; not lambdas and comprehensions, which are read where they stand, nor what
dataclasses generate); calls of these; and the deepest stack of them. `tick` is what surrounds the
steps. The brand has been synced before, so that its first pull is not part of the way.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from inspect import CO_GENERATOR
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from bergen_loop import logs

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = str(ROOT / "src" / "bergen_loop")
AROUND = "tick"
MOST_TICKS = 10


@dataclass(slots=True)
class Passage:
    """What ran during one moment."""

    functions: set[CodeType] = field(default_factory=set[CodeType])
    calls: int = 0
    deepest: tuple[str, ...] = ()
    """The product's frames at the deepest point, outermost first."""

    def add(self, other: Passage) -> None:
        self.functions |= other.functions
        self.calls += other.calls
        self.deepest = max(self.deepest, other.deepest, key=len)

    def figures(self) -> dict[str, int]:
        return {
            "files": len({code.co_filename for code in self.functions}),
            "functions": len(self.functions),
            "calls": self.calls,
            "depth": len(self.deepest),
        }


class Way:
    """Watches every thread that begins while it does, and the one it began in."""

    def __init__(self) -> None:
        self.moment = AROUND
        self.passages: dict[str, Passage] = {}
        self._lock = threading.Lock()
        self._main = threading.get_ident()
        self._stacks: dict[int, list[CodeType]] = {}

    @contextmanager
    def watched(self) -> Generator[None]:
        threading.setprofile(self._event)
        sys.setprofile(self._event)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)  # pyright: ignore[reportArgumentType]

    def _event(self, frame: FrameType, what: str, _argument: object) -> None:
        code = frame.f_code
        if what not in ("call", "return") or not code.co_filename.startswith(PRODUCT):
            return
        thread = threading.get_ident()
        with self._lock:
            stack = self._stacks.setdefault(thread, [])
            if code.co_name.startswith("<"):
                return
            if what == "return":
                stack.pop()
                return
            stack.append(code)
            # Whoever began a thread waits for it: its frames lie below.
            below = [] if thread == self._main else self._stacks[self._main]
            passage = self.passages.setdefault(self.moment, Passage())
            passage.functions.add(code)
            passage.calls += not _goes_on(frame)
            if len(below) + len(stack) > len(passage.deepest):
                passage.deepest = tuple(_name(one) for one in (*below, *stack))


def _goes_on(frame: FrameType) -> bool:
    """Whether it is a generator that was left and is entered again."""
    return bool(frame.f_code.co_flags & CO_GENERATOR) and frame.f_lasti > 0


def _name(code: CodeType) -> str:
    return f"{Path(code.co_filename).relative_to(PRODUCT)}:{code.co_qualname}"


def walk() -> dict[str, Passage]:
    """A return's way, by moment."""
    from bergen_loop.domain.returns import Stage
    from bergen_loop.flow import tick
    from loop_sandbox.catalogue import unknown_to_rex11
    from support import worlds
    from support.ledgers import empty_ledger
    from support.look import Look

    way, step = Way(), tick.step

    def told(ctx: Any, name: str) -> dict[str, Any]:
        way.moment = name
        try:
            return step(ctx, name)
        finally:
            way.moment = AROUND

    with tempfile.TemporaryDirectory() as folder, worlds.serving() as world:
        ctx = worlds.context(world, empty_ledger(Path(folder) / "ledger.db"))
        worlds.run(world, ctx, ticks=2)
        brand = world.sandbox.brand(ctx.brand)
        unknown = unknown_to_rex11(brand.catalogue)
        known = [p for p in brand.catalogue if p.shop_barcode and p not in unknown]
        return_id = world.new_return(ctx.brand, units=2, late_label=False, outcome="refund")
        with world.sandbox.lock:
            found = world.sandbox.find_return(return_id)
            assert found is not None
            for line, product in zip(found.lines, known, strict=False):
                line.product = product
        tick.step = told
        try:
            for _ in range(MOST_TICKS):
                with way.watched():
                    worlds.run(world, ctx)
                if Look(ctx).stage(return_id) is Stage.COMPLETE:
                    break
                world.receive(return_id)
            else:
                raise SystemExit(f"the return is not complete after {MOST_TICKS} ticks")
        finally:
            tick.step = step
            ctx.ledger.close()
    return {name: way.passages[name] for name in (*tick.STEPS, AROUND) if name in way.passages}


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(prog="way", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--deepest", action="store_true", help="also print the deepest stack")
    given = parser.parse_args()
    sys.path.insert(0, str(ROOT / "tests"))
    logs.configure(json=False, level="WARNING")
    passages, whole = walk(), Passage()
    for one in passages.values():
        whole.add(one)
    rows = {name: one.figures() for name, one in (*passages.items(), ("whole way", whole))}
    if given.json:
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
        return
    columns = list(whole.figures())
    lines = [f"{'':<10}" + "".join(f"{name:>11}" for name in columns)]
    for name, row in rows.items():
        lines.append(f"{name:<10}" + "".join(f"{n:>11}" for n in row.values()))
    if given.deepest:
        lines += ["", *whole.deepest]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
