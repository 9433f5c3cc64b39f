"""The real agent over a scripted server: the tree of spans, their clock, and the ledger that they close."""

from __future__ import annotations

import time
from collections.abc import AsyncIterable, Generator, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise
from typing import TYPE_CHECKING

import anyio
import httpx2
import pytest
from openai import AsyncOpenAI
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode
from pydantic_ai import Agent, AgentStreamEvent, ModelServerError, RunContext
from pydantic_ai.models.instrumented import InstrumentationSettings
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from punie_trace.records import Arrival, Ledger, Query, Verdict
from punie_trace.spans import names
from punie_trace.spans.query_span import QuerySpan, open_query
from punie_trace.spans.timed_span import clip
from punie_trace.spans.transport import TracedTransport
from tests.spans.conftest import DONE, HANG, Reply, call, chunk, usage

if TYPE_CHECKING:
    from tests.spans.conftest import Scripted, ServeScript, Traced

pytestmark = pytest.mark.anyio

TWO_CALLS = Reply(
    [
        b": keepalive 8/8\n\n",
        chunk({"role": "assistant"}),
        chunk({"tool_calls": [call(0, "slow", seconds=0.03), call(1, "slow", seconds=0.04)]}),
        chunk(finish="tool_calls"),
        usage(8, 9, 0),
        DONE,
    ]
)
ANSWER = Reply([chunk({"content": "Done"}), chunk({"content": "."}), chunk(finish="stop"), usage(20, 2, 8), DONE])


def covered(intervals: Sequence[tuple[int, int]]) -> int:
    """Nanoseconds in the union, by sweeping over the ends: slow and plain."""
    edges = sorted({edge for interval in intervals for edge in interval})
    return sum(
        after - before
        for before, after in pairwise(edges)
        if any(start <= before and after <= end for start, end in intervals)
    )


def close(
    due: int,
    sent: int,
    done: int,
    generations: Sequence[tuple[int, int]],
    tools: Sequence[tuple[int, int]],
    code: Sequence[tuple[int, int]] = (),
) -> Ledger:
    assert not code
    generation = covered(generations)
    tool = covered([*generations, *tools]) - generation
    work = sum(end - start for start, end in tools)
    return Ledger(done - due, sent - due, generation, tool, done - sent - generation - tool, work)


@contextmanager
def query(traced: Traced, name: str = "q", **more: bool) -> Generator[QuerySpan]:
    arrival = Arrival(3, traced.clock.now_ns(), 2, "baseline", Query(name, "text", category="search"))
    run = traced.provider.get_tracer("run").start_span(names.SPAN_RUN)
    with open_query(
        traced.provider,
        traced.clock,
        arrival=arrival,
        path="agent",
        run_span_context=run.get_span_context(),
        close=close,
        **more,
    ) as handle:
        yield handle


def agent(traced: Traced, server: Scripted) -> Agent:
    client = AsyncOpenAI(
        base_url=server.base_url,
        api_key="secret",
        max_retries=0,
        http_client=httpx2.AsyncClient(transport=TracedTransport(traced.provider, traced.clock)),
    )
    made = Agent(OpenAIChatModel("asked", provider=OpenAIProvider(openai_client=client)))
    made.instrument = InstrumentationSettings(tracer_provider=traced.provider, include_content=True)

    @made.tool_plain
    async def slow(seconds: float) -> str:
        await anyio.sleep(seconds)
        return "slept"

    return made


async def read_all(context: RunContext[object], events: AsyncIterable[AgentStreamEvent]) -> None:
    """Having a handler is what makes pydantic-ai stream."""
    async for _ in events:
        pass


