"""The figures that only a page can show: speed-ups with intervals, every query's time, latency over time, one query.

Each is a section of the document that draws itself when the page is made, and no sooner.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from statistics import median
from typing import Final

from punie_trace.analysis.disturbances import round_spans
from punie_trace.analysis.figure_kinds import Bounded
from punie_trace.analysis.figures import Comparison, SpeedFigures, Summary
from punie_trace.analysis.observations import Observation
from punie_trace.analysis.waterfall import WarmUp, warm_ups
from punie_trace.records import Verdict
from punie_trace.report import svg
from punie_trace.report.cost_pictures import costs
from punie_trace.report.html_data import Embedded
from punie_trace.report.html_text import folded, line, note, tag, text
from punie_trace.report.model import Items, Note, Picture, Section, section
from punie_trace.report.query_browser import all_queries, one_query
from punie_trace.report.turn_pictures import turn_charts
from punie_trace.report.units import duration, interval, span
from punie_trace.runs.reader import RunRecord

NS_PER_MS: Final = 1e6
_MOST_ROUND_LINES: Final = 60
_MOST_NAMED: Final = 12
_MOST_PARTS: Final = 12
"""More lines by category than this are folded away: first of all one asks which configuration is faster."""
_TONES: Final = {"faster": "good", "slower": "bad"}

Observations = Mapping[str, Sequence[Observation]]


def page_sections(
    run: RunRecord, summary: Summary, observed: Observations, embedded: Embedded
) -> dict[str, tuple[Section, ...]]:
    """The page's own sections, by the key of the section after which they stand."""
    return {
        "configurations": (_speed_ups(summary),),
        "advice": (
            *one_query(embedded),
            _distributions(summary, observed),
            _over_time(run, summary, observed),
            costs(summary),
        ),
        "turns": (turn_charts(observed),),
        "problems": all_queries(embedded),
    }


def _speed_ups(summary: Summary) -> Section:
    """Each configuration's speed-up with its interval, over all queries and by category."""
    shown = [one for one in summary.comparisons if one.speed is not None or one.speed_again is not None]
    title = f"How many times as fast as {summary.baseline}"
    if not shown:
        return section("speed-up", title)
    definition = f"speed-up: {summary.definitions['speed-up']}. The line at 1x is 'no difference'."
    notes = tuple(Note(f"{one.other}: {one.speed.note}") for one in shown if one.speed and one.speed.note)
    draw = Picture(partial(_draw_speed_ups, summary))
    return section("speed-up", title, draw, *notes, Note(definition), page_only=True)


def _draw_speed_ups(summary: Summary) -> str:
    parts = {one.other: _parts(one) for one in summary.comparisons}
    fold = sum(map(len, parts.values())) > _MOST_PARTS
    every = [part for of_one in parts.values() for part in of_one.values()]
    bounds = [1.0, *_bounds(one.speed for one in summary.comparisons)]
    wide = svg.scale_for([*bounds, *_bounds(every)], from_zero=False)
    scale = svg.scale_for(bounds, from_zero=False) if fold else wide
    rows, folds = [], []
    for one in summary.comparisons:
        name, speed = tag("b", text(one.other)), one.speed
        if speed is not None:
            label = f"{speed.estimate:.2f}x {interval(speed.low, speed.high)} {speed.verdict}"
            tone = _TONES.get(speed.verdict, "neutral")
            drawn = svg.interval_line(scale, speed.estimate, speed.low, speed.high, tone, label)
            rows.append(line(name, drawn, label))
        elif one.speed_again is not None:
            rows.append(line(name, "", "no first asks"))
        drawn_parts = _draw_parts(parts[one.other], wide)
        if fold and drawn_parts:
            folds.append(tag("h3", text(one.other)))
        (folds if fold else rows).extend(drawn_parts)
    plot = tag("div", "".join(rows) + _axis(scale), "plot")
    title = (
        "By category, and asked again" if any("asked again" in of_one for of_one in parts.values()) else "By category"
    )
    return plot + (folded(title, tag("div", "".join(folds) + _axis(wide), "plot")) if folds else "")


def _parts(one: Comparison) -> dict[str, Bounded]:
    """What a speed-up is made of: categories where there are several, and what was asked again."""
    parts = dict(one.speed_by_category) if len(one.speed_by_category) > 1 else {}
    return parts if one.speed_again is None else {**parts, "asked again": one.speed_again}


