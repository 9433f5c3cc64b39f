"""What a program sends to its model, in all three forms of the API: read, and completed where it lacks something.

Two things are completed, each said where it was done. The model is the configuration's, whatever name the program has
for it: a server that loads what it is asked for would load something else. And a stream of chat completions is asked
for its token counts, which come in an event of their own that the program, which did not ask for it, does not see.
Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pydantic_core import from_json, to_json

from punie_trace.records import JsonValue

_MOST_CALLS: Final = 4096
_USAGE_EVENT = re.compile(rb'data:[^\n]*"choices"\s*:\s*\[\s*\][^\n]*\r?\n\r?\n')


@dataclass(frozen=True, slots=True)
class ProgramRequest:
    """A request as it goes on. `answered` are the calls whose results it brings: `{"id": ..., "ok": ...}` each."""

    body: bytes
    answered: tuple[dict[str, JsonValue], ...] = ()
    own_model: str | None = None
    """The name that the program had for the model, where another was put in its place."""
    hides_usage: bool = False
    """Whether the event with the token counts is ours, and not for the program."""


def read_request(body: bytes, model: str | None, *, chat: bool) -> ProgramRequest:
    """The request in `body`, for `model` (None leaves the program's own). What is no JSON object goes on as it is."""
    try:
        request = from_json(body)
    except ValueError:
        return ProgramRequest(body)
    if not isinstance(request, dict):
        return ProgramRequest(body)
    own = request.get("model")
    replaced = model is not None and isinstance(own, str) and own != model
    asks_usage = chat and request.get("stream") is True and _usage_of(request) is None
    if replaced:
        request["model"] = model
    if asks_usage:
        options = request.get("stream_options")
        request["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
    return ProgramRequest(
        body=to_json(request) if replaced or asks_usage else body,
        answered=tuple(_answered(request)),
        own_model=own if replaced and isinstance(own, str) else None,
        hides_usage=asks_usage,
    )


def without_usage_event(data: bytes) -> bytes:
    """`data` of a stream without the event that has token counts and no choices."""
    if b'"usage"' not in data or b'"choices"' not in data:
        return data
    return _USAGE_EVENT.sub(lambda found: b"" if b'"usage"' in found[0] else found[0], data)


def _usage_of(request: dict[str, JsonValue]) -> JsonValue:
    options = request.get("stream_options")
    return options.get("include_usage") if isinstance(options, dict) else None


def _answered(request: dict[str, JsonValue]) -> list[dict[str, JsonValue]]:
    messages = request.get("messages") or request.get("input")
    found: list[dict[str, JsonValue]] = []
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict) and len(found) < _MOST_CALLS:
            found.extend(_answers(message))
    return found


def _answers(message: dict[str, JsonValue]) -> Iterator[dict[str, JsonValue]]:
    """Only Anthropic's form tells whether the tool failed."""
    content = message.get("content")
    if message.get("role") == "tool":
        yield {"id": message.get("tool_call_id"), "ok": True}
    elif message.get("type") in ("function_call_output", "custom_tool_call_output"):
        yield {"id": message.get("call_id"), "ok": True}
    elif isinstance(content, list):
        for part in content:
            if isinstance(part, dict) and part.get("type") == "tool_result":
                yield {"id": part.get("tool_use_id"), "ok": part.get("is_error") is not True}
