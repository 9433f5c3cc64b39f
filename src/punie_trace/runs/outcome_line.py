"""One outcome as one line of JSON, for `outcomes.jsonl`: there and back.

It says what a line must hold and holds equal texts once. It opens no file: `writer` appends the lines and
`reader` reads them.
"""

from __future__ import annotations

import json
import math
import sys
from dataclasses import fields
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final, get_args

from pydantic import JsonValue
from pydantic_core import from_json

from punie_trace.records import Evaluation, Outcome, ToolCall, TurnOutcome, Verdict
from punie_trace.records import Path as AskPath

_KINDS: Final[dict[str, tuple[type, ...]]] = {
    **dict.fromkeys(("seq", "round", "due_ns", "sent_ns", "done_ns", "generations"), (int,)),
    **dict.fromkeys(("configuration", "query", "trace_id", "answer"), (str,)),
    **dict.fromkeys(("input_tokens", "output_tokens", "cached_tokens", "ttft_ns"), (int, type(None))),
    **dict.fromkeys(("error", "served_model"), (str, type(None))),
}
"""What a line must hold. A bool is no int here: JSON tells them apart."""
_KNOWN_KINDS: Final[set[tuple[type, ...]]] = set()
_of_all: Final = itemgetter(*_KINDS)
_COUNTS: Final = ("seq", "round", "generations", "input_tokens", "output_tokens", "cached_tokens", "ttft_ns")
_PATHS: Final = get_args(AskPath)
_VERDICTS: Final = {verdict.value: verdict for verdict in Verdict}
_FIELDS: Final = tuple(field.name for field in fields(Outcome))
_TURN_FIELDS: Final = tuple(field.name for field in fields(TurnOutcome))
_DEEPEST: Final = 64
"""Levels of nesting that are kept where there are more than can be written."""
TIME_LIMIT: Final = 2**63
"""No time and no count reaches it: a number of 400 digits cannot even be divided."""
_ENCODER: Final = json.JSONEncoder(allow_nan=False, separators=(",", ":"))


def encode_outcome(outcome: Outcome) -> bytes:
    """One line of `outcomes.jsonl`, newline included, in ASCII: no text of a model can break the line."""
    # Not `asdict`, which copies all of a tool's arguments: this runs once for each query while queries are timed.
    values: dict[str, Any] = {name: getattr(outcome, name) for name in _FIELDS}
    values["tool_calls"] = [_of_call(call) for call in outcome.tool_calls]
    if outcome.evaluations:
        values["evaluations"] = [
            {"name": e.name, "value": e.value, "reason": e.reason, "source": e.source} for e in outcome.evaluations
        ]
    else:
        del values["evaluations"]  # most suites have none, and a line is written while queries are timed
    if outcome.asked_before is None:
        del values["asked_before"]
    if outcome.turns:
        values["turns"] = [_of_turn(turn) for turn in outcome.turns]
    else:
        del values["turns"]
    try:
        text = _ENCODER.encode(values)
    except (ValueError, RecursionError):  # a model may write NaN among a tool's arguments, or nest them without end
        text = _ENCODER.encode(_writable(values))
    return text.encode("ascii") + b"\n"


def _of_call(call: ToolCall) -> dict[str, JsonValue]:
    values: dict[str, JsonValue] = {"name": call.name, "arguments": call.arguments, "ok": call.ok}
    return values if call.refused is None else {**values, "refused": call.refused}


def _of_turn(turn: TurnOutcome) -> dict[str, Any]:
    values: dict[str, Any] = {name: getattr(turn, name) for name in _TURN_FIELDS}
    values["tool_calls"] = [_of_call(call) for call in turn.tool_calls]
    return values


def decode_outcome(line: str) -> Outcome:
    """The outcome of one line. Raises `ValueError` that names what is missing or of the wrong kind."""
    try:
        values = from_json(line, cache_strings="keys")
    except ValueError:
        try:
            values = json.loads(line)  # which takes half of a surrogate pair, as a model may write it
        except RecursionError:
            raise ValueError("nested too deeply") from None
        if isinstance(values, dict) and isinstance(calls := values.get("tool_calls"), list):
            values["tool_calls"] = _writable(calls)
    if not isinstance(values, dict):
        raise ValueError("not a JSON object")
    _check_kinds(values)
    if not 0 <= values["due_ns"] <= values["sent_ns"] <= values["done_ns"] < TIME_LIMIT:
        raise ValueError("'due_ns', 'sent_ns' and 'done_ns' are not times one after another")
    _check_counts(values)
    path, verdict, model = values.get("path"), values.get("verdict"), values["served_model"]
    if path not in _PATHS:
        raise ValueError(f"'path' is {path!r}")
    return Outcome(
        seq=values["seq"],
        round=values["round"],
        configuration=sys.intern(values["configuration"]),
        query=sys.intern(values["query"]),
        path=sys.intern(path),
        due_ns=values["due_ns"],
        sent_ns=values["sent_ns"],
        done_ns=values["done_ns"],
        verdict=_VERDICTS[verdict] if isinstance(verdict, str) and verdict in _VERDICTS else Verdict(verdict),
        error=values["error"],
        trace_id=values["trace_id"],
        answer=_held_once(values["answer"]),
        tool_calls=_tool_calls(values.get("tool_calls")),
        generations=values["generations"],
        input_tokens=values["input_tokens"],
        output_tokens=values["output_tokens"],
        cached_tokens=values["cached_tokens"],
        ttft_ns=values["ttft_ns"],
        served_model=None if model is None else sys.intern(model),
        evaluations=_evaluations(values.get("evaluations")),
        asked_before=_count(values.get("asked_before"), "asked_before"),
        turns=_turns(values["turns"]) if "turns" in values else (),
    )


