"""Intervals and paired comparisons for runs of few queries and fewer rounds. Standard library only.

Nothing is drawn by chance: the same values give the same result. Nothing here knows of runs: values come in as
numbers, keyed by query and round where they are paired. Where there are too few values for a claim, the result says so
in words and claims nothing.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist, fmean, median, stdev, variance
from typing import Literal, TypeAlias

from punie_trace.analysis.distributions import binomial_cdf, student_p_value, student_quantile

SpeedVerdict: TypeAlias = Literal["faster", "slower", "cannot tell"]

_MOST_ROUNDS = 200
"""Beyond so many more rounds it is more honest to say that more queries are needed."""
_MOST_QUERIES = 2000
"""Beyond so many more queries it is more honest to say that the difference is small, if there is one."""
_FEWEST = 3
"""Queries, or rounds of one query, below which there is no verdict."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its interval. `low` and `high` are None where there are too few values for one."""

    value: float
    low: float | None
    high: float | None
    confidence: float
    """What the interval really reaches; below what was asked for where there are too few values."""
    n: int


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times as fast the other is as the baseline, above 1 where it is faster; see `paired_ratio`."""

    estimate: float
    low: float | None
    high: float | None
    p_value: float | None
    """Two-sided, for 'no difference'; None where there are too few pairs."""
    verdict: SpeedVerdict
    pairs: int
    queries: int
    more_rounds: int | None
    """For 'cannot tell': about how many more rounds of the same queries would tell, if the estimate is right."""
    note: str = ""
    """What to know about the verdict, '' for nothing."""
    more_queries: int | None = None
    """For 'cannot tell', where rounds would not tell: about how many more queries would."""


def wilson(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """A share with Wilson's score interval (Wilson 1927). `ValueError` where there is nothing to take a share of."""
    if n <= 0 or not 0 <= successes <= n:
        raise ValueError(f"{successes} of {n} is no share")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    # At 0 and n the bounds are exactly 0 and 1; rounding may miss them by a hair.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return Interval(share, low, high, confidence, n)


