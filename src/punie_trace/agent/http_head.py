"""The heads and the body framing of HTTP/1.1 messages, as far as a relay needs them (RFC 9112). Pure.

Nothing here is lenient: what is ambiguous is refused, as two readers of one message must not differ on its end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

LONGEST_HEAD: Final = 64 * 1024
"""Bytes of a start line and its header fields."""
WHOLE_CHUNK: Final = 64 * 1024
"""A chunk of at most so many bytes is given out whole, as it was framed; of a longer one, what has come."""
_LONGEST_CHUNK_LINE: Final = 4096
Headers: TypeAlias = list[tuple[str, str]]
Framing: TypeAlias = Literal["none", "length", "chunked", "close"]


class HeadError(ValueError):
    """What came is no HTTP/1.1 message that can be relayed."""


@dataclass(frozen=True, slots=True)
class Head:
    """A start line's three parts and the header fields, whose names are in lower case."""

    first: str
    second: str
    third: str
    headers: Headers

    def get(self, name: str) -> str | None:
        """The first field of that name."""
        return next((value for key, value in self.headers if key == name), None)

    @property
    def keeps_alive(self) -> bool:
        """Whether the connection may be used again, by the message's own word."""
        connection = (self.get("connection") or "").lower()
        old = "HTTP/1.0" in (self.first, self.third)
        return "keep-alive" in connection if old else "close" not in connection

    def framing(self) -> tuple[Framing, int]:
        """How the body ends by these fields alone, and its length where that says so. Raises `HeadError`."""
        encodings = [value.lower() for key, value in self.headers if key == "transfer-encoding"]
        lengths = {value for key, value in self.headers if key == "content-length"}
        if encodings:
            if encodings != ["chunked"] or lengths:
                raise HeadError("its length is ambiguous")
            return "chunked", 0
        if not lengths:
            return "none", 0
        length = lengths.pop()
        if lengths or not (length.isascii() and length.isdigit()) or len(length) > 15:
            raise HeadError("its length is no number")
        return "length", int(length)


def parse_head(data: bytes) -> Head:
    """The head in `data`, which ends before its empty line. Raises `HeadError`."""
    start, *lines = data.decode("latin-1").split("\r\n")
    parts = start.split(" ", 2)
    if len(parts) < 2:
        raise HeadError(f"{start[:80]!r} begins no message")
    headers: Headers = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise HeadError(f"{line[:80]!r} is no header field")
        headers.append((name.lower(), value.strip(" \t")))
    return Head(parts[0], parts[1], parts[2] if len(parts) > 2 else "", headers)


class BodyReader:
    """Takes a body's bytes as they come and gives out its pieces: for a chunked one, the very chunks.

    `done` is set with the body's last byte; `rest` is then what came after it.
    """

    def __init__(self, framing: Framing, length: int = 0) -> None:
        self._framing = framing
        self._left = length
        self._buffer = bytearray()
        self._state: Literal["line", "data", "trailer"] = "line"
        self.done = framing == "none" or (framing == "length" and not length)
        self.rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The pieces that are there with `data`. Raises `HeadError` for framing that is none."""
        if self.done:
            self.rest += data
        elif self._framing == "close":
            yield data
        elif self._framing == "length":
            piece, self.rest = data[: self._left], data[self._left :]
            self._left -= len(piece)
            self.done = not self._left
            if piece:
                yield piece
        else:
            self._buffer += data
            yield from self._chunks()

    def end(self) -> None:
        """The connection has ended. Raises `HeadError` where the body had not."""
        if self._framing == "close":
            self.done = True
        if not self.done:
            raise HeadError("the connection ended before the body")

    def _chunks(self) -> Iterator[bytes]:
        buffer = self._buffer
        while not self.done:
            if self._state == "data":
                ready = min(len(buffer), self._left)
                if ready < self._left and self._left <= WHOLE_CHUNK:
                    return
                if ready:
                    yield bytes(buffer[:ready])
                    del buffer[:ready]
                    self._left -= ready
                if self._left or len(buffer) < 2:
                    return
                if buffer[:2] != b"\r\n":
                    raise HeadError("a chunk is longer than it said")
                del buffer[:2]
                self._state = "line"
            line_end = buffer.find(b"\r\n")
            if line_end < 0:
                if len(buffer) > _LONGEST_CHUNK_LINE:
                    raise HeadError("the line of a chunk has no end")
                return
            line = bytes(buffer[:line_end])
            del buffer[: line_end + 2]
            if self._state == "trailer":
                if not line:
                    self.done, self.rest = True, bytes(buffer)
                continue
            size = line.partition(b";")[0].strip()
            if not size or len(size) > 12 or size.strip(b"0123456789abcdefABCDEF"):
                raise HeadError(f"{line[:40]!r} is no length of a chunk")
            self._left = int(size, 16)
            self._state = "data" if self._left else "trailer"
