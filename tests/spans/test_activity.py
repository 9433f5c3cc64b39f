"""Calls and generations are read from spans: executed, refused, or asked for and never run."""

from __future__ import annotations

import json

from punie_trace.records import ToolCall
from punie_trace.spans import names
from punie_trace.spans.activity import calls_of, generations_of
from punie_trace.spans.span import AttributeValue, Span, SpanEvent


def span(name: str, attributes: dict[str, AttributeValue], error: str | None = None) -> Span:
    return Span("t", "s", None, name, "INTERNAL", 1, 9, attributes, (SpanEvent(names.EVENT_FIRST_CHUNK, 4),), error)


def tool(call_id: str, arguments: str, result: str = "ok", error: str | None = None, **more: AttributeValue) -> Span:
    attributes: dict[str, AttributeValue] = {
        names.GEN_AI_OPERATION: "execute_tool",
        names.GEN_AI_TOOL_NAME: "find",
        names.GEN_AI_TOOL_CALL_ID: call_id,
        names.GEN_AI_TOOL_ARGUMENTS: arguments,
        names.GEN_AI_TOOL_RESULT: result,
    }
    return span(
        "execute_tool find", {**attributes, **{getattr(names, key): value for key, value in more.items()}}, error
    )


def generation(*calls: tuple[str, str, str]) -> Span:
    written = [{"id": call_id, "name": name, "arguments": arguments} for call_id, name, arguments in calls]
    return span("POST", {names.SEGMENT: "generation", names.WRITTEN_CALLS: json.dumps(written), names.CHUNKS: 3})


def test_an_executed_call_has_what_it_left_out() -> None:
    defaults = {"find": {"path": "."}}
    left_out, said = tool("a", '{"name": "X"}'), tool("b", '{"name": "X", "path": "."}')
    first, second = calls_of([left_out, said], defaults)
    assert first == second == ToolCall("find", {"name": "X", "path": "."}, True)


def test_a_tool_that_failed_was_executed() -> None:
    raised, told = calls_of([tool("a", "{}", error="ValueError"), tool("b", "{}", "error: there is no such file")])
    assert [(call.ok, call.refused) for call in (raised, told)] == [(False, None)] * 2


def test_a_call_that_was_refused_says_why() -> None:
    ours = tool("a", "{}", TOOL_REFUSED="name: Field required")
    theirs = tool("b", "{oops", "fix it", PYDANTIC_AI_TOOL_FAILURE="validation")
    assert [call.refused for call in calls_of([ours])] == ["name: Field required"]
    (call,) = calls_of([theirs])
    assert call.refused is not None
    assert "not JSON" in call.refused


def test_a_call_that_nobody_ran_is_there_with_a_reason() -> None:
    calls = calls_of([generation(("a", "find", "{}"), ("b", "gone", "{}"), ("c", "find", "{oops")), tool("a", "{}")])
    assert [(call.name, call.ok) for call in calls] == [("find", True), ("gone", False), ("find", False)]
    assert calls[1].refused == "the agent did not execute it"
    assert "not JSON" in str(calls[2].refused)


def test_a_generation_is_what_its_span_says() -> None:
    (one,) = generations_of([generation(), tool("a", "{}")])
    assert (one.sent_ns, one.first_chunk_ns, one.done_ns, one.chunks) == (1, 4, 9, 3)
