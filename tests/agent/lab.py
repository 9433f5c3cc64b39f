"""One configuration of an imported agent against a scripted server: its queries, their outcomes, ledgers and spans."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from punie_trace.agent.asker import AgentSource, AskerContext
from punie_trace.agent.options import AskOptions
from punie_trace.agent.toolbox import Toolbox
from punie_trace.agent.workspace import Workspace
from punie_trace.analysis.ledger import close_ledger
from punie_trace.driver.limits import Failures, Limits
from punie_trace.driver.load import Driver
from punie_trace.driver.schedule import Planned
from punie_trace.driver.target import Ask, Converse, Target
from punie_trace.engine.askers import open_asker
from punie_trace.records import Ledger, Outcome, Query
from punie_trace.records import Path as AskPath
from punie_trace.spans.clock import Clock
from punie_trace.spans.provider import ClockTracerProvider, make_tracer_provider
from punie_trace.spans.query_span import open_query
from punie_trace.spans.sink import SpanSink
from punie_trace.spans.span import Span
from punie_trace.spans.transport import TracedTransport
from punie_trace.suite.check import judge_by_facts
from punie_trace.suite.load import sample_workspace
from punie_trace.testing import Reply, Rule, Script, ScriptedServer, Step, Text, ToolCall, scripted_server

THEIRS = str(Path(__file__).parent / "theirs.py")
LOOKUP = Query("q", "Where is it?", "tool", ("find_definition",), ("IsLibrarian",), ("permissions",))
FIND = ToolCall(name="find_definition", arguments={"name": "IsLibrarian"})
ANSWER = Text(text="In accounts/permissions.py.")


class Ended(SpanSink):
    """Keeps every span."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def write(self, span: Span) -> None:
        """Keep it."""
        self.spans.append(span)


def script(*turns: tuple[Step, ...]) -> Script:
    return Script(rules=tuple(Rule(turn=turn, reply=Reply(steps=steps)) for turn, steps in enumerate(turns)))


@dataclass
class Lab:
    """One configuration against one server, and what came of its queries."""

    server: ScriptedServer
    provider: ClockTracerProvider
    clock: Clock
    stack: AsyncExitStack
    outcomes: list[tuple[Outcome, Ledger]] = field(default_factory=list)
    sink: Ended = field(default_factory=Ended)

    async def asker(self, path: AskPath, source: AgentSource, options: AskOptions | None = None) -> Ask:
        return (await self.opened(path, source, options)).ask

    async def opened(self, path: AskPath, source: AgentSource, options: AskOptions | None = None) -> Any:
        base_url = f"{self.server.base_url}/"
        transport = TracedTransport(self.provider, self.clock, tidy=True, read_requests=True, origin=base_url)
        client = await self.stack.enter_async_context(httpx2.AsyncClient(transport=transport, base_url=base_url))
        toolbox = Toolbox(Workspace(sample_workspace()))
        context = AskerContext(
            base_url, "k", client, options or AskOptions("fake-model"), toolbox, self.provider, self.clock, source
        )
        return await open_asker(path, self.stack, context)

    def ended(self) -> list[Span]:
        """All spans of its queries that have ended."""
        return self.sink.spans

    async def ask(
        self, ask: Ask, query: Query = LOOKUP, timeout_s: float = 20, converse: Converse | None = None
    ) -> tuple[Outcome, Ledger]:
        """The outcome of one query."""
        target = Target("c", "imported", ask, lambda one: None, lambda: None, converse=converse)
        driver = Driver(
            {"c": target},
            lambda arrival, path, _: open_query(
                self.provider, self.clock, arrival=arrival, path=path, run_span_context=None, close=close_ledger
            ),
            self.clock,
            judge_by_facts,
            Limits(timeout_s),
            lambda outcome, ledger: self.outcomes.append((outcome, ledger)),
            lambda *_: None,
        )
        await driver.drive([Planned(0, 1, "c", query)], Failures())
        outcome, ledger = self.outcomes[-1]
        parts = ledger.client_queue_ns + ledger.generation_ns + ledger.tool_ns + ledger.framework_ns
        assert parts == ledger.wall_ns == outcome.wall_ns
        return outcome, ledger


@asynccontextmanager
async def lab(*turns: tuple[Step, ...], plays: Script | None = None) -> AsyncGenerator[Lab]:
    clock = Clock.start()
    provider = make_tracer_provider(clock, "test-run")
    async with scripted_server(plays or script(*turns)) as server, AsyncExitStack() as stack:
        made = Lab(server, provider, clock, stack)
        provider.add_sink(made.sink)
        yield made
    provider.shutdown()


def source(name: str, deps: str | None = None) -> AgentSource:
    return AgentSource(f"{THEIRS}:{name}", deps=deps)
