"""A scripted streaming server and a provider that keeps its spans, on loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

import pytest
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

from punie_trace.spans.clock import Clock
from punie_trace.spans.provider import ClockTracerProvider, make_tracer_provider

AN_HOUR_NS = 3_600_000_000_000
HANG = "hang"
"""A piece of a reply: say nothing more until the client has gone."""


class Kept(SpanProcessor):
    """Every span that ended, in order."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)

    def named(self, start: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name.startswith(start)]

    def one(self, start: str) -> ReadableSpan:
        (span,) = self.named(start)
        return span


@dataclass
class Traced:
    """A provider on a clock that runs an hour ahead of the wall: what has a time of the wall's is found out."""

    clock: Clock
    provider: ClockTracerProvider
    kept: Kept


@pytest.fixture
def traced() -> Iterator[Traced]:
    real = Clock.start()
    clock = Clock(real.anchor_wall_ns + AN_HOUR_NS, real.anchor_monotonic_ns)
    kept = Kept()
    provider = make_tracer_provider(clock, "test-run")
    provider.add_span_processor(kept)
    yield Traced(clock, provider, kept)
    provider.shutdown()


@dataclass
class Reply:
    """What the server answers to one request: a head, then the pieces as they are."""

    pieces: Sequence[bytes | str]
    status: int = 200
    content_type: str | None = "text/event-stream"
    length: int | None = None
    """A Content-Length to claim; without one the end of the connection is the end of the body."""


@dataclass
class Scripted:
    """A running server: what it was asked, and what it will answer, in order."""

    port: int
    replies: list[Reply]
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"


ServeScript = Callable[[Sequence[Reply]], AbstractAsyncContextManager[Scripted]]


@pytest.fixture
def scripted() -> ServeScript:
    return _scripted


@asynccontextmanager
async def _scripted(replies: Sequence[Reply]) -> AsyncGenerator[Scripted]:
    script = Scripted(0, list(replies))
    handlers: list[asyncio.Task[None] | None] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.append(asyncio.current_task())
        try:
            await say(reader, writer)
        except ConnectionError:
            return  # the client left, as some tests have it do
        finally:
            writer.close()

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {key.lower(): value for key, _, value in (line.partition(": ") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        script.requests.append((headers, body))
        reply = script.replies.pop(0)
        lines = [f"HTTP/1.1 {reply.status} x", "Connection: close"]
        if reply.content_type is not None:
            lines.append(f"Content-Type: {reply.content_type}")
        if reply.length is not None:
            lines.append(f"Content-Length: {reply.length}")
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        for piece in reply.pieces:
            if isinstance(piece, str):
                await reader.read()
            else:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.002)  # so that pieces arrive apart

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    script.port = server.sockets[0].getsockname()[1]
    try:
        yield script
    finally:
        server.close()
        await asyncio.gather(*(task for task in handlers if task is not None))


def event(**fields: object) -> bytes:
    return b"data: " + json.dumps(fields).encode() + b"\n\n"


def chunk(delta: dict[str, object] | None = None, finish: str | None = None) -> bytes:
    return event(
        id="c",
        object="chat.completion.chunk",
        created=1,
        model="served",
        system_fingerprint="fp",
        choices=[{"index": 0, "delta": delta or {}, "finish_reason": finish}],
    )


def usage(prompt: int, completion: int, cached: int) -> bytes:
    return event(
        id="c",
        object="chat.completion.chunk",
        created=1,
        model="served",
        choices=[],
        usage={
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": cached},
        },
    )


DONE = b"data: [DONE]\n\n"


def call(index: int, name: str, **arguments: object) -> dict[str, object]:
    return {
        "index": index,
        "id": f"call-{index}",
        "type": "function",
        "function": {"name": name, "arguments": json.dumps(arguments)},
    }
