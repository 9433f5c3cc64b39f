"""Reads an answer of OpenAI's responses API: its events, or one JSON body.

Events have a `type`: output comes in `response.output_text.delta`, `response.reasoning*.delta`,
`response.function_call_arguments.delta` and their like; `response.completed`, `response.incomplete` and
`response.failed` are the last and hold the whole response with its usage. There is no `[DONE]`.
(https://platform.openai.com/docs/api-reference/responses-streaming)
"""

from __future__ import annotations

from typing import Final

from punie_trace.records import JsonValue
from punie_trace.spans.typed_events import TypedEventReader, text_of

_LAST: Final = ("response.completed", "response.incomplete", "response.failed", "response.cancelled")
_CALLS: Final = ("function_call", "custom_tool_call")


class ResponsesReader(TypedEventReader):
    """Facts of one response; `finish_reason` is 'stop', 'tool_calls', or why it is incomplete ('length')."""

    def _read_object(self, body: dict[str, JsonValue], now_ns: int | None) -> bool:
        kind = body.get("type")
        if now_ns is None or not isinstance(kind, str):
            self._read_response(body, now_ns)
            return False
        if kind.endswith(".delta") and isinstance(delta := body.get("delta"), str) and delta:
            self._output(now_ns)
            if "output_text" in kind or "refusal" in kind:
                self._text_pieces.append(delta)
            elif "reasoning" in kind:
                self._reasoning.append(delta)
        elif kind == "response.output_item.added" and _is_call(body.get("item")):
            self._output(now_ns)
        elif kind == "response.output_item.done":
            self._add_call(body.get("item"))
        elif kind == "error":
            self._read_error({"error": body.get("error") or body.get("message") or "an error"})
        response = body.get("response")
        if isinstance(response, dict):
            self._read_response(response, now_ns, last=kind in _LAST)
        if kind in _LAST:
            self.done = True
        return False

    def _read_response(self, response: dict[str, JsonValue], now_ns: int | None, *, last: bool = True) -> None:
        self.served_model = text_of(response.get("model")) or self.served_model
        self._read_error(response)
        self._read_counts(response.get("usage"))
        if not last:
            return
        items = response.get("output")
        for item in items if isinstance(items, list) else ():
            self._add_call(item)
            if now_ns is None:
                self._add_message(item)
        details = response.get("incomplete_details")
        reason = text_of(details.get("reason")) if isinstance(details, dict) else None
        if reason is not None:
            self.finish_reason = "length" if reason == "max_output_tokens" else reason
        elif response.get("status") in (None, "completed"):
            self.finish_reason = "tool_calls" if self.tool_calls else "stop"

    def _add_call(self, item: JsonValue) -> None:
        if not isinstance(item, dict) or not _is_call(item):
            return
        call_id = text_of(item.get("call_id")) or text_of(item.get("id")) or ""
        if call_id in self._call_ids:
            return  # the last event repeats them
        arguments = item.get("arguments") if "arguments" in item else item.get("input")
        index = len(self._call_ids)
        self._call_ids.append(call_id)
        self._calls.add({"index": index, "id": call_id, "function": {"name": item.get("name"), "arguments": arguments}})

    def _add_message(self, item: JsonValue) -> None:
        content = item.get("content") if isinstance(item, dict) and item.get("type") == "message" else None
        for part in content if isinstance(content, list) else ():
            if isinstance(part, dict):
                self._text_pieces.append(text_of(part.get("text")) or text_of(part.get("refusal")) or "")

    def _read_counts(self, usage: JsonValue) -> None:
        if not isinstance(usage, dict):
            return
        details = usage.get("input_tokens_details")
        self._read_usage({"usage": {
            "prompt_tokens": usage.get("input_tokens"),
            "completion_tokens": usage.get("output_tokens"),
            "prompt_tokens_details": details if isinstance(details, dict) else None,
        }})  # fmt: skip


def _is_call(item: JsonValue) -> bool:
    return isinstance(item, dict) and item.get("type") in _CALLS
