"""The conversation of one query, from the span of the agent that held it, in the form that chat templates take.

Spans of PydanticAI's agents hold all messages where content is on, as it is here; other conventions are not read. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from punie_trace.spans import names
from punie_trace.spans.span import Span

Message = dict[str, Any]
ALL_MESSAGES: Final = "pydantic_ai.all_messages"
INSTRUCTIONS: Final = "gen_ai.system_instructions"


@dataclass(frozen=True, slots=True)
class Conversation:
    """Messages as OpenAI's API has them, arguments of calls as objects, and the tools that were offered."""

    messages: tuple[Message, ...]
    tools: tuple[Message, ...]

    @property
    def results(self) -> tuple[str, ...]:
        """What tools returned."""
        return tuple(str(one["content"]) for one in self.messages if one["role"] == "tool")

    @property
    def calls(self) -> bool:
        """Whether a tool was called."""
        return any(one.get("tool_calls") for one in self.messages)


def conversation_of(spans: Sequence[Span]) -> Conversation | None:
    """The conversation in a query's trace; None where its agent wrote none, or it does not end with an answer."""
    agent = next((one for one in spans if ALL_MESSAGES in one.attributes), None)
    if agent is None:
        return None
    instructions = _parts_text(_list(agent.attributes.get(INSTRUCTIONS)))
    messages: list[Message] = [{"role": "system", "content": instructions}] if instructions else []
    for one in _list(agent.attributes[ALL_MESSAGES]):
        messages += _messages(one)
    if not messages or messages[-1]["role"] != "assistant" or messages[-1].get("tool_calls"):
        return None
    offered = next((one.attributes[names.GEN_AI_TOOL_DEFINITIONS] for one in spans if _offers(one)), None)
    return Conversation(tuple(messages), tuple(map(_definition, _list(offered))))


def _messages(message: Mapping[str, Any]) -> list[Message]:
    parts = [one for one in message.get("parts") or () if isinstance(one, Mapping)]
    if message.get("role") == "assistant":
        calls = [_call(one) for one in parts if one.get("type") == "tool_call"]
        message_of_parts: Message = {"role": "assistant", "content": _parts_text(parts)}
        return [{**message_of_parts, "tool_calls": calls} if calls else message_of_parts]
    found = [
        {"role": "tool", "tool_call_id": str(one.get("id")), "content": _text(one.get("result"))}
        for one in parts
        if one.get("type") == "tool_call_response"
    ]
    text = _parts_text(parts)
    return [*found, {"role": str(message.get("role") or "user"), "content": text}] if text else found


def _call(part: Mapping[str, Any]) -> Message:
    arguments = part.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except ValueError:
            arguments = {}
    function = {"name": str(part.get("name")), "arguments": arguments or {}}
    return {"id": str(part.get("id")), "type": "function", "function": function}


def _definition(tool: Mapping[str, Any]) -> Message:
    if "function" in tool:
        return dict(tool)
    return {"type": "function", "function": {key: value for key, value in tool.items() if key != "type"}}


def _offers(span: Span) -> bool:
    return names.GEN_AI_TOOL_DEFINITIONS in span.attributes


def _parts_text(parts: Sequence[Mapping[str, Any]]) -> str:
    return "".join(str(one.get("content") or "") for one in parts if one.get("type") == "text")


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _list(value: object) -> list[Mapping[str, Any]]:
    try:
        found = json.loads(value) if isinstance(value, str) else None
    except (ValueError, RecursionError):
        return []
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
