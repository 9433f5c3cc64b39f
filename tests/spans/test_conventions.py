"""What each framework's spans mean, with attributes as their tracers write them."""

from __future__ import annotations

import json

import pytest

from punie_trace.spans import names
from punie_trace.spans.activity import calls_of, generations_of
from punie_trace.spans.conventions import SpanKind, ToolSpan, Usage, generations, kind_of, tool_of, tools, usage_of
from punie_trace.spans.open_spans import intervals
from punie_trace.spans.span import AttributeValue, Span

TRACE = "a" * 32
Attributes = dict[str, AttributeValue]


def span(number: int, attributes: Attributes, parent: int | None = None, name: str = "s") -> Span:
    above = None if parent is None else f"{parent:016x}"
    return Span(TRACE, f"{number:016x}", above, name, "INTERNAL", number, number + 10, attributes)


OTEL_CHAT: Attributes = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.model": "gpt-4o-2024-08-06",
    "gen_ai.usage.input_tokens": 120,
    "gen_ai.usage.output_tokens": 30,
    "gen_ai.usage.cache_read.input_tokens": 64,
}
OTEL_TOOL: Attributes = {
    "gen_ai.operation.name": "execute_tool",
    "gen_ai.tool.name": "get_weather",
    "gen_ai.tool.call.id": "call_1",
    "gen_ai.tool.call.arguments": '{"city":"Paris"}',
    "gen_ai.tool.call.result": "rainy, 14 C",
}
OLD_CHAT: Attributes = {
    "gen_ai.system": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.model": "gpt-4o-2024-08-06",
    "gen_ai.usage.prompt_tokens": 120,
    "gen_ai.usage.completion_tokens": 30,
}
OLD_PYDANTIC_AI_TOOL: Attributes = {
    "gen_ai.tool.name": "get_weather",
    "gen_ai.tool.call.id": "call_1",
    "tool_arguments": '{"city":"Paris"}',
    "tool_response": "rainy, 14 C",
    "logfire.msg": "running tool: get_weather",
}
OPENINFERENCE_LLM: Attributes = {
    "openinference.span.kind": "LLM",
    "llm.model_name": "gpt-4o",
    "llm.provider": "openai",
    "llm.token_count.prompt": 120,
    "llm.token_count.completion": 30,
    "llm.token_count.total": 150,
    "llm.token_count.prompt_details.cache_read": 64,
    "input.mime_type": "application/json",
    "input.value": '{"messages":[{"role":"user","content":"hi"}]}',
}
OPENINFERENCE_TOOL: Attributes = {
    "openinference.span.kind": "TOOL",
    "tool.name": "get_weather",
    "tool.description": "The weather of a city",
    "tool_call.id": "call_1",
    "input.value": '{"city":"Paris"}',
    "output.value": "rainy, 14 C",
}
OPENLLMETRY_CHAT: Attributes = {
    "llm.request.type": "chat",
    "gen_ai.system": "OpenAI",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.model": "gpt-4o-2024-08-06",
    "gen_ai.usage.prompt_tokens": 120,
    "gen_ai.usage.completion_tokens": 30,
    "gen_ai.usage.cache_read_input_tokens": 64,
    "llm.usage.total_tokens": 150,
}
OPENLLMETRY_TOOL: Attributes = {
    "traceloop.span.kind": "tool",
    "traceloop.entity.name": "get_weather",
    "traceloop.workflow.name": "travel",
    "traceloop.entity.input": '{"inputs": {"city": "Paris"}, "tags": [], "kwargs": {"name": "get_weather"}}',
    "traceloop.entity.output": "rainy, 14 C",
}
LANGFUSE_GENERATION: Attributes = {
    "langfuse.observation.type": "generation",
    "langfuse.observation.model.name": "gpt-4o",
    "langfuse.observation.usage_details": '{"input": 120, "output": 30, "input_cached_tokens": 64}',
    "langfuse.observation.input": '[{"role": "user", "content": "hi"}]',
}
LANGFUSE_TOOL: Attributes = {
    "langfuse.observation.type": "tool",
    "langfuse.observation.input": '{"city": "Paris"}',
    "langfuse.observation.output": "rainy, 14 C",
}


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        (OTEL_CHAT, "generation"),
        ({**OTEL_CHAT, "gen_ai.operation.name": "text_completion"}, "generation"),
        ({**OTEL_CHAT, "gen_ai.operation.name": "generate_content"}, "generation"),
        ({"gen_ai.operation.name": "embeddings", "gen_ai.request.model": "e", "gen_ai.system": "openai"}, None),
        (OTEL_TOOL, "tool"),
        ({"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "a"}, "agent"),
        ({"gen_ai.operation.name": "create_agent"}, None),
        (OLD_CHAT, "generation"),
        (OLD_PYDANTIC_AI_TOOL, "tool"),
        ({"model_name": "gpt-4o", "agent_name": "agent", "gen_ai.usage.input_tokens": 5}, None),
        (OPENINFERENCE_LLM, "generation"),
        (OPENINFERENCE_TOOL, "tool"),
        ({"openinference.span.kind": "AGENT"}, "agent"),
        ({"openinference.span.kind": "CHAIN", "input.value": "x"}, None),
        (OPENLLMETRY_CHAT, "generation"),
        ({**OPENLLMETRY_CHAT, "llm.request.type": "embedding"}, None),
        (OPENLLMETRY_TOOL, "tool"),
        ({"traceloop.span.kind": "agent", "traceloop.entity.name": "a"}, "agent"),
        ({"traceloop.span.kind": "workflow"}, None),
        (LANGFUSE_GENERATION, "generation"),
        (LANGFUSE_TOOL, "tool"),
        ({"langfuse.observation.type": "agent"}, "agent"),
        ({"langfuse.observation.type": "span"}, None),
        ({names.SEGMENT: names.SEGMENT_GENERATION}, "generation"),
        ({names.CONFIGURATION: "baseline", names.SENT_NS: 1}, None),
        ({"http.request.method": "GET"}, None),
        ({}, None),
    ],
)
def test_what_a_span_is_by_its_convention(attributes: Attributes, kind: SpanKind | None) -> None:
    assert kind_of(span(1, attributes)) == kind


