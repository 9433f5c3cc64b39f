"""What a query did, read from its spans: the generations it had and the tool calls it made, whoever's agent it was.

Live runs and traces from elsewhere go through this one reading. Executed calls are spans that a convention calls
a tool; what a generation asked for and no such span answers was not executed. Pure.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from punie_trace.records import Generation, JsonValue, ToolCall
from punie_trace.spans import conventions, names
from punie_trace.spans.code_runs import code_runs, is_code_run, problem_of
from punie_trace.spans.sent_results import ERROR_PREFIX
from punie_trace.spans.span import AttributeValue, Span
from punie_trace.spans.written_calls import parse_arguments

Defaults: TypeAlias = Mapping[str, Mapping[str, JsonValue]]
"""Tool's name -> argument's name -> the value that it has where a call leaves it out."""

_NOT_EXECUTED: Final = "the agent did not execute it"


def generations_of(spans: Sequence[Span]) -> list[Generation]:
    """The generations among `spans`, in their order."""
    return [_generation(span) for span in conventions.generations(spans)]


def calls_of(spans: Sequence[Span], defaults: Defaults | None = None, *, by_messages: bool = False) -> list[ToolCall]:
    """The tool calls among `spans`, in their order; then those that a generation asked for and no span shows.

    Nobody executed these, but with `by_messages`, where no tool makes a span (a program's own, some frameworks'): there
    a call is good where a later request brings its result.

    Arguments that a call leaves out have their default where `defaults` gives one: calls that mean the same are equal.

    Calls that code made are calls like all others. The code itself is one where it called no tool, and where it was
    refused or stopped.
    """
    tools = conventions.tools(spans)
    mere = {one.span.span_id for one in code_runs(spans) if one.nested and one.problem is None}
    calls = [_call(span, defaults or {}) for span in tools if span.span_id not in mere]
    elsewhere = _answered_elsewhere(spans) if by_messages and not tools else None
    answered = Counter((tool.call_id or "", tool.name) for tool in map(conventions.tool_of, tools))
    for span in spans:
        for written in _written(span):
            key = (str(written.get("id") or ""), str(written.get("name") or "").strip())  # as `tool_of` has names
            found = next((one for one in (key, ("", key[1])) if answered[one] > 0), None)
            if found is not None:
                answered[found] -= 1
                continue
            arguments, problem = parse_arguments(str(written.get("arguments") or ""))
            filled = _filled(key[1], arguments or {}, defaults or {})
            if elsewhere is not None:
                # Without a result, whether it was run cannot be seen: a program may end with its last call.
                calls.append(ToolCall(key[1], filled, ok=problem is None and elsewhere.get(key[0], False)))
                continue
            calls.append(ToolCall(key[1], filled, ok=False, refused=problem or _NOT_EXECUTED))
    return calls


def _generation(span: Span) -> Generation:
    attributes = span.attributes
    at = {event.name: event.time_ns for event in span.events}
    reasons = attributes.get(names.GEN_AI_FINISH_REASONS)
    usage = conventions.usage_of(span)
    return Generation(
        sent_ns=span.start_ns,
        done_ns=span.end_ns,
        first_byte_ns=at.get(names.EVENT_FIRST_BYTE),
        prefill_end_ns=at.get(names.EVENT_PREFILL_END),
        first_chunk_ns=at.get(names.EVENT_FIRST_CHUNK),
        last_chunk_ns=at.get(names.EVENT_LAST_CHUNK),
        chunks=_count(attributes, names.CHUNKS) or 0,
        status=_count(attributes, names.HTTP_STATUS),
        error=span.error,
        requested_model=usage.requested_model,
        served_model=usage.served_model,
        fingerprint=_text(attributes, names.FINGERPRINT),
        finish_reason=str(reasons[0]) if isinstance(reasons, tuple) and reasons else None,
        tool_calls=_count(attributes, names.TOOL_CALLS) or 0,
        unusable_call=_text(attributes, names.UNUSABLE_CALL),
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cached_tokens=usage.cached_tokens,
    )


def _call(span: Span, defaults: Defaults) -> ToolCall:
    attributes = span.attributes
    tool = conventions.tool_of(span)
    name, result = tool.name, tool.result or ""
    arguments, problem = parse_arguments(tool.arguments or "")
    if is_code_run(span):
        stopped = problem_of(span)
        why = None if stopped is None else f"{stopped.kind}: {stopped.text}"
        return ToolCall(name, arguments or {}, stopped is None, why)
    refused = _text(attributes, names.TOOL_REFUSED)
    if refused is None and attributes.get(names.PYDANTIC_AI_TOOL_FAILURE) == "validation":
        refused = problem or " ".join(result.split()) or span.error or _NOT_EXECUTED
    ok = refused is None and span.error is None and not result.startswith(ERROR_PREFIX)
    return ToolCall(name, _filled(name, arguments or {}, defaults), ok, refused)


def _filled(name: str, arguments: dict[str, JsonValue], defaults: Defaults) -> dict[str, JsonValue]:
    """The arguments with what they leave out, in the order of the tool's own parameters where they are known."""
    known = defaults.get(name)
    if not known:
        return arguments
    return {**arguments, **{key: value for key, value in known.items() if key not in arguments}}


def _written(span: Span) -> list[dict[str, JsonValue]]:
    return _list_in(span, names.WRITTEN_CALLS)


def _list_in(span: Span, attribute: str) -> list[dict[str, JsonValue]]:
    text = _text(span.attributes, attribute)
    if text is None:
        return []
    try:
        value = json.loads(text)
    except ValueError:
        return []
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _answered_elsewhere(spans: Sequence[Span]) -> dict[str, bool]:
    """The ids of calls whose results came with a later request, and whether they were said to be good."""
    found: dict[str, bool] = {}
    for span in spans:
        for call in _list_in(span, names.ANSWERED_CALLS):
            if isinstance(call_id := call.get("id"), str):
                found[call_id] = call.get("ok") is not False
    return found


def _text(attributes: Mapping[str, AttributeValue], key: str) -> str | None:
    value = attributes.get(key)
    return value if isinstance(value, str) else None


def _count(attributes: Mapping[str, AttributeValue], key: str) -> int | None:
    value = attributes.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
