"""One stage from several generators: begun at one agreed time, watched, and ended over all of them.

Errors and over-saturation are those of all generators together. A server that dies is seen by whoever started it, here,
and its configurations are lost to all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Final

from punie_trace.driver.limits import Stopper
from punie_trace.driver.schedule import ClosedLoop, Shard
from punie_trace.engine.conditions import Conditions
from punie_trace.engine.energy import EnergyWatch
from punie_trace.engine.fleet.members import PING_S, Member, Members
from punie_trace.engine.fleet.messages import Ended, Go, StageOrder, StopStage
from punie_trace.engine.fleet.shares import own_arrivals
from punie_trace.engine.loads import one_by_one
from punie_trace.engine.measured import warm_up_event
from punie_trace.engine.plan import Plan
from punie_trace.engine.progress import Announcer, PhaseStarted
from punie_trace.records import Query, Verdict
from punie_trace.runs.stored_header import CONDITIONS_FILE, PARTS_FOLDER
from punie_trace.runs.writer import RunWriter
from punie_trace.servers.server import Server

LEAD_NS: Final = 300_000_000
"""From the last order to the agreed start, on this machine: a message takes a fraction of it."""
FAR_LEAD_NS: Final = 1_500_000_000
TICK_S: Final = 0.25
NS_PER_S: Final = 1e9


@dataclass(slots=True)
class FleetStage:
    """A stage while it goes on. `servers` are those that this process started, or reached, by configuration."""

    plan: Plan
    queries: tuple[Query, ...]
    members: Members
    order: StageOrder
    servers: Mapping[str, Server]
    fail: Callable[[str, str], None]
    announce: Announcer
    writer: RunWriter
    stopper: Stopper = field(init=False)
    last_seq: int = -1
    _began_ns: int | None = None
    _over_ns: int | None = None
    _stopped: bool = False
    _pinged_ns: int = 0

    def __post_init__(self) -> None:
        # The duration is counted by each generator, from the agreed start, and the number is in its plan.
        self.stopper = Stopper(replace(self.plan.limits, duration_s=None, queries=None))

    async def run(self) -> None:
        """From the orders to the last generator's end."""
        experiment, members = self.plan.experiment, self.members
        alone = f" {self.order.names[0]}" if one_by_one(experiment) else ""
        if experiment.warm_up:
            self.announce(warm_up_event(experiment, self.queries, self.order.names, len(members.alive)))
        for member in members.alive:
            member.ready = member.stage = None
        members.send(self.order)
        warming_s = experiment.warm_up * len(self.order.names) * experiment.agent_settings.query_timeout_s
        limit_s = experiment.fleet.join_timeout_s + warming_s
        if not await members.until(lambda one: one.ready is not None, limit_s):
            for member in [one for one in members.alive if one.ready is None]:
                members.lose(member, f"it did not get ready within {limit_s:g} s")
        await members.read_clocks()
        self.announce(PhaseStarted(f"measuring{alone}", "measuring"))
        with ExitStack() as watched:
            ours = all(c.server.kind != "url" for c in self.plan.configurations)
            now_ns = members.clock.now_ns
            watched.enter_context(EnergyWatch(self.writer.energy_path, now_ns, None if ours else ()))
            conditions = self.writer.folder / PARTS_FOLDER / CONDITIONS_FILE
            watched.enter_context(Conditions(conditions, now_ns, ours=ours))
            self._go()
            while not await members.until(lambda one: one.stage is not None, TICK_S):
                self._look()
        self._over_ns = members.clock.now_ns()

    def ended(self, ended: Ended) -> None:
        """One more query has ended, wherever. The time is that of hearing of it: clocks of hosts are not mixed."""
        outcome = ended.outcome
        self.last_seq = max(self.last_seq, outcome.seq)
        self.stopper.ended(
            failed=outcome.verdict in (Verdict.ERROR, Verdict.TIMEOUT),
            done_ns=self.members.clock.now_ns(),
            wall_ns=outcome.wall_ns,
            in_flight=sum(one.in_flight for one in self.members.alive),
        )
        if self.stopper.reason is not None and not self._stopped:
            self._stopped = True
            self._over_ns = self.members.clock.now_ns()
            self.members.send(StopStage(self.stopper.reason, early=self.stopper.early))

    def count_arrivals(self) -> None:
        """Add to each generator what of this stage was its own; of a lost one by the plan, until the stage was over."""
        for member in self.members.all:
            if not member.lost and member.stage is not None:
                self.last_seq = max(self.last_seq, member.stage.last_seq)
                arrivals: int | None = member.stage.sent + member.stage.dropped
            else:
                arrivals = self._arrivals_of_lost(member)
            member.arrivals = None if member.arrivals is None or arrivals is None else member.arrivals + arrivals

    def _arrivals_of_lost(self, member: Member) -> int | None:
        shard = Shard(member.number, len(self.members.all))
        until = None
        if self._stopped or self._over_ns is None:  # ended before its time, by a limit or from outside
            if isinstance(self.order.load, ClosedLoop) or self._began_ns is None:
                return None
            until = (self._over_ns or self.members.clock.now_ns()) - self._began_ns
        return own_arrivals(self.plan, self.queries, self.order, shard, until)

    def _go(self) -> None:
        """Everybody begins at one time, each by its own clock."""
        members = self.members
        far = any(not member.same_clock for member in members.alive)
        self._began_ns = members.clock.now_ns() + (FAR_LEAD_NS if far else LEAD_NS)
        for member in members.alive:
            member.heard_ns = time.monotonic_ns()
            if (offset := member.offset) is None:
                members.lose(member, "its clock could not be read")
            else:
                member.send(Go(offset.to_theirs(self._began_ns)))

    def _look(self) -> None:
        """Who gives no sign of life; which server has died; what the clocks show."""
        now_ns = time.monotonic_ns()
        silence_s = self.plan.experiment.fleet.silence_timeout_s
        for member in self.members.alive:
            if member.stage is None and now_ns - member.heard_ns > silence_s * NS_PER_S:
                self.members.lose(member, f"it gave no sign of life for {silence_s:g} s")
        for name in self.order.names:
            if (failure := self.servers[name].failure()) is not None:
                self.fail(name, f"the server {failure}\n{self.servers[name].log_tail()}".rstrip())
        if now_ns - self._pinged_ns > PING_S * NS_PER_S:
            self._pinged_ns = now_ns
            for member in self.members.alive:
                if not member.same_clock:
                    member.ping(self.members.clock)
