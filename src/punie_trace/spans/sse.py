"""Server-sent events from bytes, as in the HTML standard (9.2.6): lines, comments, and the data of each event.

What comes out does not depend on how the bytes were cut. Line ends may be CR, LF or both, a byte-order mark may stand
first, data may go over several lines. It keeps at most `LONGEST_EVENT` bytes of an event that has not ended. Pure.
"""

from __future__ import annotations

import re
from typing import Final, Protocol

LONGEST_EVENT: Final = 16 * 1024 * 1024
"""Bytes of one event, over all its lines. The longest that a sound server sends is a whole answer in one chunk."""

_LINE_END = re.compile(rb"\r\n|\n|\r")
_SHORT: Final = 64 * 1024
"""Bytes below which looking at all that is left of a line again, with each piece that comes, costs nothing."""
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class EventTooLongError(ValueError):
    """One event is longer than is read."""


class Receiver(Protocol):
    """Who is told what was read, in order."""

    def on_event(self, data: bytes, now_ns: int) -> None:
        """An event that has data: its lines, joined by a line feed."""

    def on_comment(self, line: bytes, now_ns: int) -> None:
        """A line that begins with a colon."""


class EventSplitter:
    """Cuts a stream of bytes into events. Times are those that `feed` was given with the piece that ended the line."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._buffer = bytearray()
        self._scanned = 0
        self._data: list[bytes] = []
        self._held = 0
        """Bytes of `_data`."""
        self._line_bytes = 0
        """Bytes of whole lines since the last event or empty line."""
        self._first_line = True
        self._fields = False
        self.odd = False
        """Whether a byte-order mark, or an event without data, has come, over which strict readers stumble."""

    @property
    def pending(self) -> int:
        """How many of the bytes so far belong to an event that has not ended."""
        return self._line_bytes + len(self._buffer)

    def feed(self, data: bytes, now_ns: int) -> None:
        """Take the next piece. Raises `EventTooLongError`."""
        self._buffer += data
        self._read_lines(now_ns, at_end=False)
        if len(self._buffer) + self._held > LONGEST_EVENT:
            raise EventTooLongError(f"one event is longer than {LONGEST_EVENT} bytes")

    def close(self, now_ns: int) -> bytes | None:
        """The end. Data of an event that no empty line ended is handed back, not told."""
        self._read_lines(now_ns, at_end=True)
        rest, self._data = b"\n".join(self._data), []
        self._buffer.clear()
        return rest or None

    def _read_lines(self, now_ns: int, *, at_end: bool) -> None:
        buffer, begin = self._buffer, 0
        if not at_end and len(buffer) < _SHORT and b"\r" not in buffer:  # the usual case, in one step
            *lines, rest = bytes(buffer).split(b"\n")
            for line in lines:
                self._read_line(line, len(line) + 1, now_ns)
            self._buffer = bytearray(rest)
            self._scanned = len(rest)
            return
        while (end := _LINE_END.search(buffer, max(self._scanned, begin))) is not None:
            if end.group() == b"\r" and end.end() == len(buffer) and not at_end:
                break  # the other half of \r\n may be on its way
            self._read_line(bytes(buffer[begin : end.start()]), end.end() - begin, now_ns)
            begin = end.end()
        if at_end and begin < len(buffer):
            self._read_line(bytes(buffer[begin:]), len(buffer) - begin, now_ns)
            begin = len(buffer)
        del buffer[:begin]
        self._scanned = max(len(buffer) - 1, 0)

    def _read_line(self, line: bytes, raw_bytes: int, now_ns: int) -> None:
        self._line_bytes += raw_bytes
        if self._first_line:
            self._first_line = False
            self.odd = line.startswith(_BYTE_ORDER_MARK)
            line = line.removeprefix(_BYTE_ORDER_MARK)
        if not line:
            self._line_bytes = 0
            if self._data:
                event = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
                self._data = []
                self._held = 0
                self._receiver.on_event(event, now_ns)
            elif self._fields:
                self.odd = True
            self._fields = False
        elif line.startswith(b"data:"):
            data = line[6:] if line[5:6] == b" " else line[5:]
            self._data.append(data)
            self._held += len(data)
        elif line.startswith(b":"):
            self._receiver.on_comment(line, now_ns)
        else:
            self._fields = True
