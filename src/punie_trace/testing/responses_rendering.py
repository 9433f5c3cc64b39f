"""A reply in the form of OpenAI's responses API: typed events, numbered in their order, or one response object.

The order of events, and what each holds, is that of
https://platform.openai.com/docs/api-reference/responses-streaming. What opens an item goes out with the item's first
piece, and what closes it with whatever comes next, so that each piece that is written is one of the script's. There is
no `[DONE]`: the last event holds the whole response.
"""

from __future__ import annotations

import json
from typing import Literal

from pydantic import JsonValue

from punie_trace.testing.asked import Asked, JsonObject
from punie_trace.testing.rendering import Rendering, head
from punie_trace.testing.script import Reply, Script

_Kind = Literal["message", "reasoning"]
_PARTS: dict[_Kind, tuple[str, str]] = {"message": ("output_text", "msg"), "reasoning": ("reasoning_text", "rs")}
"""The part that holds a text, which is also what its events are named by, and how ids begin."""


class ResponsesRendering(Rendering):
    """One reply in the making. `play` once."""

    def __init__(self, script: Script, reply: Reply, asked: Asked) -> None:
        super().__init__(script, reply, asked)
        self._events = 0
        self._waiting = ""
        """Events that go out with the next piece."""
        self._output: list[JsonObject] = []
        """The items so far; the last may be open."""
        self._is_open = False

    def _stream(self) -> None:
        kind = self._reply.content_type or "text/event-stream"
        self._head = head(self._script, 200, kind, None, self._reply.headers)
        self._event("response.created", {"response": self._response("in_progress")})
        self._event("response.in_progress", {"response": self._response("in_progress")})
        if self._script.head_at_once:
            self._write_waiting(output=False)
        for step in self._reply.steps:
            for delta in self._deltas(step):
                self._piece(delta)
                self._write_waiting()
        self._close()
        status = self._status()
        self._event(f"response.{status}", {"response": self._response(status)})
        self._write_waiting()
        self._end_chunks()

    def _whole(self) -> None:
        for step in self._reply.steps:
            for delta in self._deltas(step, whole=True):
                self._piece(delta)
        self._close()
        payload = json.dumps(self._response(self._status())).encode()
        kind = self._reply.content_type or "application/json"
        self._put(head(self._script, 200, kind, len(payload), self._reply.headers) + payload)

    def _status(self) -> str:
        return "incomplete" if self._reply.reason == "length" else "completed"

    def _response(self, status: str) -> JsonObject:
        over = status != "in_progress"
        model = self._asked.model if self._reply.model is None else self._reply.model
        usage = self._usage()
        details = usage.get("prompt_tokens_details")
        counts: JsonObject = {
            "input_tokens": usage["prompt_tokens"],
            "input_tokens_details": {"cached_tokens": 0, **(details if isinstance(details, dict) else {})},
            "output_tokens": usage["completion_tokens"],
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": usage["total_tokens"],
        }
        return {
            "id": f"resp-{self._asked.messages}",
            "object": "response",
            "created_at": 1,
            "status": status,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            **({"model": model} if model else {}),
            "output": [*self._output] if over else [],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "usage": counts if over else None,
            **(self._reply.extra if over else {}),
        }

    def _piece(self, delta: JsonObject) -> None:
        """One piece of an item, which is opened where it is the first."""
        if isinstance(text := delta.get("content"), str):
            self._text("message", text)
        elif isinstance(text := delta.get("reasoning"), str):
            self._text("reasoning", text)
        elif isinstance(calls := delta.get("tool_calls"), list):
            for call in calls:
                assert isinstance(call, dict)
                self._call_piece(call)

    def _text(self, kind: _Kind, text: str) -> None:
        part, prefix = _PARTS[kind]
        if not (self._is_open and self._output[-1]["type"] == kind):
            more: JsonObject = {"role": "assistant"} if kind == "message" else {"summary": []}
            self._open({"type": kind, **more, "content": []}, prefix)
            self._event("response.content_part.added", self._place() | {"content_index": 0, "part": _part(part, "")})
            self._output[-1]["content"] = [_part(part, "")]
        content = self._output[-1]["content"]
        assert isinstance(content, list)
        assert isinstance(content[0], dict)
        content[0]["text"] = f"{content[0]['text']}{text}"
        self._event(f"response.{part}.delta", self._place() | {"content_index": 0, "delta": text})

    def _call_piece(self, call: JsonObject) -> None:
        function = call["function"]
        assert isinstance(function, dict)
        if "id" in call:
            named: JsonObject = {"call_id": call["id"], "name": function["name"]}
            self._open({"type": "function_call", **named, "arguments": ""}, "fc")
        item, piece = self._output[-1], function["arguments"]
        item["arguments"] = f"{item['arguments']}{piece}"
        self._event("response.function_call_arguments.delta", self._place() | {"delta": piece})

    def _open(self, item: JsonObject, prefix: str) -> None:
        self._close()
        opened = {"id": f"{prefix}-{self._asked.messages}-{len(self._output)}", **item, "status": "in_progress"}
        self._output.append(opened)
        self._is_open = True
        self._event("response.output_item.added", {"output_index": len(self._output) - 1, "item": opened})

    def _close(self) -> None:
        """Everything that ends the open item."""
        if not self._is_open:
            return
        self._is_open = False
        item = self._output[-1]
        item["status"] = "completed"
        if item["type"] == "function_call":
            done: JsonObject = {"name": item["name"], "arguments": item["arguments"]}
            self._event("response.function_call_arguments.done", self._place() | done)
        else:
            content = item["content"]
            assert isinstance(content, list)
            (part,) = content
            assert isinstance(part, dict)
            place = self._place() | {"content_index": 0}
            self._event(f"response.{part['type']}.done", place | {"text": part["text"]})
            self._event("response.content_part.done", place | {"part": part})
        self._event("response.output_item.done", {"output_index": len(self._output) - 1, "item": item})

    def _place(self) -> JsonObject:
        return {"item_id": self._output[-1]["id"], "output_index": len(self._output) - 1}

    def _event(self, kind: str, content: JsonObject) -> None:
        event = {"type": kind, "sequence_number": self._events, **content}
        self._events += 1
        self._waiting += f"event: {kind}\ndata: {json.dumps(event)}\n\n"

    def _write_waiting(self, *, output: bool = True) -> None:
        waiting, self._waiting = self._waiting, ""
        self._write(waiting, output=output)


def _part(kind: str, text: str) -> dict[str, JsonValue]:
    return {"type": kind, "text": text, **({"annotations": []} if kind == "output_text" else {})}
