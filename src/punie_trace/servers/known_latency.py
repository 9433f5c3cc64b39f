"""A server of known latency: it streams at set times, and writes down when it really did. Public API.

It is what a client's timing error is measured against (`bench/accuracy.py`, or any other client of OpenAI's API). In
process: ``async with known_latency_server(KnownLatency(first_s=0.05)) as server`` gives its `base_url` and its
`truth`. As a program, on a core of its own, for kind `command`:
``python -m punie_trace.servers.known_latency --port {port} --first-ms 50 --truth FILE.jsonl``.

It shares its answers with the scripted server (`fake`), but keeps connections open and answers them all in one thread,
from bytes that were made before: a thousand requests a second cost it less than one core. It runs no model and checks
no request.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import random
import signal
import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Final, NoReturn

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from punie_trace.precise_loop import new_event_loop
from punie_trace.servers.fake_answer import Answer, JsonObject, ReceivedRequest
from punie_trace.servers.fake_script import Reply, Script, Seconds, Text, ToolCall

Share = Annotated[float, Field(ge=0, le=1)]
Piece = tuple[float, bytes]
"""(seconds to wait before it, bytes)"""

_HEAD_LIMIT: Final = 64 * 1024
_KNOWN_BODIES: Final = 64


class KnownLatency(BaseModel):
    """What every answer does. Times count from when the request's last byte was read; delays are drift-free."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    first_s: Seconds = 0.05
    """To the first chunk."""
    between_s: Seconds = 0.01
    """From one chunk to the next."""
    jitter: Share = 0.0
    """Each delay is multiplied by a factor drawn evenly from 1 - jitter to 1 + jitter."""
    chunks: Annotated[int, Field(ge=1)] = 16
    """Chunks with text; the reason of the end, the usage and the end mark follow the last one at once."""
    tool: str | None = None
    """Call this tool first; the text follows once it has answered."""
    tool_arguments: dict[str, JsonValue] = {}
    fail_share: Share = 0.0
    """Of the requests, answered with status 500 when the first chunk would be due."""
    cut_share: Share = 0.0
    """Of the requests, cut off after half of their chunks."""
    seed: int = 0
    models: tuple[str, ...] = ("known-latency",)


@dataclass(slots=True)
class Truth:
    """One request and what became of it. Times in ns of `time.monotonic_ns`, which all processes of a machine share."""

    id: int
    traceparent: str | None
    """The request's header of that name, which ties it to the client's span."""
    head_ns: int
    """When the head had been read."""
    body_ns: int
    """When the last byte of the body had been read: the delays count from here."""
    kind: str = "text"
    """'text', 'tool', 'failed', 'cut', 'whole' (no stream was asked for), or 'probe'."""
    written_ns: list[int] = field(default_factory=list)
    """When each chunk was handed to the network, just before the call; what followed the last one at once included."""
    done_ns: int | None = None
    """When the last byte had been; None where the client went away."""


class KnownLatencyServer:
    """A running server. Made by `known_latency_server`, or by `main` for a process of its own."""

    def __init__(self, settings: KnownLatency, on_truth: Callable[[Truth], None] | None = None) -> None:
        self.settings = settings
        self.truth: list[Truth] = []
        """Every request that is over, where nobody else takes them."""
        self.connections = 0
        """How many were opened so far."""
        self.address = ("", 0)
        self._take = on_truth or self.truth.append
        self._random = random.Random(settings.seed)
        self._ids = 0
        self._server: asyncio.Server | None = None
        self._open: set[_Connection] = set()
        self._known: dict[tuple[str, str, bool, bool], tuple[Piece, ...]] = {}

    @property
    def base_url(self) -> str:
        """'http://host:port/v1'."""
        return f"http://{self.address[0]}:{self.address[1]}/v1"

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen from now on, in the running event loop."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), host, port, backlog=1024)
        self.address = self._server.sockets[0].getsockname()[:2]

    def close(self) -> None:
        """Stop listening, and cut what is open."""
        if self._server is not None:
            self._server.close()
        for connection in tuple(self._open):
            connection.abort()

    def opened(self, connection: _Connection) -> None:
        """Note a connection."""
        self.connections += 1
        self._open.add(connection)

    def closed(self, connection: _Connection) -> None:
        """Forget a connection."""
        self._open.discard(connection)

    def decide(self, body: JsonObject, traceparent: str | None, head_ns: int, body_ns: int) -> Truth:
        """What a request gets."""
        self._ids += 1
        truth = Truth(self._ids, traceparent, head_ns, body_ns)
        settings = self.settings
        if 1 in (body.get("max_tokens"), body.get("max_completion_tokens")):
            truth.kind = "probe"
        elif settings.fail_share and self._random.random() < settings.fail_share:
            truth.kind = "failed"
        elif settings.cut_share and self._random.random() < settings.cut_share:
            truth.kind = "cut"
        elif settings.tool is not None and not _tool_answered(body):
            truth.kind = "tool"
        elif body.get("stream") is not True:
            truth.kind = "whole"
        return truth

    def varied(self, seconds: float) -> float:
        """A delay with its jitter."""
        jitter = self.settings.jitter
        return seconds * self._random.uniform(1 - jitter, 1 + jitter) if jitter else seconds

    def pieces(self, kind: str, model: str, stream: bool, usage: bool) -> tuple[Piece, ...]:
        """The bytes of an answer with the waits between them, made once for each kind of request."""
        key = (kind, model, stream, usage)
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _KNOWN_BODIES:  # whoever names a new model each time shall not fill the memory
                self._known.clear()
            known = self._known[key] = _rendered(self.settings, *key)
        return known

    def finished(self, truth: Truth) -> None:
        """A request is over."""
        self._take(truth)


