"""Plain SVG charts: stacked bars, intervals, strips of dots with a box, dots over time, axes.

All of them are as wide as what holds them and keep their text's size, on a phone as on a desk: positions are in per
cent, and only clouds of dots sit in a stretched inner drawing. Colours are classes of the page's style sheet. Values
come in, markup comes out; nothing here knows of runs.
"""

from __future__ import annotations

import html
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

GRID: Final = 1000
"""Dots are placed on a grid this wide, and one dot stands for all that fall on the same place."""
MOST_DOTS: Final = 400
"""Above so many values a strip counts them in bars."""
_BARS: Final = 200
_PLOT: Final = 90
"""Height in pixels of a chart over time."""
_WIDE: Final = 20.0
"""Beyond this ratio of the largest to the smallest value an axis is logarithmic."""


@dataclass(frozen=True, slots=True)
class Scale:
    """From a value to its place on an axis, in per cent."""

    low: float
    high: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """The place of `value`; what lies outside is put on the edge."""
        return self.places((value,))[0]

    def places(self, values: Iterable[float]) -> list[float]:
        """The place of each value, as `at` has it: of tens of thousands, the scale itself is looked at once."""
        low, high = self.low, self.high
        if self.logarithmic:
            low, high, values = _log(low), _log(high), map(_log, values)
        if not high > low:
            return [50.0 for _ in values]
        return [min(max((value - low) / (high - low) * 100, 0.0), 100.0) for value in values]

    def ticks(self, most: int = 6) -> list[float]:
        """Round values to write below the axis, at most about `most`."""
        if self.logarithmic:
            return _log_ticks(self.low, self.high, most)
        step = _round_step((self.high - self.low) / most)
        first = math.ceil(self.low / step - 1e-9)
        return [step * k for k in range(first, math.floor(self.high / step + 1e-9) + 1)]


@dataclass(frozen=True, slots=True)
class Box:
    """What a strip shows beside its dots: quartiles, median, and the median's interval where there is one."""

    lower_quartile: float
    median: float
    upper_quartile: float
    p95: float
    low: float | None = None
    high: float | None = None


def element(tag: str, attributes: dict[str, str | float | None], *children: str) -> str:
    """One element; attributes that are None are left out, and all values are escaped. Children are markup."""
    written = "".join(
        f' {name}="{html.escape(value) if isinstance(value, str) else short(value)}"'
        for name, value in attributes.items()
        if value is not None
    )
    return f"<{tag}{written}>{''.join(children)}</{tag}>"


