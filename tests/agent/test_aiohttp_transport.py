"""The lean transport does what httpx2's own does, in every way that a user could notice, against real sockets."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import httpx2
import pytest

from punie_trace.agent.aiohttp_transport import AiohttpTransport
from punie_trace.driver.net import describe_failure
from punie_trace.spans import names
from punie_trace.spans.activity import generations_of
from punie_trace.spans.clock import Clock
from punie_trace.spans.codec import from_sdk
from punie_trace.spans.provider import make_tracer_provider
from punie_trace.spans.transport import TracedTransport
from punie_trace.testing import KnownLatency, scripted_server
from tests.spans.conftest import Kept

pytestmark = pytest.mark.anyio

Say = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
CHUNK = b"5\r\nhello\r\n"
BODY = {"model": "known-latency", "messages": [{"role": "user", "content": "?"}], "stream": True}


@asynccontextmanager
async def serving(say: Say) -> AsyncGenerator[str]:
    """A server that answers each connection's first request with `say`; its address."""
    tasks: set[asyncio.Task[None] | None] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        try:
            await reader.readuntil(b"\r\n\r\n")
            await say(reader, writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/"
    finally:
        server.close()
        await asyncio.gather(*(task for task in tasks if task is not None), return_exceptions=True)


async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    return


async def half_a_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-ty")


async def half_a_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + CHUNK)


async def too_short(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\nhello")


async def half_and_silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + CHUNK)
    await reader.read()


async def no_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SMTP nonsense\r\n\r\n")


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + CHUNK)
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def failure(base_url: str, transport: httpx2.AsyncBaseTransport) -> httpx2.TransportError:
    timeout = httpx2.Timeout(0.3, connect=2.0)
    async with httpx2.AsyncClient(transport=transport, base_url=base_url, timeout=timeout) as client:
        with anyio.fail_after(30), pytest.raises(httpx2.TransportError) as caught:
            await client.post("chat/completions", json=BODY)
    return caught.value


@pytest.mark.parametrize("say", [silence, nothing, half_a_head, half_a_body, too_short, half_and_silence, reset])
async def test_what_goes_wrong_is_the_same_error_in_the_same_words(say: Say) -> None:
    async with serving(say) as base_url:
        lean = await failure(base_url, AiohttpTransport())
        own = await failure(base_url, httpx2.AsyncHTTPTransport())
    assert type(lean) is type(own)
    if say is not reset:  # where httpx2 has no words
        assert str(lean).partition(" (")[0] == str(own).partition(" (")[0]


async def test_what_is_no_http_is_said() -> None:
    async with serving(no_http) as base_url:
        error = await failure(base_url, AiohttpTransport())
    assert isinstance(error, httpx2.RemoteProtocolError)
    assert "SMTP nonsense" in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize("host", ["http://127.0.0.1:1/v1/", "http://no-such-host.invalid/v1/", "ftp://127.0.0.1/v1/"])
async def test_a_server_that_is_not_there_is_the_same_error_in_the_same_words(host: str) -> None:
    lean, own = await failure(host, AiohttpTransport()), await failure(host, httpx2.AsyncHTTPTransport())
    assert (type(lean), str(lean)) == (type(own), str(own))
    assert describe_failure(lean) == describe_failure(own)


async def test_a_server_that_does_not_speak_tls_is_not_waited_for() -> None:
    async with serving(silence) as base_url:
        with anyio.fail_after(30):
            error = await failure(base_url.replace("http:", "https:"), AiohttpTransport())
    assert isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout)


