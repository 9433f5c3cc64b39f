"""A run from several generators: they are brought up, begin each stage together, and are ended, whatever happens.

The counterpart of `engine.measurement`, which asks by itself. A generator that dies, hangs or comes too late costs its
part, and what it did not ask is counted; the others go on. Nothing is asked here.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

import anyio

from punie_trace.analysis.asks import forgets
from punie_trace.driver.limits import Failures
from punie_trace.driver.schedule import Load, Shard
from punie_trace.engine.fleet.clock_identity import clock_id
from punie_trace.engine.fleet.fleet_stage import FleetStage
from punie_trace.engine.fleet.members import Member, Members
from punie_trace.engine.fleet.messages import Assignment, Begin, ConfigurationLost, Ended, Finish, StageOrder
from punie_trace.engine.fleet.placed_servers import PlacedGroups, clock_of_server, facts_of
from punie_trace.engine.fleet.post import Places
from punie_trace.engine.fleet.preparation import check_same, digests_of
from punie_trace.engine.fleet.shares import check_shares
from punie_trace.engine.loads import planned_each
from punie_trace.engine.machine import read_versions
from punie_trace.engine.plan import Plan
from punie_trace.engine.progress import Announcer, ConfigurationFailed, Noted, PhaseStarted, QueryEnded
from punie_trace.engine.questions import Questions
from punie_trace.errors import ConfigurationError, ServerError
from punie_trace.runs.header import Clock as ClockRecord
from punie_trace.runs.header import PartRecord, PartStatus, RunStatus
from punie_trace.runs.stored_header import PARTS_FOLDER
from punie_trace.runs.writer import RunWriter
from punie_trace.servers.addresses import is_local
from punie_trace.servers.server import Server
from punie_trace.spans.clock import Clock

OpenWriter: TypeAlias = Callable[[], RunWriter]

FINISH_S: Final = 20.0
LOG_FILE: Final = "generator.log"
_NO_NAME: Final = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(slots=True)
class Fleet:
    """Everything that one run from several generators needs while it goes on.

    `writer` is None until all generators were found to be fit: what is wrong before that leaves no folder.
    """

    plan: Plan
    questions: Questions
    run_id: str
    argv: tuple[str, ...]
    clock: Clock
    announce: Announcer
    places: Places
    open_writer: OpenWriter
    writer: RunWriter | None = None
    failures: Failures = field(default_factory=Failures)
    ended_early: bool = False
    _members: Members | None = None
    _stage: FleetStage | None = None
    _first_seq: int = 0
    _printed: dict[int, str] = field(default_factory=dict)

    async def run(self) -> None:
        """Measures all of the plan. Raises what ends the whole run; generators and servers are then gone."""
        posts = await anyio.to_thread.run_sync(self.places.generators)
        members = Members(posts, self.clock, self._on_ended, self._on_configuration_lost, self._on_lost)
        self._members = members
        status: RunStatus = "interrupted"
        try:
            check_shares(self.plan, len(members.all))
            await self._join(members)
            self.writer = self.open_writer()
            await self._begin(members, self.writer)
            await self._measure(members, self.writer)
            status = "done"
        except Exception:
            status = "ended-early"
            raise
        finally:
            with anyio.CancelScope(shield=True):
                await self._finish(members, status)

    async def _join(self, members: Members) -> None:
        """All that come up in time have what is needed, the same as here. Raises where none does, or one differs."""
        settings = self.plan.experiment.fleet
        self.announce(PhaseStarted(f"bringing up {len(members.all)} generators"))
        await self._all_or_lost(members, lambda one: one.hello is not None, "come up", settings.join_timeout_s)
        here, ours = clock_id(), read_versions()
        elsewhere = False
        for member in members.alive:
            if (hello := member.hello) is None:
                continue
            member.name = f"{_NO_NAME.sub('-', hello.host)[:60]}-{member.number}"
            member.same_clock = hello.clock_id == here
            elsewhere = elsewhere or hello.clock_id != here
            check_same(hello, ours, {}, {})
        if self.questions.files:
            elsewhere = False  # the workspace is made, and sent along
        for member in members.alive:
            shard = Shard(member.number, len(members.all))
            clock = self.clock if member.same_clock else None
            asked = self.questions
            assignment = Assignment(
                member.name, shard, self.run_id, self.plan, asked.suite, self.argv, asked.files, asked.others, clock,
                elsewhere,
            )  # fmt: skip
            member.send(assignment)
        await self._all_or_lost(
            members, lambda one: one.prepared is not None, "prepare itself", settings.join_timeout_s
        )
        digests = digests_of(self.plan) if elsewhere else {}
        for member in members.alive:
            if (prepared := member.prepared) is None or (hello := member.hello) is None:
                continue
            if prepared.problem is not None:
                raise ConfigurationError(f"generator on {hello.host}: {prepared.problem}")
            check_same(hello, ours, prepared.digests, digests)
        await members.read_clocks()

    async def _all_or_lost(
        self, members: Members, reached: Callable[[Member], bool], what: str, limit_s: float
    ) -> None:
        """Those that take longer than `limit_s` are lost. Raises `ServerError` where none is left."""
        if not await members.until(reached, limit_s):
            for member in [one for one in members.alive if not reached(one)]:
                members.lose(member, f"it did not {what} within {limit_s:g} s")
        if not members.alive:
            for member in members.all:
                await self._end_post(member)
            reasons = "; ".join(dict.fromkeys(str(member.problem) for member in members.all))
            raise ServerError(f"no generator is left: {reasons}", next(filter(None, self._printed.values()), ""))

    async def _begin(self, members: Members, writer: RunWriter) -> None:
        watched = {clock_id()}
        for member in members.all:
            member.name = member.name or f"lost-{member.number}"
        for member in members.alive:
            if member.hello is None:
                continue
            folder = member.post.folder(self._folder(member, writer))
            member.send(Begin(folder, watch=member.hello.clock_id not in watched))
            watched.add(member.hello.clock_id)
        self._write_parts(members, writer)

    async def _measure(self, members: Members, writer: RunWriter) -> None:
        groups = PlacedGroups(self.plan, writer, self.announce, self._fail, self.places.on_node)
        for batch in self.plan.batches:
            async with AsyncExitStack() as stack:
                servers: dict[str, Server] = {}
                for group in batch:
                    if (server := await groups.serve(stack, group)) is not None:
                        self._check_reach(members, server)
                        servers |= {one.name: server for one in self.plan.of_group(group)}
                for names, load in self.plan.stages(servers) if servers else ():
                    await self._measure_stage(members, writer, names, load, servers)

    async def _measure_stage(
        self, members: Members, writer: RunWriter, names: Sequence[str], load: Load, servers: Mapping[str, Server]
    ) -> None:
        queries = self.questions.suite.queries
        header = writer.header
        order = StageOrder(
            names=tuple(names),
            load=load,
            first_seq=self._first_seq,
            servers={name: facts_of(servers[name]) for name in names},
            server_clocks={name: clock_of_server(servers[name]) for name in names},
            server_records=header.servers,
            configuration_records=header.configurations,
        )
        stage = FleetStage(self.plan, queries, members, order, servers, self._fail, self.announce, writer)
        self._stage = stage
        try:
            await stage.run()
        finally:
            stage.count_arrivals()
            self._write_parts(members, writer)
            self._stage = None
        fixed = planned_each(self.plan.experiment, queries) * len(names)
        self._first_seq = max(self._first_seq + fixed, stage.last_seq + 1)
        if stage.stopper.early:
            self.ended_early = self.ended_early or self.plan.experiment.load.sweep is None
            writer.add_finding(f"{', '.join(names)}: ended early: {stage.stopper.reason}")
            self.announce(Noted(f"{', '.join(names)}: ended early: {stage.stopper.reason}"))
        if not members.alive:
            raise ServerError("every generator was lost; what they had measured is kept")

    def _check_reach(self, members: Members, server: Server) -> None:
        """Raises `ConfigurationError` where a server that others have to ask listens for its own host alone."""
        others = sorted({m.hello.host for m in members.alive if m.hello and m.hello.host != socket.gethostname()})
        if others and is_local(server.base_url):
            raise ConfigurationError(
                f"{server.base_url} can be asked from its own host alone, and generators run on {', '.join(others)}: "
                'give it a host that they reach (host = "<address>"), or place it on a node (node = "<name>")'
            )

    async def _finish(self, members: Members, status: RunStatus) -> None:
        """Every part closed, brought home and in the header; every process gone."""
        if self.writer is not None:
            await members.read_clocks()  # now: whoever has finished answers no more
            members.send(Finish(status))
            await members.until(lambda one: one.finished, FINISH_S)
            for member in [one for one in members.alive if not one.finished]:
                members.lose(member, f"it did not close its part within {FINISH_S:g} s")
        async with anyio.create_task_group() as tasks:
            for member in members.all:
                tasks.start_soon(self._bring_home_and_end, member)
        if self.writer is not None:
            self._write_parts(members, self.writer, status)
            self.ended_early = self.ended_early or len(members.alive) < len(members.all)

    async def _bring_home_and_end(self, member: Member) -> None:
        if self.writer is not None and member.hello is not None:
            folder = self._folder(member, self.writer)
            problem = await anyio.to_thread.run_sync(member.post.bring_home, folder)
            if problem is not None and not member.lost:
                member.problem = f"its part could not be brought home: {problem}"
        await self._end_post(member)

    async def _end_post(self, member: Member) -> None:
        printed = await anyio.to_thread.run_sync(member.post.end)
        if printed:
            self._printed[member.number] = printed
            if self.writer is not None and (folder := self._folder(member, self.writer)).is_dir():
                (folder / LOG_FILE).write_text(printed + "\n", encoding="utf-8")

    def _folder(self, member: Member, writer: RunWriter) -> Path:
        return writer.folder / PARTS_FOLDER / member.name

    def _write_parts(self, members: Members, writer: RunWriter, status: PartStatus = "running") -> None:
        writer.update(parts=tuple(self._record(member, status) for member in members.all))

    def _record(self, member: Member, status: PartStatus) -> PartRecord:
        clock = self.clock if member.same_clock or member.hello is None else member.hello.clock
        return PartRecord(
            name=member.name,
            host=member.hello.host if member.hello is not None else member.post.where,
            generator=member.number,
            clock=ClockRecord(anchor_wall_ns=clock.anchor_wall_ns, anchor_monotonic_ns=clock.anchor_monotonic_ns),
            offset=member.offset_record,
            status="lost" if member.lost else status,
            problem=member.problem,
            late_ns=member.late_ns,
            arrivals=member.arrivals,
        )

    def _on_ended(self, ended: Ended) -> None:
        if self._stage is not None:
            self._stage.ended(ended)
        if self.writer is not None:
            outcome = ended.outcome
            tells = not outcome.asked_before or forgets(self.writer.header, outcome.configuration)
            self.announce(QueryEnded(outcome, ended.ledger, tells))

    def _on_configuration_lost(self, lost: ConfigurationLost) -> None:
        self._fail(lost.configuration, lost.reason)

    def _on_lost(self, member: Member) -> None:
        self.announce(Noted(f"generator {member.name or member.number} was lost: {member.problem}"))

    def _fail(self, configuration: str, reason: str) -> None:
        if not self.failures.add(configuration, reason):
            return
        if self.writer is not None:
            self.writer.configuration_failed(configuration, reason)
        if self._members is not None:
            self._members.send(ConfigurationLost(configuration, reason))
        self.announce(ConfigurationFailed(configuration, reason))
