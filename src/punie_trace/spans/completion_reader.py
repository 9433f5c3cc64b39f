"""Reads an OpenAI-style completion as its bytes pass by: a stream of server-sent events, or one JSON body.

Pure: bytes and times in, facts out; no network, no spans, and the bytes are not kept (but for a JSON body, up to a
limit). What it learns from given bytes does not depend on how they were cut into pieces. Nothing that a server sends
makes it raise. Lines and events as in the HTML standard's 'server-sent events' (9.2.6), but an event that the end of
the body cuts short is still read if it parses.
"""

from __future__ import annotations

import json
import re
from typing import Literal, TypeAlias

from punie_trace.records import JsonValue
from punie_trace.spans.chunk_template import ChunkTemplate

Form: TypeAlias = Literal["events", "json", "unknown", "opaque"]
"""`unknown` is settled by the first byte; `opaque` (an encoding that is not read here) yields no facts at all."""

_LINE_END = re.compile(rb"\r\n|\n|\r")
_KEEPALIVE = re.compile(rb":\s*keepalive\s+(\d{1,18})/(\d{1,18})\s*$")
_BODY_LIMIT = 32 * 1024 * 1024
_MESSAGE_LIMIT = 500
_SHORT = 64 * 1024
"""Bytes below which looking at all that is left of a line again, with each piece that comes, costs nothing."""


