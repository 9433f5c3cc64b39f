"""One connection to the server of known latency: reads requests from it and writes each answer's pieces when due.

Just enough of HTTP/1.1 for clients of OpenAI's API, kept open between requests; pages and refusals it answers itself.
It does not choose what a query gets, which is the server's part (`known_latency`), nor make the bytes of that
(`known_latency_answer`).
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Final

from punie_trace.testing.fake_answer import JsonObject
from punie_trace.testing.known_latency_answer import Piece, Truth, head

if TYPE_CHECKING:
    from punie_trace.testing.known_latency import KnownLatencyServer

_HEAD_LIMIT: Final = 64 * 1024


class Connection(asyncio.Protocol):
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
        """Tell the server of it."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """End what was being answered, and tell the server."""
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
        """Keep what came; look at it once the request before it is answered."""
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
            self._transport.write(head(status, "application/json", len(payload)) + payload)


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