async def test_requests_go_out_as_the_client_made_them_and_no_redirect_is_followed() -> None:
    heads: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
        heads.append(head + await reader.readexactly(int(length.split(b":")[1])))
        writer.write(b"HTTP/1.1 307 Over there\r\nlocation: http://127.0.0.1:1/\r\nset-cookie: kept=1; Path=/\r\n")
        writer.write(b"content-length: 0\r\nconnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        for transport in (AiohttpTransport(), httpx2.AsyncHTTPTransport()):
            base_url = f"http://user:pass%20word@127.0.0.1:{port}/v1/"
            async with httpx2.AsyncClient(transport=transport, base_url=base_url) as client:
                for _ in range(2):
                    response = await client.post("chat/completions?a=%2F", json=BODY)
                    assert response.status_code == 307

    def shown(head: bytes) -> tuple[bytes, set[bytes], bytes]:
        top, _, body = head.partition(b"\r\n\r\n")
        first, *lines = top.split(b"\r\n")
        return first, {line.lower() for line in lines}, body

    lean, own = heads[:2], heads[2:]
    assert [shown(head) for head in lean] == [shown(head) for head in own]
    assert b"kept=1" in lean[1]


async def test_a_compressed_body_is_read_and_a_long_head_too() -> None:
    packed = gzip.compress(b"data: x\n\n")

    async def compressed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\nx-long: " + b"a" * 20_000)
        writer.write(b"\r\ncontent-length: %d\r\n\r\n" % len(packed) + packed)

    async with (
        serving(compressed) as base_url,
        httpx2.AsyncClient(transport=AiohttpTransport(), base_url=base_url) as client,
    ):
        response = await client.post("chat/completions", json=BODY)
    assert response.content == b"data: x\n\n"
    assert len(response.headers["x-long"]) == 20_000


async def test_a_connection_is_used_again_until_an_answer_is_left_unread() -> None:
    settings = KnownLatency(first_s=0, between_s=0.01, chunks=5)
    async with (
        scripted_server(settings) as server,
        httpx2.AsyncClient(transport=AiohttpTransport(), base_url=f"{server.base_url}/") as client,
    ):
        for _ in range(3):
            await client.post("chat/completions", json=BODY)
        assert server.connections == 1
        async with client.stream("POST", "chat/completions", json=BODY) as response:
            async for _ in response.aiter_bytes():
                break
        await client.post("chat/completions", json=BODY)
        assert server.connections == 2


async def test_a_reader_that_stops_stops_the_server() -> None:
    sent = 0

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(HEAD)
        while True:
            writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
            await writer.drain()
            sent += 0x10000

    async with (
        serving(endless) as base_url,
        httpx2.AsyncClient(transport=AiohttpTransport(), base_url=base_url) as client,
        client.stream("POST", "chat/completions", json=BODY) as response,
    ):
        pieces = response.aiter_bytes()
        await anext(pieces)
        before = -1
        while sent != before:  # it goes on until all buffers are full
            before = sent
            await asyncio.sleep(0.2)
        assert sent < 64 * 1024 * 1024


async def test_its_steps_and_first_bytes_are_timed() -> None:
    clock, kept = Clock.start(), Kept()
    provider = make_tracer_provider(clock, "test-run")
    provider.add_span_processor(kept)
    settings = KnownLatency(first_s=0.03, between_s=0, chunks=3)
    transport = TracedTransport(provider, clock, AiohttpTransport())
    async with (
        scripted_server(settings) as server,
        httpx2.AsyncClient(transport=transport, base_url=f"{server.base_url}/") as client,
    ):
        for _ in range(2):
            await client.post("chat/completions", json=BODY)
        truths = server.truth
    connects = [(span.attributes or {}).get(names.CONNECT_NS) for span in kept.spans]
    assert isinstance(connects[0], int)
    assert connects[0] > 0
    assert connects[1] is None
    generations = generations_of([from_sdk(span) for span in kept.spans])
    for span, generation, truth in zip(kept.spans, generations, truths, strict=True):
        assert (span.start_time, span.end_time) == (generation.sent_ns, generation.done_ns)
        assert generation.first_byte_ns is not None
        assert generation.first_chunk_ns is not None
        # Within what the server saw: sent before it had read the request, seen after it had written the answer.
        assert generation.sent_ns <= clock.from_monotonic(truth.head_ns)
        assert generation.first_chunk_ns >= generation.first_byte_ns >= clock.from_monotonic(truth.written_ns[0])
        assert generation.done_ns >= clock.from_monotonic(truth.written_ns[-1])
        assert generation.chunks == 3
        assert truth.traceparent is not None
        assert truth.traceparent.split("-")[2] == f"{span.context.span_id:016x}" if span.context else False
    provider.shutdown()
