"""The run itself: servers up, warm-up, rounds, servers down. It wires the rooms together and computes nothing.

A server that does not come up, or dies, costs its own configurations only. What was measured is in the run folder by
the time it was measured.
"""

from __future__ import annotations

import gc
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby

from punie_trace.agent.toolbox import Toolbox
from punie_trace.driver.client import ClientWatch
from punie_trace.driver.limits import Failures, Limits
from punie_trace.driver.load import Driver, OpenQuery
from punie_trace.driver.schedule import ClosedLoop, Load, OpenLoop, plan_rounds, plan_warm_up
from punie_trace.driver.stage import Stage
from punie_trace.driver.target import Target
from punie_trace.engine.conditions import Conditions
from punie_trace.engine.load_config import one_by_one, planned_of
from punie_trace.engine.plan import Configuration, Plan
from punie_trace.engine.rounds import Rounds
from punie_trace.engine.targets import ask_options, http_target, inprocess_target
from punie_trace.errors import ModelError, RunFolderError, ServerError
from punie_trace.records import Ledger, Outcome
from punie_trace.report.progress import Progress
from punie_trace.runs.header import ConfigurationRecord, ServerRecord
from punie_trace.runs.reader import SERVERS_FOLDER
from punie_trace.runs.writer import RunWriter
from punie_trace.servers.config import ServerConfig
from punie_trace.servers.readiness import ServerTimeouts
from punie_trace.servers.server import Server, open_server
from punie_trace.spans.clock import Clock
from punie_trace.spans.provider import ClockTracerProvider
from punie_trace.speculative.registry import needs_draft_model
from punie_trace.suite.check import judge_by_facts
from punie_trace.suite.load import Suite


def _drafts_by_model(server: ServerConfig) -> bool:
    """Whether the configuration uses the draft model of its server, which it may share with others that do."""
    return (server.drafter is None or needs_draft_model(server.drafter)) and server.speculation != "off"


def _cut_short_by(error: BaseException) -> str:
    return "it failed" if isinstance(error, Exception) else "it was interrupted"


