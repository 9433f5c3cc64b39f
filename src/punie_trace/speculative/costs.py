"""What rounds cost, from noisy timings: low quantiles over windows, and a V(m) that never falls with m.

A busy host only ever adds time, so a low quantile is nearer to the true cost than a mean, and a window forgets what the
host no longer does. V(m), the time of one forward pass of m rows, cannot fall as m grows: where timings say so it is
noise, and isotonic regression (pool adjacent violators) averages it away. Pure Python; nothing is timed here.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import deque
from collections.abc import Sequence
from math import ceil

_TRUSTED = 3  # timings from which on they are believed
_UNPROVEN = 0.25  # of V(1) for each row, at most, until then
_SLOPE = 0.02  # of V(1) for each row beyond those measured: hopeful, so that longer drafts get their trial


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
        """The quantile, rounded up: a step that was computed while nobody looked seems to take no time at all."""
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

    def _believed(self, m: int) -> float:
        """The low quantile, but no more than m single rows would take, and much less until it was seen a few times.

        The first pass of a new shape pays for what later ones find done, and a lone timing may be the host's.
        """
        value, single = self._seen[m].value or 0.0, self._seen.get(1)
        if single is None or not single.value:
            return value
        return min(value, single.value * (1.0 + (m - 1) * (1.0 if len(self._seen[m]) >= _TRUSTED else _UNPROVEN)))

    def _fitted(self, longest: int) -> list[float]:
        rows = sorted(self._seen)
        fitted = isotonic([self._believed(m) for m in rows], [len(self._seen[m]) for m in rows])
        slope = _SLOPE * fitted[0]
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
            else:
                curve.append(fitted[-1] + slope * (m - rows[-1]))
        return curve
