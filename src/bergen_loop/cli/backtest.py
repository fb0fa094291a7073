"""How a backtest looks: in the terminal, as JSON, as a page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import TypeAdapter
from rich.text import Text

from bergen_loop.cli.output import console, say, table
from bergen_loop.console.charts import COLOURS, outcome_chart
from bergen_loop.domain.criteria import BacktestReport, Day
from bergen_loop.domain.decision import Outcome
from bergen_loop.ledger.read.history import BASIS

STYLES = {
    Outcome.PROCESS: "green",
    Outcome.FLAG: "red",
    Outcome.WAIT: "yellow",
    Outcome.REMOVE_LINES: "cyan",
    Outcome.ATTENTION: "magenta",
}
"""Of each outcome in a terminal."""
WIDTH = 40
DAYS_SHOWN = 21


@dataclass(frozen=True, slots=True)
class Backtest:
    """A report and what it stands on."""

    report: BacktestReport
    brands: tuple[str, ...]
    since: datetime | None
    source: str
    edited: int
    """Returns whose units have been edited since the decision."""
    seconds: float
    missing: tuple[str, ...] = ()
    """Facts the criteria ask for that an export does not hold."""

    def as_json(self) -> dict[str, Any]:
        """Everything, as plain data."""
        plain: dict[str, Any] = TypeAdapter(Backtest).dump_python(self, mode="json")
        return {**plain, "basis": BASIS}


def show(found: Backtest) -> None:
    """Counts, chart, differences and the changed returns."""
    report = found.report
    say(
        (report.criteria_version, "bold"),
        f" on {report.cases} return(s) of {found.source}, in {found.seconds:.1f} s",
    )
    say((f"{BASIS}{_edited(found)}", "dim"))
    for fact in found.missing:
        say((f"The criteria ask for {fact}, which an export leaves out.", "yellow"))
    if not report.cases:
        return
    console.print(_chart(report))
    console.print(_matrix(report))
    rules = [
        (rule, outcome, n)
        for rule, counts in report.by_rule.items()
        for outcome, n in counts.items()
    ]
    console.print(table("Which rule decided", ["rule", "outcome", "returns"], rules))
    console.print(_days(report.days))
    _changed(report)


def _edited(found: Backtest) -> str:
    return f" The units of {found.edited} have been edited since." if found.edited else ""


def _chart(report: BacktestReport) -> Text:
    before = report.before
    most = max([*report.by_outcome.values(), *before.values()])
    text = Text("\nOutcomes, really and with these criteria\n", style="bold")
    for outcome in Outcome:
        was, now = before.get(outcome, 0), report.by_outcome.get(outcome, 0)
        if not was and not now:
            continue
        style = STYLES[outcome]
        text.append(f"{outcome.value.replace('_', ' '):>13} ", style="not bold")
        text.append(f"{_bar(was, most)} {was}\n", style=f"not bold dim {style}")
        text.append(" " * 14)
        text.append(f"{_bar(now, most)} {now}\n", style=f"not bold {style}")
    return text


def _bar(count: int, most: int) -> str:
    return "█" * max(1 if count else 0, round(count / most * WIDTH))


def _matrix(report: BacktestReport) -> Any:
    outcomes = sorted({o for counts in report.matrix.values() for o in counts})
    rows = [(was, *(counts.get(o, 0) for o in outcomes)) for was, counts in report.matrix.items()]
    return table("Decided then (rows), now (columns)", ["then", *outcomes], rows)


def _days(days: tuple[Day, ...]) -> Text:
    shown = days[-DAYS_SHOWN:]
    most = max(sum(d.outcomes.values()) for d in shown)
    text = Text(f"\nBy day of the first receipt (UTC), the last {len(shown)}\n", style="bold")
    for day in shown:
        text.append(f"{day.day:%Y-%m-%d} ", style="not bold")
        for outcome in Outcome:
            width = round(day.outcomes.get(outcome, 0) / most * WIDTH)
            text.append("█" * width, style=f"not bold {STYLES[outcome]}")
        changed = f", {day.changed} changed" if day.changed else ""
        text.append(f" {sum(day.outcomes.values())}{changed}\n", style="not bold")
    return text


def _changed(report: BacktestReport) -> None:
    if not report.changed_total:
        say(("No return would be decided in another way.", "bold green"))
        return
    rows = [(c.return_id, c.before, c.after, c.sentence) for c in report.changed]
    left = report.changed_total - len(rows)
    title = f"{report.changed_total} return(s) decided in another way"
    console.print(table(title, ["return", "really", "now", "why"], rows))
    if left:
        say(f"... and {left} more; --json and --html list {len(rows)} as well")


# -- page -------------------------------------------------------------------------------------


def write_page(path: Path, found: Backtest) -> None:
    """A self-contained HTML page with an SVG chart. OSError."""
    environment = Environment(
        loader=PackageLoader("bergen_loop.cli"), autoescape=True, undefined=StrictUndefined
    )
    page = environment.get_template("backtest.html").render(
        found=found,
        report=found.report,
        basis=BASIS,
        before=found.report.before,
        outcomes=list(Outcome),
        colours=COLOURS,
        chart=outcome_chart("days", found.report.days),
        made=datetime.now(UTC),
    )
    path.write_text(page, encoding="utf-8")
