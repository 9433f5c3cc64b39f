"""One part of a run while it is made: its folder, its spans, and each stage as an ordinary driver asks it.

The stages are those of a run with one client, but that others are passed over, the start is agreed on, and the runner
may end it. What errors and over-saturation mean for the run is the runner's to decide.
"""

from __future__ import annotations

import gc
import pickle
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import anyio

from punie_trace.agent.toolbox import Toolbox
from punie_trace.agent.workspace import Workspace
from punie_trace.driver.asks import Asks
from punie_trace.driver.client import ClientWatch
from punie_trace.driver.limits import Failures
from punie_trace.driver.load import Driver
from punie_trace.driver.schedule import ClosedLoop, OpenLoop, Planned
from punie_trace.driver.shards import shard_limits, shard_load
from punie_trace.driver.stage import Stage
from punie_trace.driver.target import Judge, Target
from punie_trace.engine.bring_up import plan_options
from punie_trace.engine.conditions import Conditions
from punie_trace.engine.fleet.clock_identity import clock_id
from punie_trace.engine.fleet.messages import (
    Assignment,
    Beat,
    Begin,
    ConfigurationLost,
    Ended,
    StageBegan,
    StageEnded,
    StageOrder,
    StageReady,
)
from punie_trace.engine.fleet.preparation import workspace_root
from punie_trace.engine.fleet.shares import own_arrivals, own_queries
from punie_trace.engine.header import header_of, secrets_of
from punie_trace.engine.measurement import cut_short_by, warm_up
from punie_trace.engine.questions import OWN, Questions
from punie_trace.engine.targets import http_target
from punie_trace.engine.tracing import Tracing
from punie_trace.errors import RunFolderError
from punie_trace.records import Ledger, Outcome
from punie_trace.runs.header import RunStatus
from punie_trace.runs.writer import RunWriter
from punie_trace.spans.clock import Clock
from punie_trace.suite.check import judge_by_facts
from punie_trace.suite.judging import EvaluatingJudge, Evaluators

BEAT_S: Final = 0.1
MOST_UNTOLD: Final = 20_000
"""Ended queries that wait to be told; those beyond it are in the part alone."""
Send = Callable[[object], None]


