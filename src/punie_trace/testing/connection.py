"""One connection to the scripted server: reads requests from it and writes each answer's pieces when they are due.

Just enough of HTTP/1.x for clients of OpenAI's API. It does not choose what a request gets: that is the part of its
`Player`, which the server is. It makes no bytes either (`rendering`).
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from punie_trace.testing.asked import JsonObject
from punie_trace.testing.rendering import Playback

_HEAD_LIMIT: Final = 64 * 1024
Kind = Literal["text", "tool", "failed", "cut", "whole", "probe"]


@dataclass(slots=True)
class RequestRecord:
    """One completion request and what became of it. Times in ns of `time.monotonic_ns`, which all processes of a
    machine share."""

    id: int
    """Counted from 1, probes included."""
    traceparent: str | None
    """The request's header of that name, which ties it to the client's span."""
    head_ns: int
    """When the head had been read."""
    body_ns: int
    """When the last byte of the body had been read: the delays count from here."""
    kind: Kind = "text"
    """'whole' where no stream was asked for; 'probe' for one that asks whether the server is ready."""
    written_ns: list[int] = field(default_factory=list)
    """When each piece was handed to the network, just before the call: chunks, keepalives, and the end."""
    done_ns: int | None = None
    """When the last byte had been; None where the answer was not finished."""
    body: JsonObject = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    """Names in lower case."""


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came, whole."""

    method: str
    path: str
    """Without its query."""
    head: bytes
    body: bytes
    head_ns: int
    body_ns: int

    def header(self, name: bytes) -> str | None:
        """The value of the header `name` (in lower case), None where there is none."""
        return _header(self.head, name)

    def headers(self) -> dict[str, str]:
        """All of them, names in lower case."""
        pairs = (line.partition(":") for line in self.head.decode("latin-1").split("\r\n")[1:])
        return {name.strip().lower(): value.strip() for name, _, value in pairs}


class Player(Protocol):
    """Who decides what a request gets."""

    def opened(self, connection: Connection) -> None:
        """Note a connection."""

    def closed(self, connection: Connection) -> None:
        """Forget a connection."""

    def answer(self, request: Received) -> tuple[Playback, RequestRecord | None] | None:
        """What a request gets, and its record where it is for a completion; None leaves it without an answer."""

    def varied(self, seconds: float) -> float:
        """A delay with its jitter."""

    def over(self, record: RequestRecord) -> None:
        """An answer has ended, in whatever way."""


class Connection(asyncio.Protocol):
    """One connection: requests one after another, each answered before the next is looked at."""

    def __init__(self, player: Player, *, keep_alive: bool) -> None:
        self._player = player
        self._keep_alive = keep_alive
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._request: tuple[bytes, int, int] | None = None  # head, when it was read, length of the body
        self._playback: Playback | None = None
        self._record: RequestRecord | None = None
        self._next = 0
        self._due_s = 0.0
        self._waited = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Tell the server of it."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._player.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """End what was being answered, and tell the server."""
        self._player.closed(self)
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        self._over()

    def abort(self) -> None:
        """Cut the connection."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Keep what came; look at it once the request before it is answered."""
        self._buffer += data
        if self._playback is None:
            self._read()

    def _read(self) -> None:
        """Take the next request out of what has come, if it is whole."""
        if self._request is None:
            if self._buffer[:1] == b"\x16":  # a client that speaks TLS: what plain servers answer shows it its mistake
                assert self._transport is not None
                self._transport.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                self._transport.close()
                return
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                if len(self._buffer) > _HEAD_LIMIT:
                    self.abort()
                return
            now = time.monotonic_ns()
            head = bytes(self._buffer[:end])
            del self._buffer[: end + 4]
            self._request = (head, now, _length(head))
        head, head_ns, length = self._request
        if len(self._buffer) < length:
            return
        body_ns = time.monotonic_ns()
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        self._request = None
        method, _, rest = head.partition(b" ")
        path = _path(rest.partition(b" ")[0].decode("latin-1"))
        found = self._player.answer(Received(method.decode("latin-1"), path, head, body, head_ns, body_ns))
        if found is None:
            return
        self._playback, self._record = found
        self._next = 0
        self._waited = False
        self._due_s = body_ns / 1e9  # the loop's clock is this one
        self._go_on()

    def _go_on(self) -> None:
        """Write what is due; come back for what is not."""
        self._timer = None
        transport, playback = self._transport, self._playback
        if transport is None or playback is None:
            return
        while self._next < len(playback.pieces):
            piece = playback.pieces[self._next]
            if piece.delay_s and not self._waited:
                self._due_s += self._player.varied(piece.delay_s)
                self._waited = True
                if self._due_s > self._loop.time():
                    self._timer = self._loop.call_at(self._due_s, self._go_on)
                    return
            self._waited = False
            if self._record is not None and piece.output:
                self._record.written_ns.append(time.monotonic_ns())
            transport.write(piece.data)
            self._next += 1
        self._end(transport, playback)

    def _end(self, transport: asyncio.Transport, playback: Playback) -> None:
        if playback.ending == "hang":
            return
        if playback.ending == "die":
            os._exit(playback.exit_code)
        if playback.ending == "done" and self._record is not None:
            self._record.done_ns = time.monotonic_ns()
        self._over()
        if playback.ending == "cut" or not self._keep_alive:
            transport.close()  # what was written still goes out
        elif self._buffer:
            self._read()

    def _over(self) -> None:
        self._playback = None
        if self._record is not None:
            record, self._record = self._record, None
            self._player.over(record)


def parse_object(body: bytes) -> JsonObject | None:
    """The JSON object in `body`, None where it holds none. Half of a surrogate pair is taken, as servers take it."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def _path(target: str) -> str:
    """The path of a request's target, without its query; also of a whole URL, as a proxy is sent it."""
    if target.startswith("http://"):
        target = f"/{target.removeprefix('http://').partition('/')[2]}"
    return target.partition("?")[0]


def _header(head: bytes, name: bytes) -> str | None:
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.strip().lower() == name:
            return value.strip().decode("latin-1")
    return None


def _length(head: bytes) -> int:
    value = _header(head, b"content-length") or "0"
    return int(value) if value.isdigit() else 0
