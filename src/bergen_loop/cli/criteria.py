"""`bergen-loop criteria`: read, check and try receipt criteria."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TextIO

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bergen_loop.cli import backtest, explain
from bergen_loop.cli.output import console, errors, fail, print_json, table
from bergen_loop.cli.setup import (
    DEFAULT_CONFIG,
    BrandsOption,
    ConfigOption,
    JsonOption,
    brands_of,
    open_ledger,
    settings_of,
)
from bergen_loop.config import Settings
from bergen_loop.domain.criteria import (
    PRESETS,
    Criteria,
    CriteriaError,
    load_criteria,
    preset,
    preset_text,
    warnings,
)
from bergen_loop.ledger.database import Session
from bergen_loop.ledger.read import history
from bergen_loop.ledger.read.history import PastCase

app = typer.Typer(no_args_is_help=True, help="Receipt criteria: read, check and try them.")

WhichArgument = Annotated[str, typer.Argument(help="A preset's name or a criteria file.")]


@app.command("presets")
def presets(
    name: Annotated[str | None, typer.Argument(help="Print this preset's file.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List the criteria that come with the product, or print one as a start for your own."""
    if name:
        if name not in PRESETS:
            fail(f"there is no preset {name!r}; there are {', '.join(PRESETS)}", 2)
        typer.echo(preset_text(name), nl=False)
        return
    rows = [(n, " ".join(preset(n).description.split())) for n in PRESETS]
    if as_json:
        print_json(dict(rows))
    else:
        console.print(table("Presets", ["name", "what it does"], rows))


@app.command("show")
def show(which: WhichArgument, as_json: JsonOption = False) -> None:
    """Explain criteria in plain words."""
    criteria = criteria_of(which)
    rules = explain.sentences(criteria)
    if as_json:
        names = ("rule", "when", "then")
        rows = [dict(zip(names, r, strict=True)) for r in rules]
        print_json({"name": criteria.name, "version": criteria.version, "rules": rows})
        return
    console.print(f"[bold]{criteria.name}[/] [dim]{criteria.version}[/]", highlight=False)
    if criteria.description:
        console.print(" ".join(criteria.description.split()), highlight=False)
    console.print("\nThe first rule whose condition is true decides:\n")
    for number, (rule, condition, then) in enumerate(rules, start=1):
        console.print(f"{number}. [bold]{rule}[/]", highlight=False)
        console.print(f"   if   [cyan]{condition}[/]", highlight=False)
        console.print(f"   then {then}", highlight=False, markup=False)
    if criteria.settings:
        rows = [(n, explain.setting(v)) for n, v in criteria.settings.items()]
        console.print(table("Settings", ["name", "value"], rows))
    console.print(f"\n[dim]{explain.ALWAYS}[/]")


