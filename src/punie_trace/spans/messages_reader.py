"""Reads an answer of Anthropic's messages API: its events, or one JSON body.

Events: `message_start` (model, input tokens), `content_block_start` and `content_block_delta` (text, thinking, the JSON
of a tool's input), `message_delta` (stop reason, output tokens), `message_stop`, which is the last; `ping` says
nothing. (https://docs.anthropic.com/en/docs/build-with-claude/streaming)
"""

from __future__ import annotations

import json
from typing import Final

from punie_trace.records import JsonValue
from punie_trace.spans.typed_events import TypedEventReader, text_of

_REASONS: Final = {"end_turn": "stop", "stop_sequence": "stop", "tool_use": "tool_calls", "max_tokens": "length"}
"""Its stop reasons as chat completions have them; others stay as they are."""


class MessagesReader(TypedEventReader):
    """Facts of one message. Input tokens count what came from the cache, and what was written to it, as well."""

    def _read_object(self, body: dict[str, JsonValue], now_ns: int | None) -> bool:
        kind = body.get("type")
        if now_ns is None or kind == "message":
            self._read_message(body, whole=True)
        elif kind == "message_start":
            self._read_message(body.get("message"), whole=False)
        elif kind == "content_block_start":
            self._begin_block(body, now_ns)
        elif kind == "content_block_delta":
            self._add_delta(body, now_ns)
        elif kind == "message_delta":
            delta = body.get("delta")
            self._read_stop(delta.get("stop_reason") if isinstance(delta, dict) else None)
            self._read_counts(body.get("usage"))
        elif kind == "message_stop":
            self.done = True
        elif kind == "error":
            self._read_error(body)
        return False

    def _read_message(self, message: JsonValue, *, whole: bool) -> None:
        if not isinstance(message, dict):
            return
        self.served_model = text_of(message.get("model")) or self.served_model
        self._read_error(message)
        self._read_counts(message.get("usage"))
        if not whole:
            return
        content = message.get("content")
        for index, block in enumerate(content if isinstance(content, list) else ()):
            if isinstance(block, dict):
                self._text_pieces.append(text_of(block.get("text")) or "")
                self._reasoning.append(text_of(block.get("thinking")) or "")
                if block.get("type") == "tool_use":
                    self._add_call(index, block, json.dumps(block.get("input") or {}))
        self._read_stop(message.get("stop_reason"))

    def _begin_block(self, body: dict[str, JsonValue], now_ns: int) -> None:
        block = body.get("content_block")
        if isinstance(block, dict) and block.get("type") == "tool_use":
            self._output(now_ns)
            self._add_call(body.get("index"), block, "")

    def _add_call(self, index: JsonValue, block: dict[str, JsonValue], arguments: str) -> None:
        self._calls.add(
            {"index": index, "id": block.get("id"), "function": {"name": block.get("name"), "arguments": arguments}}
        )

    def _add_delta(self, body: dict[str, JsonValue], now_ns: int) -> None:
        delta = body.get("delta")
        if not isinstance(delta, dict):
            return
        text, thinking, part = (text_of(delta.get(key)) for key in ("text", "thinking", "partial_json"))
        if not (text or thinking or part):
            return
        self._output(now_ns)
        self._text_pieces.append(text or "")
        self._reasoning.append(thinking or "")
        if part:
            self._calls.add({"index": body.get("index"), "function": {"arguments": part}})

    def _read_stop(self, reason: JsonValue) -> None:
        if isinstance(reason, str) and reason:
            self.finish_reason = _REASONS.get(reason, reason)

    def _read_counts(self, usage: JsonValue) -> None:
        if not isinstance(usage, dict):
            return
        cached, written = usage.get("cache_read_input_tokens"), usage.get("cache_creation_input_tokens")
        plain = usage.get("input_tokens")
        total = plain
        if isinstance(plain, int):
            total = plain + sum(extra for extra in (cached, written) if isinstance(extra, int))
        self._read_usage({"usage": {
            "prompt_tokens": total,
            "completion_tokens": usage.get("output_tokens"),
            "prompt_tokens_details": {"cached_tokens": cached} if isinstance(cached, int) else None,
        }})  # fmt: skip
