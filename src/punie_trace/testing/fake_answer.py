"""One answer of the scripted fake server: what its steps say, as OpenAI's chunks or as one object.

Knows the format and the script; the connection is `Stage`, which `fake` provides.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from pydantic import JsonValue

from punie_trace.testing.fake_script import (
    Cut,
    Die,
    Hang,
    Keepalive,
    Raw,
    Reasoning,
    Reply,
    Script,
    Step,
    Text,
    ToolCall,
    Usage,
)

JsonObject = dict[str, JsonValue]


class ScriptedCutError(ConnectionError):
    """The script cuts the connection here."""


@dataclass(slots=True)
class ReceivedRequest:
    """One completion request and what became of it. Times in ns of `time.monotonic_ns`."""

    body: JsonObject
    received_ns: int
    probe: bool
    headers: dict[str, str]
    sent_ns: list[int] = field(default_factory=list)
    """When each chunk had been handed to the network, keepalives and the end included."""
    done_ns: int | None = None
    """When the last byte had; None where the answer was not finished."""


class Stage(Protocol):
    """Where an answer is played: the connection, and the clock that `close` stops."""

    def start(self, status: int, content_type: str, length: int | None) -> None:
        """Send status and headers."""

    def write(self, data: bytes) -> None:
        """Send bytes."""

    def pause(self, seconds: float | None) -> None:
        """Wait; None waits until the server is closed."""


class Answer:
    """One reply on its way out, streamed or whole. `send` once."""

    def __init__(self, stage: Stage, script: Script, request: ReceivedRequest, reply: Reply) -> None:
        self._stage = stage
        self._script = script
        self._request = request
        self._reply = reply
        self._stream = request.body.get("stream") is True
        self._chunks = 0
        self._calls = 0

    def send(self) -> None:
        """Play the reply. Raises ScriptedCutError where it is cut, and OSError where the client went away."""
        if self._reply.status != 200:
            self._whole(self._reply.status, {"error": {"message": self._reply.error}})
        elif self._stream:
            self._send_stream()
        else:
            self._send_whole()

    def _send_stream(self) -> None:
        self._stage.start(200, "text/event-stream", None)
        for step in self._reply.steps:
            for delta in self._deltas(step):
                self._chunk({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
        last: JsonObject = {"index": 0, "delta": {"role": "assistant"}, "finish_reason": self._reply.reason}
        self._chunk({"choices": [last]})
        options = self._request.body.get("stream_options")
        if isinstance(options, dict) and options.get("include_usage"):
            self._chunk({"choices": [], "usage": self._usage()})
        self._write("data: [DONE]\n\n")

    def _send_whole(self) -> None:
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
        self._whole(200, {**self._frame("chat.completion"), "choices": [choice], "usage": self._usage()})

    def _deltas(self, step: Step, *, whole: bool = False) -> Iterator[JsonObject]:
        """Does what a step says; yields what it adds to the answer."""
        self._stage.pause(step.delay_s)
        match step:
            case Text():
                yield self._counted({"content": step.text})
            case Reasoning():
                yield self._counted({"reasoning": step.text})
            case ToolCall():
                for number, piece in enumerate(_pieces(step, 1 if whole else step.pieces)):
                    self._stage.pause(step.gap_s if number else 0)
                    yield self._counted({"tool_calls": [self._call(step, piece, first=number == 0)]})
                self._calls += 1
            case Keepalive():
                if not whole:
                    self._write(f": keepalive {step.done}/{step.total}\n\n")
            case Raw():
                self._write(step.data)
            case Cut():
                raise ScriptedCutError
            case Hang():
                self._stage.pause(None)
                raise ScriptedCutError
            case Die():
                os._exit(step.code)

    def _counted(self, delta: JsonObject) -> JsonObject:
        self._chunks += 1
        return {"role": "assistant", **delta}

    def _call(self, step: ToolCall, piece: str, *, first: bool) -> JsonObject:
        head: JsonObject = {"index": self._calls}
        if not first:
            return head | {"function": {"arguments": piece}}
        number = f"call-{self._request.received_ns}-{self._calls}"
        return head | {"id": number, "type": "function", "function": {"name": step.name, "arguments": piece}}

    def _usage(self) -> JsonObject:
        messages = self._request.body.get("messages")
        asked = 10 * len(messages) if isinstance(messages, list) else 10
        usage = self._reply.usage or Usage(prompt_tokens=asked, completion_tokens=self._chunks)
        counts: JsonObject = {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        }
        if usage.cached_tokens is not None:
            counts["prompt_tokens_details"] = {"cached_tokens": usage.cached_tokens}
        return counts

    def _frame(self, kind: str) -> JsonObject:
        return {
            "id": f"chatcmpl-{self._request.received_ns}",
            "object": kind,
            "created": int(time.time()),
            "model": self._reply.model or self._request.body.get("model") or self._script.models[-1],
            "system_fingerprint": self._reply.fingerprint or self._script.fingerprint,
        }

    def _whole(self, status: int, content: JsonObject) -> None:
        payload = json.dumps(content).encode()
        self._stage.start(status, "application/json", len(payload))
        self._stage.write(payload)
        self._request.sent_ns.append(time.monotonic_ns())

    def _chunk(self, content: JsonObject) -> None:
        self._write(f"data: {json.dumps({**self._frame('chat.completion.chunk'), **content})}\n\n")

    def _write(self, text: str) -> None:
        self._stage.write(text.encode())
        self._request.sent_ns.append(time.monotonic_ns())


def _pieces(step: ToolCall, count: int) -> list[str]:
    text = step.arguments if isinstance(step.arguments, str) else json.dumps(step.arguments)
    size = max(1, -(-len(text) // count))
    return [text[start : start + size] for start in range(0, len(text), size)] or [""]
