"""Charts as inline SVG: no script, no colour without words, readable by a screen reader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH, HEIGHT = 640, 170
LEFT, RIGHT, TOP, BOTTOM = 46, 6, 12, 24
SPARK_WIDTH, SPARK_HEIGHT = 120, 26


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
    for share in (0.0, 0.5, 1.0):
        y = TOP + plot * (1 - share)
        label = axis.format(_short(top * share))
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="tick" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">'
            f"{escape(label)}</text>"
        )
    for index, bar in enumerate(bars):
        x = LEFT + index * step
        if bar.value is not None:
            parts.append(_rect(x, step, TOP, plot, bar, bar.value / top))
        if _labelled(index, len(bars)):
            last = index == len(bars) - 1
            at, anchor = (x + step, "end") if last else (x + step / 2, "middle")
            parts.append(
                f'<text class="tick" x="{at:.1f}" y="{HEIGHT - 6}" '
                f'text-anchor="{anchor}">{escape(bar.label)}</text>'
            )
    return Markup("".join(parts) + "</svg>")  # noqa: S704 - every text in it is escaped


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
