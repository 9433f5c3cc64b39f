from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import httpx2
import pytest
from opentelemetry.trace import SpanKind, StatusCode

from punie_trace.agent.aiohttp_transport import AiohttpTransport
from punie_trace.records import Generation
from punie_trace.spans import completion, left_open, names, transport
from punie_trace.spans.activity import generations_of
from punie_trace.spans.codec import from_sdk
from punie_trace.spans.generation_forms import reader_of
from punie_trace.spans.transport import TracedTransport
from tests.spans.conftest import DONE, HANG, Reply, call, chunk, usage

if TYPE_CHECKING:
    from tests.spans.conftest import ServeScript, Traced

pytestmark = pytest.mark.anyio

ANSWER = [
    b": keepalive 4/8\n\n",
    b": keepalive 8/8\n\n",
    chunk({"role": "assistant"}),
    chunk({"content": "Hel"}),
    chunk({"content": "lo"}),
    chunk(finish="stop"),
    usage(8, 2, 4),
    DONE,
]
BODY = {"model": "asked", "messages": [], "stream": True}


async def post(traced: Traced, base_url: str, path: str = "/chat/completions") -> tuple[bytes, Generation]:
    """Post one request within a query; what came back, and the generation that was written down."""
    with traced.provider.tracer.start_as_current_span("query"):
        async with httpx2.AsyncClient(transport=TracedTransport(traced.provider, traced.clock)) as client:
            response = await client.post(base_url + path, json=BODY, headers={"Authorization": "Bearer secret"})
    (generation,) = generations_of([from_sdk(traced.kept.named("POST")[-1])])
    return response.content, generation


@asynccontextmanager
async def streamed(traced: Traced, base_url: str) -> AsyncGenerator[httpx2.Response]:
    transport = TracedTransport(traced.provider, traced.clock)
    async with (
        httpx2.AsyncClient(transport=transport) as client,
        client.stream("POST", base_url + "/chat/completions", json=BODY) as response,
    ):
        yield response


async def test_a_stream_is_timed_and_passed_on_unchanged(traced: Traced, scripted: ServeScript) -> None:
    async with scripted([Reply(ANSWER)]) as server:
        content, generation = await post(traced, server.base_url)
    assert content == b"".join(ANSWER)
    span = traced.kept.one("POST")
    assert span.kind is SpanKind.CLIENT
    assert (span.start_time, span.end_time) == (generation.sent_ns, generation.done_ns)
    times = [span.start_time, *(event.timestamp for event in span.events), span.end_time]
    assert times == sorted(time for time in times if time is not None)
    assert [event.name for event in span.events] == ["first_byte", "prefill_end", "first_chunk", "last_chunk"]
    attributes = dict(span.attributes or {})
    assert 0 < int(str(attributes.pop(names.CONNECT_NS))) < generation.done_ns - generation.sent_ns
    assert attributes == {
        names.SEGMENT: "generation",
        names.HTTP_METHOD: "POST",
        names.URL_FULL: f"{server.base_url}/chat/completions",
        names.SERVER_ADDRESS: "127.0.0.1",
        names.SERVER_PORT: server.port,
        names.HTTP_STATUS: 200,
        names.GENERATION_INDEX: 0,
        names.GEN_AI_REQUEST_MODEL: "asked",
        names.GEN_AI_RESPONSE_MODEL: "served",
        names.FINGERPRINT: "fp",
        names.GEN_AI_FINISH_REASONS: ("stop",),
        names.GEN_AI_INPUT_TOKENS: 8,
        names.GEN_AI_OUTPUT_TOKENS: 2,
        names.GEN_AI_CACHED_TOKENS: 4,
        names.CHUNKS: 2,
    }
    assert generation.error is None
    assert (generation.chunks, generation.served_model, generation.cached_tokens) == (2, "served", 4)
    assert generation.first_chunk_ns == span.events[2].timestamp


async def test_the_request_carries_the_spans_identity(traced: Traced, scripted: ServeScript) -> None:
    async with scripted([Reply(ANSWER)]) as server:
        await post(traced, server.base_url)
        ((headers, body),) = server.requests
    context = traced.kept.one("POST").context
    assert context is not None
    version, trace_id, span_id, _ = headers["traceparent"].split("-")
    assert (version, trace_id, span_id) == ("00", f"{context.trace_id:032x}", f"{context.span_id:016x}")
    assert headers["accept-encoding"] == "identity"
    assert json.loads(body) == BODY


