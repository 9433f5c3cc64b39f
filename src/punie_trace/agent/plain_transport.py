"""Carries httpx2's requests to a plain `http://` address over bare connections, and answers in the chunks they came in.

What a relay adds to a generation is mostly the work of HTTP libraries, twice; this does without one on the way to the
server. Everything else (`https`, other schemes) goes through `other`. No redirect is followed, no proxy is asked.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Final

import httpx2

from punie_trace.agent.http_head import BodyReader, Head, HeadError
from punie_trace.agent.plain_connection import PlainConnection
from punie_trace.spans.transport import BufferedStream, TraceHook

_KEEPALIVE_S: Final = 30.0
_BODILESS: Final = ("204", "304")
_Address = tuple[str, int]


class PlainTransport(httpx2.AsyncBaseTransport):
    """An httpx2 transport with no limit of connections, made and used in one event loop.

    It calls the hook in `request.extensions['trace']` by httpcore's names, and raises httpx2's errors. `connect` and
    `read` of the request's timeout hold.
    """

    def __init__(self, other: httpx2.AsyncBaseTransport) -> None:
        self._other = other
        self._idle: dict[_Address, list[tuple[PlainConnection, float]]] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request; the head of its answer, with the body yet to be read."""
        url = request.url
        if url.scheme != "http":
            return await self._other.handle_async_request(request)
        timeout = request.extensions.get("timeout") or {}
        hook = request.extensions.get("trace")
        address = (url.host, url.port or 80)
        connection = self._kept(address)
        if connection is None:
            connection = await _opened(address, timeout.get("connect"), hook)
        content = request.content
        if hook is not None:
            await hook("http11.send_request_headers.started", {})
        try:
            async with asyncio.timeout(timeout.get("read")):
                await connection.write(_request_bytes(request, content))
                head = await _final_head(connection)
            connection.limit_waits(timeout.get("read"))
        except TimeoutError:
            connection.abort()
            raise httpx2.ReadTimeout("") from None
        except HeadError as error:
            connection.abort()
            raise httpx2.RemoteProtocolError(str(error)) from None
        except OSError as error:
            connection.abort()
            raise httpx2.ReadError(str(error)) from error
        except BaseException:
            connection.abort()
            raise
        if hook is not None:
            await hook("http11.receive_response_headers.complete", {})
        return httpx2.Response(
            status_code=int(head.second),
            headers=head.headers,
            stream=_Body(self, address, connection, head, request.method),
            extensions={"http_version": b"HTTP/1.1"},
        )

    async def aclose(self) -> None:
        """Close all connections."""
        for kept in self._idle.values():
            for connection, _ in kept:
                connection.close()
        self._idle.clear()
        await self._other.aclose()

    def keep(self, address: _Address, connection: PlainConnection) -> None:
        """Use this connection again."""
        self._idle.setdefault(address, []).append((connection, time.monotonic()))

    def _kept(self, address: _Address) -> PlainConnection | None:
        kept = self._idle.get(address, [])
        while kept:
            connection, since = kept.pop()
            if connection.usable and time.monotonic() - since < _KEEPALIVE_S:
                return connection
            connection.close()
        return None


class _Body(BufferedStream):
    """The body of one answer in the pieces in which it was framed."""

    def __init__(
        self,
        owner: PlainTransport,
        address: _Address,
        connection: PlainConnection,
        head: Head,
        method: str,
    ) -> None:
        framing, length = head.framing()
        if method == "HEAD" or head.second in _BODILESS:
            framing = "none"
        elif framing == "none":
            framing = "close"
        self._owner = owner
        self._address = address
        self._connection = connection
        self._keeps = head.keeps_alive and framing != "close"
        self._body = BodyReader(framing, length)
        self._ready: list[bytes] = []
        self._released = False

    def buffered(self) -> bytes:
        """The first piece, where it came with the head."""
        if not self._ready and (data := self._connection.take()):
            try:
                self._ready.extend(self._body.feed(data))
            except HeadError:
                self._connection.put_back(data)  # it is said where the body is read
                return b""
        return self._ready.pop(0) if self._ready else b""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            while self._ready:
                yield self._ready.pop(0)
            if self._body.done:
                self._release()
                return
            try:
                data = await self._connection.read()
                if data:
                    self._ready.extend(self._body.feed(data))
                else:
                    self._body.end()
            except TimeoutError:
                raise httpx2.ReadTimeout("") from None
            except HeadError as error:
                raise httpx2.RemoteProtocolError(
                    f"peer closed connection without sending complete message body ({error})"
                ) from None
            except OSError as error:
                raise httpx2.ReadError(str(error)) from error

    async def aclose(self) -> None:
        """Let go of the connection: for use again where the body was read to its end, else closed."""
        self._release()

    def _release(self) -> None:
        if self._released:
            return
        self._released = True
        self._connection.limit_waits(None)
        if self._body.done and self._keeps and not self._body.rest:
            self._owner.keep(self._address, self._connection)
        else:
            self._connection.abort()


async def _opened(address: _Address, limit_s: float | None, hook: TraceHook | None) -> PlainConnection:
    if hook is not None:
        await hook("connection.connect_tcp.started", {})
    try:
        async with asyncio.timeout(limit_s):
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_connection(PlainConnection, *address)
    except TimeoutError:
        raise httpx2.ConnectTimeout("") from None
    except OSError as error:
        raise httpx2.ConnectError("All connection attempts failed") from error
    if hook is not None:
        await hook("connection.connect_tcp.complete", {})
    return connection


async def _final_head(connection: PlainConnection) -> Head:
    """The head of the answer itself, after any that say 'continue'."""
    while True:
        head = await connection.read_head()
        if head is None:
            raise HeadError("Server disconnected without sending a response.")
        if not head.first.startswith("HTTP/1.") or len(head.second) != 3 or not head.second.isdigit():
            raise HeadError(f"{head.first[:40]!r} is no answer of HTTP/1.1")
        if head.second == "101" or not head.second.startswith("1"):
            return head


def _request_bytes(request: httpx2.Request, content: bytes) -> bytes:
    url = request.url
    lines = [f"{request.method} {url.raw_path.decode('ascii')} HTTP/1.1"]
    lines += [f"{key}: {value}" for key, value in request.headers.multi_items() if key != "transfer-encoding"]
    if "host" not in request.headers:
        lines.append(f"host: {url.netloc.decode('ascii')}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + content
