"""What a request may hold: every field that could hurt is checked here, before mlx_lm's handler reads it.

Pure. mlx_lm's own checks (ranges of the sampling options) still follow; what is checked here is what it would trip over
in the thread that generates, where a mistake of one request would be everybody's: shapes of messages and tools, JSON in
JSON, text without a UTF-8 form, numbers that are none. `RefusedError` says where and what.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Final, NoReturn

from punie_trace.errors import nearest
from punie_trace.records import JsonValue
from punie_trace.serving.refusal import RefusedError

CHAT_PATHS: Final = ("/v1/chat/completions", "/chat/completions")
TEXT_PATHS: Final = ("/v1/completions",)
ROLES: Final = ("system", "developer", "user", "assistant", "tool", "function")
MAX_STOPS: Final = 64
MAX_SEED: Final = 2**63 - 1
_ESCAPED_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
"""Without one in the bytes, no text of the body can hold half of a surrogate pair."""
_IMAGES: Final = ("image_url", "input_image", "image")
_NUMBERS: Final = (
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repetition_penalty",
    "repetition_context_size",
    "presence_penalty",
    "presence_context_size",
    "frequency_penalty",
    "frequency_context_size",
    "xtc_probability",
    "xtc_threshold",
    "top_logprobs",
    "num_draft_tokens",
    "seed",
)

Body = dict[str, JsonValue]


def parse_body(raw: bytes) -> Body:
    """The JSON object in `raw`. Raises `RefusedError` (400) for anything else."""
    try:
        body = json.loads(raw.decode("utf-8"), parse_constant=_no_number)
    except UnicodeDecodeError as error:
        raise RefusedError(400, f"the body is not UTF-8 (byte {error.start})") from None
    except RecursionError:
        raise RefusedError(400, "the body is nested too deeply") from None
    except ValueError as error:  # JSONDecodeError is one, and so is a number of ten thousand digits
        raise RefusedError(400, f"the body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise RefusedError(400, f"the body must be a JSON object, not {_kind(body)}")
    if _ESCAPED_SURROGATE.search(raw):
        _encodable(body)
    return body


def check_body(body: Body, path: str) -> Body:
    """`body` as mlx_lm's handler may have it. Raises `RefusedError` (400) that names the field.

    Fields that are null are taken for absent, as OpenAI's clients mean them.
    """
    checked: Body = {key: value for key, value in body.items() if value is not None}
    for name in _NUMBERS:
        if name in checked:
            _number(name, checked[name])
    if not 0 <= _integer(checked.get("seed", 0), "seed") <= MAX_SEED:
        raise RefusedError(400, f"seed must be between 0 and {MAX_SEED}")
    for name in ("xtc_probability", "xtc_threshold"):  # mlx_lm takes no integer for these
        if isinstance(value := checked.get(name), int):
            checked[name] = float(value)
    _model(checked)
    _stream(checked)
    _stops(checked)
    _template(checked)
    if path in CHAT_PATHS:
        checked["messages"] = _messages(checked.get("messages"))
        _tools(checked)
    else:
        prompt = checked.get("prompt")
        if not isinstance(prompt, str) or not prompt:
            raise RefusedError(400, f"prompt must be a text that is not empty, not {_kind(prompt)}")
    return checked


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _encodable(value: JsonValue) -> None:
    """Half of a surrogate pair is legal JSON and no text: tokenizers fail on it."""
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise RefusedError(400, "the body holds half of a surrogate pair, which is no text") from None


def _number(name: str, value: JsonValue) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise RefusedError(400, f"{name} must be a number, not {_kind(value)}")


def _integer(value: JsonValue, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise RefusedError(400, f"{name} must be a whole number, not {_kind(value)}")
    return value


def _model(body: Body) -> None:
    for name in ("model", "draft_model", "adapters"):
        if name in body and (not isinstance(body[name], str) or not body[name]):
            raise RefusedError(400, f"{name} must be a name, not {_kind(body[name])}")


def _stream(body: Body) -> None:
    options = body.get("stream_options")
    if options is None:
        return
    if not isinstance(options, dict) or not isinstance(options.get("include_usage", False), bool):
        raise RefusedError(400, 'stream_options must be an object like {"include_usage": true}')
    body["stream_options"] = {**options, "include_usage": options.get("include_usage", False)}


def _stops(body: Body) -> None:
    if "stop" not in body:
        return
    stops = body["stop"]
    stops = [stops] if isinstance(stops, str) else stops
    if not isinstance(stops, list) or not all(isinstance(one, str) and one for one in stops):
        raise RefusedError(400, "stop must be a text or a list of texts, none of them empty")
    if len(stops) > MAX_STOPS:
        raise RefusedError(400, f"stop holds {len(stops)} texts, and {MAX_STOPS} are the most")
    body["stop"] = stops


def _template(body: Body) -> None:
    for name in ("chat_template_kwargs", "role_mapping", "logit_bias"):
        if name in body and not isinstance(body[name], dict):
            raise RefusedError(400, f"{name} must be an object, not {_kind(body[name])}")
    mapping = body.get("role_mapping")
    if isinstance(mapping, dict) and not all(isinstance(value, str) for value in mapping.values()):
        raise RefusedError(400, "role_mapping must map roles to texts")


def _messages(messages: JsonValue) -> list[JsonValue]:
    if not isinstance(messages, list) or not messages:
        raise RefusedError(400, f"messages must be a list that is not empty, not {_kind(messages)}")
    return [_message(message, f"messages[{number}]") for number, message in enumerate(messages)]


def _message(message: JsonValue, where: str) -> Body:
    if not isinstance(message, dict):
        raise RefusedError(400, f"{where} must be an object, not {_kind(message)}")
    role = message.get("role")
    if role not in ROLES:
        known = f"roles are: {', '.join(ROLES)}"
        hint = f"{nearest(role, ROLES)} {known}" if isinstance(role, str) and role else known
        raise RefusedError(400, f"{where}.role is {_kind(role) if not isinstance(role, str) else repr(role)}; {hint}")
    checked = dict(message)
    if checked.get("content") is not None:
        _content(checked["content"], f"{where}.content")
    elif role != "assistant" or not (message.get("tool_calls") or "content" in message):
        raise RefusedError(400, f"{where} has no content")
    calls = checked.pop("tool_calls", None)
    if calls is not None:
        if not isinstance(calls, list):
            raise RefusedError(400, f"{where}.tool_calls must be a list, not {_kind(calls)}")
        for number, call in enumerate(calls):
            _call(call, f"{where}.tool_calls[{number}]")
        if calls:
            checked["tool_calls"] = calls
    return checked


def _content(content: JsonValue, where: str) -> None:
    if isinstance(content, str):
        return
    if not isinstance(content, list):
        raise RefusedError(400, f"{where} must be a text or a list of parts, not {_kind(content)}")
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
    if arguments is not None and not isinstance(arguments, dict | str):
        raise RefusedError(400, f"{where}.function.arguments must be a JSON object, not {_kind(arguments)}")


def _tools(body: Body) -> None:
    tools = body.get("tools")
    if tools is None:
        return
    if not isinstance(tools, list):
        raise RefusedError(400, f"tools must be a list, not {_kind(tools)}")
    for number, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise RefusedError(
                400, f'tools[{number}] must be like {{"type": "function", "function": {{"name": ..., ...}}}}'
            )


def _kind(value: JsonValue) -> str:
    if value is None:
        return "nothing"
    return {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list"}.get(
        type(value), "an object"
    )
