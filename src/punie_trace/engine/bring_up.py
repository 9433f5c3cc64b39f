"""Servers up and down: from a server group to what the driver asks of each of its configurations.

Who answers is written into the run's header as soon as it is known. A server that does not come up costs its own
configurations only. No query is asked here.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

import anyio

from punie_trace.agent.options import AskOptions
from punie_trace.agent.program_process import KeptOutputs
from punie_trace.agent.toolbox import Toolbox
from punie_trace.driver.target import Target
from punie_trace.engine.askers import load_askers
from punie_trace.engine.plan import Plan, PlannedConfiguration
from punie_trace.engine.progress import Announcer, Noted, PhaseStarted, ServerChanged
from punie_trace.engine.targets import ask_options, http_target, inprocess_target
from punie_trace.engine.tracing import Tracing
from punie_trace.engine.turn_limits import TurnLimits, answers_shipped, turn_limits
from punie_trace.engine.unexpected import first_error, in_words
from punie_trace.errors import RunFolderError
from punie_trace.runs.header import ConfigurationRecord, ServerRecord
from punie_trace.runs.reader import SERVERS_FOLDER
from punie_trace.runs.writer import RunWriter
from punie_trace.servers.config import ServerConfig
from punie_trace.servers.identity import ServedIdentity
from punie_trace.servers.own_metrics import Counters
from punie_trace.servers.readiness import ServerTimeouts
from punie_trace.servers.server import Server, open_server
from punie_trace.speculative.registry import needs_draft_model

OnFailure: TypeAlias = Callable[[str, str], None]
"""(configuration, reason): it can no longer be asked."""


@dataclass(frozen=True)
class ServedGroups:
    """The servers of one plan, brought up group by group, for whoever asks them."""

    plan: Plan
    writer: RunWriter
    announce: Announcer
    on_failure: OnFailure

    async def serve(self, stack: AsyncExitStack, group: str) -> Server | None:
        """The server of `group`; None, and a failure for each of its configurations, if it does not come up.

        It ends with `stack`.
        """
        self._begin(group)
        return await self._serve(stack, group)

    async def _serve(self, stack: AsyncExitStack, group: str) -> Server | None:
        configurations = self.plan.of_group(group)
        try:
            return await stack.enter_async_context(self._server(group, configurations))
        except RunFolderError:
            raise
        except Exception as error:
            self._failed(group, configurations, error)
            return None

    def _begin(self, *groups: str) -> None:
        names = [c.name for group in groups for c in self.plan.of_group(group)]
        self.announce(PhaseStarted(f"starting {', '.join(names)}"))

    def _failed(self, group: str, configurations: Sequence[PlannedConfiguration], error: Exception) -> None:
        self.announce(ServerChanged(group, "failed"))
        reason = str(in_words(first_error(error), self.writer.folder, self.writer.secrets))
        for configuration in configurations:
            self.on_failure(configuration.name, reason)

    @asynccontextmanager
    async def _server(self, group: str, configurations: Sequence[PlannedConfiguration]) -> AsyncGenerator[Server]:
        config = configurations[0].server
        experiment = self.plan.experiment
        timeouts = ServerTimeouts(ready_s=experiment.ready_timeout_s, stop_s=experiment.stop_timeout_s)
        log = self.writer.servers_path / f"{group}.log"

        def on_state(state: str) -> None:
            self.announce(ServerChanged(group, state))

        async with self._open(config, log, timeouts, on_state) as server:
            self.announce(ServerChanged(group, "ready"))
            identity = server.identity
            known = self.writer.header.servers.get(group, ServerRecord())  # where it was up in an earlier round
            self.writer.server_ready(
                group,
                ServerRecord(
                    identity=asdict(identity),
                    blas=identity.blas,
                    # A server of ours batches where that wins; see each configuration's speculation.
                    batched=None if config.kind != "mlx_lm" else config.draft_model is None and config.kv_bits is None,
                    log=f"{SERVERS_FOLDER}/{group}.log",
                    memory_peak_bytes=known.memory_peak_bytes,
                    memory_kind=known.memory_kind,
                ),
            )
            for note in server.notes:
                self.writer.add_note(note)
                self.announce(Noted(note))
            for configuration in configurations:
                self._record(configuration, identity.model, self.plan.turn_limits)
            before = await server.counters()
            try:
                yield server
                await self._note_counters(group, server, before)
            finally:
                self._write_memory(group, server)

    def _open(
        self, config: ServerConfig, log: Path, timeouts: ServerTimeouts, on_state: Callable[[str], None]
    ) -> AbstractAsyncContextManager[Server]:
        """The server itself, for as long as the context lasts: a process of this machine, or one that runs."""
        return open_server(
            config, log_path=log, timeouts=timeouts, on_state=on_state, hidden=self.writer.secrets.values
        )

    def _record(self, configuration: PlannedConfiguration, model: str | None, limits: TurnLimits) -> None:
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
                agent=configuration.agent.shown,
                tools=configuration.tools,
                max_tokens=server.max_tokens or limits.max_tokens,
                tool_output_chars=limits.tool_output_chars,
            ),
        )

    async def _note_counters(self, group: str, server: Server, before: Counters | None) -> None:
        after = None if before is None else await server.counters()
        text = None if after is None else after.since(before)
        if text is not None:
            self.writer.add_note(f"{group}: {text}")
            self.announce(Noted(f"{group}: {text}"))

    def _write_memory(self, group: str, server: Server) -> None:
        reading = server.memory()
        if reading is not None:
            self.writer.write_memory(group, reading.peak_bytes, reading.method)


@dataclass(frozen=True)
class ServerGroups(ServedGroups):
    """The same for a driver in this process, which asks them itself."""

    toolboxes: Mapping[str, Toolbox]
    tracing: Tracing

    async def bring_up(self, stack: AsyncExitStack, groups: Sequence[str]) -> Mapping[str, Target]:
        """Targets for the configurations of `groups`; none, and a failure for each, where a server does not come up.

        The servers start side by side: most of a start is imports, which leave cores idle. They end with `stack`.
        """
        self._begin(*groups)
        servers: dict[str, Server | None] = {}

        async def start(group: str) -> None:
            servers[group] = await self._serve(stack, group)

        async with anyio.create_task_group() as tasks:
            for group in groups:
                if self.plan.of_group(group)[0].path != "inprocess":
                    tasks.start_soon(start, group)
            paths = {c.path for group in groups for c in self.plan.of_group(group)}
            tasks.start_soon(anyio.to_thread.run_sync, load_askers, paths)
        targets: dict[str, Target] = {}
        # One after another, and in this task: what an asker opens (as a tool's own server) may have to be closed in the
        # task that opened it.
        for group in groups:
            targets |= await self._targets(stack, group, servers.get(group))
        self.writer.in_order([c.name for c in self.plan.configurations], groups)
        return targets

    async def _targets(self, stack: AsyncExitStack, group: str, server: Server | None) -> Mapping[str, Target]:
        configurations = self.plan.of_group(group)
        try:
            if configurations[0].path == "inprocess":
                return await self._load_in_process(stack, group, configurations)
            if server is None:
                return {}
            limits = await self._limits(configurations[0].server, server.identity)
            if limits != self.plan.turn_limits:
                self._other_limits(configurations, server.identity, limits)
            return {c.name: await self._http_target(stack, c, server, limits) for c in configurations}
        except RunFolderError:
            raise
        except Exception as error:
            self._failed(group, configurations, error)
            return {}

    async def _load_in_process(
        self, stack: AsyncExitStack, group: str, configurations: Sequence[PlannedConfiguration]
    ) -> Mapping[str, Target]:
        self.announce(ServerChanged(group, "loading"))
        targets: dict[str, Target] = {}
        for configuration in configurations:
            limits = await self._limits(configuration.server, None)
            options = plan_options(self.plan, configuration, configuration.server.model_path or "", limits)
            target = await inprocess_target(
                stack, configuration, self._tools(limits), options, self.tracing.provider, self.tracing.clock
            )
            targets[configuration.name] = target
            self._record(configuration, target.served_model, limits)
        self.writer.server_ready(group, ServerRecord(identity={"kind": "inprocess"}, batched=False))
        self.announce(ServerChanged(group, "ready"))
        return targets

    async def _http_target(
        self, stack: AsyncExitStack, configuration: PlannedConfiguration, server: Server, limits: TurnLimits
    ) -> Target:
        options = plan_options(self.plan, configuration, server.request_model, limits)
        return await http_target(
            stack,
            configuration,
            server,
            self._tools(limits),
            options,
            self.tracing.provider,
            self.tracing.clock,
            KeptOutputs(self.writer.programs_path / configuration.name, self.writer.secrets.hide),
        )

    async def _limits(self, config: ServerConfig, identity: ServedIdentity | None) -> TurnLimits:
        """Those that suit the model which answers."""
        planned, settings = self.plan.turn_limits, self.plan.experiment.agent_settings
        if planned == turn_limits(settings, shipped=True):
            return planned
        shipped = await anyio.to_thread.run_sync(answers_shipped, config, identity)
        return turn_limits(settings, shipped=shipped)

    def _tools(self, limits: TurnLimits) -> Mapping[str, Toolbox]:
        return {
            name: box
            if box.max_chars == limits.tool_output_chars
            else Toolbox(box.workspace, max_chars=limits.tool_output_chars)
            for name, box in self.toolboxes.items()
        }

    def _other_limits(
        self, configurations: Sequence[PlannedConfiguration], identity: ServedIdentity, limits: TurnLimits
    ) -> None:
        """Note that the limits are not those that were planned."""
        for configuration in configurations:
            self._record(configuration, identity.model, limits)
        note = (
            f"{', '.join(c.name for c in configurations)}: the shipped model is what answers, so tools give it "
            f"{limits.tool_output_chars} characters at most and a generation has {limits.max_tokens} tokens at most, "
            "as it was trained; tool_output_chars and max_tokens under [agent] say otherwise"
        )
        self.writer.add_note(note)
        self.announce(Noted(note))


def plan_options(
    plan: Plan, configuration: PlannedConfiguration, model: str, limits: TurnLimits | None = None
) -> AskOptions:
    """The options of the requests of one configuration, to `model` of its server; the plan's limits unless given."""
    most = (limits or plan.turn_limits).max_tokens
    return ask_options(configuration, model, most, plan.experiment.agent_settings.max_requests)


def _drafts_by_model(server: ServerConfig) -> bool:
    """Whether the configuration uses the draft model of its server, which it may share with others that do."""
    return (server.drafter is None or needs_draft_model(server.drafter)) and server.speculation != "off"
