"""The client's own error, measured while it drives: how late its event loop runs, how late it sends, how busy it is.

It measures and keeps no list of anything: whatever the length of a stage, its memory is the same. What the figures mean
for a configuration's times is for the analysis to say.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from punie_trace.runs.header import ClientRecord, SpreadRecord

TICK_NS: Final = 20_000_000
"""How often the event loop's lag is read."""
_PRECISION_BITS: Final = 6


class Spread:
    """Quantiles of non-negative integers in bounded memory, each at most 1/32 above the true one.

    Buckets whose width grows with the value, as Gil Tene's HdrHistogram has them.
    """

    def __init__(self) -> None:
        self.n = 0
        self.largest = 0
        self._counts: dict[tuple[int, int], int] = {}

    def add(self, value: int) -> None:
        """One more value; below 0 counts as 0."""
        value = max(value, 0)
        shift = max(value.bit_length() - _PRECISION_BITS, 0)
        key = (shift, value >> shift)
        self._counts[key] = self._counts.get(key, 0) + 1
        self.n += 1
        self.largest = max(self.largest, value)

    def quantile(self, share: float) -> int:
        """The smallest value that at least `share` of all are not above, or a little more; 0 where there are none."""
        left = share * self.n
        for shift, place in sorted(self._counts):
            left -= self._counts[shift, place]
            if left <= 0:
                return min(((place + 1) << shift) - 1, self.largest)
        return self.largest

    def record(self) -> SpreadRecord:
        """For the run's header."""
        return SpreadRecord(n=self.n, median_ns=self.quantile(0.5), p99_ns=self.quantile(0.99), max_ns=self.largest)


@dataclass(slots=True)
class ClientWatch:
    """What the client did in one stage. Counters are for the driver to raise; times are monotonic ns."""

    lag: Spread = field(default_factory=Spread)
    late: Spread = field(default_factory=Spread)
    sent: int = 0
    dropped: int = 0
    held: int = 0
    cut: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    _began_ns: int = field(default_factory=time.monotonic_ns)
    _cpu_ns: int = field(default_factory=time.process_time_ns)
    _loop_ns: int = field(default_factory=time.thread_time_ns)

    def begin(self) -> None:
        """One more query is in flight."""
        self.sent += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)

    def record(self, configurations: Sequence[str], load: Literal["closed", "open"], ended: str) -> ClientRecord:
        """The stage as it ended just now. To be called in the thread of the event loop."""
        wall_ns = max(time.monotonic_ns() - self._began_ns, 1)
        return ClientRecord(
            configurations=tuple(configurations),
            load=load,
            seconds=wall_ns / 1e9,
            sent=self.sent,
            dropped=self.dropped,
            held=self.held,
            cut=self.cut,
            most_in_flight=self.most_in_flight,
            lag=self.lag.record(),
            late=self.late.record(),
            cpu_share=(time.process_time_ns() - self._cpu_ns) / wall_ns,
            loop_cpu_share=(time.thread_time_ns() - self._loop_ns) / wall_ns,
            ended=ended,
        )