def check(traced: Traced, handle: QuerySpan) -> ReadableSpan:
    """What holds for every query: its tree lies within it, on one clock, and its ledger can be made again from it."""
    (root,) = [span for span in traced.kept.spans if span.name.startswith("query")]
    attributes = dict(root.attributes or {})
    assert root.start_time == handle.due_ns
    assert root.end_time == handle.done_ns
    assert root.context is not None
    of_trace = [span for span in traced.kept.spans if span.context and span.context.trace_id == root.context.trace_id]
    generations, tools = [], []
    for span in of_trace:
        start, end = span.start_time or 0, span.end_time or 0
        assert start > time.time_ns() + 1_800_000_000_000, f"{span.name} is of another clock"
        assert root.start_time is not None
        assert root.end_time is not None
        assert root.start_time <= start <= end <= root.end_time, f"{span.name} outlives its query"
        mine = span.attributes or {}
        if mine.get(names.SEGMENT) == names.SEGMENT_GENERATION:
            generations.append((start, end))
        elif mine.get(names.GEN_AI_OPERATION) == names.OPERATION_EXECUTE_TOOL:
            tools.append((start, end))
    sent = int(str(attributes[names.SENT_NS]))
    assert root.start_time is not None
    assert root.end_time is not None
    again = close(root.start_time, sent, root.end_time, clip(generations, sent, root.end_time), tools)
    assert handle.ledger == again
    assert again.wall_ns == again.client_queue_ns + again.generation_ns + again.tool_ns + again.framework_ns
    assert [attributes[key] for key in (names.LEDGER_WALL, names.LEDGER_CLIENT_QUEUE, names.LEDGER_GENERATION)] == [
        again.wall_ns,
        again.client_queue_ns,
        again.generation_ns,
    ]
    assert [attributes[key] for key in (names.LEDGER_TOOL, names.LEDGER_FRAMEWORK, names.TOOL_WORK)] == [
        again.tool_ns,
        again.framework_ns,
        again.tool_work_ns,
    ]
    assert len(handle.generations) == len(generations)
    assert traced.provider.open_spans.followed() == len(traced.kept.named("query")), "only the run's spans are open"
    return root


async def test_an_agents_query_is_one_tree_with_a_closed_ledger(traced: Traced, scripted: ServeScript) -> None:
    async with scripted([TWO_CALLS, ANSWER]) as server:
        with query(traced) as handle:
            handle.mark_sent()
            result = await agent(traced, server).run("go", event_stream_handler=read_all)
            handle.finish()
            handle.set_verdict(Verdict.CORRECT)
    assert result.output == "Done."
    root = check(traced, handle)
    assert root.name == "query q"
    assert root.parent is None
    assert len(root.links) == 1
    assert root.status.status_code is StatusCode.UNSET
    attributes = root.attributes or {}
    assert attributes[names.CONFIGURATION] == "baseline"
    assert (attributes[names.QUERY_SEQ], attributes[names.ROUND], attributes[names.PATH]) == (3, 2, "agent")
    assert (attributes[names.QUERY_NAME], attributes[names.QUERY_CATEGORY]) == ("q", "search")
    assert attributes[names.VERDICT] == "correct"
    assert names.WARM_UP not in attributes

    by_id = {span.context.span_id: span for span in traced.kept.spans if span.context is not None}

    def parents(span: ReadableSpan) -> list[str]:
        found = []
        while span.parent is not None:
            span = by_id[span.parent.span_id]
            found.append(span.name.split()[0])
        return found

    assert [parents(span) for span in traced.kept.named("POST")] == [["chat", "invoke_agent", "query"]] * 2
    assert all(parents(span)[-2:] == ["invoke_agent", "query"] for span in traced.kept.named("execute_tool"))
    ledger = handle.ledger
    assert ledger is not None
    first, second = traced.kept.named("execute_tool")
    assert (first.end_time or 0) > (second.start_time or 0), "they ran at the same time"
    assert ledger.tool_ns < ledger.tool_work_ns, "and count once"
    assert [g.output_tokens for g in handle.generations] == [9, 2]
    indexes = [(span.attributes or {})[names.GENERATION_INDEX] for span in traced.kept.named("POST")]
    assert indexes == [0, 1]


async def test_a_cancelled_query_leaves_nothing_open(traced: Traced, scripted: ServeScript) -> None:
    async with scripted([Reply([chunk({"content": "Do"}), HANG])]) as server:
        with query(traced) as handle:
            handle.mark_sent()
            with anyio.CancelScope() as scope:

                async def cancel_at_once(context: RunContext[object], events: AsyncIterable[AgentStreamEvent]) -> None:
                    async for _ in events:
                        scope.cancel()

                await agent(traced, server).run("go", event_stream_handler=cancel_at_once)
            handle.finish()
            handle.set_verdict(Verdict.TIMEOUT, "no answer in time")
    assert scope.cancelled_caught
    root = check(traced, handle)
    assert root.status.status_code is StatusCode.ERROR
    assert root.status.description == "no answer in time"
    (generation,) = handle.generations
    assert generation.error is not None
    assert generation.chunks == 1
    assert handle.ledger is not None
    assert handle.ledger.generation_ns > 0


