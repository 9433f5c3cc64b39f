from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import httpx2
import pytest
from opentelemetry.trace import SpanKind, StatusCode

from punie_trace.records import Generation
from punie_trace.spans import names
from punie_trace.spans.activity import generations_of
from punie_trace.spans.codec import from_sdk
from punie_trace.spans.transport import TracedTransport, is_generation
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
    assert is_generation(httpx2.Request(method, f"http://127.0.0.1{path}?a=completions")) is expected


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