@app.command("check")
def check(
    which: WhichArgument,
    everything: Annotated[
        bool, typer.Option("--all", help="Also what may well be meant, such as overlaps.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Find mistakes in criteria, and what they let through. Exit 1 for a mistake."""
    criteria = criteria_of(which, as_json=as_json)
    found = [w for w in warnings(criteria) if everything or not w.informational]
    if as_json:
        rows = [{"kind": w.kind, "rule": w.rule, "message": w.sentence} for w in found]
        print_json({"version": criteria.version, "problems": [], "warnings": rows})
        return
    console.print(f"{which}: {len(criteria.rules)} rules, no mistakes", highlight=False)
    for warning in found:
        style = "dim" if warning.informational else "yellow"
        kind = "hint" if warning.informational else "warning"
        console.print(f"[{style}]{kind}:[/] ", end="")
        console.print(warning.sentence, highlight=False, markup=False)


@app.command("test")
def test(
    which: WhichArgument,
    since: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Decisions from this day on.")
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    brand: BrandsOption = None,
    as_json: JsonOption = False,
    page: Annotated[Path | None, typer.Option("--html", help="Write the report as a page.")] = None,
    export: Annotated[
        Path | None,
        typer.Option("--export", help="Write the cases, without personal data, to this file."),
    ] = None,
    from_export: Annotated[
        Path | None,
        typer.Option("--from-export", help="Try the cases of such a file, not the ledger's."),
    ] = None,
) -> None:
    """Try criteria on the past: what they would have decided, against what was decided."""
    if (since is None) == (from_export is None):
        fail("give either --since DATE (the ledger's cases) or --from-export FILE", 2)
    criteria = criteria_of(which)
    since = since.replace(tzinfo=UTC) if since else None
    with ExitStack() as stack:
        if from_export:
            source, names = str(from_export), tuple[str, ...]()
            cases = history.read_export(from_export)
        else:
            settings = settings_of(config)
            names = tuple(brands_of(settings, brand))
            source = f"brand(s) {', '.join(names)}"
            session = stack.enter_context(open_ledger(settings).read())
            cases = _of_ledger(session, settings, names, since or datetime.now(UTC))
        target = _opened(stack, export) if export else None
        found = _run(criteria, cases, target, source, names, since, quiet=as_json)
    if page:
        _write_page(page, found)
    if as_json:
        print_json(found.as_json())
    else:
        backtest.show(console, found)
        for name, path in (("page", page), ("cases", export)):
            if path:
                console.print(f"{name}: {path}", highlight=False)


def criteria_of(which: str, *, as_json: bool = False) -> Criteria:
    """A preset by name or criteria from a file; ends with every mistake listed."""
    if which in PRESETS:
        return preset(which)
    try:
        return load_criteria(Path(which).read_text(encoding="utf-8"), source=which)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        fail(f"{which}: {reason}; name a criteria file, or a preset: {', '.join(PRESETS)}", 2)
    except CriteriaError as error:
        if as_json:
            names = ("source", "line", "column", "field", "message", "remedy")
            rows = [{n: getattr(p, n) for n in names} for p in error.problems]
            print_json({"problems": rows})
            raise typer.Exit(1) from None
        fail(f"{len(error.problems)} mistake(s):\n{error}")


def _of_ledger(
    session: Session, settings: Settings, names: tuple[str, ...], since: datetime
) -> Iterator[PastCase]:
    for name in names:
        rules = settings.brands[name].announce_rules()
        yield from history.past_cases(session, name, rules, since)


def _opened(stack: ExitStack, path: Path) -> TextIO:
    try:
        return stack.enter_context(path.open("w", encoding="utf-8"))
    except OSError as error:
        fail(f"{path} cannot be written: {error.strerror}")


def _write_page(path: Path, found: backtest.Backtest) -> None:
    try:
        backtest.write_page(path, found)
    except OSError as error:
        fail(f"{path} cannot be written: {error.strerror}")


def _run(
    criteria: Criteria,
    cases: Iterator[PastCase],
    target: TextIO | None,
    source: str,
    names: tuple[str, ...],
    since: datetime | None,
    *,
    quiet: bool,
) -> backtest.Backtest:
    started, number = time.monotonic(), 0
    columns = (SpinnerColumn(), TextColumn("{task.completed} returns tried"), TimeElapsedColumn())
    with Progress(*columns, console=errors, transient=True, disable=quiet) as progress:
        task = progress.add_task("trying", total=None)

        def seen(past: PastCase) -> None:
            nonlocal number
            number += 1
            if target:
                target.write(history.export_line(past) + "\n")
            if number % 500 == 0:
                progress.update(task, completed=number)

        try:
            report, edited = history.try_on(criteria, cases, seen)
        except ValueError as error:
            fail(str(error))
        except OSError as error:
            fail(f"{source} cannot be read: {error.strerror}")
    return backtest.Backtest(
        report=report,
        brands=names,
        since=since,
        source=source,
        edited=edited,
        seconds=time.monotonic() - started,
        missing=() if names else _left_out(criteria),
    )


def _left_out(criteria: Criteria) -> tuple[str, ...]:
    """Facts the criteria ask for that an export does not hold."""
    return tuple(
        f"{root}.{name}"
        for root, personal in history.PERSONAL.items()
        for name in sorted(personal & (criteria.uses.get(root, frozenset()) or frozenset()))
    )
