"""`bergen-loop brands mode|pace|release|pause|resume`: whether a brand's decisions are acted on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.padding import Padding
from rich.text import Text

from bergen_loop.cli.asking import YesOption, sure
from bergen_loop.cli.output import console, fail, print_json, say, when
from bergen_loop.cli.setup import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    brands_of,
    open_ledger,
    person,
    settings_of,
)
from bergen_loop.config import ConfigError
from bergen_loop.config.criteria import criteria
from bergen_loop.domain.pace import Pace
from bergen_loop.ledger.database import Ledger
from bergen_loop.ledger.read.golive import GoLive, Point
from bergen_loop.ledger.store import modes, returns
from bergen_loop.ledger.tables.core import ReturnRow
from bergen_loop.ledger.transaction import transaction
from bergen_loop.people import brands as people
from bergen_loop.people import golive
from bergen_loop.people.actions import NotPossible
from bergen_loop.people.golive import DAYS, RETURNS, Door, Signed

AS_CONFIGURED = "configured"

BrandArgument = Annotated[str, typer.Argument(help="The brand's id.")]
ReasonOption = Annotated[str | None, typer.Option(help="Why; kept in the journal.")]
ReturnsOption = Annotated[
    str | None,
    typer.Option(
        "--returns",
        help=f"Gradual start: so many returns an hour at most; {RETURNS} if nothing is said.",
    ),
]
AmountOption = Annotated[
    str | None, typer.Option("--amount", help="... and so much of each currency, such as 500.")
]
DaysOption = Annotated[str, typer.Option("--days", help="... for so many days.")]
AtOnceOption = Annotated[bool, typer.Option("--at-once", help="Without a gradual start.")]


def install(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("mode")(mode)
    app.command("pace")(set_pace)
    app.command("release")(release)
    app.command("pause")(pause)
    app.command("resume")(resume)


@dataclass(frozen=True, slots=True)
class _Brand:
    """The one that is meant."""

    ledger: Ledger
    door: Door

    @classmethod
    def of(cls, config: Path, brand: str) -> _Brand:
        settings = settings_of(config)
        brands_of(settings, [brand])
        one = settings.brands[brand]
        try:
            version = criteria(brand, one, config.resolve().parent).version
        except ConfigError as error:
            fail(f"its criteria cannot be used:\n{error}", 2)
        return cls(open_ledger(settings), Door(brand, one.mode, version))

    def mode(self) -> str:
        with self.ledger.read() as session:
            row = returns.known_brand(session, self.door.brand)
            return modes.effective(row, self.door.configured)


def mode(
    brand: BrandArgument,
    to: Annotated[
        str | None,
        typer.Argument(metavar="live|shadow|paused|configured", help="Left out: show the mode."),
    ] = None,
    reason: ReasonOption = None,
    per_hour: ReturnsOption = None,
    amount: AmountOption = None,
    days: DaysOption = str(DAYS),
    at_once: AtOnceOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Set a brand live, to shadow or paused; `configured` goes back to the file's mode.

    Before it goes live its checklist is shown, with what would be paid at once, and asked.
    """
    one = _Brand.of(config, brand)
    if to is None:
        before = now = one.mode()
    else:
        if to not in (*modes.MODES, AS_CONFIGURED):
            fail(f"{to!r} is no mode; use live, shadow, paused or {AS_CONFIGURED}", 2)
        begin = _beginning(per_hour, amount, days, at_once=at_once)
        wanted = None if to == AS_CONFIGURED else to
        before, now = _set(one, wanted, reason, begin, _Asking(yes, as_json))
    if as_json:
        configured = one.door.configured
        print_json({"brand": brand, "mode": now, "before": before, "configured": configured})
        return
    _print_mode(one, now)


