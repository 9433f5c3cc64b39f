"""The recording proxy: what a program asks goes on and comes back as it was, and is written down as its query's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import anyio
import httpx2
import pytest

from punie_trace.agent.aiohttp_transport import AiohttpTransport
from punie_trace.agent.plain_server import Reply as AnswerSent
from punie_trace.agent.plain_transport import PlainTransport
from punie_trace.agent.proxy import Lane, RecordingProxy
from punie_trace.analysis.ledger import close_ledger
from punie_trace.records import Arrival, Generation, Query
from punie_trace.spans import names
from punie_trace.spans.clock import Clock
from punie_trace.spans.completion import CompletionReader
from punie_trace.spans.open_spans import OpenSpans
from punie_trace.spans.provider import make_tracer_provider
from punie_trace.spans.query_span import QuerySpan, open_query
from punie_trace.spans.span import Span
from punie_trace.spans.transport import TracedTransport
from punie_trace.testing import Cut, Hang, Reply, Script, ScriptedServer, Text, Usage, scripted_server

pytestmark = pytest.mark.anyio
ANSWER = Reply(
    steps=(Text(text="one "), Text(text="two", delay_s=0.02)), usage=Usage(prompt_tokens=11, completion_tokens=7)
)
ASK = {"model": "fake-model", "stream": True, "messages": [{"role": "user", "content": "hi"}]}


@dataclass
class Bench:
    proxy: RecordingProxy
    lane: Lane
    span: QuerySpan
    client: httpx2.AsyncClient
    open_spans: OpenSpans

    def posts(self) -> list[Span]:
        return [span for span in self.open_spans.finished(self.span.trace_id) if span.name == names.SPAN_POST]

    @property
    def generation(self) -> Generation:
        (one,) = self.span.generations
        return one


@asynccontextmanager
async def proxied(
    base_url: str, *, api_key: str | None = None, model: str | None = None, read_timeout_s: float = 600.0
) -> AsyncGenerator[Bench]:
    clock = Clock.start()
    provider = make_tracer_provider(clock, "run")
    transport = TracedTransport(provider, clock, PlainTransport(AiohttpTransport()))
    proxy = RecordingProxy(transport, clock, base_url, api_key=api_key, model=model, read_timeout_s=read_timeout_s)
    arrival = Arrival(0, clock.now_ns(), 0, "c", Query("q", "hi"))
    opened = open_query(provider, clock, arrival=arrival, path="program", run_span_context=None, close=close_ledger)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(transport.aclose)
        await stack.enter_async_context(proxy.listening())
        span = stack.enter_context(opened)
        span.mark_sent()
        lane = stack.enter_context(proxy.lane())
        client = await stack.enter_async_context(httpx2.AsyncClient(trust_env=False, timeout=10))
        yield Bench(proxy, lane, span, client, provider.open_spans)


Say = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def bare_server(say: Say) -> AsyncGenerator[str]:
    """A server that answers each connection once, by `say`; its base URL."""
    tasks: set[asyncio.Task[None] | None] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        try:
            await say(reader, writer)
            await writer.drain()
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()
        await asyncio.gather(*(task for task in tasks if task is not None), return_exceptions=True)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server(Script(replies=(ANSWER,))) as made:
        yield made


async def test_a_stream_comes_back_as_the_server_sent_it(server: ScriptedServer) -> None:
    async with proxied(server.base_url) as bench, httpx2.AsyncClient(trust_env=False) as direct:
        asked = {**ASK, "stream_options": {"include_usage": True}}
        through = await bench.client.post(f"{bench.lane.base_url}/chat/completions", json=asked)
        plain = await direct.post(f"{server.base_url}/chat/completions", json=asked)
        assert [line.partition('"created"')[2] for line in through.text.splitlines()] == [
            line.partition('"created"')[2] for line in plain.text.splitlines()
        ]
        assert through.headers["content-type"] == plain.headers["content-type"]
        one = bench.generation
    assert (one.input_tokens, one.output_tokens, one.finish_reason, one.error) == (11, 7, "stop", None)
    assert one.first_chunk_ns is not None
    assert one.last_chunk_ns is not None
    assert one.sent_ns < one.first_chunk_ns < one.last_chunk_ns <= one.done_ns
    assert one.last_chunk_ns - one.first_chunk_ns > 10_000_000


async def test_pieces_pass_before_the_answer_is_whole() -> None:
    reply = Reply(steps=(Text(text="one"), Hang()))
    with scripted_server(Script(replies=(reply,))) as server:
        async with proxied(server.base_url) as bench:
            with anyio.fail_after(5):
                stream = bench.client.stream("POST", f"{bench.lane.base_url}/chat/completions", json=ASK)
                async with stream as response:
                    async for piece in response.aiter_bytes():
                        assert b'"one"' in piece
                        break


async def test_what_the_server_sees_is_the_request_with_our_key_and_trace(server: ScriptedServer) -> None:
    async with proxied(server.base_url, api_key="the real one") as bench:
        await bench.client.post(
            f"{bench.lane.base_url}/chat/completions?a=b",
            json=ASK,
            headers={"authorization": "Bearer x", "x-mine": "y"},
        )
        (seen,) = server.requests
        assert seen.headers["authorization"] == "Bearer the real one"
        assert seen.headers["x-mine"] == "y"
        assert seen.headers["host"] == f"127.0.0.1:{server.port}"
        assert seen.traceparent is not None
        assert seen.traceparent.split("-")[1] == bench.span.trace_id
        assert seen.body["messages"] == ASK["messages"]


async def test_token_counts_are_asked_for_and_withheld_from_who_did_not(server: ScriptedServer) -> None:
    async with proxied(server.base_url) as bench:
        answer = await bench.client.post(f"{bench.lane.base_url}/chat/completions", json=ASK)
        assert "usage" not in answer.text
        assert answer.text.endswith("data: [DONE]\n\n")
        assert bench.generation.output_tokens == 7
        assert server.requests[0].body["stream_options"] == {"include_usage": True}
        assert [span.attributes.get(names.USAGE_ASKED) for span in bench.posts()] == [True]


async def test_what_the_program_asked_for_itself_is_not_said_to_be_ours(server: ScriptedServer) -> None:
    async with proxied(server.base_url) as bench:
        asked = {**ASK, "stream_options": {"include_usage": True}}
        answer = await bench.client.post(f"{bench.lane.base_url}/chat/completions", json=asked)
        assert '"usage"' in answer.text
        assert [names.USAGE_ASKED in span.attributes for span in bench.posts()] == [False]


async def test_another_name_for_the_model_is_replaced_and_kept(server: ScriptedServer) -> None:
    async with proxied(server.base_url, model="fake-model") as bench:
        await bench.client.post(f"{bench.lane.base_url}/chat/completions", json={**ASK, "model": "gpt-5-nano"})
        assert server.requests[0].body["model"] == "fake-model"
        assert list(bench.lane.own_models) == ["gpt-5-nano"]


async def test_other_paths_pass_unread_and_are_no_generations(server: ScriptedServer) -> None:
    async with proxied(server.base_url) as bench:
        models = await bench.client.get(f"{bench.lane.base_url}/models")
        assert models.json()["data"][0]["id"] == "fake-model"
        missing = await bench.client.get(f"{bench.lane.root}/props")
        assert missing.status_code == 404
        assert bench.span.generations == []
        assert (bench.lane.requests, bench.lane.generations) == (2, 0)


@pytest.mark.parametrize("path", ["/nowhere", "/q/unknown/v1/models", "/q/", "/"])
async def test_an_address_that_is_no_querys_is_refused(server: ScriptedServer, path: str) -> None:
    async with proxied(server.base_url) as bench:
        answer = await bench.client.get(bench.lane.root.partition("/q/")[0] + path)
        assert answer.status_code == 404
        assert "no query of this address" in answer.json()["error"]["message"]


async def test_an_address_ends_with_its_query(server: ScriptedServer) -> None:
    async with proxied(server.base_url) as bench:
        with bench.proxy.lane() as other:
            pass
        answer = await bench.client.get(f"{other.base_url}/models")
        assert answer.status_code == 404


async def test_a_server_that_is_not_there_is_an_error_in_the_apis_form() -> None:
    async with proxied("http://127.0.0.1:9/v1") as bench:
        answer = await bench.client.post(f"{bench.lane.base_url}/chat/completions", json=ASK)
        assert answer.status_code == 502
        assert "the server cannot be reached: ConnectError" in answer.json()["error"]["message"]
        assert bench.generation.error is not None


async def test_a_stream_that_the_server_cuts_is_cut_for_the_program() -> None:
    with scripted_server(Script(replies=(Reply(steps=(Text(text="one"), Cut())),))) as server:
        async with proxied(server.base_url) as bench:
            answer = await bench.client.post(f"{bench.lane.base_url}/chat/completions", json=ASK)
            assert "[DONE]" not in answer.text
            assert bench.generation.error is not None
            assert bench.generation.error.startswith(names.ERROR_CUT_STREAM)


async def test_framing_that_breaks_off_breaks_off_for_the_program_as_well() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\ndata:\r\n")

    async with bare_server(answer) as base_url, proxied(base_url) as bench:
        with pytest.raises(httpx2.HTTPError):
            await bench.client.post(f"{bench.lane.base_url}/chat/completions", json=ASK)
        assert bench.generation.error is not None


async def test_a_server_that_stalls_within_its_answer_is_given_up_at_the_limit() -> None:
    script = Script(replies=(Reply(steps=(Text(text="one"), Hang())),), keep_alive=True)
    async with scripted_server(script) as server, proxied(server.base_url, read_timeout_s=0.3) as bench:
        with pytest.raises(httpx2.RemoteProtocolError):
            await bench.client.post(f"{bench.lane.base_url}/chat/completions", json=ASK)
    assert bench.generation.error is not None
    assert "ReadTimeout" in bench.generation.error
    assert bench.generation.done_ns - bench.generation.sent_ns >= 290_000_000


async def test_a_piece_is_passed_on_before_anybody_reads_what_it_says(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    feed, send = CompletionReader.feed, AnswerSent.send

    def feed_noted(self: CompletionReader, data: bytes, now_ns: int) -> None:
        order.append("read")
        feed(self, data, now_ns)

    async def send_noted(self: AnswerSent, data: bytes) -> None:
        order.append("passed on")
        await send(self, data)

    monkeypatch.setattr(CompletionReader, "feed", feed_noted)
    monkeypatch.setattr(AnswerSent, "send", send_noted)
    async with proxied(server.base_url) as bench:
        asked = {**ASK, "stream_options": {"include_usage": True}}
        await bench.client.post(f"{bench.lane.base_url}/chat/completions", json=asked)
        assert bench.generation.output_tokens == 7
    assert len(order) >= 4
    assert order == ["passed on", "read"] * (len(order) // 2)


async def test_a_program_that_goes_away_ends_its_request() -> None:
    with scripted_server(Script(replies=(Reply(steps=(Text(text="one"), Hang())),))) as server:
        async with proxied(server.base_url) as bench:
            async with bench.client.stream("POST", f"{bench.lane.base_url}/chat/completions", json=ASK) as response:
                await anext(response.aiter_bytes())
            for _ in range(500):
                if bench.span.generations:
                    break
                await anyio.sleep(0.01)
            assert bench.generation.error is not None


RESPONSES = b'event: x\ndata: {"type": "response.output_text.delta", "delta": "hi"}\n\n' + (
    b'data: {"type": "response.completed", "response": {"model": "m", "status": "completed", "output": [], '
    b'"usage": {"input_tokens": 3, "output_tokens": 2}}}\n\n'
)
MESSAGES = (
    b'data: {"type": "message_start", "message": {"model": "m", "usage": {"input_tokens": 3, "output_tokens": 0}}}\n\n'
    b'data: {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}}\n\n'
    b'data: {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}}\n\n'
    b'data: {"type": "message_stop"}\n\n'
)


@pytest.mark.parametrize(("path", "stream"), [("/v1/responses", RESPONSES), ("/v1/messages", MESSAGES)])
async def test_the_other_forms_of_the_api_are_read_as_well(path: str, stream: bytes) -> None:
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n" + stream)

    async with bare_server(answer) as base_url, proxied(base_url) as bench:
        got = await bench.client.post(
            bench.lane.root + path, json={"model": "m", "stream": True}, headers={"x-api-key": "z"}
        )
        assert got.content == stream
        one = bench.generation
    assert asked[0].startswith(f"POST {path} HTTP/1.1\r\n".encode())
    assert b"x-api-key" not in asked[0]
    assert (one.input_tokens, one.output_tokens, one.finish_reason, one.served_model) == (3, 2, "stop", "m")


async def test_chunks_keep_their_boundaries() -> None:
    chunks = [b"data: {}\n", b"\n", b"data: 1\n\ndata: 2\n\n", b"x" * 70_000, b"data: [DONE]\n\n"]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        framed = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + framed + b"0\r\n\r\n")

    async with bare_server(answer) as base_url, proxied(base_url) as bench:
        host, _, port = bench.lane.root.removeprefix("http://").partition("/")[0].partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        path = "/" + bench.lane.root.partition("://")[2].partition("/")[2]
        body = json.dumps(ASK | {"stream_options": {"include_usage": True}}).encode()
        writer.write(
            b"POST %b/v1/chat/completions HTTP/1.1\r\ncontent-length: %d\r\n\r\n%b" % (path.encode(), len(body), body)
        )
        await reader.readuntil(b"\r\n\r\n")
        got: list[bytes] = []
        while size := int(await reader.readuntil(b"\r\n"), 16):
            got.append((await reader.readexactly(size + 2))[:-2])
        writer.close()
        await writer.wait_closed()
    assert got[:3] == chunks[:3]
    assert b"".join(got) == b"".join(chunks)
    assert got[-1] == chunks[-1]


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\ncontent-length: 99999999999\r\n\r\n", b"413"),
        (b"GET / HTTP/1.1\r\nx: " + b"y" * 70_000 + b"\r\n\r\n", b"400"),
    ],
)
async def test_what_is_no_request_is_refused(server: ScriptedServer, request_bytes: bytes, status: bytes) -> None:
    async with proxied(server.base_url) as bench:
        port = int(bench.lane.root.partition("://")[2].partition("/")[0].partition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request_bytes)
        assert (await reader.readline()).split()[1] == status
        writer.close()
        await writer.wait_closed()


async def test_a_traced_programs_own_span_is_above_its_request(server: ScriptedServer) -> None:
    async with proxied(server.base_url) as bench:
        own = f"00-{bench.span.trace_id}-{7:016x}-01"
        await bench.client.post(f"{bench.lane.base_url}/chat/completions", json=ASK, headers={"traceparent": own})
        await bench.client.post(
            f"{bench.lane.base_url}/chat/completions", json=ASK, headers={"traceparent": f"00-{'1' * 32}-{7:016x}-01"}
        )
        below, beside = bench.span.spans
    assert below.parent_id == f"{7:016x}"
    assert beside.trace_id == below.trace_id
    assert beside.parent_id not in (None, f"{7:016x}")
