"""Messages and tools of a chat request: their shapes and sizes, before the chat template is given them. Pure.

Templates fail in their own ways on shapes that they do not expect, and take time by the number of messages (some of
them by its square); `RefusedError` says where in the body what is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from punie_trace.errors import nearest
from punie_trace.records import JsonValue
from punie_trace.serving.refusal import RefusedError
from punie_trace.serving.template_arguments import check_size

ROLES: Final = ("system", "developer", "user", "assistant", "tool", "function")
MOST_MESSAGES: Final = 4096
MOST_TOOLS: Final = 1024
MOST_DEPTH: Final = 64
"""Of a tool's schema, and of the arguments of a call."""
_MOST_VALUES: Final = 1 << 18
_IMAGES: Final = ("image_url", "input_image", "image")
Body = dict[str, JsonValue]


def check_messages(messages: JsonValue) -> list[JsonValue]:
    """The conversation as the chat template may have it. Raises `RefusedError` (400) that names the message."""
    if not isinstance(messages, list) or not messages:
        raise RefusedError(400, f"messages must be a list that is not empty, not {kind_of(messages)}")
    if len(messages) > MOST_MESSAGES:
        raise RefusedError(400, f"messages holds {len(messages)}, and {MOST_MESSAGES} are the most")
    return [_message(message, f"messages[{number}]") for number, message in enumerate(messages)]


def _message(message: JsonValue, where: str) -> Body:
    if not isinstance(message, dict):
        raise RefusedError(400, f"{where} must be an object, not {kind_of(message)}")
    check_nested(message, where)
    role = message.get("role")
    if role not in ROLES:
        known = f"roles are: {', '.join(ROLES)}"
        hint = f"{nearest(role, ROLES)} {known}" if isinstance(role, str) and role else known
        raise RefusedError(400, f"{where}.role is {kind_of(role) if not isinstance(role, str) else repr(role)}; {hint}")
    checked = dict(message)
    if checked.get("content") is not None:
        _content(checked["content"], f"{where}.content")
    elif role != "assistant" or not (message.get("tool_calls") or "content" in message):
        raise RefusedError(400, f"{where} has no content")
    calls = checked.pop("tool_calls", None)
    if calls is not None:
        if not isinstance(calls, list):
            raise RefusedError(400, f"{where}.tool_calls must be a list, not {kind_of(calls)}")
        for number, call in enumerate(calls):
            _call(call, f"{where}.tool_calls[{number}]")
        if calls:
            checked["tool_calls"] = calls
    return checked


def _content(content: JsonValue, where: str) -> None:
    if isinstance(content, str):
        return
    if not isinstance(content, list):
        raise RefusedError(400, f"{where} must be a text or a list of parts, not {kind_of(content)}")
    for number, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else None
        if isinstance(part, dict) and kind == "text" and isinstance(part.get("text"), str):
            continue
        if isinstance(part, dict) and kind in _IMAGES and _image_url(part):
            continue
        raise RefusedError(400, f'{where}[{number}] must be like {{"type": "text", "text": "..."}} or an image')


def _image_url(part: Mapping[str, JsonValue]) -> bool:
    """An image comes in the request: a server that fetches addresses for its clients could be sent anywhere."""
    url = part.get("image_url", part.get("image"))
    url = url.get("url") if isinstance(url, dict) else url
    return isinstance(url, str) and url.startswith("data:")


def _call(call: JsonValue, where: str) -> None:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise RefusedError(400, f'{where} must be like {{"type": "function", "function": {{"name": ..., ...}}}}')
    arguments = function.get("arguments")
    if isinstance(arguments, str) and arguments:
        try:
            arguments = json.loads(arguments)
        except (ValueError, RecursionError) as error:
            raise RefusedError(400, f"{where}.function.arguments is not JSON: {error}") from None
        check_nested(arguments, f"{where}.function.arguments")
    if arguments is not None and not isinstance(arguments, dict | str):
        raise RefusedError(400, f"{where}.function.arguments must be a JSON object, not {kind_of(arguments)}")


def check_tools(body: Body) -> None:
    """Raises `RefusedError` (400) that names the tool."""
    tools = body.get("tools")
    if tools is None:
        return
    if not isinstance(tools, list):
        raise RefusedError(400, f"tools must be a list, not {kind_of(tools)}")
    if len(tools) > MOST_TOOLS:
        raise RefusedError(400, f"tools holds {len(tools)}, and {MOST_TOOLS} are the most")
    for number, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise RefusedError(
                400, f'tools[{number}] must be like {{"type": "function", "function": {{"name": ..., ...}}}}'
            )
        check_nested(tool, f"tools[{number}]")


def check_nested(value: JsonValue, where: str) -> None:
    """Raises `RefusedError` (400) where `value` is nested too deeply to be written, or has too many parts."""
    check_size(value, where, values=_MOST_VALUES, characters=1 << 62, depth=MOST_DEPTH)


def kind_of(value: JsonValue) -> str:
    """What a JSON value is, in words for messages."""
    if value is None:
        return "nothing"
    return {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list"}.get(
        type(value), "an object"
    )
