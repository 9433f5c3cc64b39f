"""The real agent against a server that counts connections."""

from __future__ import annotations

import re

import httpx2
import pytest

from punie_trace.agent.agent_path import AgentPath, openai_client
from punie_trace.agent.http_path import HttpPath
from punie_trace.agent.options import AskOptions
from punie_trace.agent.toolbox import Toolbox
from punie_trace.agent.workspace import Workspace
from punie_trace.records import Query
from punie_trace.spans.clock import Clock
from punie_trace.spans.provider import make_tracer_provider
from punie_trace.spans.transport import TracedTransport
from punie_trace.suite.load import sample_workspace
from punie_trace.testing import KnownLatency, Reasoning, Reply, Rule, Script, Text, ToolCall, scripted_server

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("between_s", [0, 0.005])
async def test_the_generations_of_all_queries_use_one_connection(between_s: float) -> None:
    settings = KnownLatency(first_s=0.005, between_s=between_s, chunks=4, tool="list_files")
    clock = Clock.start()
    provider = make_tracer_provider(clock, "test-run")
    async with (
        scripted_server(settings) as server,
        httpx2.AsyncClient(transport=TracedTransport(provider, clock), base_url=f"{server.base_url}/") as client,
    ):
        toolbox = Toolbox(Workspace(sample_workspace()))
        path = AgentPath(openai_client(f"{server.base_url}/", client, "k", 60), toolbox, AskOptions("m"), provider)
        answers = [await path.ask(Query("q", "?")) for _ in range(3)]
    assert [answer.error for answer in answers] == [None] * 3
    assert len(server.truth) == 6
    assert server.connections == 1
    provider.shutdown()


CONVERSATION = (
    ToolCall(name="find_definition", arguments={"name": "UserSerializer"}),
    ToolCall(name="find_definition", arguments='{"name": 42}'),
    ToolCall(name="remove", arguments={"name": "größer"}),
    ToolCall(name="read_file", arguments="{oops"),
    ToolCall(name="list_files", arguments=""),
)


async def test_both_paths_send_the_same_bodies_to_the_byte() -> None:
    rules = tuple(Rule(turn=turn, reply=Reply(steps=(step,))) for turn, step in enumerate(CONVERSATION))
    script = Script(rules=(*rules, Rule(reply=Reply(steps=(Text(text="größer"),)))))
    clock = Clock.start()
    provider = make_tracer_provider(clock, "test-run")
    toolbox = Toolbox(Workspace(sample_workspace()))
    options = AskOptions("m", request={"num_draft_tokens": 3, "top_p": 0.5})
    bodies: dict[str, list[bytes]] = {}

    class Noting(httpx2.AsyncHTTPTransport):
        def __init__(self, name: str) -> None:
            super().__init__()
            self._name = name

        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            bodies.setdefault(self._name, []).append(request.content)
            return await super().handle_async_request(request)

    async with scripted_server(script) as server:
        base_url = f"{server.base_url}/"
        for name in ("agent", "http"):
            transport = TracedTransport(provider, clock, Noting(name), tidy=name == "agent")
            async with httpx2.AsyncClient(transport=transport, base_url=base_url) as client:
                if name == "agent":
                    path = AgentPath(openai_client(base_url, client, "k", 60), toolbox, options, provider)
                else:
                    path = HttpPath(client, toolbox, options, provider.tracer)
                answer = await path.ask(Query("q", "Wo ist 'größer'?"))
                assert answer.text == "größer"
    assert len(bodies["agent"]) == 6
    ids = re.compile(rb'"(id|tool_call_id)":"[^"]*"')
    assert [ids.sub(b"", one) for one in bodies["agent"]] == [ids.sub(b"", one) for one in bodies["http"]]
    provider.shutdown()


@pytest.mark.parametrize(
    ("steps", "finish"), [((), "length"), ((Reasoning(text="hm"),), "length"), ((Text(text="<think>hm"),), "length")]
)
async def test_a_turn_that_was_cut_off_without_output_is_an_empty_answer(
    steps: tuple[Text | Reasoning, ...], finish: str
) -> None:
    """On both paths: the slowest queries of a model must not drop out as errors."""
    script = Script(rules=(Rule(reply=Reply(steps=steps, finish_reason=finish)),))
    clock = Clock.start()
    provider = make_tracer_provider(clock, "test-run")
    toolbox = Toolbox(Workspace(sample_workspace()))
    async with (
        scripted_server(script) as server,
        httpx2.AsyncClient(
            transport=TracedTransport(provider, clock, tidy=True), base_url=f"{server.base_url}/"
        ) as client,
    ):
        agent = AgentPath(openai_client(f"{server.base_url}/", client, "k", 60), toolbox, AskOptions("m"), provider)
        http = HttpPath(client, toolbox, AskOptions("m"), provider.tracer)
        for path in (agent, http):
            answer = await path.ask(Query("q", "?"))
            assert (answer.text, answer.error) == ("", None)
    provider.shutdown()
