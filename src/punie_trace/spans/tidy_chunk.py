"""Whether a strict client can read a chunk as the server wrote it, and the same chunk in OpenAI's own form where not.

The openai client checks nothing and passes on what it got, so that an agent above it fails on what it did not expect: a
number for the text, a list for the usage, a time in other units. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from punie_trace.records import MOST_TOKENS, JsonValue
from punie_trace.spans.written_calls import CallPiece

_LATEST_TIME: Final = 32_503_680_000
"""Seconds: the year 3000. What is beyond is in other units."""
_ID: Final = "chatcmpl-tidied"
_COUNTS: Final = ("prompt_tokens", "completion_tokens")
_SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class TidyChunk:
    """What one chunk says, to be written as OpenAI writes it. `usage` is (input, output, cached)."""

    model: str | None
    text: str
    reasoning: str
    pieces: Sequence[CallPiece]
    finish_reason: str | None
    usage: tuple[int, int, int | None] | None

    def to_json(self) -> bytes:
        """The chunk's JSON, in ASCII."""
        delta: dict[str, JsonValue] = {"role": "assistant"}
        if self.text:
            delta["content"] = self.text
        if self.reasoning:
            delta["reasoning_content"] = _SURROGATES.sub("\ufffd", self.reasoning)
        if self.pieces:
            delta["tool_calls"] = [_call(piece) for piece in self.pieces]
        chunk: dict[str, JsonValue] = {
            "id": _ID,
            "object": "chat.completion.chunk",
            "created": 0,
            "model": self.model or "",
            "choices": [{"index": 0, "delta": delta, "finish_reason": self.finish_reason}],
        }
        if self.usage is not None:
            sent, received, cached = self.usage
            chunk["usage"] = {
                "prompt_tokens": sent,
                "completion_tokens": received,
                "total_tokens": (sent or 0) + (received or 0),
                **({} if cached is None else {"prompt_tokens_details": {"cached_tokens": cached}}),
            }
        return json.dumps(chunk, separators=(",", ":")).encode("ascii")


def is_tidy(chunk: dict[str, JsonValue], pieces: Sequence[CallPiece], text: str) -> bool:
    """Whether the chunk, whose calls are `pieces` and whose text is `text`, can be passed on as it is.

    An error passes as it is: the client raises it.
    """
    if chunk.get("error"):
        return True
    created = chunk.get("created")
    if created is not None and not _is_time(created):
        return False
    if not all(isinstance(chunk.get(key), str | None) for key in ("id", "model", "service_tier", "system_fingerprint")):
        return False
    if chunk.get("moderation") or not _usage_is_tidy(chunk.get("usage")):
        return False
    choices = chunk.get("choices")
    if not isinstance(choices, list) or len(choices) > 1:
        return False
    return not choices or _choice_is_tidy(choices[0], pieces, text)


def _choice_is_tidy(choice: JsonValue, pieces: Sequence[CallPiece], text: str) -> bool:
    if not isinstance(choice, dict) or not isinstance(choice.get("finish_reason"), str | None):
        return False
    delta = choice.get("delta")
    if not isinstance(delta, dict) or not isinstance(choice.get("logprobs"), dict | None):
        return False
    if delta.get("refusal") or delta.get("function_call") or (delta.get("content") or "") != text:
        return False
    if not all(isinstance(delta.get(key), str | None) for key in ("reasoning", "reasoning_content", "content", "role")):
        return False
    calls = delta.get("tool_calls")
    if calls is None or calls == []:
        return True
    return isinstance(calls, list) and len(calls) == len(pieces) and all(piece.as_sent for piece in pieces)


def _usage_is_tidy(usage: JsonValue) -> bool:
    if usage is None:
        return True
    if not isinstance(usage, dict) or not all(_is_count(usage.get(key)) for key in _COUNTS):
        return False
    if not _is_count(usage.get("total_tokens", 0)):
        return False
    details = [value for key, value in usage.items() if key.endswith("_details") and value is not None]
    return all(
        isinstance(one, dict) and all(value is None or _is_count(value) for value in one.values()) for one in details
    )


def _is_time(value: JsonValue) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _LATEST_TIME


def _is_count(value: JsonValue) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_TOKENS


def _call(piece: CallPiece) -> JsonValue:
    function: dict[str, JsonValue] = {"arguments": _SURROGATES.sub("\ufffd", piece.arguments)}
    if piece.name is not None:
        function["name"] = piece.name
    call: dict[str, JsonValue] = {"index": piece.place, "type": "function", "function": function}
    if piece.id is not None:
        call["id"] = piece.id
    return call
