"""What an agent asks past its endpoint is noticed and named, and is no generation; blocking clients are timed."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest
from opentelemetry.trace import use_span

from punie_trace.agent.asker import AgentSource
from punie_trace.agent.elsewhere import watching
from punie_trace.records import Query, Verdict
from punie_trace.spans import conventions, names
from punie_trace.spans.clock import Clock
from punie_trace.spans.provider import make_tracer_provider
from punie_trace.spans.span import Span
from punie_trace.testing import Reply, Rule, Script, ScriptedServer, Text, ToolCall, scripted_server
from tests.agent.lab import FIND, Ended, lab, source

pytestmark = pytest.mark.anyio
ANSWER = Text(text="It is so.")
THEIRS = Script(rules=(Rule(reply=Reply(steps=(Text(text="from elsewhere", delay_s=0.05),))),))
ASKED = Query("q", "Where?", None, (), (), ("so",))


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    with scripted_server(THEIRS) as server:
        monkeypatch.setenv("THEIR_SERVER", server.base_url)
        yield server


async def test_a_sub_agents_own_model_is_named_by_host_and_is_no_generation(other: ScriptedServer) -> None:
    call = ToolCall(name="ask_inner", arguments={"question": "x"})
    async with lab((call,), (ANSWER,)) as one:
        outcome, ledger = await one.ask(await one.asker("imported", source("delegates_elsewhere")), ASKED)
        spans = one.ended()
    assert (outcome.verdict, outcome.generations, len(other.requests)) == (Verdict.CORRECT, 2, 1), outcome.error
    assert conventions.elsewhere(spans) == [other.base_url.removeprefix("http://").removesuffix("/v1")]
    assert ledger.tool_ns > 0.05e9, "the tool waited for it, and no generation did"


async def test_the_endpoints_client_sent_elsewhere_is_no_generation(other: ScriptedServer) -> None:
    async with lab((ANSWER,)) as one:
        outcome, ledger = await one.ask(await one.asker("imported", source("asks_elsewhere_too")), ASKED)
        assert (outcome.generations, len(conventions.elsewhere(one.ended()))) == (1, 1)
        assert "traceparent" not in other.requests[0].headers
    assert ledger.framework_ns > 0.05e9


async def test_a_function_that_asks_past_its_client_is_told_what_to_give() -> None:
    async with lab((ANSWER,)) as one:
        outcome, _ = await one.ask(await one.asker("imported", source("asks_past_the_client")), ASKED)
        assert len(conventions.elsewhere(one.ended())) == 1
    assert outcome.verdict is Verdict.ERROR
    assert "give its client endpoint.base_url and endpoint.http_client" in str(outcome.error)


async def test_a_plain_function_is_timed_through_the_blocking_client() -> None:
    async with lab((Text(text="It is "), Text(text="so.", delay_s=0.05))) as one:
        outcome, ledger = await one.ask(await one.asker("imported", source("blocks")), ASKED)
    assert (outcome.verdict, outcome.answer, outcome.generations) == (Verdict.CORRECT, "It is so.", 1), outcome.error
    assert outcome.ttft_ns is not None
    assert ledger.generation_ns > 0.05e9


async def test_the_blocking_client_in_a_coroutine_is_refused_and_does_not_hang() -> None:
    async with lab((ANSWER,)) as one:
        outcome, _ = await one.ask(await one.asker("imported", source("blocks_the_loop")), ASKED, timeout_s=5)
    assert outcome.verdict is Verdict.ERROR
    assert "use endpoint.http_client in a coroutine" in str(outcome.error)


@pytest.mark.parametrize("path", ["/v1/messages", "/v1beta/models/gemini:generateContent", "/api/chat"])
def test_other_forms_are_noticed_and_what_asks_no_model_is_not(path: str) -> None:
    provider = make_tracer_provider(Clock.start(), "run")
    sink = Ended()
    provider.add_sink(sink)
    with scripted_server(THEIRS) as server, watching(provider), watching(provider):
        root = provider.tracer.start_span("query")
        url = server.base_url.removesuffix("/v1")
        with use_span(root, end_on_exit=True):
            httpx2.post(f"{url}{path}", json={"model": "m"})
            httpx2.post(f"{url}/search", json={})
            httpx2.get(f"{url}/v1/models")
        httpx2.post(f"{url}{path}", json={"model": "m"})
    assert [one.attributes.get(names.SEGMENT) for one in sink.spans] == [names.SEGMENT_ELSEWHERE, None]
    assert httpx2.HTTPTransport.handle_request.__module__.startswith("httpx2")
    provider.shutdown()


async def test_what_cannot_be_reached_is_counted_with_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THEIR_SERVER", "http://127.0.0.1:9/v1")
    async with lab((ANSWER,)) as one:
        outcome, _ = await one.ask(await one.asker("imported", source("asks_elsewhere_too")), ASKED)
        (span,) = [s for s in one.ended() if s.attributes.get(names.SEGMENT) == names.SEGMENT_ELSEWHERE]
    assert outcome.verdict is Verdict.ERROR
    assert (span.attributes[names.ERROR_TYPE], conventions.elsewhere([span])) == ("ConnectError", ["127.0.0.1:9"])


async def test_a_frameworks_span_of_another_server_is_counted_where_no_request_was_seen() -> None:
    def span(number: int, parent: int, **attributes: object) -> Span:
        return Span("t", str(number), str(parent), "chat", "CLIENT", number, number + 1, attributes)  # ty: ignore

    chat = {names.GEN_AI_OPERATION: "chat", names.SERVER_PORT: 443}
    ours = {names.SEGMENT: names.SEGMENT_GENERATION, names.SERVER_ADDRESS: "127.0.0.1", names.SERVER_PORT: 8080}
    spans = [
        span(1, 0, **{**chat, names.SERVER_ADDRESS: "127.0.0.1", names.SERVER_PORT: 8080}),
        span(2, 1, **ours),
        span(3, 0, **{**chat, names.SERVER_ADDRESS: "api.example.com"}),
    ]
    assert conventions.elsewhere(spans) == ["api.example.com"]
    assert [one.span_id for one in conventions.generations(spans)] == ["2"]


async def test_a_pydantic_agent_sends_everything_through_its_endpoint() -> None:
    async with lab((FIND,), (ANSWER,)) as one:
        await one.ask(await one.asker("imported", source("with_helper")), ASKED)
        assert conventions.elsewhere(one.ended()) == []
    assert AgentSource().shown is None
