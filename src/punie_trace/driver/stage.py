"""One stage while it goes on: what is in flight, when it is over and why, and what the client itself did.

A stage is one load on one set of configurations. The loops in `load` ask it what comes next and tell it what ended; it
asks nothing of anybody.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVarTuple

import anyio
from anyio.abc import TaskGroup

from punie_trace.driver.client import TICK_NS, ClientWatch
from punie_trace.driver.limits import Failures, Limits, Stopper
from punie_trace.driver.schedule import Planned
from punie_trace.records import Outcome, Verdict
from punie_trace.spans.clock import Clock

Arguments = TypeVarTuple("Arguments")

JOIN_GRACE_NS = 250_000_000
"""How much later than agreed a stage may begin and still send what was due before."""
ALL_ASKED = "all its queries were asked"
NOBODY_LEFT = "there was no configuration left to ask"


class Stage:
    """The state of one stage. Times are ns on the run's clock. It belongs to the event loop that it was made in.

    `began_ns` is a start that several generators agreed on; one that makes its stage later has joined late.
    """

    def __init__(
        self,
        limits: Limits,
        clock: Clock,
        failures: Failures,
        configurations: frozenset[str],
        planned: Iterable[Planned],
        *,
        warm_up: bool = False,
        watch: ClientWatch | None = None,
        began_ns: int | None = None,
    ) -> None:
        self.limits = limits
        self.failures = failures
        self.warm_up = warm_up
        self.stopper = Stopper(limits)
        self.watch = watch or ClientWatch()
        now_ns = clock.now_ns()
        self.began_ns = now_ns if began_ns is None else began_ns
        """What the arrivals of an open loop and the duration count from."""
        late = now_ns - self.began_ns > JOIN_GRACE_NS
        self.joined_ns = now_ns if late else self.began_ns
        """From when on arrivals are sent: one that was due before counts as never sent, and is not made up for."""
        self.end_ns = None if limits.duration_s is None else self.began_ns + round(limits.duration_s * 1e9)
        self._clock = clock
        self._configurations = configurations
        self._planned = iter(planned)
        self.scheduled = False
        """Whether queries are due by a schedule, and not when a worker is free."""
        self.taken = 0
        self.think_s = 0.0
        """What a user thinks between two turns of a session, in a closed loop."""
        self.being_judged = 0
        """Queries that have ended and wait for their judgement."""
        self._open: set[anyio.CancelScope] = set()
        self._cut: set[anyio.CancelScope] = set()
        self._stopped = anyio.Event()
        self._nudge = anyio.Event()
        self._places = 0
        self._running = 0
        self._watching = anyio.CancelScope()

    @property
    def reason(self) -> str:
        """Why the stage ended, or would if it ended now."""
        return self.stopper.reason or ALL_ASKED

    def next_planned(self) -> Planned | None:
        """What to ask next; None where the stage is over."""
        if self._configurations <= self.failures.reasons.keys():
            self.end(NOBODY_LEFT)
        if not self.stopper.may_send(self.taken):
            self._let_go()
            return None
        for item in self._planned:
            if not self.failures.skips(item.configuration):
                self.taken += 1
                return item
        return None

    def drop_planned(self) -> None:
        """Leave the next one out, and its place free: its arrival waited for too long."""
        self.miss_planned()
        self.leave()

    def miss_planned(self) -> None:
        """Leave the next one out: it was due before this stage was joined."""
        self.watch.dropped += 1
        if next(self._planned, None) is not None:
            self.taken += 1

    def end(self, reason: str, *, early: bool = False) -> None:
        """End the stage from outside: nothing more is sent, and what is in flight may cool down."""
        self.stopper.stop(reason, early=early)
        self._let_go()

    async def wait_until(self, at_ns: int) -> None:
        """Wait for this moment, or for the stage to be over."""
        with anyio.move_on_after((at_ns - self._clock.now_ns()) / 1e9):
            await self._stopped.wait()

    async def wait_for_end(self) -> None:
        """Wait for the duration to be over, where there is one: nothing more is due before."""
        if self.end_ns is not None:
            await self.wait_until(self.end_ns)
            self.stopper.elapsed((self.end_ns - self.began_ns) / 1e9)

    async def room(self, most: int) -> bool:
        """Take a place among the `most` that may be in flight; whether that took waiting. None is taken at the end."""
        waited = False
        while self._places >= most and self.stopper.reason is None:
            waited = True
            self._nudge = anyio.Event()
            await self._nudge.wait()
        self._places += 1
        return waited

    def leave(self) -> None:
        """Give the place back."""
        self._places -= 1
        self._nudge.set()

    def count_unsent(self, due_ns: int, later: Iterator[int]) -> None:
        """Count the arrivals that were due by the end and were not sent: the one at `due_ns`, and those after it."""
        end_ns = min(self._clock.now_ns(), self.end_ns or self._clock.now_ns())
        if due_ns < end_ns:
            self.watch.dropped += 1 + sum(
                1 for _ in itertools.takewhile(lambda offset: self.began_ns + offset < end_ns, later)
            )

    @contextmanager
    def in_flight(self, *, held: bool, late_ns: int) -> Generator[anyio.CancelScope]:
        """A query that is under way, bounded by its timeout and by the end of the cool-down."""
        self.watch.begin()
        if held:
            self.watch.held += 1
        else:
            self.watch.late.add(late_ns)
        try:
            with anyio.move_on_after(self.limits.query_timeout_s) as scope:
                self._open.add(scope)
                try:
                    yield scope
                finally:
                    self._open.discard(scope)
        finally:
            self.watch.in_flight -= 1

    async def think(self, scope: anyio.CancelScope) -> int:
        """Between two turns of a session; when the next one is due. The time to answer begins anew with each turn."""
        due_ns = self._clock.now_ns() + round(self.think_s * 1e9)
        if self.think_s:
            scope.deadline = math.inf
            await self.wait_until(due_ns)
            due_ns = min(due_ns, self._clock.now_ns())  # where the stage is over, nobody thinks any more
        scope.deadline = anyio.current_time() + self.limits.query_timeout_s
        return due_ns

    def why_cut(self, scope: anyio.CancelScope) -> str:
        """What to say of a query whose time was over."""
        if scope in self._cut:
            self._cut.discard(scope)
            return f"cut off: still running {self.stopper.cool_down_s:g} s after the stage was over (cool_down_s)"
        return f"no answer within {self.limits.query_timeout_s:g} s; query_timeout_s allows more"

    def ended(self, outcome: Outcome) -> None:
        """A counted query has ended."""
        self.stopper.ended(
            failed=outcome.verdict in (Verdict.ERROR, Verdict.TIMEOUT),
            done_ns=outcome.done_ns,
            wall_ns=outcome.wall_ns,
            in_flight=self.watch.in_flight,
        )
        if self.stopper.reason is not None:
            self._let_go()

    def start(self, tasks: TaskGroup, work: Callable[[*Arguments], Awaitable[None]], *arguments: *Arguments) -> None:
        """Run `work` as a part of the stage: with the last part, the watching ends."""
        self._running += 1
        tasks.start_soon(self._run, work, *arguments)

    async def _run(self, work: Callable[[*Arguments], Awaitable[None]], *arguments: *Arguments) -> None:
        try:
            await work(*arguments)
        finally:
            self._running -= 1
            if not self._running:
                self._watching.cancel()

    async def watch_over(self) -> None:
        """Read the event loop's lag all through the stage; end the stage, and then its cool-down, when it is time."""
        with self._watching:
            tick_ns = self._clock.now_ns()
            over_ns: int | None = None
            while True:
                tick_ns = max(tick_ns, self._clock.now_ns()) + TICK_NS
                await anyio.sleep(max(tick_ns - self._clock.now_ns(), 0) / 1e9)
                now_ns = self._clock.now_ns()
                self.watch.lag.add(now_ns - tick_ns)
                self.stopper.elapsed((now_ns - self.began_ns) / 1e9)
                if self.stopper.reason is not None:
                    self._let_go()
                    over_ns = now_ns if over_ns is None else over_ns
                    cool_down_s = self.stopper.cool_down_s
                    if cool_down_s is not None and now_ns - over_ns >= cool_down_s * 1e9:
                        self._cut_off()

    def _let_go(self) -> None:
        """Wake the loops that wait."""
        self._stopped.set()
        self._nudge.set()

    def _cut_off(self) -> None:
        for scope in self._open - self._cut:
            self._cut.add(scope)
            self.watch.cut += 1
            scope.cancel()