class CompletionReader:
    """Facts of one response. Times are those that `feed` was given with the piece that completed the fact, in ns."""

    def __init__(self, form: Form = "unknown") -> None:
        self.form: Form = form
        self.prefill_end_ns: int | None = None
        """Of the keepalive comment that said n/n, else of the last one before output."""
        self.first_chunk_ns: int | None = None
        self.last_chunk_ns: int | None = None
        self.chunks = 0
        """Chunks with output: text, reasoning, a refusal, or a tool call. Always 0 for a JSON body."""
        self.done = False
        """The stream's `[DONE]` was seen."""
        self.malformed = False
        self.error_message: str | None = None
        """What the server said in an `error` object."""
        self.served_model: str | None = None
        self.fingerprint: str | None = None
        self.finish_reason: str | None = None
        self.input_tokens: int | None = None
        self.output_tokens: int | None = None
        self.cached_tokens: int | None = None
        self.head = bytearray()
        """The first bytes of the body, for error messages."""
        self._tool_calls: set[tuple[str, str]] = set()
        self._buffer = bytearray()
        self._scanned = 0
        self._data: list[bytes] = []
        self._prefill_whole = False
        self._first_line = True
        self._template = ChunkTemplate()

    @property
    def tool_calls(self) -> int:
        """Different tool calls seen so far."""
        return len(self._tool_calls)

    @property
    def cut(self) -> bool:
        """A stream that has neither ended with `[DONE]` nor given a reason for its end."""
        return self.form == "events" and not self.done and self.finish_reason is None

    def feed(self, data: bytes, now_ns: int) -> None:
        """Take the next piece of the body, read at `now_ns`."""
        if len(self.head) < _MESSAGE_LIMIT:
            self.head += data[: _MESSAGE_LIMIT - len(self.head)]
        if self.form == "unknown" and (start := data.lstrip()):
            self.form = "json" if start[:1] in (b"{", b"[") else "events"
        if self.form == "opaque" or (self.form == "json" and len(self._buffer) > _BODY_LIMIT):
            return
        self._buffer += data
        if self.form == "events":
            self._read_lines(now_ns, at_end=False)

    def close(self, now_ns: int) -> None:
        """The body has ended, at `now_ns`."""
        if self.form == "events":
            self._read_lines(now_ns, at_end=True)
            rest = b"\n".join(self._data)
            self._data = []
            if rest and _parse(rest) is not None:  # else it was cut short: that is for `cut` to say
                self._read_event(rest, now_ns)
        elif self.form == "json":
            body = _parse(bytes(self._buffer))
            if isinstance(body, dict):
                self._read_object(body, now_ns=None)
            else:
                self.malformed = True
        self._buffer.clear()

    def _read_lines(self, now_ns: int, *, at_end: bool) -> None:
        buffer, begin = self._buffer, 0
        if not at_end and len(buffer) < _SHORT and b"\r" not in buffer:  # the usual case, in one step
            *lines, rest = bytes(buffer[begin:]).split(b"\n")
            for line in lines:
                self._read_line(line, now_ns)
            self._buffer = bytearray(rest)
            self._scanned = len(rest)
            return
        while (end := _LINE_END.search(buffer, max(self._scanned, begin))) is not None:
            if end.group() == b"\r" and end.end() == len(buffer) and not at_end:
                break  # the other half of \r\n may be on its way
            self._read_line(bytes(buffer[begin : end.start()]), now_ns)
            begin = end.end()
        if at_end and begin < len(buffer):
            self._read_line(bytes(buffer[begin:]), now_ns)
            begin = len(buffer)
        del buffer[:begin]
        self._scanned = max(len(buffer) - 1, 0)

    def _read_line(self, line: bytes, now_ns: int) -> None:
        if self._first_line:
            self._first_line = False
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line:
            if self._data:
                event, self._data = b"\n".join(self._data), []
                self._read_event(event, now_ns)
        elif line.startswith(b":"):
            self._read_comment(line, now_ns)
        elif line.startswith(b"data:"):
            self._data.append(line[6:] if line[5:6] == b" " else line[5:])

    def _read_comment(self, line: bytes, now_ns: int) -> None:
        progress = _KEEPALIVE.match(line)
        if progress is None or self._prefill_whole or self.first_chunk_ns is not None:
            return
        self.prefill_end_ns = now_ns
        self._prefill_whole = int(progress[1]) >= int(progress[2])

    def _read_event(self, data: bytes, now_ns: int) -> None:
        if data.strip() == b"[DONE]":
            self.done = True
            return
        if self.done:
            return
        if self._template.text_of(data) is not None:  # one more chunk of text: parsing it would tell nothing new
            self.chunks += 1
            self.last_chunk_ns = now_ns
            return
        chunk = _parse(data)
        if isinstance(chunk, dict):
            self._read_object(chunk, now_ns)
            self._template.learn(data, chunk)
        else:
            self.malformed = True

    def _read_object(self, body: dict[str, JsonValue], now_ns: int | None) -> None:
        """One chunk at `now_ns`, or a whole body (None: it shows no time of its output)."""
        self.served_model = _text(body.get("model")) or self.served_model
        self.fingerprint = _text(body.get("system_fingerprint")) or self.fingerprint
        if error := body.get("error"):
            message = error.get("message") if isinstance(error, dict) else error
            self.error_message = str(message or error)[:_MESSAGE_LIMIT]
        if isinstance(usage := body.get("usage"), dict):
            self.input_tokens = _count(usage.get("prompt_tokens"), self.input_tokens)
            self.output_tokens = _count(usage.get("completion_tokens"), self.output_tokens)
            if isinstance(details := usage.get("prompt_tokens_details"), dict):
                self.cached_tokens = _count(details.get("cached_tokens"), self.cached_tokens)
        has_output = False
        choices = body.get("choices")
        for choice in choices if isinstance(choices, list) else []:
            if isinstance(choice, dict):
                self.finish_reason = _text(choice.get("finish_reason")) or self.finish_reason
                has_output = self._read_output(choice) or has_output
        if has_output and now_ns is not None:
            self.chunks += 1
            self.first_chunk_ns = now_ns if self.first_chunk_ns is None else self.first_chunk_ns
            self.last_chunk_ns = now_ns

    def _read_output(self, choice: dict[str, JsonValue]) -> bool:
        """Whether this choice brings any output."""
        message = choice.get("delta") or choice.get("message")
        if not isinstance(message, dict):
            return bool(_text(choice.get("text")))
        calls = message.get("tool_calls")
        calls = [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
        for place, call in enumerate(calls):
            # Pieces of one call share its index; who sends no index sends whole calls, told apart by their ids.
            index = call.get("index")
            key = str(index) if isinstance(index, int) else _text(call.get("id"))
            self._tool_calls.add((str(choice.get("index")), key or f"call {len(self._tool_calls)}.{place}"))
        return bool(calls) or any(
            _text(message.get(part)) for part in ("content", "reasoning", "reasoning_content", "refusal")
        )


def _parse(data: bytes) -> JsonValue:
    """The JSON value, None where it is none."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _text(value: JsonValue) -> str | None:
    return value if isinstance(value, str) and value else None


def _count(value: JsonValue, before: int | None) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else before
