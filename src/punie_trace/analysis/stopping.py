"""When a run may stop: verdicts are looked at after each round, and no more of them are wrong than with one look.

Whoever looks again and again and stops at the first 'faster' finds one sooner or later. Here each look has a level of
its own, below the level asked for, such that all looks together spend no more than that:

- how much may be spent by a look follows from how much of the budget (of rounds or minutes) is gone, by the spending
  function of Lan & DeMets (1983, Biometrika 70:659) that resembles Pocock's bounds: alpha ln(1 + (e - 1) t). It
  spends early, since differences between ways of serving are often large. How much is gone may not depend on which
  configuration is ahead; rounds and minutes, in which all take turns, do not.
- the level of a look is the one that so large a share of paths without a difference crosses first at this look. The
  usual numerical integration takes the spread for known, and with the few queries of a suite it errs twice as often as
  it says; so the paths are those of what is compared: Student's t over queries of the median over rounds, of normal
  noise, drawn 200,000 times. (From one look to the next medians go on less smoothly than means: paths of means would
  err in up to 6 % of runs.) That queries gain differently, which lasts over rounds, only makes looks more alike, and
  errors rarer; so do rounds of one query that resemble each other, and queries that are noisy to different degrees.
- what a verdict says of: queries like these, as `statistics.paired_ratio` says it. Of these very queries it errs less.
- p-values come from `statistics.paired_ratio` as in a run without looks, and are held against that level (Jennison &
  Turnbull 2000, Group Sequential Methods, 3.8); over several comparisons by stepping down as Holm does, a verdict once
  reached is kept (Maurer & Bretz 2013, Stat. Biopharm. Res. 5:311).
- the interval at a look is that of the level of the look: it holds whenever one stops (Jennison & Turnbull 1989,
  JRSS B 51:305).

Pure: nothing is asked and no clock is read here. `bench/stopping.py` measures how often it errs and what it finds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import Final

import numpy as np

from punie_trace.analysis.statistics import Ratio, SpeedVerdict, paired_ratio, student_p_value
from punie_trace.header import Look

ALPHA: Final = 0.05
"""Chance of any wrong verdict in a run, looks and comparisons taken together."""
_PATHS: Final = 200_000
_DRAWN_QUERIES: Final = 65_536
"""Each path is made of some of these."""
_DRAWN_ROUNDS: Final = 48
"""So many rounds are drawn one by one; of more, a median goes on as a mean does (Bahadur 1966, Ann. Math. Stat. 37:577)
whose rounds vary by pi/2."""
_MOST_DRAWN_QUERIES: Final = 30
"""With more queries than that, p-values of t hardly depend on how many they are."""

Times = Mapping[tuple[str, int], float]
"""Wall times by query and round."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict, and the look (from 0) at which it was reached."""

    verdict: SpeedVerdict
    look: int


def spent(alpha: float, share: float) -> float:
    """How much of `alpha` may be spent when `share` (0 to 1) of the budget is gone."""
    return alpha * math.log1p((math.e - 1) * min(max(share, 0.0), 1.0))


def levels(looks: Sequence[Look], queries: int, alpha: float = ALPHA) -> list[float]:
    """The two-sided level of each look, with `queries` compared: below it a p-value decides; 0 decides nothing.

    `looks` in the order they were made; rounds and what was spent never fall: `ValueError` where they do.
    """
    for before, after in pairwise(looks):
        if after.rounds < before.rounds or after.spent < before.spent:
            raise ValueError(
                f"a look after {after.rounds} rounds and {after.spent} of the budget cannot follow {before}"
            )
    return list(_advance(tuple((look.rounds, look.spent) for look in looks), queries, alpha)[0])


def decide(
    baseline: Times, others: Mapping[str, Times], looks: Sequence[Look], alpha: float = ALPHA
) -> dict[str, Decision]:
    """What was decided at which look; a comparison that is not there was not decided.

    It goes through all looks again, each with the rounds up to its own, so that it needs no memory of them: a run and
    a report made from its folder find the same.
    """
    decided: dict[str, Decision] = {}
    for number, look in enumerate(looks):
        open_ = [name for name in others if name not in decided]
        found: dict[str, Ratio] = {}
        for name in open_:
            before, after = _until(baseline, look.last_round), _until(others[name], look.last_round)
            if before.keys() & after.keys():
                ratio = paired_ratio(before, after)
                if ratio.p_value is not None:
                    found[name] = ratio
        while found:
            name = min(found, key=lambda one: found[one].p_value or 0.0)
            ratio = found.pop(name)
            level = levels(looks[: number + 1], ratio.queries, alpha / (len(others) - len(decided)))[-1]
            if ratio.p_value is None or ratio.p_value >= level:
                break
            decided[name] = Decision("faster" if ratio.estimate > 1 else "slower", number)
    return decided


def final_level(looks: Sequence[Look], queries: int, alpha: float = ALPHA) -> float:
    """The level at which an interval holds now: that of the last look which could decide, `alpha` without looks."""
    return next((level for level in reversed(levels(looks, queries, alpha)) if level > 0), alpha)


