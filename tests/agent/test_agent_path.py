"""The real agent against a server that counts connections."""

from __future__ import annotations

import httpx2
import pytest

from punie_trace.agent.agent_path import AgentPath, openai_client
from punie_trace.agent.options import AskOptions
from punie_trace.agent.toolbox import Toolbox
from punie_trace.agent.workspace import Workspace
from punie_trace.records import Query
from punie_trace.spans.clock import Clock
from punie_trace.spans.provider import make_tracer_provider
from punie_trace.spans.transport import TracedTransport
from punie_trace.suite.load import sample_workspace
from punie_trace.testing import KnownLatency, scripted_server

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
