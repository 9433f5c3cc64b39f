"""Serves HTTP/1.1 over bare connections: one request after another on each, the answer framed piece by piece.

It is for loopback and for one handler, which is given each request whole and answers through a `Reply`. What is no
HTTP/1.1 is refused, everything has a limit, and a client that goes away ends the handling of its request.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from punie_trace.agent.http_head import BodyReader, Head, HeadError, Headers
from punie_trace.agent.plain_connection import PlainConnection

LONGEST_BODY: Final = 64 * 2**20
"""Bytes of one request."""
_IDLE_S: Final = 600.0
"""How long a connection may stay without a request, or a request without its end."""


@dataclass(frozen=True, slots=True)
class Received:
    """One request, whole. `target` is its path with its query; names of headers are in lower case."""

    method: str
    target: str
    headers: Headers
    body: bytes

    def get(self, name: str) -> str | None:
        """The first header of that name."""
        return next((value for key, value in self.headers if key == name), None)


class Reply:
    """The answer to one request: `begin`, any number of `send`, `end`. What is not ended is cut off."""

    def __init__(self, connection: PlainConnection, method: str) -> None:
        self._connection = connection
        self._method = method
        self._head = b""
        self._chunked = False
        self._bodiless = False
        self._flushing: asyncio.Handle | None = None
        self.ended = False

    def begin(self, status: int, headers: Headers) -> None:
        """The head; it goes out with the first piece, or by itself where none is there at once.

        Without a 'content-length' the body is chunked, a chunk for each piece.
        """
        self._bodiless = self._method == "HEAD" or status in (204, 304)
        self._chunked = not self._bodiless and not any(key == "content-length" for key, _ in headers)
        lines = [f"HTTP/1.1 {status} {_phrase(status)}", *(f"{key}: {value}" for key, value in headers)]
        if self._chunked:
            lines.append("transfer-encoding: chunked")
        self._head = "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")
        self._flushing = asyncio.get_running_loop().call_soon(self._flush)

    async def send(self, data: bytes) -> None:
        """One piece of the body. Raises `ConnectionError` where nobody takes it."""
        if self._bodiless or not data:
            return
        framed = b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data
        await self._connection.write(self._taken() + framed)

    async def end(self) -> None:
        """The body is whole."""
        last = self._taken() + (b"0\r\n\r\n" if self._chunked else b"")
        self.ended = True
        if last:
            await self._connection.write(last)

    async def refuse(self, status: int, message: str) -> None:
        """An error in the form that clients of OpenAI's API read, and those of Anthropic's."""
        body = json.dumps({"type": "error", "error": {"type": "punie_trace_proxy", "message": message}}).encode()
        self.begin(status, [("content-type", "application/json"), ("content-length", str(len(body)))])
        await self.send(body)
        await self.end()

    def _taken(self) -> bytes:
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        head, self._head = self._head, b""
        return head

    def _flush(self) -> None:
        self._flushing = None
        transport = self._connection.transport
        if self._head and transport is not None and not transport.is_closing():
            transport.write(self._taken())


Handler = Callable[[Received, Reply], Awaitable[None]]


class _Served(PlainConnection):
    """A client's connection and the task that serves it, which ends with it."""

    def __init__(self, server: _Server) -> None:
        super().__init__()
        self._server = server
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._task = asyncio.get_running_loop().create_task(self._server.serve(self))
        self._server.tasks.add(self._task)
        self._task.add_done_callback(self._server.tasks.discard)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._task is not None:
            self._task.cancel()


class _Server:
    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self.tasks: set[asyncio.Task[None]] = set()

    async def serve(self, connection: PlainConnection) -> None:
        try:
            while await self._serve_one(connection):
                pass
        except (OSError, TimeoutError):
            connection.abort()
        finally:
            connection.close()

    async def _serve_one(self, connection: PlainConnection) -> bool:
        """Whether another request may come."""
        reply = Reply(connection, "")
        try:
            async with asyncio.timeout(_IDLE_S):
                head = await connection.read_head()
                if head is None:
                    return False
                reply = Reply(connection, head.first)
                body = await _body(connection, head)
        except HeadError as error:
            await reply.refuse(400, f"the request cannot be read: {error}")
            return False
        if body is None:
            await reply.refuse(413, f"a request of more than {LONGEST_BODY} bytes is not passed on")
            return False
        await self._handler(Received(head.first, head.second, head.headers, body), reply)
        if not reply.ended:
            connection.abort()  # so that the client sees that its answer is not whole
        return reply.ended and head.keeps_alive


@asynccontextmanager
async def serving(handler: Handler) -> AsyncGenerator[int]:
    """Serve on a free port of 127.0.0.1, which is given, until the context is left; then all connections are cut."""
    server = _Server(handler)
    listener = await asyncio.get_running_loop().create_server(lambda: _Served(server), "127.0.0.1", 0, backlog=1024)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        tasks = list(server.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=5.0)


async def _body(connection: PlainConnection, head: Head) -> bytes | None:
    """The request's whole body; None where it is too long."""
    framing, length = head.framing()
    if framing == "none":
        return b""
    if length > LONGEST_BODY:
        return None
    if (head.get("expect") or "").lower() == "100-continue":
        await connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    pieces: list[bytes] = []
    size = 0
    async for piece in connection.pieces(BodyReader(framing, length)):
        size += len(piece)
        if size > LONGEST_BODY:
            return None
        pieces.append(piece)
    return b"".join(pieces)


def _phrase(status: int) -> str:
    with suppress(ValueError):
        return HTTPStatus(status).phrase
    return "Unknown"