def settle_looked_at(ratio: Ratio, decision: Decision | None) -> Ratio:
    """The ratio with the verdict that was reached at a look, and none where the rounds after it point the other way."""
    agrees = decision is not None and (decision.verdict == "faster") == (ratio.estimate > 1)
    if decision is None or not agrees:
        return replace(ratio, verdict="cannot tell", more_rounds=ratio.more_rounds)
    return replace(ratio, verdict=decision.verdict, more_rounds=None)


def _until(times: Times, last_round: int) -> Times:
    return {key: value for key, value in times.items() if key[1] <= last_round}


@lru_cache(maxsize=512)
def _advance(
    looks: tuple[tuple[int, float], ...], queries: int, alpha: float
) -> tuple[tuple[float, ...], bytes, float]:
    """The levels, which paths have not crossed at any of these looks (a bit each), and how much of alpha is gone."""
    if not looks:
        return (), np.packbits(np.ones(_PATHS, bool)).tobytes(), 0.0
    found, packed, gone = _advance(looks[:-1], queries, alpha)
    rounds, share = looks[-1]
    spend = spent(alpha, share) - gone
    freedom = (rounds if queries == 1 else min(queries, _MOST_DRAWN_QUERIES)) - 1
    if spend <= 0 or freedom < 2 or (len(looks) > 1 and rounds == looks[-2][0]):
        return (*found, 0.0), packed, gone  # what is not spent here is left for later looks
    going_on = np.unpackbits(np.frombuffer(packed, np.uint8), count=_PATHS).astype(bool)
    so_far = tuple(one for one, _ in looks)
    paths = _paths_of_one_query(so_far) if queries == 1 else _paths(so_far, min(queries, _MOST_DRAWN_QUERIES))
    size = np.where(going_on, paths, 0.0)
    crossing = int(spend * _PATHS)
    bound = float(np.partition(size, -crossing - 1)[-crossing - 1])  # as many paths are beyond as may cross
    left = np.packbits(going_on & (size <= bound)).tobytes()
    return (*found, student_p_value(bound, freedom)), left, gone + spend


@lru_cache(maxsize=64)
def _paths(rounds: tuple[int, ...], queries: int) -> np.ndarray:
    """The size of Student's t after the last of `rounds`, on each path; the same paths for each look of a run."""
    medians, picked = _medians(rounds), _picked(queries)
    mean, squares = np.zeros(_PATHS, np.float32), np.zeros(_PATHS, np.float32)
    for number, one in enumerate(picked, 1):  # Welford's recursion: no array of all queries on all paths is made
        off = medians[one] - mean
        mean += off / number
        squares += off * (medians[one] - mean)
    return _student(mean, squares, queries)


@lru_cache(maxsize=2)
def _picked(queries: int) -> np.ndarray:
    """Which of the drawn queries each path consists of, as (queries, paths)."""
    return np.random.default_rng([queries]).integers(_DRAWN_QUERIES, size=(queries, _PATHS), dtype=np.uint16)


@lru_cache(maxsize=2)
def _medians(rounds: tuple[int, ...]) -> np.ndarray:
    """The median over the rounds until the last of `rounds`, of each drawn query."""
    if rounds[-1] <= _DRAWN_ROUNDS:
        drawn = np.stack([_drawn(number) for number in range(rounds[-1])])
        return np.median(drawn, axis=0, overwrite_input=True)
    until_then = _medians((_DRAWN_ROUNDS,)) * _DRAWN_ROUNDS
    return (until_then + _steps(tuple(one for one in rounds if one > _DRAWN_ROUNDS))) / np.float32(rounds[-1])


@lru_cache(maxsize=_DRAWN_ROUNDS)
def _drawn(number: int) -> np.ndarray:
    return np.random.default_rng([0, number]).standard_normal(_DRAWN_QUERIES, np.float32)


@lru_cache(maxsize=4)
def _steps(rounds: tuple[int, ...]) -> np.ndarray:
    """What the rounds beyond those that are drawn one by one add to a sum."""
    before, start = (_steps(rounds[:-1]), rounds[-2]) if len(rounds) > 1 else (np.float32(0), _DRAWN_ROUNDS)
    step = np.random.default_rng([1, rounds[-1]]).standard_normal(_DRAWN_QUERIES, np.float32)
    return before + step * np.float32(math.sqrt(math.pi / 2 * (rounds[-1] - start)))


@lru_cache(maxsize=64)
def _paths_of_one_query(rounds: tuple[int, ...]) -> np.ndarray:
    """As `_paths`, of a single query: t over its rounds."""
    return _student(*_rounds_of_one_query(rounds), rounds[-1])


@lru_cache(maxsize=4)
def _rounds_of_one_query(rounds: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Mean, and sum of squares around it, of the rounds of a single query."""
    mean, squares = _rounds_of_one_query(rounds[:-1]) if len(rounds) > 1 else (np.zeros(_PATHS), np.zeros(_PATHS))
    random = np.random.default_rng([2, rounds[-1]])
    for number in range(rounds[-2] + 1 if len(rounds) > 1 else 1, rounds[-1] + 1):
        off = random.normal(size=_PATHS) - mean
        mean = mean + off / number
        squares = squares + off * off * (number - 1) / number
    return mean, squares


def _student(mean: np.ndarray, squares: np.ndarray, n: int) -> np.ndarray:
    return (np.abs(mean) * np.sqrt(n * (n - 1) / np.maximum(squares, 1e-30))).astype(np.float32)
