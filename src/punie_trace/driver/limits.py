"""What ends a stage: its duration, its number of queries, errors, over-saturation. And who can no longer be asked.

Pure: times come in as arguments, and nothing here waits. Each end has a reason that is fit to be shown.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import fmean
from typing import Final

LEAST_FOR_RATIO: Final = 20
"""Queries below which a share of errors says nothing."""
BLOCK_QUERIES: Final = 20
BLOCK_NS: Final = 1_000_000_000
BLOCKS: Final = 8
GROWTH: Final = 2.0
EARLY_COOL_DOWN_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the driver. None is 'no bound'.

    `query_timeout_s` counts from the sending of a query to its answer. `duration_s` counts from the start of a stage:
    later arrivals are not sent. What is in flight when the duration is over, or when a stage ended early, may go on for
    `cool_down_s` and is then cut off; None leaves it to the query's own timeout, or 30 s where the stage ended early.
    Queries that were to be asked by number are all waited for.
    """

    query_timeout_s: float = 300.0
    duration_s: float | None = None
    queries: int | None = None
    max_error_ratio: float | None = None
    stop_when_saturated: bool = False
    cool_down_s: float | None = None


class Saturation:
    """Whether latency keeps growing: more comes in than is served, so that any figure depends on the time of looking.

    The queries are taken in blocks of at least 20 and at least a second, in the order of their ends. Over-saturated is
    a stage whose mean latency grew from block to block eight times running, to at least twice of what it was, while
    the number in flight grew as well. A steady server does that by chance less than once in 40,000 blocks; one that is
    still filling its batch or its cache levels off before.
    """

    def __init__(self) -> None:
        self._walls: list[int] = []
        self._began_ns: int | None = None
        self._blocks: deque[tuple[float, int]] = deque(maxlen=BLOCKS + 1)

    def add(self, done_ns: int, wall_ns: int, in_flight: int) -> bool:
        """One more query ended; True where latency has kept growing. `in_flight` counts those still under way."""
        if self._began_ns is None:
            self._began_ns = done_ns
        self._walls.append(wall_ns)
        if len(self._walls) < BLOCK_QUERIES or done_ns - self._began_ns < BLOCK_NS:
            return False
        self._blocks.append((fmean(self._walls), in_flight))
        self._walls = []
        self._began_ns = done_ns
        if len(self._blocks) <= BLOCKS:
            return False
        grew = all(before[0] < after[0] for before, after in pairwise(self._blocks))
        first, last = self._blocks[0], self._blocks[-1]
        return grew and last[0] >= GROWTH * first[0] and last[1] > first[1]


@dataclass(slots=True)
class Stopper:
    """Whether a stage goes on. `reason` is set once it does not; `early` where that was not what had been planned."""

    limits: Limits
    reason: str | None = None
    early: bool = False
    cool_down_s: float | None = None
    """How long what is in flight may still go on, once the stage is over; None: as long as it takes."""
    seen: int = 0
    errors: int = 0
    _saturation: Saturation = field(default_factory=Saturation)

    def stop(self, reason: str, *, early: bool = False, cool_down_s: float | None = None) -> None:
        """End the stage; the first reason counts."""
        if self.reason is None:
            self.reason = reason
            self.early = early
            own = self.limits.cool_down_s
            self.cool_down_s = (EARLY_COOL_DOWN_S if own is None else own) if early else cool_down_s

    def may_send(self, sent: int) -> bool:
        """Whether one more may be asked after `sent` of them."""
        if self.limits.queries is not None and sent >= self.limits.queries:
            self.stop(f"{sent} queries were asked, as many as were to be")
        return self.reason is None

    def elapsed(self, seconds: float) -> None:
        """So much time of the stage has passed."""
        if self.limits.duration_s is not None and seconds >= self.limits.duration_s:
            self.stop(f"its {self.limits.duration_s:g} s were over", cool_down_s=self.limits.cool_down_s)

    def ended(self, *, failed: bool, done_ns: int, wall_ns: int, in_flight: int) -> None:
        """One query ended. Errors and over-saturation end the stage from here."""
        self.seen += 1
        self.errors += failed
        most = self.limits.max_error_ratio
        if most is not None and self.seen >= LEAST_FOR_RATIO and self.errors > most * self.seen:
            self.stop(f"{self.errors} of {self.seen} queries failed, more than max_error_ratio allows", early=True)
        if self.limits.stop_when_saturated and self._saturation.add(done_ns, wall_ns, in_flight):
            self.stop(
                "latency kept growing: more queries came than were answered (over-saturated), and the longer one "
                "waits the worse it gets; a lower rate shows what the server can hold",
                early=True,
            )


@dataclass(slots=True)
class Failures:
    """Configurations that can no longer be asked, and why. Queries still planned for them are skipped."""

    reasons: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)

    def add(self, configuration: str, reason: str) -> bool:
        """Marks a configuration as failed; True if it was not so already."""
        if configuration in self.reasons:
            return False
        self.reasons[configuration] = reason
        return True

    def skips(self, configuration: str) -> bool:
        """Whether a query of this configuration must be left out; counts it if so."""
        if configuration not in self.reasons:
            return False
        self.skipped[configuration] = self.skipped.get(configuration, 0) + 1
        return True