def short(value: float) -> str:
    """A number in as few characters as a screen needs."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def scale_for(values: Iterable[float], *, from_zero: bool = True) -> Scale:
    """A scale that holds all values: from 0, or logarithmic where they differ so much that the small would vanish."""
    present = [value for value in values if value is not None and math.isfinite(value)]
    if not present:
        return Scale(0.0, 1.0)
    low, high = min(present), max(present)
    if low > 0 and high / low > _WIDE:
        return Scale(low * 0.9, high * 1.1, logarithmic=True)
    if from_zero:
        return Scale(0.0, high * 1.04 or 1.0)
    margin = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    return Scale(low - margin, high + margin)


def stacked_bar(parts: Sequence[tuple[str, float]], of: float, label: str, height: int = 22) -> str:
    """One bar: `parts` are (class, value) end to end, `of` is the value that fills the whole width."""
    drawn, reached = [], 0.0
    for kind, value in parts:
        width = value / of * 100 if of > 0 else 0.0
        drawn.append(
            element("rect", {"class": kind, "x": _percent(reached), "width": _percent(width), "height": float(height)})
        )
        reached += width
    return _chart(height, label, *drawn)


def interval_line(scale: Scale, value: float, low: float | None, high: float | None, kind: str, label: str) -> str:
    """An estimate with its interval on `scale`, and a line where nothing differs (1)."""
    marks = [_line(scale.at(1.0), 0, 24, "reference")]
    if low is not None and high is not None:
        x1, x2 = scale.at(low), scale.at(high)
        marks.append(
            element("line", {"class": f"range {kind}", "x1": _percent(x1), "x2": _percent(x2), "y1": 12.0, "y2": 12.0})
        )
        marks += [_line(x, 7, 17, f"range {kind}") for x in (x1, x2)]
    marks.append(element("circle", {"class": f"point {kind}", "cx": _percent(scale.at(value)), "cy": 12.0, "r": 5.0}))
    return _chart(24, label, *marks)


def strip(values: Sequence[float], scale: Scale, box: Box, label: str) -> str:
    """Every value as a dot (bars that count them where dots would run together), and above them the box."""
    if len(values) <= MOST_DOTS:
        dots = [(place, _spread(index)) for index, place in enumerate(scale.places(values))]
        shown = _cloud(dots, "dots", 26, 28)
    else:
        shown = _histogram(scale.places(values), 26, 28)
    quartiles = scale.at(box.lower_quartile), scale.at(box.upper_quartile)
    marks = [
        element(
            "rect",
            {"class": "box", "x": _percent(quartiles[0]), "width": _percent(quartiles[1] - quartiles[0]), "y": 8.0,
             "height": 12.0},
        )
    ]  # fmt: skip
    if box.low is not None and box.high is not None:
        low, high = scale.at(box.low), scale.at(box.high)
        marks.append(
            element("line", {"class": "range", "x1": _percent(low), "x2": _percent(high), "y1": 4.0, "y2": 4.0})
        )
        marks += [_line(x, 1, 7, "range") for x in (low, high)]
    marks += [_line(scale.at(box.median), 6, 22, "median"), _line(scale.at(box.p95), 8, 20, "p95")]
    return _chart(56, label, shown, *marks)


def over_time(
    points: Sequence[tuple[str, float, float]],
    time: Scale,
    values: Scale,
    starts: Sequence[float],
    levels: Sequence[tuple[float, str]],
    label: str,
    bands: Sequence[tuple[float, float, str]] = (),
) -> str:
    """Dots of (class, time, value), lines where each of `starts` lies, and named `levels`. The value grows upward.

    `bands` are stretches of time (from, to, class) that are shaded from top to bottom.
    """
    groups: dict[str, list[tuple[float, float]]] = {}
    across, upward = time.places([at for _, at, _ in points]), values.places([value for _, _, value in points])
    for (kind, _, _), x, y in zip(points, across, upward, strict=True):
        groups.setdefault(kind, []).append((x, 100 - y))
    lines = [_line(time.at(start), 0, _PLOT, "round") for start in starts]
    grid, names = [], []
    for value, written in levels:
        y = (100 - values.at(value)) / 100 * (_PLOT - 6) + 3
        grid.append(element("line", {"class": "grid", "x1": "0", "x2": "100%", "y1": y, "y2": y}))
        below = y < 14  # above it the text would run into what stands over the chart
        names.append(
            element("text", {"class": "level", "x": "0", "y": y + (11 if below else -3)}, html.escape(written))
        )
    clouds = [_cloud(dots, kind, 3, _PLOT - 6) for kind, dots in groups.items()]
    shades = []
    for begin, end, kind in bands:
        x1, x2 = time.at(begin), time.at(end)
        # Never narrower than can be seen.
        width = _percent(max(x2 - x1, 0.2))
        shades.append(
            element("rect", {"class": kind, "x": _percent(x1), "y": 0.0, "width": width, "height": float(_PLOT)})
        )
    return _chart(_PLOT, label, *shades, *lines, *grid, *clouds, *names)


def axis(scale: Scale, written: Sequence[tuple[float, str]], label: str) -> str:
    """The values written below a chart, each with a tick; those at the edges are kept inside."""
    marks = []
    for value, text in written:
        x = scale.at(value)
        anchor = "start" if x < 4 else "end" if x > 96 else "middle"
        marks.append(_line(x, 0, 5, "tick"))
        marks.append(element("text", {"x": _percent(x), "y": 18.0, "text-anchor": anchor}, html.escape(text)))
    return _chart(22, label, element("line", {"class": "tick", "x1": "0", "x2": "100%", "y1": 0.5, "y2": 0.5}), *marks)


def _chart(height: int, label: str, *children: str) -> str:
    return element(
        "svg",
        {"class": "chart", "width": "100%", "height": float(height), "role": "img", "aria-label": label},
        *children,
    )


def _cloud(places: Iterable[tuple[float, float]], kind: str, top: float, height: float) -> str:
    """Dots at places in per cent of an area `height` pixels high, as one path: a round cap needs no length."""
    unique = dict.fromkeys((round(x / 100 * GRID), round(y)) for x, y in places)
    path = "".join(f"M{x} {y}h0" for x, y in unique)
    return element(
        "svg",
        {"x": "0", "y": top, "width": "100%", "height": height, "viewBox": f"0 0 {GRID} 100",
         "preserveAspectRatio": "none", "overflow": "visible"},
        element("path", {"class": kind, "d": path, "vector-effect": "non-scaling-stroke"}),
    )  # fmt: skip


def _histogram(places: Iterable[float], top: float, height: float) -> str:
    """How many of the places (in per cent) lie where, as bars from below; one is still to be seen."""
    counts = Counter(min(int(x / 100 * _BARS), _BARS - 1) for x in places)
    most = max(counts.values(), default=1)
    bars = "".join(f"M{x} 100v-{short(max(n / most * 100, 4))}h1V100z" for x, n in sorted(counts.items()))
    return element(
        "svg",
        {"x": "0", "y": top, "width": "100%", "height": height, "viewBox": f"0 0 {_BARS} 100",
         "preserveAspectRatio": "none"},
        element("path", {"class": "counts", "d": bars}),
    )  # fmt: skip


def _spread(index: int) -> float:
    """Heights that do not repeat soon and look even: the golden ratio's multiples, in per cent."""
    return index * 0.618033988749895 % 1 * 100


def _line(x: float, top: float, bottom: float, kind: str) -> str:
    return element("line", {"class": kind, "x1": _percent(x), "x2": _percent(x), "y1": float(top), "y2": float(bottom)})


def _percent(value: float) -> str:
    return f"{short(value)}%"


def _log(value: float) -> float:
    return math.log10(value) if value > 0 else -12.0


def _round_step(step: float) -> float:
    if step <= 0:
        return 1.0
    power = 10 ** math.floor(math.log10(step))
    return next((power * factor for factor in (1, 2, 2.5, 5) if power * factor >= step), power * 10)


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        found = [10.0**power * factor for power in powers for factor in factors if low <= 10.0**power * factor <= high]
        if len(found) <= most:
            break
    return found[:: -(-len(found) // most)] if len(found) > most else found or [low, high]