def _turns(values: object) -> tuple[TurnOutcome, ...]:
    """The turns of a session; a query of one question has none."""
    if not isinstance(values, list):
        raise ValueError("'turns' is not a list")
    return tuple(_turn(value, number) for number, value in enumerate(values, start=1))


def _turn(values: object, number: int) -> TurnOutcome:
    if not isinstance(values, dict):
        raise ValueError(f"turn {number} is no JSON object")
    for name in _TURN_FIELDS:
        if name not in values:
            raise ValueError(f"{name!r} of turn {number} is missing")
        if name in _KINDS and type(values[name]) not in _KINDS[name]:
            raise ValueError(f"{name!r} of turn {number} is {values[name]!r}")
    _check_counts(values)
    if not 0 <= values["due_ns"] <= values["sent_ns"] <= values["done_ns"] < TIME_LIMIT:
        raise ValueError(f"'due_ns', 'sent_ns' and 'done_ns' of turn {number} are not times one after another")
    read = {"tool_calls": _tool_calls(values["tool_calls"]), "verdict": Verdict(values["verdict"])}
    return TurnOutcome(**{name: read.get(name, values[name]) for name in _TURN_FIELDS})


def _check_kinds(values: dict[str, Any]) -> None:
    """Raises `ValueError` for what is missing or of the wrong kind. Lines of the same kinds are looked at once."""
    try:
        kinds = tuple(map(type, _of_all(values)))
    except KeyError as error:
        raise ValueError(f"{error.args[0]!r} is missing") from None
    if kinds in _KNOWN_KINDS:
        return
    for name, kind in zip(_KINDS, kinds, strict=True):
        if kind not in _KINDS[name]:
            raise ValueError(f"{name!r} is {values[name]!r}")
    _KNOWN_KINDS.add(kinds)


def _check_counts(values: dict[str, Any]) -> None:
    """Raises `ValueError` for a count that is none; a turn has not all of them."""
    for name in _COUNTS:
        value = values.get(name)
        if value is not None and not 0 <= value < TIME_LIMIT:
            raise ValueError(f"{name!r} is no count that there can be")


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
        return tuple(
            ToolCall(str(call["name"]), dict(call["arguments"]), bool(call["ok"]), call.get("refused"))
            for call in values
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"'tool_calls' does not hold name, arguments and ok: {error}") from error


def _count(value: object, name: str) -> int | None:
    if value is not None and (type(value) is not int or not 0 <= value < TIME_LIMIT):
        raise ValueError(f"{name!r} is {value!r}")
    return value


def _evaluations(values: object) -> tuple[Evaluation, ...]:
    """None in lines of versions that ran no evaluators."""
    if values is None:
        return ()
    if not isinstance(values, list):
        raise ValueError("'evaluations' is not a list")
    return tuple(_evaluation(value) for value in values)


def _evaluation(value: object) -> Evaluation:
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise ValueError("'evaluations' does not hold names")
    found, reason = value.get("value"), value.get("reason")
    if found is not None and not isinstance(found, bool | int | float | str):
        raise ValueError(f"the evaluation {value['name']!r} is neither a truth, a number nor a text")
    if isinstance(found, int) and abs(found) >= TIME_LIMIT:
        found = str(found)  # an evaluator may return it; no mean can be taken of it
    return Evaluation(
        sys.intern(value["name"]),
        found,
        None if reason is None else _held_once(str(reason)),
        sys.intern(str(value.get("source", ""))),
    )


def _writable(value: JsonValue, depth: int = 0) -> JsonValue:
    """`value` in a form that JSON has, and no deeper than `_DEEPEST`."""
    if depth > _DEEPEST and isinstance(value, dict | list | tuple):
        return "(nested too deeply to be kept)"
    match value:
        case float() if not math.isfinite(value):
            return str(value)
        case dict():
            return {key: _writable(item, depth + 1) for key, item in value.items()}
        case list() | tuple():
            return [_writable(item, depth + 1) for item in value]
        case _:
            return value