def _bounds(figures: Iterable[SpeedFigures | Bounded | None]) -> Iterator[float]:
    """All that has to find its place on a scale."""
    for one in figures:
        if one is not None:
            value = one.estimate if isinstance(one, SpeedFigures) else one.value
            yield from (bound for bound in (value, one.low, one.high) if bound is not None)


def _draw_parts(parts: Mapping[str, Bounded], scale: svg.Scale) -> list[str]:
    lines = []
    for part, figure in parts.items():
        label = f"{figure.value:.2f}x {interval(figure.low, figure.high)} {_count(figure.n)}"
        drawn = svg.interval_line(scale, figure.value, figure.low, figure.high, "neutral", label)
        lines.append(line(tag("span", text(part), "part"), drawn, label))
    return lines


def _axis(scale: svg.Scale) -> str:
    ticks = [(value, f"{value:g}x") for value in scale.ticks()]
    return line("", svg.axis(scale, ticks, "times as fast"), "")


def _count(queries: int) -> str:
    return "(1 query)" if queries == 1 else f"({queries} queries)"


def _distributions(summary: Summary, observed: Observations) -> Section:
    """Every answered query's wall time, and where it is streamed its time to first token, one strip each."""
    unseen = dict.fromkeys(
        f"{name}: time to first token is not observable: {one.ttft_ms.not_observable}"
        for name, one in summary.configurations.items()
        if one.ttft_ms.of and one.ttft_ms.not_observable is not None
    )
    if not any(one.answered for observations in observed.values() for one in observations):
        return section("distributions", "")
    explained = (
        f"Each dot is a query (above {svg.MOST_DOTS} of them bars count them); the box holds the middle half, the "
        "thick line is the median as defined below with its interval above it, the thin line is p95."
    )
    return section(
        "distributions",
        "Every query, not only the mean",
        Picture(partial(_draw_walls, summary, observed)),
        Note(explained),
        Picture(partial(_draw_first_tokens, summary, observed)),
        Items(tuple(unseen)),
        page_only=True,
    )


def _draw_walls(summary: Summary, observed: Observations) -> str:
    strips = {}
    for name, observations in observed.items():
        values = [one.outcome.wall_ns / NS_PER_MS for one in observations if one.answered]
        wall = summary.configurations[name].wall_ms
        if values and wall is not None:
            strips[name] = values, _box(values, wall.median, wall.low, wall.high)
    return _strips(strips, "wall time")


def _draw_first_tokens(summary: Summary, observed: Observations) -> str:
    strips = {}
    for name, observations in observed.items():
        firsts = [one.splits[0].first_chunk_ns for one in observations if one.answered and one.splits]
        values = [first / NS_PER_MS for first in firsts if first is not None]
        if values:
            strips[name] = values, _box(values, median(values))
    if not strips:
        return ""
    definition = note(f"TTFT: {summary.definitions['TTFT']}.")
    return tag("h3", "Time to first token") + _strips(strips, "time to first token") + definition


def _strips(strips: Mapping[str, tuple[Sequence[float], svg.Box]], what: str) -> str:
    if not strips:
        return ""
    scale = svg.scale_for([value for values, _ in strips.values() for value in values])
    rows = []
    for name, (values, box) in strips.items():
        label = f"median {duration(box.median)} {span(box.low, box.high, duration)}".rstrip()
        label = f"{label}, p95 {duration(box.p95)}, n {len(values)}"
        rows.append(tag("p", tag("b", text(name)) + tag("span", text(label)), "row"))
        rows.append(svg.strip(values, scale, box, f"{name}: {what}, {label}"))
    return tag("div", "".join(rows) + svg.axis(scale, _written(scale), what), "plot") + note(
        "The axis is logarithmic." if scale.logarithmic else ""
    )


def _written(scale: svg.Scale, most: int = 6) -> list[tuple[float, str]]:
    return [(tick, duration(tick) if tick else "0") for tick in scale.ticks(most)]


def _box(values: Sequence[float], middle: float, low: float | None = None, high: float | None = None) -> svg.Box:
    ordered = sorted(values)
    quarter, three, p95 = (ordered[math.ceil(share * len(ordered)) - 1] for share in (0.25, 0.75, 0.95))
    return svg.Box(quarter, middle, three, p95, low, high)


