"""One outcome as one line of JSON, for `outcomes.jsonl`: there and back.

It says what a line must hold and holds equal texts once. It opens no file: `run_writer` appends the lines and
`runfile` reads them.
"""

from __future__ import annotations

import json
import math
import sys
from dataclasses import fields
from functools import lru_cache
from typing import Any, Final, get_args

from pydantic import JsonValue
from pydantic_core import from_json

from punie_trace.records import Outcome, ToolCall, Verdict
from punie_trace.records import Path as AskPath

_INTEGERS: Final = ("seq", "round", "due_ns", "sent_ns", "done_ns", "generations")
_TEXTS: Final = ("configuration", "query", "trace_id", "answer")
_NAMES: Final = ("configuration", "query", "served_model")
"""Texts of which a run has few, and its outcomes many: each is held once."""
_MAYBE_INTEGERS: Final = ("input_tokens", "output_tokens", "cached_tokens", "ttft_ns")
_MAYBE_TEXTS: Final = ("error", "served_model")
_FIELDS: Final = tuple(field.name for field in fields(Outcome))
_ENCODER: Final = json.JSONEncoder(allow_nan=False, separators=(",", ":"))


def encode_outcome(outcome: Outcome) -> bytes:
    """One line of `outcomes.jsonl`, newline included, in ASCII: no text of a model can break the line."""
    # Not `asdict`, which copies all of a tool's arguments: this runs once for each query while queries are timed.
    values: dict[str, Any] = {name: getattr(outcome, name) for name in _FIELDS}
    values["tool_calls"] = [{"name": c.name, "arguments": c.arguments, "ok": c.ok} for c in outcome.tool_calls]
    try:
        text = _ENCODER.encode(values)
    except ValueError:  # a model may write NaN among a tool's arguments, and JSON has none
        text = _ENCODER.encode(_finite(values))
    return text.encode("ascii") + b"\n"


def decode_outcome(line: str) -> Outcome:
    """The outcome of one line. Raises `ValueError` that names what is missing or of the wrong kind."""
    try:
        values = from_json(line, cache_strings="keys")
    except ValueError:
        values = json.loads(line)  # which takes half of a surrogate pair, as a model may write it
    if not isinstance(values, dict):
        raise ValueError("not a JSON object")
    fields: dict[str, Any] = {}
    for names, kinds in (
        (_INTEGERS, (int,)),
        (_TEXTS, (str,)),
        (_MAYBE_INTEGERS, (int, type(None))),
        (_MAYBE_TEXTS, (str, type(None))),
    ):
        for name in names:
            if name not in values:
                raise ValueError(f"{name!r} is missing")
            if not isinstance(values[name], kinds) or isinstance(values[name], bool):
                raise ValueError(f"{name!r} is {values[name]!r}")
            value = values[name]
            fields[name] = sys.intern(value) if isinstance(value, str) and name in _NAMES else value
    path = values.get("path")
    if path not in get_args(AskPath):
        raise ValueError(f"'path' is {path!r}")
    fields["answer"] = _held_once(fields["answer"])
    return Outcome(
        path=sys.intern(path),
        verdict=Verdict(values.get("verdict")),
        tool_calls=_tool_calls(values.get("tool_calls")),
        **fields,
    )


@lru_cache(maxsize=4096)
def _held_once(text: str) -> str:
    """The same object for equal texts: the answers to a query are mostly equal, and only differ where that matters."""
    return text


def _tool_calls(values: object) -> tuple[ToolCall, ...]:
    if not isinstance(values, list):
        raise ValueError("'tool_calls' is not a list")
    return _calls_held_once(json.dumps(values)) if values else ()


@lru_cache(maxsize=4096)
def _calls_held_once(text: str) -> tuple[ToolCall, ...]:
    values = json.loads(text)
    try:
        return tuple(ToolCall(str(call["name"]), dict(call["arguments"]), bool(call["ok"])) for call in values)
    except (KeyError, TypeError) as error:
        raise ValueError(f"'tool_calls' does not hold name, arguments and ok: {error}") from error


def _finite(value: JsonValue) -> JsonValue:
    match value:
        case float() if not math.isfinite(value):
            return str(value)
        case dict():
            return {key: _finite(item) for key, item in value.items()}
        case list() | tuple():
            return [_finite(item) for item in value]
        case _:
            return value
