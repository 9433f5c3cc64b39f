"""The parts of the page that show every query rather than a mean: distributions, and latency over time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Final

from punie_trace.analysis.figures import Summary
from punie_trace.analysis.observations import Observation
from punie_trace.analysis.waterfall import WarmUp
from punie_trace.records import Verdict
from punie_trace.report import svg
from punie_trace.report.html_text import note, section, tag, text
from punie_trace.report.units import duration, span

NS_PER_MS: Final = 1e6
_MOST_ROUND_LINES: Final = 60
_MOST_NAMED: Final = 12

Observations = Mapping[str, Sequence[Observation]]


def distributions(summary: Summary, observed: Observations) -> str:
    """Every answered query's wall time, and where it is streamed its time to first token, one strip a configuration."""
    walls = {name: _walls(observations) for name, observations in observed.items()}
    medians = {name: one.wall_ms for name, one in summary.configurations.items()}
    strips = {}
    for name, values in walls.items():
        wall = medians.get(name)
        if values and wall is not None:
            strips[name] = values, _box(values, wall.median, wall.low, wall.high)
    first = {name: _first_tokens(observations) for name, observations in observed.items()}
    firsts = {name: (values, _box(values, median(values))) for name, values in first.items() if values}
    unseen = dict.fromkeys(
        f"{name}: time to first token is not observable: {one.ttft_ms.not_observable}"
        for name, one in summary.configurations.items()
        if one.ttft_ms.of and one.ttft_ms.not_observable is not None
    )
    return section(
        "distributions",
        "Every query, not only the mean",
        _strips(strips, "wall time"),
        note(
            f"Each dot is a query (above {svg.MOST_DOTS} of them bars count them); the box holds the middle half, the "
            "thick line is the median as defined below with its interval above it, the thin line is p95."
        ),
        tag("h3", "Time to first token") if firsts or unseen else "",
        _strips(firsts, "time to first token"),
        note(f"TTFT: {summary.definitions['TTFT']}." if firsts else ""),
        "".join(map(note, unseen)),
    )


def over_time(observed: Observations, warm_up: Sequence[WarmUp], disturbed: Sequence[tuple[int, int, int]] = ()) -> str:
    """When each query was due and how long it took, with the rounds, what was not right, and the warm-up.

    `disturbed` are the rounds that something else disturbed: number, beginning and end in ns on the run's clock. They
    are shaded, those too that were asked again and have no dots.
    """
    every = sorted(
        (one.outcome for observations in observed.values() for one in observations), key=lambda outcome: outcome.seq
    )
    if not every:
        return ""
    begin = min(outcome.due_ns for outcome in every)
    begin = min([begin, *(one.due_ns for one in warm_up)])
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
        points = [("warm-up", (one.due_ns - begin) / NS_PER_MS, one.wall_ns / NS_PER_MS) for one in warm_up
                  if one.configuration == name]  # fmt: skip
        points += [
            (
                "right" if one.outcome.verdict is Verdict.CORRECT else "wrong",
                (one.outcome.due_ns - begin) / NS_PER_MS,
                one.outcome.wall_ns / NS_PER_MS,
            )
            for one in observations
        ]
        if points:
            said = f"{len(observations)} queries"
            rows.append(tag("p", tag("b", text(name)) + tag("span", text(said)), "row"))
            rows.append(svg.over_time(points, time, scale, lines, levels, f"{name}: wall time over time", bands))
    keys = [("right", "right"), ("wrong", "not right")] + ([("warm-up", "warm-up, not counted")] if warm_up else [])
    legend = "".join(tag("li", f'<i class="key dot {kind}"></i>{word}') for kind, word in keys)
    if disturbed:
        legend += tag("li", '<i class="key disturbed"></i>disturbed round')
    rounds = "Each vertical line is where a round begins. " if lines else f"{len(starts)} rounds, not drawn. "
    return section(
        "time",
        "Over time",
        tag("ul", legend, "legend"),
        tag("div", "".join(rows) + svg.axis(time, _written(time), "time since the run began"), "plot"),
        note(
            "Across: when a query was due, since the first one. Upward: its wall time"
            f"{', on a logarithmic scale' if scale.logarithmic else ''}. {rounds}A slope means that the machine "
            "changed while it was measured; rounds mix all configurations that are up together, so that it falls on "
            "them alike."
        ),
        note(_shaded(disturbed)),
    )


def _shaded(disturbed: Sequence[tuple[int, int, int]]) -> str:
    if not disturbed:
        return ""
    numbers = [str(number) for number, _, _ in disturbed]
    shown = ", ".join(numbers[:_MOST_NAMED]) + (
        f" and {len(numbers) - _MOST_NAMED} more" if numbers[_MOST_NAMED:] else ""
    )
    rounds = f"round {shown} is" if len(numbers) == 1 else f"rounds {shown} are"
    return (
        f"Shaded: {rounds} disturbed by something else on the machine; by what, 'What to know before trusting this' "
        "says. A shaded stretch without dots was asked again and counts in nothing."
    )


def _strips(strips: Mapping[str, tuple[Sequence[float], svg.Box]], what: str) -> str:
    if not strips:
        return ""
    scale = svg.scale_for([value for values, _ in strips.values() for value in values])
    rows = []
    for name, (values, box) in strips.items():
        said = f"median {duration(box.median)} {span(box.low, box.high, duration)}".rstrip()
        said = f"{said}, p95 {duration(box.p95)}, n {len(values)}"
        rows.append(tag("p", tag("b", text(name)) + tag("span", text(said)), "row"))
        rows.append(svg.strip(values, scale, box, f"{name}: {what}, {said}"))
    return tag("div", "".join(rows) + svg.axis(scale, _written(scale), what), "plot") + note(
        "The axis is logarithmic." if scale.logarithmic else ""
    )


def _written(scale: svg.Scale, most: int = 6) -> list[tuple[float, str]]:
    return [(tick, duration(tick) if tick else "0") for tick in scale.ticks(most)]


def _box(values: Sequence[float], middle: float, low: float | None = None, high: float | None = None) -> svg.Box:
    ordered = sorted(values)
    quarter, three, p95 = (ordered[math.ceil(share * len(ordered)) - 1] for share in (0.25, 0.75, 0.95))
    return svg.Box(quarter, middle, three, p95, low, high)


def _walls(observations: Sequence[Observation]) -> list[float]:
    return [one.outcome.wall_ns / NS_PER_MS for one in observations if one.answered]


def _first_tokens(observations: Sequence[Observation]) -> list[float]:
    firsts = [one.splits[0].first_chunk_ns for one in observations if one.answered and one.splits]
    return [first / NS_PER_MS for first in firsts if first is not None]
