"""When a run may stop: verdicts are reached in interim analyses after rounds, and no more of them are wrong than with
one analysis at the end.

Whoever analyses again and again and stops at the first 'faster' finds one sooner or later. Here each interim analysis
has a level of its own, below the level asked for, such that all of them together spend no more than that:

- how much may be spent by an analysis follows from how much of the budget (of rounds or minutes) is used, by the
  spending function of Lan & DeMets (1983, Biometrika 70:659) that resembles Pocock's bounds: alpha ln(1 + (e - 1) t).
  It spends early, since differences between ways of serving are often large. How much is used may not depend on which
  configuration is ahead; rounds and minutes, in which all take turns, do not.
- the level of an analysis is the one that so large a share of paths without a difference crosses first there. The usual
  numerical integration takes the spread for known, and with the few queries of a suite it errs twice as often as it
  says; so the paths are those of what is compared: Student's t over queries of the median over rounds, of normal noise,
  drawn 200,000 times. (From one analysis to the next medians go on less smoothly than means: paths of means would err
  in up to 6 % of runs.) That queries gain differently, which lasts over rounds, only makes analyses more alike, and
  errors rarer; so do rounds of one query that resemble each other, and queries that are noisy to different degrees.
- what a verdict speaks of: queries like these, as `statistics.paired_ratio` has it. Of these very queries it errs less.
- p-values come from `statistics.paired_ratio` as in a run without interim analyses, and are held against that level
  (Jennison & Turnbull 2000, Group Sequential Methods, 3.8); over several comparisons by stepping down as Holm does, a
  verdict once reached is kept (Maurer & Bretz 2013, Stat. Biopharm. Res. 5:311).
- the interval at an analysis is that of its level: it holds whenever one stops (Jennison & Turnbull 1989, JRSS B
  51:305).

Pure: nothing is asked and no clock is read here. `bench/stopping.py`, and for first asks
`bench/stopping_first_asks.py`, measure how often it errs and what it finds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from punie_trace.analysis.statistics import Ratio, SpeedVerdict, paired_ratio
from punie_trace.runs.header import Look

ALPHA: Final = 0.05
"""Chance of any wrong verdict in a run, interim analyses and comparisons taken together."""

Times = Mapping[tuple[str, int], float]
"""Wall times by query and round."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict, and the number (from 0) of the interim analysis in which it was reached."""

    verdict: SpeedVerdict
    analysis: int


def spent(alpha: float, share: float) -> float:
    """How much of `alpha` may be spent when `share` (0 to 1) of the budget is used."""
    return alpha * math.log1p((math.e - 1) * min(max(share, 0.0), 1.0))


def levels(analyses: Sequence[Look], queries: int, alpha: float = ALPHA) -> list[float]:
    """The two-sided level of each analysis, with `queries` compared: below it a p-value decides; 0 decides nothing.

    `analyses` in the order they were made; rounds and what was spent never fall: `ValueError` where they do.
    """
    for before, after in pairwise(analyses):
        if after.rounds < before.rounds or after.spent < before.spent:
            raise ValueError(
                f"an analysis after {after.rounds} rounds and {after.spent} of the budget cannot follow {before}"
            )
    # Loaded here because a run of one configuration has no use for it.
    from punie_trace.analysis.stopping_paths import levels_of

    return list(levels_of(tuple((analysis.rounds, spent(alpha, analysis.spent)) for analysis in analyses), queries))


def decide(
    baseline: Times, others: Mapping[str, Times], analyses: Sequence[Look], alpha: float = ALPHA
) -> dict[str, Decision]:
    """What was decided in which analysis; a comparison that is not there was not decided.

    It goes through all analyses again, each with the rounds up to its own, so that it needs no memory of them: a run
    and a report made from its folder find the same.
    """
    decided: dict[str, Decision] = {}
    for number, analysis in enumerate(analyses):
        open_ = [name for name in others if name not in decided]
        found: dict[str, Ratio] = {}
        for name in open_:
            before, after = _until(baseline, analysis.last_round), _until(others[name], analysis.last_round)
            if before.keys() & after.keys():
                ratio = paired_ratio(before, after)
                if ratio.p_value is not None:
                    found[name] = ratio
        while found:
            name = min(found, key=lambda one: found[one].p_value or 0.0)
            ratio = found.pop(name)
            level = levels(analyses[: number + 1], ratio.queries, alpha / (len(others) - len(decided)))[-1]
            if ratio.p_value is None or ratio.p_value >= level:
                break
            decided[name] = Decision("faster" if ratio.estimate > 1 else "slower", number)
    return decided


def final_level(analyses: Sequence[Look], queries: int, alpha: float = ALPHA) -> float:
    """The level at which an interval holds now: that of the last analysis which could decide, else `alpha`."""
    return next((level for level in reversed(levels(analyses, queries, alpha)) if level > 0), alpha)


def settle_sequentially(ratio: Ratio, decision: Decision | None) -> Ratio:
    """The ratio with the verdict of an interim analysis, and none where the rounds after it point the other way."""
    agrees = decision is not None and (decision.verdict == "faster") == (ratio.estimate > 1)
    if decision is None or not agrees:
        return replace(ratio, verdict="cannot tell")
    return replace(ratio, verdict=decision.verdict, more_rounds=None, more_queries=None)


def _until(times: Times, last_round: int) -> Times:
    return {key: value for key, value in times.items() if key[1] <= last_round}
