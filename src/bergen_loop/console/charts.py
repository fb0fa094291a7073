"""Charts as inline SVG: no script, no colour without words, readable by a screen reader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from bergen_loop.domain.criteria import Day
from bergen_loop.domain.decision import Outcome

WIDTH, HEIGHT = 640, 170
LEFT, RIGHT, TOP, BOTTOM = 46, 6, 12, 24
SPARK_WIDTH, SPARK_HEIGHT = 120, 26
COLOURS: dict[str, str] = {
    Outcome.PROCESS: "#2e7d4f",
    Outcome.FLAG: "#b3402e",
    Outcome.WAIT: "#c9962b",
    Outcome.REMOVE_LINES: "#2f7f9e",
    Outcome.ATTENTION: "#7b4a9e",
}
"""Of each outcome."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One day. `value` None: nothing to show for it."""

    label: str
    value: float | None
    text: str
    """The value in words."""


def bar_chart(name: str, title: str, bars: Sequence[Bar], axis: str) -> Markup:
    """A bar a day. `name` is unique on the page; `axis` says what the heights are, with `{}`
    for a number: `{} h`, `{} %`."""
    top = nice(max((b.value for b in bars if b.value is not None), default=0.0))
    plot, step = HEIGHT - TOP - BOTTOM, (WIDTH - LEFT - RIGHT) / max(1, len(bars))
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-labelledby="{escape(name)}-t {escape(name)}-d">',
        f'<title id="{escape(name)}-t">{escape(title)}</title>',
        f'<desc id="{escape(name)}-d">{escape(summary(bars))}</desc>',
    ]
    parts += _grid(top, axis)
    for index, bar in enumerate(bars):
        x = LEFT + index * step
        if bar.value is not None:
            parts.append(_rect(x, step, TOP, plot, bar, bar.value / top))
        parts += _foot(index, len(bars), bar.label)
    return Markup("".join(parts) + "</svg>")  # noqa: S704 - every text in it is escaped


def outcome_chart(name: str, days: Sequence[Day]) -> Markup:
    """A column a day, made of its outcomes. `name` is unique on the page."""
    top = nice(max((float(sum(d.outcomes.values())) for d in days), default=0.0))
    step = (WIDTH - LEFT - RIGHT) / max(1, len(days))
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-labelledby="{escape(name)}-t {escape(name)}-d">',
        f'<title id="{escape(name)}-t">Returns a day by outcome</title>',
        f'<desc id="{escape(name)}-d">{escape(_days_in_words(days))}</desc>',
        *_grid(top, "{}"),
    ]
    for index, day in enumerate(days):
        parts += _column(day, LEFT + index * step, step, top)
        parts += _foot(index, len(days), f"{day.day:%b} {day.day.day}")
    return Markup("".join(parts) + "</svg>")  # noqa: S704 - every text in it is escaped


def _column(day: Day, x: float, step: float, top: float) -> list[str]:
    parts: list[str] = []
    y, width = float(HEIGHT - BOTTOM), max(1.0, step * 0.72)
    for outcome in Outcome:
        count = day.outcomes.get(outcome, 0)
        tall = count / top * (HEIGHT - TOP - BOTTOM)
        y -= tall
        if count:
            parts.append(
                f'<rect fill="{COLOURS[outcome]}" x="{x + (step - width) / 2:.1f}" y="{y:.1f}" '
                f'width="{width:.1f}" height="{tall:.1f}">'
                f"<title>{day.day}: {count} {outcome.value.replace('_', ' ')}</title></rect>"
            )
    return parts


def _days_in_words(days: Sequence[Day]) -> str:
    if not days:
        return "nothing in these days"
    most = max(days, key=lambda d: sum(d.outcomes.values()))
    counted = sum(most.outcomes.values())
    return f"{days[0].day} to {days[-1].day}; at most {counted} on {most.day}"


def spark(title: str, bars: Sequence[Bar]) -> Markup:
    """A small chart for a row of a table, its newest value in words beside it."""
    top = nice(max((b.value for b in bars if b.value is not None), default=0.0))
    step = SPARK_WIDTH / max(1, len(bars))
    parts = [
        f'<svg class="spark" viewBox="0 0 {SPARK_WIDTH} {SPARK_HEIGHT}" role="img" '
        f'aria-label="{escape(title)}: {escape(summary(bars))}">'
    ]
    for index, bar in enumerate(bars):
        if bar.value is not None:
            parts.append(_rect(index * step, step, 1, SPARK_HEIGHT - 2, bar, bar.value / top))
    return Markup("".join(parts) + "</svg>")  # noqa: S704 - every text in it is escaped


def summary(bars: Sequence[Bar]) -> str:
    """The chart in a sentence: the newest value, the lowest and the highest."""
    known = [(b.value, b) for b in bars if b.value is not None]
    if not known:
        return "nothing in these days"
    newest = known[-1][1]
    lowest, highest = min(known, key=lambda k: k[0])[1], max(known, key=lambda k: k[0])[1]
    return (
        f"newest {newest.text} on {newest.label}; lowest {lowest.text} on {lowest.label}, "
        f"highest {highest.text} on {highest.label}"
    )


def nice(value: float) -> float:
    """The end of an axis: the next of 1, 2, 5, 10, 20, 50 ... at or above `value`, 1 for none."""
    if value <= 0:
        return 1.0
    size = 1.0
    while size < value:
        size *= 10
    while size / 10 >= value:
        size /= 10
    return next(f * size / 10 for f in (1, 2, 5, 10) if f * size / 10 >= value)


def _grid(top: float, axis: str) -> list[str]:
    parts: list[str] = []
    for share in (0.0, 0.5, 1.0):
        y = TOP + (HEIGHT - TOP - BOTTOM) * (1 - share)
        label = axis.format(_short(top * share))
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="tick" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">'
            f"{escape(label)}</text>"
        )
    return parts


def _foot(index: int, count: int, label: str) -> list[str]:
    """The day under its bar, where there is room for it."""
    if not _labelled(index, count):
        return []
    step = (WIDTH - LEFT - RIGHT) / max(1, count)
    x, last = LEFT + index * step, index == count - 1
    at, anchor = (x + step, "end") if last else (x + step / 2, "middle")
    return [
        f'<text class="tick" x="{at:.1f}" y="{HEIGHT - 6}" '
        f'text-anchor="{anchor}">{escape(label)}</text>'
    ]


def _rect(x: float, step: float, top: float, plot: float, bar: Bar, share: float) -> str:
    height = max(1.5, plot * share)  # a zero is shown too: it is not the same as no value
    width = max(1.0, step * 0.72)
    return (
        f'<rect class="bar" x="{x + (step - width) / 2:.1f}" y="{top + plot - height:.1f}" '
        f'width="{width:.1f}" height="{height:.1f}" rx="1.5">'
        f"<title>{escape(bar.label)}: {escape(bar.text)}</title></rect>"
    )


def _labelled(index: int, count: int) -> bool:
    """About five labels, the newest day always among them."""
    every = max(1, (count + 4) // 5)
    return (count - 1 - index) % every == 0


def _short(value: float) -> str:
    return f"{value:g}" if value < 1000 else f"{value / 1000:g}k"