def mean(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """A mean with Student's t interval; no bounds for a single value. `ValueError` where there are no values."""
    if not values:
        raise ValueError("no values")
    centre = math.fsum(values) / len(values)
    if len(values) == 1:
        return Interval(centre, None, None, confidence, 1)
    half = student_quantile((1 + confidence) / 2, len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return Interval(centre, centre - half, centre + half, confidence, len(values))


def quantile(values: Sequence[float], q: float, confidence: float = 0.95) -> Interval:
    """A quantile with its exact order-statistic interval, free of any assumption about the distribution.

    The median (`q` 0.5) is the mean of the two middle values where their number is even; any other quantile is the
    nearest rank, a value that really occurred. The interval is the narrowest pair of order statistics around it that
    reaches `confidence` (binomial; David & Nagaraja, Order Statistics, 7.1). Where none does, the bounds are the
    extremes and `confidence` says what they reach; with one value, or where even that stays below one half, there
    are no bounds.
    """
    if not values:
        raise ValueError("no values")
    if not 0 < q < 1:
        raise ValueError(f"{q} is no quantile: it lies between 0 and 1")
    ordered = sorted(values)
    n = len(ordered)
    value = float(median(ordered)) if q == 0.5 else ordered[max(math.ceil(q * n) - 1, 0)]
    below = binomial_cdf(n, q)  # below[k] = P(at most k values lie below the quantile)
    best: tuple[int, float, int, int] | None = None
    # The tightest upper bound for each lower one; both only move up, so that this takes n log n steps. Of the lower
    # ones with nothing below them the last is the tightest.
    highest = bisect_left(ordered, value)
    for low in range(max(bisect_right(below, 0.0) - 1, 0), bisect_right(ordered, value)):
        high = max(bisect_left(below, below[low] + confidence), highest, low + 1)
        if high >= n:
            break
        candidate = high - low, below[low] - below[high], low, high
        if best is None or candidate < best:
            best = candidate
    if best is not None:
        return Interval(value, ordered[best[2]], ordered[best[3]], -best[1], n)
    reached = below[n - 1] - below[0] if n > 1 else 0.0
    if reached < 0.5:
        return Interval(value, None, None, reached, n)
    return Interval(value, ordered[0], ordered[-1], reached, n)


def ratio_interval(baseline: Mapping[tuple[str, int], float], other: Mapping[tuple[str, int], float]) -> Interval:
    """As `paired_ratio`, the estimate and its interval of 95 % alone, for a part of what is asked (a category, a turn).

    Of one query it is the median over its rounds, as each query counts elsewhere, without an interval: that of its
    rounds would say nothing of the part.
    """
    ratio = paired_ratio(baseline, other)
    if ratio.queries > 1:
        return Interval(ratio.estimate, ratio.low, ratio.high, 0.95, ratio.queries)
    value = median(baseline[key] / other[key] for key in baseline.keys() & other.keys())
    return Interval(value, None, None, 0.95, 1)


def paired_ratio(
    baseline: Mapping[tuple[str, int], float],
    other: Mapping[tuple[str, int], float],
    *,
    confidence: float = 0.95,
    comparisons: int = 1,
    rounds_tell: bool = True,
) -> Ratio:
    """How many times as fast `other` is, from times keyed by (query, round); only keys in both are used.

    The estimate is the exponential of the mean over queries of the median over rounds of log(baseline / other): each
    query counts the same however long it takes, one disturbed round does not move it, and swapping the two gives the
    reciprocal. Interval and p-value are Student's over the queries' medians, with (queries - 1) degrees of freedom.

    They speak of queries like these: queries are a sample, and by how much the gain differs between them counts. Of
    these very queries, asked again, they hold as well, with room to spare. What is assumed is that queries' medians are
    independent, and about as often off to one side as to the other; queries may be noisy to different degrees, and
    rounds of one query may resemble each other (Ibragimov & Mueller 2010, J. Bus. Econ. Stat. 28:453: with unequal
    variances t errs less often than it says, at 5 % with any number of groups). It fails where few queries gain very
    differently from the rest and a small sample misses them. A bootstrap by query would be worse: of five, its
    percentile and BCa intervals of 95 % hold in 83 % of runs (`bench/stopping.py` measures this one's).

    With one query its rounds take the queries' place, and the note says so.

    `comparisons` is how many verdicts are given side by side: it makes `more_rounds` allow for Holm's correction,
    which `settle` applies. Without `rounds_tell`, more rounds of the same queries would be no news, and what is asked
    for is more queries. `ValueError` for a time that is not above 0, or where no key is in both.
    """
    logs: dict[str, list[float]] = {}
    for (query, round_), after in other.items():
        before = baseline.get((query, round_))
        if before is None:
            continue
        if not (before > 0 and after > 0):
            raise ValueError(f"query {query!r} in round {round_} took {before} and {after}: times are above 0")
        logs.setdefault(query, []).append(math.log(before) - math.log(after))
    if not logs:
        raise ValueError("no query and round is in both")
    # In an order of their own: sums of floats must not depend on the order in which times came.
    groups = [sorted(logs[query]) for query in sorted(logs)]
    pairs, queries = sum(map(len, groups)), len(groups)
    note = ""
    if queries == 1:
        groups = [[value] for value in groups[0]]
        note = "one query only: this says nothing of others"
    medians = [median(group) for group in groups]
    estimate = fmean(medians)
    n = len(groups)
    level = 1 - (1 - confidence) / comparisons
    if n < _FEWEST:
        why = f"too few for a verdict: it takes {_FEWEST} queries" + (", or 3 rounds of one query" * rounds_tell)
        needed = _Needed(_FEWEST - n if queries == 1 and rounds_tell else None, max(_FEWEST - queries, 1), why)
        return _undecided(Ratio(math.exp(estimate), None, None, None, "cannot tell", pairs, queries, None), needed)
    error = math.sqrt(variance(medians) / n)
    half = student_quantile((1 + confidence) / 2, n - 1) * error
    p_value = _p_value(estimate, error, n - 1)
    ratio = Ratio(
        math.exp(estimate),
        math.exp(estimate - half),
        math.exp(estimate + half),
        p_value,
        _verdict(estimate, p_value, confidence),
        pairs,
        queries,
        None,
        note,
    )
    if ratio.verdict == "cannot tell" or comparisons > 1:
        if rounds_tell:
            needed = _more_rounds(groups, estimate, queries, level)
        else:
            needed = _more_queries(stdev(medians), estimate, queries, level)
        undecided = _undecided(ratio, needed)
        return undecided if ratio.verdict == "cannot tell" else replace(undecided, note=note)
    return ratio


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values after Holm's step-down correction (Holm 1979), in the order given, none above 1."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    corrected = [0.0] * len(p_values)
    reached = 0.0
    for rank, index in enumerate(order):
        reached = max(reached, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = reached
    return corrected


def settle(ratios: Sequence[Ratio], confidence: float = 0.95) -> list[Ratio]:
    """The same ratios with p-values after Holm's correction, and the verdicts that still stand after it."""
    corrected = iter(holm([ratio.p_value for ratio in ratios if ratio.p_value is not None]))
    settled = []
    for ratio in ratios:
        if ratio.p_value is None:
            settled.append(ratio)
            continue
        p_value = next(corrected)
        verdict = _verdict(math.log(ratio.estimate), p_value, confidence)
        open_ = verdict == "cannot tell"
        note = ratio.note
        if verdict == "cannot tell" and ratio.verdict != verdict:
            alone = "its interval alone would tell, but not beside the other comparisons (Holm)"
            note = "; ".join(part for part in (note, alone) if part)
        settled.append(
            replace(
                ratio,
                p_value=p_value,
                verdict=verdict,
                more_rounds=ratio.more_rounds if open_ else None,
                more_queries=ratio.more_queries if open_ else None,
                note=note,
            )
        )
    return settled


def _p_value(estimate: float, error: float, df: int) -> float:
    if error > 0:
        return student_p_value(estimate / error, df)
    return 1.0 if estimate == 0 else 0.0


def _verdict(estimate: float, p_value: float, confidence: float) -> SpeedVerdict:
    if p_value >= 1 - confidence:
        return "cannot tell"
    return "faster" if estimate > 0 else "slower"


@dataclass(frozen=True, slots=True)
class _Needed:
    """What would tell: so many more rounds, or so many more queries; `note` says so in words where it is neither."""

    rounds: int | None
    queries: int | None
    note: str = ""


def _undecided(ratio: Ratio, needed: _Needed) -> Ratio:
    note = "; ".join(part for part in (ratio.note, needed.note) if part)
    return replace(ratio, more_rounds=needed.rounds, more_queries=needed.queries, note=note)


def _more_rounds(groups: Sequence[Sequence[float]], estimate: float, queries: int, confidence: float) -> _Needed:
    """About how many more rounds would tell, if the estimate is right and rounds vary as they did."""
    rounds = fmean([len(group) for group in groups])
    within = fmean([variance(group) for group in groups if len(group) > 1] or [math.nan])
    between = variance([fmean(group) for group in groups])
    n = len(groups)
    wanted = n * (estimate / student_quantile((1 + confidence) / 2, n - 1)) ** 2 if estimate else 0.0
    if queries == 1:
        needed = math.ceil(n * between / wanted) if wanted else None
        return _at_most(None if needed is None else needed - n)
    if math.isnan(within):
        return _Needed(1, None, "one round only: noise cannot be told from differences between queries")
    # Rounds lessen the noise within a query only; what queries differ by stays.
    lasting = max(0.0, between - within / rounds)
    if wanted <= lasting:
        why = "more rounds of these queries would not tell: it needs more queries, or there is no difference"
        return replace(_more_queries(math.sqrt(between), estimate, queries, confidence), note=why)
    return _at_most(math.ceil(within / (wanted - lasting) - rounds))


def _at_most(rounds: int | None) -> _Needed:
    if rounds is None or rounds > _MOST_ROUNDS:
        why = f"more than {_MOST_ROUNDS} more rounds would be needed: if there is a difference, it is small"
        return _Needed(None, None, why)
    return _Needed(max(rounds, 1), None)


def _more_queries(deviation: float, estimate: float, queries: int, confidence: float) -> _Needed:
    """About how many more queries would tell, if the estimate is right and queries differ as they did.

    The least n at which t * deviation / sqrt(n) is below the estimate, with Student's t by its expansion around the
    normal quantile (Abramowitz & Stegun 26.7.5), which is near enough for an 'about'.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    most = queries + _MOST_QUERIES
    needed = queries + 1
    for _ in range(20):
        df = needed - 1
        t = z + (z**3 + z) / (4 * df) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * df * df)
        wanted = (t * deviation / estimate) ** 2 if estimate else math.inf
        if wanted > most:
            return _Needed(None, None, f"not even {_MOST_QUERIES} more queries would tell: a difference would be small")
        reached, needed = needed, max(math.ceil(wanted), queries + 1)
        if needed == reached:
            break
    return _Needed(None, needed - queries)
