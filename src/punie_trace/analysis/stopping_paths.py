"""How often paths without a difference cross in each interim analysis: the levels of `stopping`, by drawing such paths.

A path is Student's t over queries of the median over rounds, of normal noise; `stopping` says why. Nothing here knows
of runs, and the same analyses give the same levels: the draws have seeds of their own.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

import numpy as np

from punie_trace.analysis.distributions import student_p_value

_PATHS: Final = 200_000
_DRAWN_QUERIES: Final = 65_536
"""Each path is made of some of these."""
_DRAWN_ROUNDS: Final = 48
"""So many rounds are drawn one by one; of more, a median goes on as a mean does (Bahadur 1966, Ann. Math. Stat. 37:577)
whose rounds vary by pi/2."""
_MOST_DRAWN_QUERIES: Final = 30
"""With more queries than that, p-values of t hardly depend on how many they are."""


def levels_of(analyses: tuple[tuple[int, float], ...], queries: int) -> tuple[float, ...]:
    """The two-sided level of each analysis; 0 decides nothing. `queries` are compared.

    An analysis is given as (rounds, how much of alpha may be spent until then); neither falls.
    """
    return _advance(analyses, queries)[0]


@lru_cache(maxsize=512)
def _advance(analyses: tuple[tuple[int, float], ...], queries: int) -> tuple[tuple[float, ...], bytes, float]:
    """The levels, which paths have crossed in none of these analyses (a bit each), and how much of alpha is spent."""
    if not analyses:
        return (), np.packbits(np.ones(_PATHS, bool)).tobytes(), 0.0
    found, packed, spent_before = _advance(analyses[:-1], queries)
    rounds, may_be_spent = analyses[-1]
    spend = may_be_spent - spent_before
    freedom = (rounds if queries == 1 else min(queries, _MOST_DRAWN_QUERIES)) - 1
    if spend <= 0 or freedom < 2 or (len(analyses) > 1 and rounds == analyses[-2][0]):
        return (*found, 0.0), packed, spent_before  # what is not spent here is left for later ones
    going_on = np.unpackbits(np.frombuffer(packed, np.uint8), count=_PATHS).astype(bool)
    so_far = tuple(one for one, _ in analyses)
    paths = _paths_of_one_query(so_far) if queries == 1 else _paths(so_far, min(queries, _MOST_DRAWN_QUERIES))
    size = np.where(going_on, paths, 0.0)
    crossing = int(spend * _PATHS)
    bound = float(np.partition(size, -crossing - 1)[-crossing - 1])  # as many paths are beyond as may cross
    left = np.packbits(going_on & (size <= bound)).tobytes()
    return (*found, student_p_value(bound, freedom)), left, spent_before + spend


@lru_cache(maxsize=64)
def _paths(rounds: tuple[int, ...], queries: int) -> np.ndarray:
    """The size of Student's t after the last of `rounds`, on each path; the same paths for each analysis of a run."""
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