def _over_time(run: RunRecord, summary: Summary, observed: Observations) -> Section:
    """When each query was due and how long it took, with the rounds, what was not right, and the warm-up."""
    if not any(observed.values()):
        return section("time", "")
    spans = round_spans(run.outcomes) if summary.disturbed_rounds else {}
    disturbed = [(number, *spans[number]) for number in summary.disturbed_rounds if number in spans]
    return section(
        "time",
        "Over time",
        Picture(lambda: _draw_over_time(observed, warm_ups(run.spans), disturbed)),
        Note(_shaded([number for number, _, _ in disturbed])),
        page_only=True,
    )


def _draw_over_time(
    observed: Observations, warm_up: Sequence[WarmUp], disturbed: Sequence[tuple[int, int, int]]
) -> str:
    """`disturbed` are rounds (number, beginning, end in ns on the run's clock) that something else disturbed.

    They are shaded, those too that were asked again and have no dots.
    """
    every = sorted(
        (one.outcome for observations in observed.values() for one in observations), key=lambda outcome: outcome.seq
    )
    begin = min(one.due_ns for one in (*every, *warm_up))
    begin = min([begin, *(start for _, start, _ in disturbed)])
    last = max(outcome.due_ns for outcome in every)
    time = svg.Scale(0.0, max((last - begin) / NS_PER_MS, 1.0))
    scale = svg.scale_for([*(one.wall_ns / NS_PER_MS for one in every), *(one.wall_ns / NS_PER_MS for one in warm_up)])
    starts = [
        (outcome.due_ns - begin) / NS_PER_MS
        for before, outcome in zip([None, *every], every, strict=False)
        if before is None or before.round != outcome.round
    ]
    lines = starts if len(starts) <= _MOST_ROUND_LINES else []
    bands = [((start - begin) / NS_PER_MS, (end - begin) / NS_PER_MS, "disturbed") for _, start, end in disturbed]
    levels = _written(scale, 2)
    rows = []
    for name, observations in observed.items():
        points = [
            ("warm-up", (one.due_ns - begin) / NS_PER_MS, one.wall_ns / NS_PER_MS)
            for one in warm_up
            if one.configuration == name
        ]
        points += [
            (
                "right" if one.outcome.verdict is Verdict.CORRECT else "wrong",
                (one.outcome.due_ns - begin) / NS_PER_MS,
                one.outcome.wall_ns / NS_PER_MS,
            )
            for one in observations
        ]
        if points:
            rows.append(tag("p", tag("b", text(name)) + tag("span", f"{len(observations)} queries"), "row"))
            rows.append(svg.over_time(points, time, scale, lines, levels, f"{name}: wall time over time", bands))
    keys = [("right", "right"), ("wrong", "not right")] + ([("warm-up", "warm-up, not counted")] if warm_up else [])
    legend = "".join(tag("li", f'<i class="key dot {kind}"></i>{word}') for kind, word in keys)
    if disturbed:
        legend += tag("li", '<i class="key disturbed"></i>disturbed round')
    rounds = "Each vertical line is where a round begins. " if lines else f"{len(starts)} rounds, not drawn. "
    return (
        tag("ul", legend, "legend")
        + tag("div", "".join(rows) + svg.axis(time, _written(time), "time since the run began"), "plot")
        + note(
            "Across: when a query was due, since the first one. Upward: its wall time"
            f"{', on a logarithmic scale' if scale.logarithmic else ''}. {rounds}A slope means that the machine "
            "changed while it was measured; rounds mix all configurations that are up together, so that it falls on "
            "them alike."
        )
    )


def _shaded(disturbed: Sequence[int]) -> str:
    if not disturbed:
        return ""
    numbers = list(map(str, disturbed))
    shown = ", ".join(numbers[:_MOST_NAMED]) + (
        f" and {len(numbers) - _MOST_NAMED} more" if numbers[_MOST_NAMED:] else ""
    )
    rounds = f"round {shown} is" if len(numbers) == 1 else f"rounds {shown} are"
    return (
        f"Shaded: {rounds} disturbed by something else on the machine; by what, the findings say. A shaded stretch "
        "without dots was asked again and counts in nothing."
    )
