"""What a request for tokens asks, in either form of OpenAI's API: its conversation, and what its answer depends on.

Chat completions have `messages`; responses have `input`, a text or a list of items, of which those that a model made in
one go (its reasoning, its text, its calls) are one turn of the assistant. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from pydantic import JsonValue

from punie_trace.testing.script import Rule

JsonObject = dict[str, JsonValue]
Form = Literal["chat", "responses"]
_BY_THE_MODEL: Final = ("reasoning", "function_call", "custom_tool_call")


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a request its answer depends on: equal requests get the same bytes."""

    model: str
    stream: bool
    usage: bool
    """Whether a stream is to report its token counts."""
    messages: int
    form: Form = "chat"


def asked_of(body: JsonObject, default_model: str, form: Form) -> Asked:
    """What an answer to `body` depends on."""
    options = body.get("stream_options")
    messages = body.get("messages" if form == "chat" else "input")
    return Asked(
        model=str(body.get("model") or default_model),
        stream=body.get("stream") is True,
        usage=form == "responses" or (isinstance(options, dict) and options.get("include_usage") is True),
        messages=len(messages) if isinstance(messages, list) else 1,
        form=form,
    )


def rule_fits(rule: Rule, body: JsonObject) -> bool:
    """Whether a request's last user message, and the turn that follows it, are those of `rule`."""
    messages = _messages(body)
    users = [number for number, message in enumerate(messages) if message.get("role") == "user"]
    if not users:
        return False
    after = messages[users[-1] :]
    turn = sum(message.get("role") == "assistant" for message in after)
    return rule.contains in _content(messages[users[-1]]) and rule.turn in (None, turn)


def _messages(body: JsonObject) -> list[JsonObject]:
    """The conversation as messages with roles, one for each turn of the assistant."""
    messages = body.get("messages")
    if messages is None:
        return _of_items(body.get("input"))
    return [message for message in messages if isinstance(message, dict)] if isinstance(messages, list) else []


def _of_items(items: JsonValue) -> list[JsonObject]:
    if isinstance(items, str):
        return [{"role": "user", "content": items}]
    found: list[JsonObject] = []
    for item in items if isinstance(items, list) else ():
        if not isinstance(item, dict):
            continue
        made = item.get("type") in _BY_THE_MODEL or item.get("role") == "assistant"
        role: JsonValue = "assistant" if made else item.get("role", "tool")
        if not (made and found and found[-1]["role"] == "assistant"):
            found.append({"role": role, "content": item.get("content")})
    return found


def _content(message: JsonObject) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return ""
