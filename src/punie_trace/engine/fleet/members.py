"""The generators of a run as their runner knows them: each with its state, its clock, and what it was last heard of."""

from __future__ import annotations

import asyncio
import pickle
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import anyio

from punie_trace.engine.fleet.messages import (
    Beat,
    ConfigurationLost,
    Ended,
    Finished,
    Hello,
    Ping,
    Pong,
    Prepared,
    StageBegan,
    StageEnded,
    StageReady,
    Trouble,
)
from punie_trace.engine.fleet.post import Lost, Post
from punie_trace.runs.header import OffsetRecord
from punie_trace.spans.clock import Clock
from punie_trace.spans.clock_offset import SAME_CLOCK, ClockOffset, Reading, estimate

MOST_READINGS: Final = 2000
PING_S: Final = 1.0
READINGS_AT_ONCE: Final = 16


@dataclass(eq=False, slots=True)
class Member:
    """One generator. `problem` is why it is lost; None while it is not."""

    number: int
    post: Post
    name: str = ""
    hello: Hello | None = None
    prepared: Prepared | None = None
    ready: StageReady | None = None
    late_ns: int | None = None
    stage: StageEnded | None = None
    finished: bool = False
    problem: str | None = None
    trouble: str | None = None
    in_flight: int = 0
    heard_ns: int = field(default_factory=time.monotonic_ns)
    same_clock: bool = False
    arrivals: int | None = 0
    """Queries that were its own so far; None once a stage had no fixed number."""
    readings: list[Reading] = field(default_factory=list)
    _asked_ns: dict[int, int] = field(default_factory=dict)
    _pings: int = 0

    @property
    def lost(self) -> bool:
        """Whether it counts no more."""
        return self.problem is not None

    def send(self, message: object) -> None:
        """Send it, if that can be; that it cannot is heard of soon."""
        with suppress(OSError, ValueError):
            self.post.send(message)

    def ping(self, clock: Clock) -> None:
        """Ask for its clock; the answer becomes a reading."""
        self._pings += 1
        if len(self._asked_ns) > MOST_READINGS:
            self._asked_ns.clear()
        self._asked_ns[self._pings] = clock.now_ns()
        self.send(Ping(self._pings))

    @property
    def waits(self) -> bool:
        """Whether its clock was asked for last, and not told."""
        return self._pings in self._asked_ns

    def read(self, pong: Pong, back_ns: int) -> None:
        """The answer to a `ping`."""
        sent_ns = self._asked_ns.pop(pong.number, None)
        if sent_ns is None:
            return
        if len(self.readings) >= MOST_READINGS:  # half of them still cover all of the time
            del self.readings[1::2]
        self.readings.append(Reading(sent_ns, back_ns, pong.at_ns))

    @property
    def offset(self) -> ClockOffset | None:
        """Its clock minus the run's; None where it was never read."""
        if self.same_clock:
            return SAME_CLOCK
        return estimate(self.readings) if self.readings else None

    @property
    def offset_record(self) -> OffsetRecord | None:
        """The same for the header."""
        found = self.offset
        if found is None:
            return None
        return OffsetRecord(**{name: getattr(found, name) for name in OffsetRecord.model_fields})


class Members:
    """All generators of a run, and what they say. For one event loop; `on_ended` and the others are called in it."""

    def __init__(
        self,
        posts: Iterable[Post],
        clock: Clock,
        on_ended: Callable[[Ended], None],
        on_configuration_lost: Callable[[ConfigurationLost], None],
        on_lost: Callable[[Member], None],
    ) -> None:
        self.all = [Member(number, post) for number, post in enumerate(posts)]
        self.clock = clock
        self._on_ended = on_ended
        self._on_configuration_lost = on_configuration_lost
        self._on_lost = on_lost
        self._changed = anyio.Event()
        loop = asyncio.get_running_loop()
        for member in self.all:
            member.post.listen(partial(self._hand_over, loop, member))

    @property
    def alive(self) -> list[Member]:
        """Those that are not lost."""
        return [member for member in self.all if not member.lost]

    async def until(self, reached: Callable[[Member], bool], limit_s: float) -> bool:
        """Wait until all that are alive have `reached` something; False where that took longer than `limit_s`."""
        with anyio.move_on_after(limit_s):
            while not all(map(reached, self.alive)):
                self._changed = anyio.Event()
                await self._changed.wait()
            return True
        return False

    def send(self, message: object) -> None:
        """Send it to all that are alive."""
        for member in self.alive:
            member.send(message)

    def lose(self, member: Member, problem: str) -> None:
        """Give one up: it counts no more, whatever it does from now on."""
        if not member.lost and not member.finished:
            member.problem = member.trouble or problem
            self._on_lost(member)
        self._changed.set()

    async def read_clocks(self) -> None:
        """Ask each other clock several times, one question after another, in bounded time.

        Whoever leaves a question open for `PING_S` is asked no more of them.
        """
        asked = {member.number for member in self.alive if not member.same_clock}
        for _ in range(READINGS_AT_ONCE):
            for member in self.alive:
                if member.number in asked:
                    member.ping(self.clock)
            if not await self.until(lambda one: not (one.waits and one.number in asked), PING_S):  # noqa: B023
                asked = {member.number for member in self.alive if member.number in asked and not member.waits}

    def _hand_over(self, loop: asyncio.AbstractEventLoop, member: Member, message: object, at_ns: int) -> None:
        with suppress(RuntimeError):  # the loop is closed: the run is over
            loop.call_soon_threadsafe(self._hear, member, message, at_ns)

    def _hear(self, member: Member, message: object, at_ns: int) -> None:
        match message:
            case Beat():
                member.heard_ns = at_ns
                member.in_flight = message.in_flight
                for one in message.ended:
                    self._on_ended(pickle.loads(one))  # noqa: S301 - from a process that we started
                return
            case Pong():
                member.read(message, self.clock.from_monotonic(at_ns))
            case Hello():
                member.hello = message
            case Prepared():
                member.prepared = message
            case StageReady():
                member.ready = message
            case StageBegan():
                member.late_ns = max(message.late_ns, member.late_ns or 0)
            case StageEnded():
                member.stage = message
            case ConfigurationLost():
                self._on_configuration_lost(message)
            case Trouble():
                member.trouble = message.problem
            case Finished():
                if member.trouble is not None:
                    self.lose(member, member.trouble)
                member.finished = True
            case Lost():
                self.lose(member, message.reason)
        self._changed.set()