@dataclass(slots=True)
class Part:
    """What one generator writes. For use in its event loop."""

    assignment: Assignment
    send: Send
    clock: Clock
    writer: RunWriter
    tracing: Tracing
    toolboxes: Mapping[str, Toolbox]
    judge: Judge
    watch: bool
    status: RunStatus = "interrupted"
    """How it ends, unless the runner says otherwise: it was cut off."""
    _failures: Failures = field(default_factory=Failures)
    _asks: Asks = field(default_factory=Asks)
    _stack: ExitStack = field(default_factory=ExitStack)
    _stage: Stage | None = None
    _at_ns: int | None = None
    _start: anyio.Event = field(default_factory=anyio.Event)
    _ended: list[bytes] = field(default_factory=list)
    _untold: int = 0
    _last_seq: int = -1

    @classmethod
    async def begin(cls, assignment: Assignment, begin: Begin, clock: Clock, send: Send) -> Part:
        """Make the folder and what writes into it. Raises `PunieTraceError`."""
        plan, suite = assignment.plan, assignment.suite
        folder = Path(begin.folder)
        secrets = secrets_of(plan.experiment, assignment.argv)
        given = (
            None
            if assignment.files
            else Workspace(workspace_root(plan.experiment), allow_secrets=plan.experiment.allow_secrets)
        )
        questions = Questions(suite, given, assignment.files, assignment.others, of=len(suite.queries))
        header = header_of(assignment.run_id, plan, questions, clock, assignment.argv)
        writer = RunWriter(folder, header, secrets)
        tracing = Tracing("off", clock, assignment.run_id, writer.spans_path, "off", secrets, generator=assignment.name)
        workspaces = questions.workspaces_in(folder)
        toolboxes = {
            name: Toolbox(root, max_chars=plan.turn_limits.tool_output_chars) for name, root in workspaces.items()
        }
        part = cls(
            assignment, send, clock, writer, tracing, toolboxes, judge_by_facts, begin.watch
        )  # fmt: skip
        part._stack.enter_context(tracing.run_span())
        if suite.dataset:
            experiment = plan.experiment
            evaluators = Evaluators(suite, experiment.evaluators, timeout_s=experiment.evaluator_timeout_s)
            part._stack.enter_context(evaluators)
            part.judge = EvaluatingJudge(suite, evaluators, tracing.provider.open_spans.finished, workspaces[OWN].root)
        return part

    @property
    def folder(self) -> Path:
        """Where it is written."""
        return self.writer.folder

    def go(self, at_ns: int) -> None:
        """The agreed start of the stage that is ready."""
        self._at_ns = at_ns
        self._start.set()

    def stop(self, reason: str, *, early: bool) -> None:
        """End the stage that goes on."""
        if self._stage is not None:
            self._stage.end(reason, early=early)

    def lose(self, configuration: str, reason: str) -> None:
        """`configuration` can no longer be asked, as others found."""
        self._failures.add(configuration, reason)

    async def run(self, order: StageOrder) -> None:
        """One stage, from its servers' facts to its end; what it ended with is sent."""
        self.writer.update(
            servers={**self.writer.header.servers, **order.server_records},
            configurations={**self.writer.header.configurations, **order.configuration_records},
        )
        plan, suite = self.assignment.plan, self.assignment.suite
        shard = self.assignment.shard
        self._start, self._at_ns, self._last_seq = anyio.Event(), None, -1
        async with AsyncExitStack() as stack, anyio.create_task_group() as tasks:
            tasks.start_soon(self._beat)
            targets = await self._targets(stack, order)
            load = shard_load(order.load, shard)
            driver = Driver(
                targets,
                self.tracing.open_query,
                self.clock,
                self.judge,
                shard_limits(plan.limits),
                self._on_outcome,
                self._on_failure,
                judges_apart=self.judge is not judge_by_facts,
                asks=self._asks,
            )
            if plan.experiment.warm_up:
                workers = load.concurrency if isinstance(load, ClosedLoop) else 1
                await warm_up(driver, plan, suite.queries, self._failures, workers)
            self.send(StageReady(own_arrivals(plan, suite.queries, order, shard)))
            await self._start.wait()
            await self._drive(driver, order, targets)
            tasks.cancel_scope.cancel()

    async def _drive(self, driver: Driver, order: StageOrder, targets: dict[str, Target]) -> None:
        shard = self.assignment.shard
        load = shard_load(order.load, shard)

        def passed_over(item: Planned) -> None:
            target = targets.get(item.configuration)
            if target is not None:
                self._asks.enter(target.memory or target.configuration, item.query.opening)

        planned = self._noted(
            own_queries(self.assignment.plan, self.assignment.suite.queries, order, shard, passed_over)
        )
        at_ns = self._at_ns or self.clock.now_ns()
        await anyio.sleep(max(at_ns - self.clock.now_ns(), 0) / 1e9)
        watch = ClientWatch()
        stage = Stage(
            driver.limits, self.clock, self._failures, frozenset(targets), planned, watch=watch, began_ns=at_ns
        )
        self._stage = stage
        self.send(StageBegan(max(self.clock.now_ns() - at_ns, 0)))
        kind = "open" if isinstance(load, OpenLoop) else "closed"
        gc.freeze()
        try:
            with self._watched():
                await driver.drive_stage(stage, planned, load, seed=self.assignment.plan.experiment.seed)
        except BaseException as error:
            with suppress(RunFolderError):
                self.writer.add_client(watch.record(order.names, kind, cut_short_by(error)))
            raise
        finally:
            gc.unfreeze()
            self._stage = None
            self._tell()
        self.writer.add_client(watch.record(order.names, kind, stage.reason))
        self.tracing.check()
        self.send(StageEnded(stage.reason, stage.stopper.early, self._last_seq, watch.sent, watch.dropped))

    async def _targets(self, stack: AsyncExitStack, order: StageOrder) -> dict[str, Target]:
        """What asks each configuration whose server is up."""
        plan = self.assignment.plan
        targets: dict[str, Target] = {}
        for configuration in plan.configurations:
            if configuration.name in order.names and configuration.name in order.servers:
                server = order.servers[configuration.name]
                options = plan_options(plan, configuration, server.request_model)
                target = await http_target(
                    stack, configuration, server, self.toolboxes, options, self.tracing.provider, self.clock
                )
                near = order.server_clocks.get(configuration.name) == clock_id()
                targets[configuration.name] = target if near else replace(target, collect=None)
        return targets

    def _noted(self, planned: Iterator[Planned]) -> Iterator[Planned]:
        for item in planned:
            self._last_seq = item.seq
            yield item

    def _watched(self) -> AbstractContextManager[object]:
        """Of one host the first generator watches the machine; it cannot tell its own load from that of others."""
        if not self.watch:
            return nullcontext()
        return Conditions(self.writer.conditions_path, self.clock.now_ns, ours=False)

    def _on_outcome(self, outcome: Outcome, ledger: Ledger) -> None:
        self.writer.append_outcome(outcome)
        if len(self._ended) < MOST_UNTOLD:
            turns = tuple(replace(turn, answer="", tool_calls=()) for turn in outcome.turns)
            without_text = replace(outcome, answer="", tool_calls=(), evaluations=(), turns=turns)
            self._ended.append(pickle.dumps(Ended(without_text, ledger)))
        else:
            self._untold += 1

    def _on_failure(self, configuration: str, reason: str) -> None:
        self._failures.add(configuration, reason)
        self.writer.configuration_failed(configuration, reason)
        self.send(ConfigurationLost(configuration, reason))

    async def _beat(self) -> None:
        while True:
            self._tell()
            await anyio.sleep(BEAT_S)

    def _tell(self) -> None:
        watch = self._stage.watch if self._stage is not None else None
        ended, self._ended = tuple(self._ended), []
        untold, self._untold = self._untold, 0
        in_flight, sent = (watch.in_flight, watch.sent) if watch is not None else (0, 0)
        self.send(Beat(ended, in_flight, sent, untold))

    def close(self) -> None:
        """Close it in order, whatever had begun."""
        with suppress(Exception):
            self._stack.close()
        with suppress(Exception):
            self.tracing.close(self.writer.header)
        with suppress(RunFolderError):
            self.writer.finish(self.status)
        self.writer.close()
