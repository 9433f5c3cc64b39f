"""What a span means by the convention that it was written in: a generation, a tool call, an agent; and what it says.

Frameworks name the same things differently. Read are, in this order:

    OpenTelemetry GenAI     `gen_ai.operation.name`; before that attribute, `gen_ai.system` and `gen_ai.tool.name`
    OpenInference           `openinference.span.kind` (Phoenix, Arize)
    OpenLLMetry             `traceloop.span.kind`, `llm.request.type` (Traceloop)
    Langfuse over OTLP      `langfuse.observation.type`

A request for tokens that this package timed itself (`punie.segment`) counts before all of them. Pure: from spans to
values.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from punie_trace.records import MOST_TOKENS, JsonValue
from punie_trace.spans import names
from punie_trace.spans.span import AttributeValue, Span

SpanKind: TypeAlias = Literal["generation", "tool", "agent"]
Attributes: TypeAlias = Mapping[str, AttributeValue]

_OPERATIONS: Final[dict[AttributeValue, SpanKind]] = {
    "chat": "generation",
    "text_completion": "generation",
    "generate_content": "generation",
    "execute_tool": "tool",
    "invoke_agent": "agent",
}
_OPENINFERENCE: Final[dict[AttributeValue, SpanKind]] = {"LLM": "generation", "TOOL": "tool", "AGENT": "agent"}
_TRACELOOP: Final[dict[AttributeValue, SpanKind]] = {"tool": "tool", "agent": "agent"}
_LANGFUSE: Final[dict[AttributeValue, SpanKind]] = {"generation": "generation", "tool": "tool", "agent": "agent"}
_REQUEST_TYPES: Final = ("chat", "completion")

_OPENINFERENCE_KIND: Final = "openinference.span.kind"
_TRACELOOP_KIND: Final = "traceloop.span.kind"
_REQUEST_TYPE: Final = "llm.request.type"
_LANGFUSE_TYPE: Final = "langfuse.observation.type"
_OLD_SYSTEM: Final = "gen_ai.system"

_TOOL_NAMES: Final = (names.GEN_AI_TOOL_NAME, "tool.name", "tool_call.function.name", "traceloop.entity.name")
_CALL_IDS: Final = (names.GEN_AI_TOOL_CALL_ID, "tool_call.id", "tool.id")
_ARGUMENTS: Final = (
    names.GEN_AI_TOOL_ARGUMENTS,
    "tool_arguments",  # pydantic-ai before it followed the convention
    "tool_call.function.arguments",
    "input.value",
    "traceloop.entity.input",
    "langfuse.observation.input",
)
_RESULTS: Final = (
    names.GEN_AI_TOOL_RESULT,
    "tool_response",
    "output.value",
    "traceloop.entity.output",
    "langfuse.observation.output",
)
_REQUESTED_MODELS: Final = (
    names.GEN_AI_REQUEST_MODEL,
    "llm.model_name",
    "llm.request.model",
    "langfuse.observation.model.name",
)
_SERVED_MODELS: Final = (names.GEN_AI_RESPONSE_MODEL, "llm.response.model")
_INPUT_TOKENS: Final = (names.GEN_AI_INPUT_TOKENS, "gen_ai.usage.prompt_tokens", "llm.token_count.prompt")
_OUTPUT_TOKENS: Final = (names.GEN_AI_OUTPUT_TOKENS, "gen_ai.usage.completion_tokens", "llm.token_count.completion")
_CACHED_TOKENS: Final = (
    names.GEN_AI_CACHED_TOKENS,
    "gen_ai.usage.cache_read_input_tokens",
    "gen_ai.usage.details.cache_read_tokens",
    "llm.token_count.prompt_details.cache_read",
)
_LANGFUSE_USAGE: Final = "langfuse.observation.usage_details"
_LANGFUSE_TOKENS: Final = {
    "input": ("input", "prompt_tokens", "input_tokens"),
    "output": ("output", "completion_tokens", "output_tokens"),
    "cached": ("input_cached_tokens", "cache_read_input_tokens"),
}
_MOST_ABOVE: Final = 64
_PREFIXES: Final = ("execute_tool ", "running tool: ", "running tool")


@dataclass(frozen=True, slots=True)
class ToolSpan:
    """What a tool's span says of its call; None is not said."""

    name: str
    call_id: str | None
    arguments: str | None
    """As they were written, JSON where the convention has it; what a tracer wrapped around them is taken off."""
    result: str | None


@dataclass(frozen=True, slots=True)
class Usage:
    """Which model a generation asked and got, and its tokens; None is not said."""

    requested_model: str | None
    served_model: str | None
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    """Of the input tokens, those that came from a prompt cache."""


def kind_of(span: Span) -> SpanKind | None:
    """What the span is by its convention; None for everything else."""
    attributes = span.attributes
    operation = attributes.get(names.GEN_AI_OPERATION)
    if operation is not None:
        return _OPERATIONS.get(operation)
    if names.SEGMENT in attributes:
        return "generation" if attributes[names.SEGMENT] == names.SEGMENT_GENERATION else None
    if names.CONFIGURATION in attributes:
        return None  # the root of a query of ours
    if (kind := attributes.get(_OPENINFERENCE_KIND)) is not None:
        return _OPENINFERENCE.get(str(kind).upper())
    if (kind := attributes.get(_TRACELOOP_KIND)) is not None:
        return _TRACELOOP.get(kind)
    if (kind := attributes.get(_LANGFUSE_TYPE)) is not None:
        return _LANGFUSE.get(str(kind).lower())
    if names.GEN_AI_TOOL_NAME in attributes:
        return "tool"
    if (kind := attributes.get(_REQUEST_TYPE)) is not None:
        return "generation" if kind in _REQUEST_TYPES else None
    asked = names.GEN_AI_REQUEST_MODEL in attributes or names.GEN_AI_RESPONSE_MODEL in attributes
    return "generation" if asked and _OLD_SYSTEM in attributes else None


