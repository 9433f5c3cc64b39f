"""Whether a configuration had settled when it was measured: how long its start was unlike what came after.

Each wall time is taken relative to its query's median, so that short and long queries make one series, in the order in
which they were due. The rule is MSER (White 1997, Simulation 69:323; in batches, as White, Cobb & Spratt 2000): leave
out the start whose absence makes the mean of the rest most certain. That start is told of only where it differs by more
than chance and by more than a little. Pure; nothing is left out of any figure here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Final

from punie_trace.analysis.observations import Observation

FEWEST: Final = 8
"""Queries below which a start cannot be told from chance."""
_LITTLE: Final = 1.05
_CERTAIN: Final = 4.0
"""Standard errors; high, since the place was chosen to look different."""
_BATCHES: Final = 200


@dataclass(frozen=True, slots=True)
class StartUp:
    """The start of a series: what it was, and how many times the later ones' time it took."""

    what: str
    factor: float


def start_up(observations: Sequence[Observation]) -> StartUp | None:
    """The start that is slower than the rest, None where there is none to be told of."""
    answered = sorted((one.outcome for one in observations if one.answered), key=lambda one: one.due_ns)
    by_query: dict[str, list[float]] = {}
    for outcome in answered:
        by_query.setdefault(outcome.query, []).append(math.log(max(outcome.wall_ns, 1)))
    medians = {query: median(values) for query, values in by_query.items() if len(values) > 1}
    series = [math.log(max(one.wall_ns, 1)) - medians[one.query] for one in answered if one.query in medians]
    if len(series) < FEWEST:
        return None
    end = truncation(series)
    if not end:
        return None
    first, rest = series[:end], series[end:]
    # One value has no spread of its own; the rest's stands for it.
    spread = _squares(rest) / (len(rest) - 1)
    error = math.sqrt(spread / len(first) + spread / len(rest))
    factor = math.exp(fmean(first) - fmean(rest))
    # A start that is faster than the rest is no warming up; it is a change that the chart over time shows.
    if factor < _LITTLE or math.log(factor) <= _CERTAIN * error:
        return None
    return StartUp("query" if end == 1 else f"{end} queries", factor)


def truncation(series: Sequence[float]) -> int:
    """How many values at the start MSER leaves out, at most half of them."""
    size = max(1, len(series) // _BATCHES)
    count = len(series) // size
    means = [fmean(series[start : start + size]) for start in range(0, count * size, size)]
    best, found = math.inf, 0
    for start in range(count // 2 + 1):
        rest = means[start:]
        certainty = _squares(rest) / len(rest) ** 2
        if certainty < best - 1e-15:
            best, found = certainty, start
    return found * size


def _squares(values: Sequence[float]) -> float:
    """The sum of squares around the mean."""
    mean = fmean(values)
    return math.fsum([(value - mean) ** 2 for value in values])