def pause(
    brand: BrandArgument,
    reason: Annotated[str, typer.Option(help="Why; kept in the journal.", prompt="Why")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Do nothing for a brand until it is resumed; also for one of the file."""
    one = _Brand.of(config, brand)
    if one.mode() == modes.PAUSED:
        fail(f"brand {brand} is paused already", 2)
    _, now = _set(one, modes.PAUSED, reason, None, _Asking(yes=False, quiet=False))
    _print_mode(one, now)


def resume(
    brand: BrandArgument,
    reason: Annotated[str, typer.Option(help="Why; kept in the journal.", prompt="Why")],
    per_hour: ReturnsOption = None,
    amount: AmountOption = None,
    days: DaysOption = str(DAYS),
    at_once: AtOnceOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    yes: YesOption = False,
) -> None:
    """Go on with a paused brand, in the mode it worked in before; live is asked about first."""
    one = _Brand.of(config, brand)
    begin = _beginning(per_hour, amount, days, at_once=at_once)
    try:
        with one.ledger.read() as session:
            to = people.worked_in(session, brand, one.door.configured)
    except NotPossible as error:
        fail(str(error), 2)
    _, now = _set(one, to, reason, begin, _Asking(yes, quiet=False))
    _print_mode(one, now)


def set_pace(
    brand: BrandArgument,
    reason: ReasonOption = None,
    per_hour: ReturnsOption = None,
    amount: AmountOption = None,
    days: DaysOption = str(DAYS),
    at_once: AtOnceOption = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show a live brand's gradual start and who waits for it, change it, or end it (--at-once)."""
    one = _Brand.of(config, brand)
    if per_hour or amount or at_once:
        begin = _beginning(per_hour, amount, days, at_once=at_once)
        try:
            with transaction(one.ledger, brand, datetime.now(UTC), person()) as tx:
                golive.change_pace(tx, one.door.configured, begin, reason or "")
        except NotPossible as error:
            fail(str(error), 2)
    now = datetime.now(UTC)
    with one.ledger.read() as session:
        found = modes.pace_of(returns.known_brand(session, brand), now)
        waiting = list(modes.waiting_for_turn(session, brand, now)) if found else list[ReturnRow]()
    if as_json:
        listed = [{"return_id": row.return_id, "not_before": row.due_at} for row in waiting]
        amount_ = str(found.amount) if found and found.amount is not None else None
        shown = found and {"returns": found.returns, "amount": amount_, "until": found.until}
        print_json({"brand": brand, "pace": shown, "waiting": listed})
        return
    if found is None:
        live = one.mode() == modes.LIVE
        goes = "what is decided goes out at once" if live else "it is not live, and pays nothing"
        say((brand, "bold"), f" has no gradual start: {goes}")
        return
    say((brand, "bold"), f": {found}; {len(waiting)} return(s) wait for their turn")
    for row in waiting[:10]:
        say(f"  {row.return_id}: not before {when(row.due_at)} UTC")
    if len(waiting) > 10:
        say(f"  ... and {len(waiting) - 10} more (--json lists all)")


def release(
    brand: BrandArgument,
    return_id: Annotated[str, typer.Argument(metavar="RETURN", help="Loop's id of the return.")],
    reason: ReasonOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    yes: YesOption = False,
) -> None:
    """Let one return of a gradual start be paid before its turn. It counts against the limit."""
    one, why = _Brand.of(config, brand), (reason or "").strip()
    if not why:
        fail("say why, for the journal: --reason '...'", 2)
    now = datetime.now(UTC)
    with one.ledger.read() as session:
        row = returns.by_id(session, brand, return_id)
        if row is None:
            fail(f"brand {brand} has no return {return_id}: `brands pace {brand}` lists them", 2)
        if modes.turn_of(session, row, now) is None:
            fail(f"return {return_id} does not wait for its turn in a gradual start", 2)
        worth = f"{row.total or '?'} {row.currency or ''}".strip()
    sure(f"Pay return {return_id} ({worth}) before its turn?", yes)
    try:
        with transaction(one.ledger, brand, datetime.now(UTC), person()) as tx:
            found = returns.by_id(tx.session, brand, return_id)
            if found is None:
                raise NotPossible("the return is gone")
            golive.release(tx, found, why)
    except NotPossible as error:
        fail(f"{error}; nothing was changed", 2)
    say((return_id, "bold"), " is paid at the brand's next sync")


# -- parts --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Asking:
    yes: bool
    quiet: bool
    """Nothing is printed beside JSON."""


def _set(
    one: _Brand, mode: str | None, reason: str | None, begin: Pace | None, asking: _Asking
) -> tuple[str, str]:
    """Set it, asked before where the brand would go live."""
    why, door, now = (reason or "").strip(), one.door, datetime.now(UTC)
    if not why:
        fail("say why, for the journal: --reason '...'", 2)
    with one.ledger.read() as session:
        goes_live = door.leads_live(session, mode)
        found, points = door.look(session, now) if goes_live else (None, [])
    if found is not None:
        if not asking.quiet:
            _print_checklist(door.brand, found, points, begin)
        sure(f"Set {door.brand} live?", asking.yes)
    try:
        with transaction(one.ledger, door.brand, datetime.now(UTC), person()) as tx:
            if found is not None and door.leads_live(tx.session, mode):
                return door.open(tx, mode, why, Signed(begin, all=True, stake=found.stake))
            if door.leads_live(tx.session, mode):
                raise NotPossible("the mode has been changed meanwhile: look at it again")
            return modes.set_mode(tx, mode, configured=door.configured, why=why)
    except NotPossible as error:
        fail(f"{error}; nothing was changed", 2)


def _beginning(
    per_hour: str | None, amount: str | None, days: str, *, at_once: bool
) -> Pace | None:
    if at_once:
        if per_hour or amount:
            fail("--at-once is without a limit: leave --returns and --amount out", 2)
        return None
    number = per_hour or ("" if amount else str(RETURNS))
    try:
        return golive.beginning(number, amount or "", days, datetime.now(UTC))
    except golive.NotSigned as error:
        words = "; ".join(f"--{field}: {said}" for field, said in error.problems.items())
        fail(words, 2)


def _print_checklist(brand: str, found: GoLive, points: list[Point], begin: Pace | None) -> None:
    """What going live would lead to at once, and whether its time has come."""
    console.print(Text(f"{brand}, if it goes live now:", style="bold"))
    for point in points:
        sign = ("!", "yellow") if point.open else ("✓", "green")
        line = Text.assemble(sign, f" {point.name.words}: {point.found}")
        console.print(Padding(line, (0, 0, 0, 2)))
    for outcome, compared, alike in found.report.samples():
        words = f"{outcome.value.replace('_', ' ')}: {compared} compared, {alike} alike"
        console.print(Padding(Text(words), (0, 0, 0, 6)))
    start = f"Gradual start: {begin}" if begin else "No gradual start: all of it is paid at once"
    console.print(Padding(Text(start), (0, 0, 0, 2)))
    console.print(
        Padding(Text(f"(differences: bergen-loop shadow report -b {brand})"), (0, 0, 0, 2))
    )


def _print_mode(one: _Brand, now: str) -> None:
    say((one.door.brand, "bold"), f" is {now}: {modes.MEANING[now]}")
    with one.ledger.read() as session:
        row = returns.known_brand(session, one.door.brand)
        begin = modes.pace_of(row, datetime.now(UTC))
    if modes.unsigned(row, one.door.configured):
        say(f"Its file says live; {modes.how_to_sign(one.door.brand)}.")
    if begin is not None and now == modes.LIVE:
        say(f"Gradual start: {begin}. bergen-loop brands pace {one.door.brand} shows who waits.")