@asynccontextmanager
async def known_latency_server(
    settings: KnownLatency | None = None, host: str = "127.0.0.1", port: int = 0
) -> AsyncGenerator[KnownLatencyServer, None]:
    """A server in this event loop (asyncio), closed on the way out. To measure, give it a process: it takes a core."""
    server = KnownLatencyServer(settings or KnownLatency())
    await server.start(host, port)
    try:
        yield server
    finally:
        server.close()
        await asyncio.sleep(0)  # the transports close in the next turn of the loop


class _Connection(asyncio.Protocol):
    """One connection: requests one after another, each answered before the next is looked at."""

    def __init__(self, server: KnownLatencyServer) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._head_ns: int | None = None
        self._head = b""
        self._need = 0
        self._truth: Truth | None = None
        self._pieces: tuple[Piece, ...] = ()
        self._next = 0
        self._due_s = 0.0
        self._waited = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._server.closed(self)
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        if self._truth is not None:
            truth, self._truth = self._truth, None
            self._server.finished(truth)

    def abort(self) -> None:
        """Cut the connection."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._truth is None:
            self._read()

    def _read(self) -> None:
        """Take the next request out of what has come, if it is whole."""
        if self._head_ns is None:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                if len(self._buffer) > _HEAD_LIMIT:
                    self.abort()
                return
            self._head_ns = time.monotonic_ns()
            self._head = bytes(self._buffer[:end])
            del self._buffer[: end + 4]
            length = _header(self._head, b"content-length") or b"0"
            self._need = int(length) if length.isdigit() else 0
        if len(self._buffer) < self._need:
            return
        body_ns, head_ns = time.monotonic_ns(), self._head_ns
        body = bytes(self._buffer[: self._need])
        del self._buffer[: self._need]
        self._head_ns = None
        self._answer(body, head_ns, body_ns)

    def _answer(self, body: bytes, head_ns: int, body_ns: int) -> None:
        method, _, rest = self._head.partition(b" ")
        path = rest.partition(b" ")[0].decode("latin-1")
        if method == b"GET":
            self._plain(*_page(path, self._server.settings.models))
            return
        parsed = _object(body)
        if method != b"POST" or not path.endswith("/chat/completions"):
            self._plain(404, {"error": {"message": "not found"}})
            return
        if parsed is None:
            self._plain(400, {"error": {"message": "the body is not a JSON object"}})
            return
        traceparent = _header(self._head, b"traceparent")
        said = None if traceparent is None else traceparent.decode("latin-1")
        truth = self._server.decide(parsed, said, head_ns, body_ns)
        settings = self._server.settings
        options = parsed.get("stream_options")
        usage = isinstance(options, dict) and options.get("include_usage") is True
        model = str(parsed.get("model") or settings.models[-1])
        self._truth = truth
        self._pieces = self._server.pieces(truth.kind, model, parsed.get("stream") is True, usage)
        self._next = 0
        self._waited = False
        self._due_s = body_ns / 1e9  # the loop's clock is this one
        self._go_on()

    def _go_on(self) -> None:
        """Write what is due; come back for what is not."""
        self._timer = None
        transport, truth = self._transport, self._truth
        if transport is None or truth is None:
            return
        while self._next < len(self._pieces):
            delay, data = self._pieces[self._next]
            if delay and not self._waited:
                self._due_s += self._server.varied(delay)
                self._waited = True
                if self._due_s > self._loop.time():
                    self._timer = self._loop.call_at(self._due_s, self._go_on)
                    return
            self._waited = False
            truth.written_ns.append(time.monotonic_ns())
            transport.write(data)
            self._next += 1
        truth.done_ns = time.monotonic_ns()
        self._truth = None
        self._server.finished(truth)
        if truth.kind == "cut":
            transport.abort()
        elif self._buffer:
            self._read()

    def _plain(self, status: int, content: JsonObject) -> None:
        payload = json.dumps(content).encode()
        if self._transport is not None:
            self._transport.write(_head(status, "application/json", len(payload)) + payload)


class _Recorder:
    """A stage that keeps what is played on it."""

    def __init__(self) -> None:
        self.pieces: list[Piece] = []
        self._waited = 0.0
        self._head = b""
        self._chunked = False

    def start(self, status: int, content_type: str, length: int | None) -> None:
        """Keep the head for the first bytes: a real server sends it with them."""
        self._chunked = length is None
        self._head = _head(status, content_type, length)

    def write(self, data: bytes) -> None:
        """Keep bytes, framed as HTTP wants them."""
        framed = b"%x\r\n%s\r\n" % (len(data), data) if self._chunked else data
        self.pieces.append((self._waited, self._head + framed))
        self._waited, self._head = 0.0, b""

    def pause(self, seconds: float | None) -> None:
        """Keep a wait."""
        self._waited += seconds or 0.0

    def end(self) -> None:
        """Nothing follows."""
        if self._chunked:
            waited, data = self.pieces[-1]
            self.pieces[-1] = (waited, data + b"0\r\n\r\n")


def _rendered(known: KnownLatency, kind: str, model: str, stream: bool, usage: bool) -> tuple[Piece, ...]:
    """The bytes of an answer, played once by the scripted server's own rules."""
    if kind == "probe":
        reply = Reply(steps=(Text(text="."),), finish_reason="length")
    elif kind == "failed":
        reply = Reply(status=500, error="failed, as this server was told to")
    elif kind == "tool":
        call = ToolCall(name=known.tool or "", arguments=known.tool_arguments, delay_s=known.first_s)
        reply = Reply(steps=(call,))
    else:
        delays = (known.first_s, *(known.between_s for _ in range(known.chunks - 1)))
        reply = Reply(steps=tuple(Text(text=f"word{n} ", delay_s=delay) for n, delay in enumerate(delays)))
    recorder = _Recorder()
    body: JsonObject = {"model": model, "stream": stream, "stream_options": {"include_usage": usage}, "messages": []}
    if kind == "failed":
        recorder.pause(known.first_s)
    Answer(recorder, Script(fingerprint="known-1"), ReceivedRequest(body, 0, kind == "probe", {}), reply).send()
    if kind == "cut":
        return tuple(recorder.pieces[: max(1, known.chunks // 2)])
    recorder.end()
    return tuple(recorder.pieces)


def _head(status: int, content_type: str, length: int | None) -> bytes:
    reason = {200: "OK", 400: "Bad Request", 404: "Not Found", 500: "Internal Server Error"}.get(status, "Status")
    size = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
    return f"HTTP/1.1 {status} {reason}\r\ncontent-type: {content_type}\r\n{size}\r\n\r\n".encode("ascii")


def _header(head: bytes, name: bytes) -> bytes | None:
    """The value of the header `name` (in lower case), None where there is none."""
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.strip().lower() == name:
            return value.strip()
    return None


def _page(path: str, models: tuple[str, ...]) -> tuple[int, JsonObject]:
    if path == "/health":
        return 200, {"status": "ok"}
    if path.endswith("/models"):
        return 200, {"object": "list", "data": [{"id": name, "object": "model"} for name in models]}
    return 404, {"error": {"message": "not found"}}


def _object(body: bytes) -> JsonObject | None:
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def _tool_answered(body: JsonObject) -> bool:
    messages = body.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    return isinstance(last, dict) and last.get("role") == "tool"


async def _serve(server: KnownLatencyServer, host: str, port: int, flush: Callable[[], object]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await server.start(host, port)
    gc.freeze()  # what was imported is no garbage, and looking at it again would be a pause
    while not stop.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 0.5)
        flush()
    server.close()
    await asyncio.sleep(0)
    flush()


def main() -> NoReturn:
    """Run as a program, until TERM."""
    parser = argparse.ArgumentParser(
        prog="python -m punie_trace.servers.known_latency", description="A server that streams at set times."
    )
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--first-ms", type=float, default=50.0, help="to the first chunk")
    parser.add_argument("--between-ms", type=float, default=10.0, help="from one chunk to the next")
    parser.add_argument("--jitter", type=float, default=0.0, help="share by which each delay varies, 0 to 1")
    parser.add_argument("--chunks", type=int, default=16, help="chunks with text in each answer")
    parser.add_argument("--tool", help="call this tool before the answer")
    parser.add_argument("--tool-arguments", default="{}", help="its arguments, as JSON")
    parser.add_argument("--fail", type=float, default=0.0, help="share of requests that get status 500")
    parser.add_argument("--cut", type=float, default=0.0, help="share of requests cut off in the middle")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--truth", type=Path, help="append each request's times to this file, a JSON object a line")
    given = parser.parse_args()
    try:
        settings = KnownLatency(
            first_s=given.first_ms / 1e3,
            between_s=given.between_ms / 1e3,
            jitter=given.jitter,
            chunks=given.chunks,
            tool=given.tool,
            tool_arguments=json.loads(given.tool_arguments),
            fail_share=given.fail,
            cut_share=given.cut,
            seed=given.seed,
        )
        truth = given.truth.open("a", encoding="ascii") if given.truth is not None else None
    except ValidationError as error:
        parser.error("; ".join(f"{one['loc'][0]}: {one['msg']}" for one in error.errors(include_url=False)))
    except (ValueError, OSError) as error:
        parser.error(str(error))

    def write(one: Truth) -> None:
        if truth is not None:
            truth.write(json.dumps(asdict(one), separators=(",", ":")) + "\n")

    def flush() -> None:
        if truth is not None:
            truth.flush()

    server = KnownLatencyServer(settings, write)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_serve(server, given.host, given.port, flush))
    sys.exit(0)


if __name__ == "__main__":
    main()