async def test_a_failing_server_fails_the_generation(traced: Traced, scripted: ServeScript) -> None:
    async with scripted([Reply([b'{"error": "boom"}'], 500, "application/json")]) as server:
        with suppress(ModelServerError), query(traced) as handle:
            handle.mark_sent()
            await agent(traced, server).run("go", event_stream_handler=read_all)
    root = check(traced, handle)
    assert (root.attributes or {})[names.ERROR_TYPE] == "ModelServerError"
    assert [g.status for g in handle.generations] == [500]
    assert (traced.kept.one("POST").attributes or {})[names.ERROR_TYPE] == "500"


async def test_a_cut_stream_is_a_failed_generation(traced: Traced, scripted: ServeScript) -> None:
    async with scripted([Reply([chunk({"content": "Do"})]), ANSWER, ANSWER]) as server:
        with query(traced) as handle:
            handle.mark_sent()
            await agent(traced, server).run("go", event_stream_handler=read_all)
    check(traced, handle)
    assert str(handle.generations[0].error).startswith("cut_stream")


async def test_what_is_left_open_ends_with_the_query(traced: Traced) -> None:
    tracer = traced.provider.get_tracer("t")
    with query(traced) as handle:
        handle.mark_sent()
        tool = tracer.start_span("execute_tool x", attributes={names.GEN_AI_OPERATION: "execute_tool"})
    tool.end()  # its owner comes back too late
    check(traced, handle)
    assert handle.ledger is not None
    assert handle.ledger.tool_ns > 0
    assert (traced.kept.one("execute_tool").attributes or {})[names.ERROR_TYPE] == "abandoned"


async def test_a_response_that_nobody_reads_ends_with_the_query(traced: Traced, scripted: ServeScript) -> None:
    async with scripted([Reply([chunk({"content": "x"}), HANG])]) as server:
        client = httpx2.AsyncClient(transport=TracedTransport(traced.provider, traced.clock))
        with query(traced) as handle:
            handle.mark_sent()
            request = client.build_request("POST", server.base_url + "/completions", json={"model": "m"})
            response = await client.send(request, stream=True)
        await response.aclose()
        await client.aclose()
    check(traced, handle)
    (generation,) = handle.generations
    assert generation.error is not None
    assert generation.error.startswith("abandoned")


async def test_a_query_that_was_never_sent_is_all_queue(traced: Traced) -> None:
    with query(traced, warm_up=True) as handle:
        pass
    root = check(traced, handle)
    assert handle.ledger is not None
    assert handle.ledger.client_queue_ns == handle.ledger.wall_ns
    assert (root.attributes or {})[names.WARM_UP] is True


async def test_judging_takes_none_of_the_querys_time(traced: Traced) -> None:
    with query(traced) as handle:
        handle.mark_sent()
        ledger = handle.finish()
        after = traced.clock.now_ns()
        handle.mark_sent()
        handle.set_verdict(Verdict.WRONG_ANSWER)
    root = check(traced, handle)
    assert handle.finish() == ledger
    assert root.end_time is not None
    assert root.end_time <= after
    assert root.status.status_code is StatusCode.UNSET, "a wrong answer is no failure of the tracing"


async def test_queries_side_by_side_keep_apart(traced: Traced, scripted: ServeScript) -> None:
    handles: list[QuerySpan] = []

    async def one(name: str) -> None:
        async with scripted([TWO_CALLS, ANSWER]) as server:
            with query(traced, name) as handle:
                handle.mark_sent()
                await agent(traced, server).run("go", event_stream_handler=read_all)
            handles.append(handle)

    async with anyio.create_task_group() as group:
        for name in ("a", "b", "c"):
            group.start_soon(one, name)
    assert len({handle.trace_id for handle in handles}) == 3
    for handle in handles:
        assert len(handle.generations) == 2
        of_trace = [s for s in traced.kept.spans if s.context and f"{s.context.trace_id:032x}" == handle.trace_id]
        assert len([s for s in of_trace if s.name == "POST"]) == 2
        assert len([s for s in of_trace if s.name.startswith("execute_tool")]) == 2


async def test_a_ledger_that_does_not_close_still_ends_the_span(traced: Traced) -> None:
    def broken(*_: object) -> Ledger:
        raise RuntimeError("does not close")

    arrival = Arrival(0, traced.clock.now_ns(), 0, "baseline", Query("q", "text"))
    with (
        pytest.raises(RuntimeError, match="does not close"),
        open_query(
            traced.provider, traced.clock, arrival=arrival, path="http", run_span_context=None, close=broken
        ) as handle,
    ):
        handle.mark_sent()
    assert traced.kept.one("query").end_time == handle.done_ns
