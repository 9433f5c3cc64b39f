"""What rounds cost, from noisy timings: low quantiles over windows, and a V(m) that never falls with m.

A busy host only ever adds time, so a low quantile is nearer to the true cost than a mean, and a window forgets what the
host no longer does. V(m), the time of one forward pass of m rows, cannot fall as m grows: where timings say so it is
noise, and isotonic regression (pool adjacent violators) averages it away. What was timed seldom leans on the line that
all timings together suggest, so that a lone slow pass does not keep all longer drafts from being tried. Pure Python;
nothing is timed here.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import deque
from collections.abc import Sequence
from math import ceil

_SEEN = 3  # timings from which on they are believed
_LAGGING = 16  # tokens to read first, from which on that is a cost of its own
_HOPED = 0.04  # of V(1), for each further row, before anything was timed: hopeful, so that drafts get their trial
_HOPED_WEIGHT = 9.0  # rows
_LEAN = 6.0  # timings that the common line weighs against those of one m


class LowQuantile:
    """The `quantile` of the last `window` values; None before the first."""

    __slots__ = ("_quantile", "_sorted", "_values")

    def __init__(self, window: int = 48, quantile: float = 0.25) -> None:
        self._values: deque[float] = deque(maxlen=window)
        self._sorted: list[float] = []
        self._quantile = quantile

    def __len__(self) -> int:
        return len(self._values)

    def add(self, value: float) -> None:
        """Take in one value; the oldest goes when the window is full."""
        if len(self._values) == self._values.maxlen:
            del self._sorted[bisect_right(self._sorted, self._values[0]) - 1]
        self._values.append(value)
        insort(self._sorted, value)

    @property
    def value(self) -> float | None:
        """The quantile, rounded up: a step that was computed in advance seems to take no time at all."""
        return self._sorted[ceil(self._quantile * (len(self._sorted) - 1))] if self._sorted else None


def isotonic(values: Sequence[float], weights: Sequence[float]) -> list[float]:
    """The non-decreasing sequence nearest to `values` in weighted squares."""
    pools: list[list[float]] = []  # mean, weight, how many
    for value, weight in zip(values, weights, strict=True):
        pools.append([value, weight, 1])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            mean, weight_, count = pools.pop()
            before = pools[-1]
            total = before[1] + weight_
            pools[-1] = [(before[0] * before[1] + mean * weight_) / total, total, before[2] + count]
    return [mean for mean, _, count in pools for _ in range(int(count))]


class VerificationCost:
    """V(m) in ns for m = 1, 2, ...: measured, made isotonic, interpolated between and extended beyond what was seen."""

    def __init__(self, window: int = 48) -> None:
        self._window = window
        self._seen: dict[int, LowQuantile] = {}
        self._curve: list[float] = []
        self._stale = True

    def add(self, rows: int, nanoseconds: float) -> None:
        """One forward pass of so many rows took so long."""
        self._seen.setdefault(rows, LowQuantile(self._window)).add(nanoseconds)
        self._stale = True

    @property
    def longest(self) -> int:
        """The most rows that were timed; 0 before any."""
        return max(self._seen, default=0)

    def measured(self) -> dict[int, tuple[float, int]]:
        """m: (low quantile in ns, how many timings it rests on)."""
        return {m: (seen.value or 0.0, len(seen)) for m, seen in sorted(self._seen.items())}

    def curve(self, longest: int) -> list[float]:
        """[V(1), ..., V(longest)] in ns; empty before anything was measured."""
        if not self._seen:
            return []
        if self._stale or len(self._curve) < longest:
            self._curve = self._fitted(max(longest, len(self._curve)))
            self._stale = False
        return self._curve[:longest]

    def _slope(self, single: float) -> float:
        """What a further row takes, over all m: the median of (V(m) - V(1)) / (m - 1), weighted by rows timed."""
        slopes = [(_HOPED * single, _HOPED_WEIGHT)]
        for m, seen in self._seen.items():
            if m > 1:
                slope = min(single, max(0.0, (seen.value or 0.0) - single) / (m - 1))
                slopes.append((slope, len(seen) * (m - 1)))
        half = sum(weight for _, weight in slopes) / 2
        for slope, weight in sorted(slopes):
            half -= weight
            if half <= 0:
                return slope
        return slopes[0][0]

    def _fitted(self, longest: int) -> list[float]:
        rows = sorted(self._seen)
        single = self._seen[rows[0]].value or 0.0
        slope = self._slope(single)
        counts = [len(self._seen[m]) for m in rows]
        leans = [0.0 if m == rows[0] else _LEAN for m in rows]
        believed = [
            (n * min(self._seen[m].value or 0.0, m * single) + lean * (single + slope * (m - rows[0]))) / (n + lean)
            for m, n, lean in zip(rows, counts, leans, strict=True)
        ]  # no more than m single rows: the first pass of a new shape pays for what later ones find done
        fitted = isotonic(believed, counts)
        curve: list[float] = []
        at = 0
        for m in range(1, longest + 1):
            while at + 1 < len(rows) and rows[at + 1] <= m:
                at += 1
            if m <= rows[0]:
                curve.append(fitted[0])
            elif at + 1 < len(rows):
                share = (m - rows[at]) / (rows[at + 1] - rows[at])
                curve.append(fitted[at] + share * (fitted[at + 1] - fitted[at]))
            elif m == rows[-1]:
                curve.append(fitted[-1])
                middle = curve[(m - 1) // 2]
                slope = max(slope, (fitted[-1] - middle) / max(1, m - 1 - (m - 1) // 2))  # it may have bent upwards
            else:
                curve.append(fitted[-1] + slope * (m - rows[-1]))
        return curve


class DraftCost:
    """What a draft model takes: for each token, and for each that it must read first. In ns."""

    def __init__(self) -> None:
        self.token = LowQuantile()
        self.reading = LowQuantile()

    def add(self, drafted: int, lag: int, nanoseconds: float) -> None:
        """So many tokens took so long."""
        if lag < _LAGGING:
            self.token.add(nanoseconds / max(1, drafted))
        else:
            self.reading.add(max(0.0, nanoseconds - drafted * (self.token.value or 0.0)) / lag)

    def each(self, plain: float) -> float:
        """A draft token; no more than a plain round, and little until it was seen a few times."""
        return min(self.token.value or 0.0, plain * (1.0 if len(self.token) >= _SEEN else 0.1))

    def first(self, lag: int, plain: float) -> float:
        """What comes before the first token; a guess from the plain cost before it was timed."""
        if lag < _LAGGING:
            return 0.0
        reading = self.reading.value
        return lag * (plain / 200 if reading is None else reading)