@pytest.mark.parametrize(
    ("attributes", "name"),
    [
        (OTEL_TOOL, "execute_tool get_weather"),
        (OLD_PYDANTIC_AI_TOOL, "running tool"),
        (OPENINFERENCE_TOOL, "get_weather"),
        (OPENLLMETRY_TOOL, "get_weather.tool"),
        (LANGFUSE_TOOL, "get_weather"),
    ],
)
def test_a_tools_name_arguments_and_result_are_read_from_each(attributes: Attributes, name: str) -> None:
    tool = tool_of(span(1, attributes, name=name))
    assert (tool.name, tool.result) == ("get_weather", "rainy, 14 C")
    assert tool.call_id in ("call_1", None)
    assert tool.arguments is not None
    assert json.loads(tool.arguments) == {"city": "Paris"}


def test_a_tool_that_says_nothing_has_its_spans_name() -> None:
    assert tool_of(span(1, {"gen_ai.operation.name": "execute_tool"}, name="execute_tool search")) == ToolSpan(
        "search", None, None, None
    )


@pytest.mark.parametrize(
    ("attributes", "served", "cached"),
    [
        (OTEL_CHAT, "gpt-4o-2024-08-06", 64),
        (OLD_CHAT, "gpt-4o-2024-08-06", None),
        (OPENINFERENCE_LLM, None, 64),
        (OPENLLMETRY_CHAT, "gpt-4o-2024-08-06", 64),
        (LANGFUSE_GENERATION, None, 64),
    ],
)
def test_models_and_tokens_are_read_from_each(attributes: Attributes, served: str | None, cached: int | None) -> None:
    assert usage_of(span(1, attributes)) == Usage("gpt-4o", served, 120, 30, cached)


@pytest.mark.parametrize("details", ["[1]", "no json", '{"input": true}', "[" * 100_000])
def test_usage_that_cannot_be_read_is_not_said(details: str) -> None:
    attributes: Attributes = {**LANGFUSE_GENERATION, "langfuse.observation.usage_details": details}
    assert usage_of(span(1, attributes)) == Usage("gpt-4o", None, None, None, None)


@pytest.mark.parametrize("count", [-1, 2**53 + 1])
def test_a_count_of_tokens_that_cannot_be_is_not_said(count: int) -> None:
    assert usage_of(span(1, {**OTEL_CHAT, "gen_ai.usage.input_tokens": count})).input_tokens is None


def test_our_own_requests_count_before_what_conventions_say() -> None:
    ours = span(3, {names.SEGMENT: names.SEGMENT_GENERATION}, parent=2)
    assert generations([span(1, OTEL_TOOL), span(2, OTEL_CHAT, parent=1), ours]) == [ours]


def test_without_ours_the_innermost_generations_count() -> None:
    outer, inner, alone = span(1, OPENINFERENCE_LLM), span(3, OTEL_CHAT, parent=2), span(4, OLD_CHAT)
    assert generations([inner, span(2, {}, parent=1), outer, alone]) == [inner, alone]


def test_a_call_that_two_tracers_wrote_counts_once() -> None:
    outer, inner = span(1, OPENINFERENCE_TOOL), span(2, OTEL_TOOL, parent=1)
    other = span(3, {**OTEL_TOOL, "gen_ai.tool.name": "other"}, parent=2)
    assert tools([inner, outer, other]) == [outer, other]


def test_spans_that_are_each_others_parents_end() -> None:
    ring = [span(1, OTEL_TOOL, parent=2), span(2, OTEL_TOOL, parent=1), span(3, OTEL_CHAT, parent=3)]
    assert tools(ring) == []
    assert generations(ring) == [ring[2]]


@pytest.mark.parametrize("tool", [OTEL_TOOL, OLD_PYDANTIC_AI_TOOL, OPENINFERENCE_TOOL, OPENLLMETRY_TOOL, LANGFUSE_TOOL])
@pytest.mark.parametrize("chat", [OTEL_CHAT, OLD_CHAT, OPENINFERENCE_LLM, OPENLLMETRY_CHAT, LANGFUSE_GENERATION])
def test_spans_of_any_framework_give_calls_and_generations(tool: Attributes, chat: Attributes) -> None:
    spans = [span(1, chat), span(20, tool, name="get_weather")]
    (call,) = calls_of(spans)
    assert (call.name, call.arguments, call.ok) == ("get_weather", {"city": "Paris"}, True)
    (generation,) = generations_of(spans)
    assert (generation.requested_model, generation.input_tokens, generation.output_tokens) == ("gpt-4o", 120, 30)
    assert intervals(spans) == ([(1, 11)], [(20, 30)], [])