async def test_no_secret_is_recorded(traced: Traced, scripted: ServeScript) -> None:
    async with scripted([Reply([b'{"error": "no"}'], status=401, content_type="application/json")]) as server:
        url = server.base_url.replace("//", "//user:password@")
        await post(traced, url, "/chat/completions?key=hidden#part")
    written = traced.kept.one("POST").to_json()
    assert "secret" not in written
    assert "password" not in written
    assert "hidden" not in written


async def test_other_requests_pass_untimed(traced: Traced, scripted: ServeScript) -> None:
    async with (
        scripted([Reply([b"{}"], content_type="application/json")]) as server,
        httpx2.AsyncClient(transport=TracedTransport(traced.provider, traced.clock)) as client,
    ):
        response = await client.get(server.base_url + "/models")
        ((headers, _),) = server.requests
    assert response.json() == {}
    assert "traceparent" not in headers
    assert not traced.kept.spans


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("POST", "/v1/chat/completions", True),
        ("POST", "/v1/completions/", True),
        ("GET", "/v1/chat/completions", False),
        ("POST", "/v1/embeddings", False),
    ],
)
def test_what_a_generation_request_is(method: str, path: str, expected: bool) -> None:
    assert (reader_of(method, path) is not None) is expected


@pytest.mark.parametrize(
    ("reply", "error_type", "said"),
    [
        (Reply([b"out of memory"], status=500, content_type="text/plain"), "500", "out of memory"),
        (Reply([b'{"error": {"message": "no such model"}}'], 404, "application/json"), "404", "no such model"),
        (Reply([chunk({"content": "x"})]), "cut_stream", ""),
        (Reply([b"data: {oops\n\n", DONE]), "malformed_chunk", "not a JSON object"),
        (Reply([b'data: {"error": "gone"}\n\n']), "error_chunk", "gone"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_goes_wrong_is_named(
    traced: Traced, scripted: ServeScript, reply: Reply, error_type: str, said: str
) -> None:
    async with scripted([reply]) as server:
        _, generation = await post(traced, server.base_url)
    span = traced.kept.one("POST")
    attributes = span.attributes or {}
    assert attributes[names.ERROR_TYPE] == error_type
    assert said in str(attributes.get(names.ERROR_TEXT, ""))
    assert span.status.status_code is StatusCode.ERROR
    assert generation.error is not None
    assert generation.error.startswith(error_type)
    assert generation.status == reply.status


async def test_a_body_shorter_than_it_said_is_cut(traced: Traced, scripted: ServeScript) -> None:
    async with scripted([Reply([chunk({"content": "x"})], length=5000)]) as server:
        with pytest.raises(httpx2.RemoteProtocolError):
            await post(traced, server.base_url)
    assert (traced.kept.one("POST").attributes or {})[names.ERROR_TYPE] == "cut_stream"


async def test_no_server_is_a_connect_error(traced: Traced, scripted: ServeScript) -> None:
    async with scripted([]) as server:
        closed = server.base_url
    with pytest.raises(httpx2.ConnectError):
        await post(traced, closed)
    span = traced.kept.one("POST")
    assert (span.attributes or {})[names.ERROR_TYPE] == "ConnectError"
    assert names.CONNECT_NS not in (span.attributes or {})


async def test_an_unparsed_call_is_marked(traced: Traced, scripted: ServeScript) -> None:
    replies = [
        Reply([chunk({"role": "assistant"}), chunk(finish="tool_calls"), DONE]),
        Reply([chunk({"tool_calls": [call(0, "f")]}), chunk(finish="tool_calls"), DONE]),
    ]
    async with scripted(replies) as server:
        _, unparsed = await post(traced, server.base_url)
        _, parsed = await post(traced, server.base_url)
    assert unparsed.unparsed_call
    assert not parsed.unparsed_call
    marks = [(span.attributes or {}).get(names.UNPARSED_CALL) for span in traced.kept.named("POST")]
    assert marks == [True, None]


async def test_a_whole_json_body_is_read_too(traced: Traced, scripted: ServeScript) -> None:
    body = {
        "model": "served",
        "choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 8, "completion_tokens": 2},
    }
    async with scripted([Reply([json.dumps(body).encode()], content_type="application/json")]) as server:
        _, generation = await post(traced, server.base_url)
    assert (generation.output_tokens, generation.finish_reason, generation.error) == (2, "stop", None)
    assert generation.first_chunk_ns is None


async def test_a_reader_that_leaves_early_is_told_apart(traced: Traced, scripted: ServeScript) -> None:
    async with scripted([Reply([*ANSWER[:4], HANG])]) as server, streamed(traced, server.base_url) as response:
        async for line in response.aiter_lines():
            if "Hel" in line:
                break
    assert (traced.kept.one("POST").attributes or {})[names.ERROR_TYPE] == "abandoned"


async def test_a_cancelled_read_is_told_apart(traced: Traced, scripted: ServeScript) -> None:
    async with scripted([Reply([*ANSWER[:4], HANG])]) as server:
        with anyio.CancelScope() as scope:
            async with streamed(traced, server.base_url) as response:
                async for line in response.aiter_lines():
                    if "Hel" in line:
                        scope.cancel()
    assert scope.cancelled_caught
    span = traced.kept.one("POST")
    assert (span.attributes or {})[names.ERROR_TYPE] == "cancelled"
    assert (span.attributes or {})[names.CHUNKS] == 1


async def test_after_done_the_request_is_over_even_if_the_connection_is_not(
    traced: Traced, scripted: ServeScript
) -> None:
    async with scripted([Reply([*ANSWER, HANG])]) as server, streamed(traced, server.base_url) as response:
        async for line in response.aiter_lines():
            if "[DONE]" in line:
                break
        span = traced.kept.one("POST")
    assert names.ERROR_TYPE not in (span.attributes or {})
    assert span.end_time is not None
    assert span.end_time < traced.clock.now_ns()


@pytest.mark.parametrize(
    ("pieces", "tokens"),
    [
        (ANSWER[:-1], 2),
        (ANSWER[:-2], None),
        ([*ANSWER[:-1], *([b": ping\n\n"] * 3)], 2),
        ([*ANSWER[:-1], b"data: [DONE]\n"], 2),
    ],
    ids=["after the counts", "after the finish reason", "with comments", "with half an end mark"],
)
async def test_a_stream_that_is_left_open_after_its_finish_reason_is_whole(
    pieces: list[bytes], tokens: int | None, traced: Traced, scripted: ServeScript, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(left_open, "FINISHED_S", 0.3)
    async with scripted([Reply([*pieces, HANG])]) as server:
        with anyio.fail_after(20):
            content, generation = await post(traced, server.base_url)
    assert content == b"".join(pieces)
    assert (generation.error, generation.finish_reason, generation.output_tokens) == (None, "stop", tokens)
    assert (traced.kept.one("POST").attributes or {})[names.LEFT_OPEN] is True


async def test_a_stream_that_goes_on_after_its_finish_reason_is_read_on(
    traced: Traced, scripted: ServeScript, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(left_open, "FINISHED_S", 30.0)
    async with scripted([Reply([chunk({"content": "a"}, finish="stop"), chunk({"content": "b"}), DONE])]) as server:
        content, generation = await post(traced, server.base_url)
    assert (generation.chunks, generation.error) == (2, None)
    assert content.endswith(DONE)
    assert names.LEFT_OPEN not in (traced.kept.one("POST").attributes or {})


async def test_another_trace_hook_is_still_called(traced: Traced, scripted: ServeScript) -> None:
    seen: list[str] = []

    async def hook(name: str, info: dict[str, object]) -> None:
        seen.append(name)

    transport = TracedTransport(traced.provider, traced.clock)
    async with scripted([Reply(ANSWER)]) as server, httpx2.AsyncClient(transport=transport) as client:
        await client.post(server.base_url + "/completions", json=BODY, extensions={"trace": hook})
    assert "connection.connect_tcp.complete" in seen
    assert "http11.receive_response_headers.complete" in seen
    assert names.CONNECT_NS in (traced.kept.one("POST").attributes or {})


async def tidied(traced: Traced, base_url: str) -> bytes:
    """What a client that is given tidy streams reads."""
    transport = TracedTransport(traced.provider, traced.clock, tidy=True)
    async with httpx2.AsyncClient(transport=transport) as client:
        return (await client.post(base_url + "/chat/completions", json=BODY)).content


async def test_a_sound_stream_passes_the_tidying_byte_for_byte(traced: Traced, scripted: ServeScript) -> None:
    sound = [*ANSWER[:-2], b"id: 7\n" + ANSWER[-2][:9], ANSWER[-2][9:], b"\r\n: bye\n\n", DONE]
    async with scripted([Reply(ANSWER), Reply(sound)]) as server:
        assert await tidied(traced, server.base_url) == b"".join(ANSWER)
        assert await tidied(traced, server.base_url) == b"".join(sound)


async def test_odd_chunks_are_passed_on_in_openais_own_form(traced: Traced, scripted: ServeScript) -> None:
    odd = [
        b'\xef\xbb\xbfdata: {"created": 1e15, "choices": null}\n\n',
        b'data: {"choices": [{"delta": {"tool_calls": [{"id": "", "function": {"name": "f", "argu',
        b'ments": {"a": 1}}}]}}]}\r\n\r\ndata: null\n\n',
        b'data: {"choices": [{"delta": {"content": [{"text": "hi"}]}, "finish_reason": "stop"}], "usage": []}\n\n',
    ]
    async with scripted([Reply(odd)]) as server:
        content = await tidied(traced, server.base_url)
    chunks = [json.loads(line[6:]) for line in content.split(b"\n") if line.startswith(b"data: ")]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    (called,) = [delta["tool_calls"] for delta in deltas if "tool_calls" in delta]
    assert called[0]["function"] == {"name": "f", "arguments": '{"a": 1}'}
    assert (called[0]["index"], called[0]["id"] != "") == (0, True)
    assert [delta["content"] for delta in deltas if "content" in delta] == ["hi"]
    assert {type(chunk["created"]) for chunk in chunks} == {int}
    assert all("usage" not in chunk for chunk in chunks)
    assert (traced.kept.one("POST").attributes or {})[names.TOOL_CALLS] == 1


async def test_one_json_body_is_passed_on_as_a_stream(traced: Traced, scripted: ServeScript) -> None:
    body = {"choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}]}
    async with scripted([Reply([json.dumps(body).encode()], content_type="application/json")]) as server:
        content = await tidied(traced, server.base_url)
    assert content.startswith(b"data: {")
    assert b'"content":"Hello"' in content
    assert content.endswith(b"data: [DONE]\n\n")


async def test_a_body_that_was_compressed_all_the_same_is_read(traced: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    async def post_to(inner: httpx2.AsyncBaseTransport) -> httpx2.Response:
        async with httpx2.AsyncClient(transport=TracedTransport(traced.provider, traced.clock, inner)) as client:
            return await client.post("http://t/v1/chat/completions", json=BODY)

    def compressed(data: bytes) -> httpx2.MockTransport:
        headers = {"content-encoding": "gzip", "content-type": "text/event-stream"}
        return httpx2.MockTransport(
            lambda request: httpx2.Response(200, headers=headers, stream=Once(gzip.compress(data)))
        )

    response = await post_to(compressed(b"".join(ANSWER)))
    assert response.content == b"".join(ANSWER)
    (generation,) = generations_of([from_sdk(span) for span in traced.kept.named("POST")])
    assert (generation.chunks, generation.output_tokens, generation.error) == (2, 2, None)
    monkeypatch.setattr(transport, "LONGEST_BODY", 1_000_000)
    with pytest.raises(httpx2.DecodingError, match="longer than 1000000 bytes"):
        await post_to(compressed(b"x" * 3_000_000))


class Once(httpx2.AsyncByteStream):
    def __init__(self, data: bytes) -> None:
        self._data = data

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._data


async def test_a_kept_connection_that_the_server_had_closed_is_no_error_of_the_servers(traced: Traced) -> None:
    connections = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(len(httpx2.Request("POST", url, json=BODY).content))
        body = b"".join(ANSWER)
        head = f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        await reader.read(1)  # the next request: too late, it is closed unread
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/chat/completions"
    for inner in (None, AiohttpTransport()):
        tracing = TracedTransport(traced.provider, traced.clock, inner)
        async with httpx2.AsyncClient(transport=tracing) as client:
            for _ in range(3):
                assert (await client.post(url, json=BODY)).content == b"".join(ANSWER)
    server.close()
    spans = traced.kept.named("POST")
    assert connections == 6
    assert [(span.attributes or {}).get(names.RESENT) for span in spans] == [None, 1, 1] * 2
    assert all(names.ERROR_TYPE not in (span.attributes or {}) for span in spans)
    assert sum(event.name == names.EVENT_RESENT for event in spans[1].events) == 1


async def test_a_request_that_fails_on_a_new_connection_is_not_sent_again(traced: Traced) -> None:
    connections = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    with pytest.raises(httpx2.RemoteProtocolError):
        await post(traced, url)
    server.close()
    assert connections == 1
    assert names.RESENT not in (traced.kept.one("POST").attributes or {})


async def test_an_answer_without_end_is_cut_off(
    traced: Traced, scripted: ServeScript, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(completion, "LONGEST_BODY", 2000)
    async with scripted([Reply([chunk({"content": "x" * 300})] * 20 + [HANG])]) as server:
        with pytest.raises(httpx2.RemoteProtocolError, match="longer than 2000 bytes"):
            await post(traced, server.base_url)
    assert (traced.kept.one("POST").attributes or {})[names.ERROR_TYPE] == "too_long"
