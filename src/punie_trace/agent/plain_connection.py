"""One connection of HTTP/1.1 over TCP, of either side, with as little between socket and reader as asyncio allows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

from punie_trace.agent.http_head import LONGEST_HEAD, BodyReader, Head, HeadError, parse_head

_MOST_UNREAD: Final = 1024 * 1024
"""Bytes that may wait to be read before the other side is held up."""


class PlainConnection(asyncio.Protocol):
    """Bytes in, bytes out. One reader and one writer at a time. Errors are `HeadError` and `ConnectionError`."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.ended = False
        """Whether the other side has sent its last byte."""
        self._buffer = b""
        self._waiter: asyncio.Future[None] | None = None
        self._held = False
        self._writable: asyncio.Future[None] | None = None
        self._error: Exception | None = None
        self._limit_s: float | None = None
        self._waits_since = 0.0
        self._watch: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """As `asyncio.Protocol` has it; so are the next five."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Keep what came, and wake whoever waits for it."""
        self._buffer = self._buffer + data if self._buffer else data
        if len(self._buffer) > _MOST_UNREAD and not self._held and self.transport is not None:
            self._held = True
            self.transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        """The other side sends no more: the connection is closed."""
        self.ended = True
        self._wake()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake everybody; what had come can still be read."""
        self.limit_waits(None)
        self.ended = True
        self._error = exc
        self._wake()
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    def pause_writing(self) -> None:
        """The other side does not take what is sent: writers wait."""
        self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """It does again."""
        writable, self._writable = self._writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)

    @property
    def usable(self) -> bool:
        """Whether another message may go over it: open, and with nothing unasked for in it."""
        return not (self.ended or self._buffer or self.transport is None or self.transport.is_closing())

    async def write(self, data: bytes) -> None:
        """Send it; waits where the other side does not take what was sent. Raises `ConnectionError`."""
        if self.transport is None or self.transport.is_closing():
            raise ConnectionResetError("the connection is closed")
        self.transport.write(data)
        if self._writable is not None:
            await self._writable

    async def read(self) -> bytes:
        """What has come, at least a byte; b'' at the end. Raises `ConnectionError` where it was broken."""
        while not self._buffer:
            if self.ended:
                if self._error is not None:
                    raise ConnectionResetError(str(self._error))
                return b""
            loop = asyncio.get_running_loop()
            self._waiter = loop.create_future()
            if self._limit_s is not None:
                self._waits_since = loop.time()
            await self._waiter
        return self.take()

    def limit_waits(self, limit_s: float | None) -> None:
        """From now on a `read` that waits for longer raises `TimeoutError`; None lets it wait.

        One timer for all of them, which looks when it fires how long the present one has waited: a timer for each piece
        of a stream would be a tenth of what it costs to pass it on.
        """
        self._limit_s = limit_s
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if limit_s is not None:
            loop = asyncio.get_running_loop()
            self._waits_since = loop.time()
            self._watch = loop.call_later(limit_s, self._look)

    def _look(self) -> None:
        assert self._limit_s is not None
        loop = asyncio.get_running_loop()
        waits = self._waiter is not None and not self._waiter.done()
        left = self._waits_since + self._limit_s - loop.time() if waits else self._limit_s
        if left <= 0 and self._waiter is not None:
            waiter, self._waiter = self._waiter, None
            waiter.set_exception(TimeoutError())
            left = self._limit_s
        self._watch = loop.call_later(left, self._look)

    def take(self) -> bytes:
        """What has come, without waiting."""
        data, self._buffer = self._buffer, b""
        if self._held and self.transport is not None:
            self._held = False
            with suppress(RuntimeError):
                self.transport.resume_reading()
        return data

    def put_back(self, data: bytes) -> None:
        """What was read too much."""
        self._buffer = data + self._buffer

    async def read_head(self) -> Head | None:
        """The next message's head; None where the connection ended before it began."""
        data = b""
        while (end := data.find(b"\r\n\r\n")) < 0:
            if len(data) > LONGEST_HEAD:
                raise HeadError(f"its head is longer than {LONGEST_HEAD} bytes")
            more = await self.read()
            if not more:
                if not data.strip():
                    return None
                raise HeadError("the connection ended within a head")
            data = (data + more).lstrip(b"\r\n")
        if end > LONGEST_HEAD:
            raise HeadError(f"its head is longer than {LONGEST_HEAD} bytes")
        self.put_back(data[end + 4 :])
        return parse_head(data[:end])

    async def pieces(self, body: BodyReader) -> AsyncIterator[bytes]:
        """The pieces of a body as they come; what follows it is put back."""
        while not body.done:
            data = await self.read()
            if not data:
                body.end()
                return
            for piece in body.feed(data):
                yield piece
        if body.rest:
            self.put_back(body.rest)
            body.rest = b""

    def close(self) -> None:
        """Close it; what was written goes out."""
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        """Close it at once."""
        if self.transport is not None:
            self.transport.abort()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
