"""The one clock of a run: wall time anchored once, monotonic nanoseconds after it.

It tells the time and converts; it does not wait, and it never looks at the wall clock again after the start, so no step
of NTP can make a span negative.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

_ANCHOR_TRIES = 5


@dataclass(frozen=True, slots=True)
class Clock:
    """A wall-clock instant and the monotonic instant that goes with it, both in ns; both belong in the run's header.

    Monotonic time is `time.monotonic_ns`, not `perf_counter_ns`: event loops schedule by `time.monotonic`, so a due
    time that a loop computed converts exactly, and on Linux and macOS both read the same kernel clock anyway.
    """

    anchor_wall_ns: int
    anchor_monotonic_ns: int

    @classmethod
    def start(cls) -> Clock:
        """Anchor now. Of a few tries the one is kept during which the least time passed between the two clocks."""
        tries: list[tuple[int, int, int]] = []
        for _ in range(_ANCHOR_TRIES):
            before = time.monotonic_ns()
            wall = time.time_ns()
            after = time.monotonic_ns()
            tries.append((after - before, wall, (before + after) // 2))
        _, wall, monotonic = min(tries)
        return cls(anchor_wall_ns=wall, anchor_monotonic_ns=monotonic)

    def now_ns(self) -> int:
        """Now, in ns since the Unix epoch on this clock."""
        return time.monotonic_ns() - self.anchor_monotonic_ns + self.anchor_wall_ns

    def from_monotonic(self, monotonic_ns: int) -> int:
        """The instant on this clock that goes with a reading of `time.monotonic_ns()`."""
        return monotonic_ns - self.anchor_monotonic_ns + self.anchor_wall_ns

    def to_monotonic(self, time_ns: int) -> int:
        """The reading of `time.monotonic_ns()` at an instant of this clock: what a scheduler sleeps until."""
        return time_ns - self.anchor_wall_ns + self.anchor_monotonic_ns
