"""A reply as the bytes that go out and the waits between them, in chunks of chat completions or as one object.

The bytes are made before they are needed, and the same bytes serve all requests of a kind. Nothing here waits, sends or
looks at a clock.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pydantic import JsonValue

from punie_trace.testing.asked import Asked, JsonObject
from punie_trace.testing.script import Cut, Die, Hang, Keepalive, Raw, Reasoning, Reply, Script, Step, Text, ToolCall

Ending = Literal["done", "cut", "hang", "die"]
_REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 500: "Internal Server Error"}


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes that leave together, and the seconds to wait before them."""

    delay_s: float
    data: bytes
    output: bool = True
    """False for a head alone, and for a wait before the end."""


@dataclass(frozen=True, slots=True)
class Playback:
    """A whole answer: its pieces in order, and how it ends. `chunks` counts the pieces with output."""

    pieces: tuple[Piece, ...]
    ending: Ending = "done"
    exit_code: int = 0
    """Of the process, for an answer that ends it."""
    chunks: int = 0
    calls: bool = False
    """Whether it calls a tool."""

    def cut_short(self) -> Playback:
        """The first half of its chunks, and no end."""
        kept: list[Piece] = []
        for piece in self.pieces:
            if sum(one.output for one in kept) >= max(1, self.chunks // 2):
                break
            kept.append(piece)
        return Playback(tuple(kept), "cut", chunks=self.chunks)


def render_json(script: Script, status: int, content: JsonObject) -> Playback:
    """An answer of one JSON object."""
    payload = json.dumps(content).encode()
    return Playback((Piece(0.0, head(script, status, "application/json", len(payload)) + payload),))


def render_page(script: Script, reply: Reply) -> Playback:
    """A reply to something that is no completion: its `body`, or its `error`."""
    return Rendering(script, reply, Asked("", stream=False, usage=False, messages=0)).page()


def head(
    script: Script, status: int, content_type: str, length: int | None, added: dict[str, str] | None = None
) -> bytes:
    """The head of an HTTP answer, its blank line included; `length` None leaves the body's size open."""
    version = "1.1" if script.keep_alive else "1.0"
    lines = [f"HTTP/{version} {status} {_REASONS.get(status, 'Status')}", f"content-type: {content_type}"]
    if length is not None:
        lines.append(f"content-length: {length}")
    elif script.keep_alive:
        lines.append("transfer-encoding: chunked")
    lines += [f"{name}: {value}" for name, value in (added or {}).items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class _EndingError(Exception):
    """A step ends the answer here."""


class Rendering:
    """One reply in the making. `play` once."""

    def __init__(self, script: Script, reply: Reply, asked: Asked) -> None:
        self._script = script
        self._reply = reply
        self._asked = asked
        self._pieces: list[Piece] = []
        self._waited = reply.delay_s
        self._head = b""
        self._chunks = 0
        self._calls = 0
        self._ending: Ending = "done"
        self._exit_code = 0

    def play(self) -> Playback:
        """The bytes of the whole answer, head included."""
        if self._reply.status != 200 or self._reply.body is not None:
            return self.page()
        try:
            if self._asked.stream:
                self._stream()
            else:
                self._whole()
        except _EndingError:
            self._put(b"", output=False)  # what was waited for before the end
        return Playback(tuple(self._pieces), self._ending, self._exit_code, self._chunks, self._calls > 0)

    def page(self) -> Playback:
        """The reply's `body`, or its `error`, and nothing of its steps."""
        reply = self._reply
        text = json.dumps({"error": {"message": reply.error}}) if reply.body is None else reply.body
        payload, headers = text.encode(), dict(reply.headers)
        if reply.gzip:
            payload = gzip.compress(payload)
            headers["content-encoding"] = "gzip"
        kind = reply.content_type or "application/json"
        self._put(head(self._script, reply.status, kind, len(payload), headers) + payload)
        return Playback(tuple(self._pieces))

    def _stream(self) -> None:
        kind = self._reply.content_type or "text/event-stream"
        self._head = head(self._script, 200, kind, None, self._reply.headers)
        if self._script.head_at_once:
            self._put(b"", output=False)
        for step in self._reply.steps:
            for delta in self._deltas(step):
                self._chunk({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
        last: JsonObject = {"index": 0, "delta": {"role": "assistant"}, "finish_reason": self._reply.reason}
        usage = self._asked.usage
        self._chunk({"choices": [last], **({} if usage else self._reply.extra)})
        if usage:
            self._chunk({"choices": [], "usage": self._usage(), **self._reply.extra})
        self._write("data: [DONE]\n\n")
        self._end_chunks()

    def _whole(self) -> None:
        texts: dict[str, str] = {}
        calls: list[JsonValue] = []
        for step in self._reply.steps:
            for delta in self._deltas(step, whole=True):
                for name in ("content", "reasoning"):
                    if isinstance(text := delta.get(name), str):
                        texts[name] = texts.get(name, "") + text
                if isinstance(found := delta.get("tool_calls"), list):
                    calls += found
        message: JsonObject = {
            "role": "assistant",
            "content": None,
            **texts,
            **({"tool_calls": calls} if calls else {}),
        }
        choice: JsonObject = {"index": 0, "message": message, "finish_reason": self._reply.reason}
        content = {**self._frame("chat.completion"), "choices": [choice], "usage": self._usage(), **self._reply.extra}
        payload = json.dumps(content).encode()
        kind = self._reply.content_type or "application/json"
        self._put(head(self._script, 200, kind, len(payload), self._reply.headers) + payload)

    def _deltas(self, step: Step, *, whole: bool = False) -> Iterator[JsonObject]:
        """What a step adds to the answer, one after another; its waits, and what it writes besides, are done."""
        self._waited += step.delay_s
        match step:
            case Text():
                yield self._counted({"content": step.text})
            case Reasoning():
                yield self._counted({"reasoning": step.text})
            case ToolCall():
                for number, piece in enumerate(_split(step, 1 if whole else step.pieces)):
                    self._waited += step.gap_s if number else 0.0
                    yield self._counted({"tool_calls": [self._call(step, piece, first=number == 0)]})
                self._calls += 1
            case Keepalive():
                if not whole:
                    self._write(f": keepalive {step.done}/{step.total}\n\n")
            case Raw():
                for _ in range(step.times):
                    self._write(step.data)
            case Cut():
                self._end("cut")
            case Hang():
                self._end("hang")
            case Die():
                self._exit_code = step.code
                self._end("die")

    def _end(self, ending: Ending) -> None:
        self._ending = ending
        raise _EndingError

    def _counted(self, delta: JsonObject) -> JsonObject:
        self._chunks += 1
        return {"role": "assistant", **delta}

    def _call(self, step: ToolCall, piece: str, *, first: bool) -> JsonObject:
        start: JsonObject = {"index": self._calls}
        if not first:
            return start | {"function": {"arguments": piece}}
        # Unique in its conversation, and the same for equal requests.
        number = f"call-{self._asked.messages}-{self._calls}"
        return start | {"id": number, "type": "function", "function": {"name": step.name, "arguments": piece}}

    def _usage(self) -> JsonObject:
        usage = self._reply.usage
        prompt = usage.prompt_tokens if usage else 10 * self._asked.messages
        completion = usage.completion_tokens if usage else self._chunks
        counts: JsonObject = {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }
        if usage is not None and usage.cached_tokens is not None:
            counts["prompt_tokens_details"] = {"cached_tokens": usage.cached_tokens}
        return counts

    def _frame(self, kind: str) -> JsonObject:
        frame: JsonObject = {"id": f"chatcmpl-{self._asked.messages}", "object": kind, "created": 1}
        model = self._asked.model if self._reply.model is None else self._reply.model
        fingerprint = self._script.fingerprint if self._reply.fingerprint is None else self._reply.fingerprint
        frame |= {"model": model} if model else {}
        return frame | ({"system_fingerprint": fingerprint} if fingerprint else {})

    def _chunk(self, content: JsonObject) -> None:
        self._write(f"data: {json.dumps({**self._frame('chat.completion.chunk'), **content})}\n\n")

    def _write(self, text: str, *, output: bool = True) -> None:
        data = text.encode()
        self._put(b"%x\r\n%s\r\n" % (len(data), data) if self._script.keep_alive else data, output=output)

    def _end_chunks(self) -> None:
        """The end of HTTP/1.1's chunks goes out with the last of them."""
        if self._script.keep_alive:
            end = self._pieces.pop()
            self._pieces.append(Piece(end.delay_s, end.data + b"0\r\n\r\n", end.output))

    def _put(self, data: bytes, *, output: bool = True) -> None:
        self._pieces.append(Piece(self._waited, self._head + data, output))
        self._waited, self._head = 0.0, b""


def _split(step: ToolCall, count: int) -> list[str]:
    text = step.arguments if isinstance(step.arguments, str) else json.dumps(step.arguments)
    size = max(1, -(-len(text) // count))
    return [text[start : start + size] for start in range(0, len(text), size)] or [""]
