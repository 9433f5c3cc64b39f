"""What a server remembers brings it: how much faster it answers a question that it was asked before.

By configuration: each query's first ask beside the median of its later ones. A figure of its own, which no speed-up
contains. That the machine or the server warmed up between the two is in it as well. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Final

from punie_trace.analysis.compare import bounded, walls_of
from punie_trace.analysis.figure_kinds import AskedAgain
from punie_trace.analysis.observations import Observation
from punie_trace.analysis.statistics import Ratio, holm, paired_ratio

NS_PER_MS: Final = 1e6
CHANCE: Final = 0.05
"""P-value below which the difference is more than chance."""


def asked_again(observed: Mapping[str, Sequence[Observation]]) -> dict[str, AskedAgain]:
    """By configuration, those that have queries which were asked first and again; Holm's correction is over them."""
    times = {name: _first_and_again(observations) for name, observations in observed.items()}
    times = {name: both for name, both in times.items() if both[0]}
    ratios = {name: paired_ratio(first, again) for name, (first, again) in times.items()}
    tested = [name for name, ratio in ratios.items() if ratio.p_value is not None]
    p_values = dict(zip(tested, holm([ratios[name].p_value or 0.0 for name in tested]), strict=True))
    return {name: _figures(*both, ratios[name], p_values.get(name)) for name, both in times.items()}


def remembers(one: AskedAgain | None) -> bool:
    """Whether first and later asks differ by more than chance."""
    return one is not None and one.p_value is not None and one.p_value < CHANCE


Times = dict[tuple[str, int], float]


def _first_and_again(observations: Sequence[Observation]) -> tuple[Times, Times]:
    """Wall times in ns by query (and round 0, since each query counts once), of queries that have both."""
    first = {
        (one.outcome.query, 0): float(one.outcome.wall_ns or 1)
        for one in observations
        if not one.ask.before and one.answered
    }
    later: dict[tuple[str, int], list[float]] = {}
    for (query, _), wall in walls_of(observations).again.items():
        later.setdefault((query, 0), []).append(wall)
    shared = [key for key in first if key in later]
    return {key: first[key] for key in shared}, {key: median(later[key]) for key in shared}


def _figures(first: Times, again: Times, ratio: Ratio, p_value: float | None) -> AskedAgain:
    return AskedAgain(
        queries=len(first),
        first_ms=median(first.values()) / NS_PER_MS,
        again_ms=median(again.values()) / NS_PER_MS,
        gain=bounded(ratio),
        p_value=p_value,
    )