def generations(spans: Sequence[Span]) -> list[Span]:
    """The spans of a trace that count as generation, in their order.

    They are the requests that we timed ourselves; where the trace has none, the innermost spans that a convention calls
    a generation, without those whose request went elsewhere.
    """
    timed = [span for span in spans if span.attributes.get(names.SEGMENT) == names.SEGMENT_GENERATION]
    if timed:
        return timed
    found = [span for span in spans if kind_of(span) == "generation"]
    sent = [span for span in spans if span.attributes.get(names.SEGMENT) == names.SEGMENT_ELSEWHERE]
    if len(found) < 2 and not sent:
        return found
    by_id = {span.span_id: span for span in spans}
    above = {one.span_id for span in (*found, *sent) for one in ancestors(span, by_id)}
    return [span for span in found if span.span_id not in above]


def elsewhere(spans: Sequence[Span]) -> list[str]:
    """The hosts of the requests for tokens that did not go to the server that is measured, one for each request.

    They are those that we noticed ourselves, and the generations that a convention tells of, below which we saw no
    request, and whose server is another than that of the requests that we timed.
    """
    ours = [span for span in spans if names.SEGMENT in span.attributes]
    hosts = [_host(span) for span in ours if span.attributes[names.SEGMENT] == names.SEGMENT_ELSEWHERE]
    timed = {_host(span) for span in ours if span.attributes[names.SEGMENT] == names.SEGMENT_GENERATION}
    if timed and (others := [one for one in spans if _host(one) and names.SEGMENT not in one.attributes]):
        by_id = {span.span_id: span for span in spans}
        seen = {one.span_id for span in ours for one in ancestors(span, by_id)}
        hosts += [
            _host(span)
            for span in others
            if kind_of(span) == "generation" and span.span_id not in seen and _host(span) not in timed
        ]
    return hosts


def _host(span: Span) -> str:
    """The server that a span names, with its port where that says more."""
    host, port = span.attributes.get(names.SERVER_ADDRESS, ""), span.attributes.get(names.SERVER_PORT)
    return f"{host}:{port}" if port not in (None, 80, 443) else str(host)


def tools(spans: Sequence[Span]) -> list[Span]:
    """The spans of a trace that count as tool calls, in their order.

    Where two tracers wrote the same call, one span within the other, the outer one counts.
    """
    found = [span for span in spans if kind_of(span) == "tool"]
    if len(found) < 2:
        return found
    by_id = {span.span_id: span for span in spans}
    named = {span.span_id: tool_of(span).name for span in found}
    return [
        span for span in found if all(named.get(one.span_id) != named[span.span_id] for one in ancestors(span, by_id))
    ]


def tool_of(span: Span) -> ToolSpan:
    """What the span of a tool says of its call."""
    attributes = span.attributes
    name = _text(attributes, _TOOL_NAMES) or next(
        (span.name.removeprefix(prefix) for prefix in _PREFIXES if span.name.startswith(prefix)), span.name
    )
    arguments = _text(attributes, _ARGUMENTS)
    if arguments is not None and _TRACELOOP_KIND in attributes:
        arguments = _unwrapped(arguments)
    return ToolSpan(name.strip(), _text(attributes, _CALL_IDS), arguments, _text(attributes, _RESULTS))


def usage_of(span: Span) -> Usage:
    """Models and tokens that a generation's span says."""
    attributes = span.attributes
    details = _object(attributes.get(_LANGFUSE_USAGE))
    return Usage(
        requested_model=_text(attributes, _REQUESTED_MODELS),
        served_model=_text(attributes, _SERVED_MODELS),
        input_tokens=_count(attributes, _INPUT_TOKENS, details, "input"),
        output_tokens=_count(attributes, _OUTPUT_TOKENS, details, "output"),
        cached_tokens=_count(attributes, _CACHED_TOKENS, details, "cached"),
    )


def ancestors(span: Span, by_id: Mapping[str, Span]) -> Iterator[Span]:
    """The spans above, the nearest first, as far as they are there: `_MOST_ABOVE` at most, and they may form a ring."""
    for _ in range(_MOST_ABOVE):
        above = by_id.get(span.parent_id or "")
        if above is None:
            return
        yield above
        span = above


def _text(attributes: Attributes, keys: Iterable[str]) -> str | None:
    value = next((attributes[key] for key in keys if key in attributes), None)
    return value if value is None or isinstance(value, str) else str(value)


def _count(attributes: Attributes, keys: Iterable[str], details: Mapping[str, JsonValue], kind: str) -> int | None:
    values = (*(attributes.get(key) for key in keys), *(details.get(key) for key in _LANGFUSE_TOKENS[kind]))
    counts = (one for one in values if isinstance(one, int) and not isinstance(one, bool))
    return next((one for one in counts if 0 <= one <= MOST_TOKENS), None)


def _object(value: object) -> dict[str, JsonValue]:
    if not isinstance(value, str):
        return {}
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _unwrapped(text: str) -> str:
    """A tool's arguments without what OpenLLMetry's decorators wrap around them."""
    wrapped = _object(text)
    inner = wrapped.get("inputs") or wrapped.get("kwargs")
    if isinstance(inner, dict):
        return json.dumps(inner, ensure_ascii=False)
    return inner if isinstance(inner, str) else text
