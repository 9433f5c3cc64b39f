"""What is known of a run while it goes on: figures by configuration that grow with each answer, and how long it takes.

The same definitions as in the summary at the end, of fewer answers. No verdict: a look before the end would spoil it.
Pure: outcomes and times come in, nothing is read or printed. What is kept has a limit, however long a run goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from punie_trace.analysis.statistics import Interval, Ratio, paired_ratio, quantile
from punie_trace.records import Ledger, Outcome, Query, Verdict

MOST_KEPT: Final = 4096
"""Answers by configuration that figures are made of; after that they stay as they are."""
LINES: Final = ("generation_ns", "tool_ns", "framework_ns", "client_queue_ns")
_FAILED: Final = (Verdict.ERROR, Verdict.TIMEOUT)
_TOOL_WORK: Final = 4.0
"""How many times as long a question that wants a tool takes as one that wants none: a second generation, and more to
read and to write. 2.8 to 4.3 in the three configurations of the shipped pair (25 questions); only the reckoning of what
remains is made of it, and what was measured meanwhile corrects it."""


def relative_work(queries: Sequence[Query], rounds: int = 1) -> dict[str, float]:
    """How long each query is expected to take, by name, where the mean over all that are asked is 1."""
    raw = {q.name: max(len(q.turns), 1) * (1.0 if q.expected == "direct" else _TOOL_WORK) for q in queries}
    times = {q.name: 1 if q.once else rounds for q in queries}
    mean = sum(raw[name] * times[name] for name in raw) / max(sum(times.values()), 1)
    return {name: work / mean for name, work in raw.items()}


@dataclass(slots=True)
class Counted:
    """What was counted of one configuration. Times in ns."""

    asked: int = 0
    right: int = 0
    work: float = 0.0
    """The same in queries of mean length, as far as that can be expected before."""
    wall_ns: int = 0
    """From due to done, of all that ended, errors included."""
    lines: dict[str, int] = field(default_factory=lambda: dict.fromkeys(LINES, 0))
    walls: dict[tuple[str, int], float] = field(default_factory=dict)
    """Of answers, by query and round."""
    telling: dict[tuple[str, int], float] = field(default_factory=dict)
    """Of those among them that tell of speed, and not of what a server remembers."""


@dataclass(frozen=True, slots=True)
class RunningFigures:
    """One configuration so far. `median_ns` is over queries, of each one's median; None without an answer.

    `speed` is how many times as fast it is as the baseline; None for the baseline, or where no question was asked in
    both for the first time.
    """

    asked: int
    right: int
    median_ns: Interval | None
    speed: Ratio | None


class Running:
    """The figures of a run as outcomes come in; compared with 'baseline', or the first where none is called so.

    `work` is that of `relative_work`; a query that is not in it counts as one of mean length.
    """

    def __init__(self, configurations: Iterable[str], work: Mapping[str, float] | None = None) -> None:
        self.counted: dict[str, Counted] = {name: Counted() for name in configurations}
        self._work = work or {}
        self._baseline = "baseline" if "baseline" in self.counted else next(iter(self.counted), None)

    def add(self, outcome: Outcome, ledger: Ledger, *, tells: bool) -> None:
        """One more query has ended. `tells` is whether it was a first ask, or of a server that forgets."""
        counted = self.counted[outcome.configuration]
        counted.asked += 1
        counted.work += self._work.get(outcome.query, 1.0)
        counted.right += outcome.verdict is Verdict.CORRECT
        counted.wall_ns += ledger.wall_ns
        for line in LINES:
            counted.lines[line] += getattr(ledger, line)
        if outcome.verdict in _FAILED or len(counted.walls) >= MOST_KEPT:
            return
        key, wall = (outcome.query, outcome.round), float(max(outcome.wall_ns, 1))
        counted.walls[key] = wall
        if tells:
            counted.telling[key] = wall

    def figures(self) -> dict[str, RunningFigures]:
        """Of each configuration what is known so far."""
        return {name: self._figures(name, one) for name, one in self.counted.items()}

    def _figures(self, name: str, one: Counted) -> RunningFigures:
        by_query: dict[str, list[float]] = {}
        for (query, _), wall in one.walls.items():
            by_query.setdefault(query, []).append(wall)
        middle = quantile([median(walls) for walls in by_query.values()], 0.5) if by_query else None
        return RunningFigures(one.asked, one.right, middle, self._speed(name, one))

    def _speed(self, name: str, one: Counted) -> Ratio | None:
        if self._baseline is None or name == self._baseline:
            return None
        before = self.counted[self._baseline].telling
        if not before.keys() & one.telling.keys():
            return None
        return paired_ratio(before, one.telling, comparisons=len(self.counted) - 1)


@dataclass(frozen=True, slots=True)
class Remaining:
    """How long a run will go on, in s, as far as its own pace tells. `at_most`: it may well end before that."""

    seconds: float
    at_most: bool = False


@dataclass(slots=True)
class Pace:
    """From how fast it went to how long it will go on. Moments are in s of any one monotonic clock.

    `planned` are the queries of each configuration, 0 where that is not known before: so many of mean length, whatever
    their order. `seconds` is how long queries are sent in all, where a duration ends them; `at_most` says that the run
    may end before all of them were asked.
    """

    planned: Mapping[str, int]
    seconds: float | None = None
    at_most: bool = False
    _warming_from: tuple[float, float] | None = None
    _warm_up_s: float | None = None
    """Seconds that the warm-up took for each query of mean length."""
    _began: float | None = None

    def warming_up(self, now: float, work: float) -> None:
        """Queries that do not count are asked from now on, worth so many of mean length."""
        self._warming_from = (now, work)

    def measuring(self, now: float) -> None:
        """What counts begins, or goes on with the next configuration: the first time is what matters."""
        if self._warming_from is not None and self._warming_from[1]:
            began, work = self._warming_from
            self._warm_up_s = (now - began) / work
        self._began = now if self._began is None else self._began

    def remaining(self, now: float, counted: Mapping[str, Counted], failed: Iterable[str]) -> Remaining | None:
        """None where nothing was asked yet that would tell."""
        if self._began is None:
            return None
        elapsed = max(now - self._began, 0.0)
        if self.seconds is not None:
            return Remaining(max(self.seconds - elapsed, 0.0), self.at_most)
        left = {
            name: max(number - counted[name].work, 0.0) if number > counted[name].asked else 0.0
            for name, number in self.planned.items()
            if name not in {*failed}
        }
        if not all(self.planned.values()):
            return None
        asked = sum(one.work for one in counted.values())
        spent = sum(one.wall_ns for one in counted.values()) / 1e9
        if not asked:
            if self._warm_up_s is None:
                return None
            return Remaining(max(sum(left.values()) * self._warm_up_s - elapsed, 0.0), self.at_most)
        # Several may be under way at once; between queries something passes too.
        at_once = spent / elapsed if spent and elapsed else 1.0
        work = sum(
            number * (counted[name].wall_ns / 1e9 / counted[name].work if counted[name].asked else spent / asked)
            for name, number in left.items()
        )
        return Remaining(work / at_once, self.at_most)