@dataclass(slots=True)
class Measurement:
    """Everything that one run needs while it goes on. `failures` fills as configurations fail."""

    plan: Plan
    suite: Suite
    toolbox: Toolbox
    writer: RunWriter
    progress: Progress
    clock: Clock
    provider: ClockTracerProvider
    open_query: OpenQuery
    failures: Failures = field(default_factory=Failures)
    rounds: Rounds | None = None
    asked: int = 0
    ended_early: bool = False
    """Whether a limit ended what was not meant to find that limit."""

    async def run(self) -> None:
        """Measures every batch of server groups; raises only what ends the whole run."""
        for batch in self.plan.batches:
            async with AsyncExitStack() as servers:
                targets: dict[str, Target] = {}
                for group in batch:
                    targets.update(await self._bring_up(servers, group))
                if targets:
                    await self._measure(targets)

    async def _bring_up(self, stack: AsyncExitStack, group: str) -> Mapping[str, Target]:
        """Targets for the configurations of `group`; none, and a failure for each, if its server does not come up."""
        configurations = self.plan.of_group(group)
        self.progress.phase(f"starting {', '.join(c.name for c in configurations)}")
        try:
            if configurations[0].path == "inprocess":
                return await self._load_in_process(stack, group, configurations)
            server = await stack.enter_async_context(self._server(group, configurations))
            return {c.name: await self._http_target(stack, c, server) for c in configurations}
        except (ServerError, ModelError) as error:
            self.progress.server(group, "failed")
            for configuration in configurations:
                self._fail(configuration.name, str(error))
            return {}

    @asynccontextmanager
    async def _server(self, group: str, configurations: Sequence[Configuration]) -> AsyncGenerator[Server]:
        config = configurations[0].server
        timeouts = ServerTimeouts(ready_s=self.plan.config.ready_timeout_s, stop_s=self.plan.config.stop_timeout_s)
        log = self.writer.servers_path / f"{group}.log"

        def on_state(state: str) -> None:
            self.progress.server(group, state)

        async with open_server(config, log_path=log, timeouts=timeouts, on_state=on_state) as server:
            self.progress.server(group, "ready")
            identity = server.identity
            self.writer.server_ready(
                group,
                ServerRecord(
                    identity=asdict(identity),
                    blas=identity.blas,
                    # A server of ours batches where that wins; see each configuration's speculation.
                    batched=None if config.kind != "mlx_lm" else config.draft_model is None and config.kv_bits is None,
                    log=f"{SERVERS_FOLDER}/{group}.log",
                ),
            )
            for note in server.notes:
                self.writer.add_note(note)
                self.progress.note(note)
            for configuration in configurations:
                self._record(configuration, identity.model)
            try:
                yield server
            finally:
                self._write_memory(group, server)

    async def _load_in_process(
        self, stack: AsyncExitStack, group: str, configurations: Sequence[Configuration]
    ) -> Mapping[str, Target]:
        self.progress.server(group, "loading")
        targets: dict[str, Target] = {}
        for configuration in configurations:
            server = configuration.server
            options = ask_options(
                configuration,
                server.model_path or "",
                self.plan.max_tokens,
                self.plan.config.agent.max_requests,
            )
            target = await inprocess_target(stack, configuration, self.toolbox, options, self.provider, self.clock)
            targets[configuration.name] = target
            self._record(configuration, target.served_model)
        self.writer.server_ready(group, ServerRecord(identity={"kind": "inprocess"}, batched=False))
        self.progress.server(group, "ready")
        return targets

    async def _http_target(self, stack: AsyncExitStack, configuration: Configuration, server: Server) -> Target:
        most = self.plan.config.agent.max_requests
        options = ask_options(configuration, server.request_model, self.plan.max_tokens, most)
        return await http_target(stack, configuration, server, self.toolbox, options, self.provider, self.clock)

    async def _measure(self, targets: Mapping[str, Target]) -> None:
        gc.freeze()  # what was imported is no garbage: looking through it again would be a pause in what is timed
        try:
            for names, load in self.plan.stages(targets):
                await self._measure_stage({name: targets[name] for name in names}, load)
        finally:
            gc.unfreeze()

    async def _measure_stage(self, targets: Mapping[str, Target], load: Load) -> None:
        config = self.plan.config
        queries = self.suite.queries
        names = list(targets)
        driver = Driver(
            targets,
            self.open_query,
            self.clock,
            judge_by_facts,
            self.plan.limits,
            self._on_outcome,
            self._fail,
        )
        alone = f" {names[0]}" if one_by_one(config) else ""
        if config.warm_up:
            self.progress.phase(f"warming up{alone}")
            warm = replace(driver, limits=Limits(config.agent.query_timeout_s))
            await warm.drive(
                plan_warm_up(names, queries, config.warm_up),
                self.failures,
                ClosedLoop(config.concurrency),
                warm_up=True,
            )
        self.progress.phase(f"measuring{alone}")
        kind = "open" if isinstance(load, OpenLoop) else "closed"
        watch = ClientWatch()
        try:
            with self._watched() as conditions:
                if config.until is not None or config.repeat_contaminated:
                    stage = await self._measure_rounds(driver, load, conditions, watch)
                else:
                    planned = planned_of(config, names, queries, self.asked)
                    stage = await driver.drive(planned, self.failures, load, seed=config.seed, watch=watch)
                    self.asked += stage.taken
        except BaseException as error:
            # What was measured until then is kept, and needs to be judged as much. The disk may be what failed.
            with suppress(RunFolderError):
                self.writer.add_client(watch.record(names, kind, _cut_short_by(error)))
            raise
        self.writer.add_client(watch.record(names, kind, stage.reason))
        if stage.stopper.early:
            self.ended_early = self.ended_early or config.load.sweep is None
            self.writer.add_finding(f"{', '.join(names)}: ended early: {stage.reason}")
            self.progress.note(f"{', '.join(names)}: ended early: {stage.reason}")

    async def _measure_rounds(self, driver: Driver, load: Load, conditions: Conditions, watch: ClientWatch) -> Stage:
        """Round by round, until there are enough; one watch over all of them. Returns the last one's stage."""
        config = self.plan.config
        self.rounds = Rounds(config, self.writer, self.progress, self.failures, self.clock)
        planned = plan_rounds(list(driver.targets), self.suite.queries, self.rounds.most, config.seed, self.asked)
        for number, each in groupby(planned, key=lambda one: one.round):
            stage = await driver.drive(list(each), self.failures, load, watch=watch)
            self.asked += stage.taken
            if self.rounds.ended(number, conditions.samples()) or stage.stopper.early:
                break
        return stage

    def _watched(self) -> Conditions:
        ours = all(c.server.kind != "url" for c in self.plan.configurations)
        return Conditions(self.writer.conditions_path, self.clock.now_ns, ours=ours)

    def _record(self, configuration: Configuration, model: str | None) -> None:
        server = configuration.server
        self.writer.configuration_ready(
            configuration.name,
            ConfigurationRecord(
                path=configuration.path,
                server=configuration.group,
                kind=server.kind,
                model=model,
                draft_model=server.draft_model if _drafts_by_model(server) else None,
                num_draft_tokens=server.num_draft_tokens if server.draft_model or server.drafter else None,
                temperature=server.temp or 0.0,
                request_options=configuration.request,
            ),
        )

    def _on_outcome(self, outcome: Outcome, ledger: Ledger) -> None:
        self.writer.append_outcome(outcome)
        if self.rounds is not None:
            self.rounds.add(outcome)
        self.progress.outcome(outcome, ledger)

    def _fail(self, configuration: str, reason: str) -> None:
        self.failures.add(configuration, reason)
        self.writer.configuration_failed(configuration, reason)
        self.progress.failure(configuration, reason)

    def _write_memory(self, group: str, server: Server) -> None:
        reading = server.memory()
        if reading is not None:
            self.writer.write_memory(group, reading.peak_bytes, reading.method)
