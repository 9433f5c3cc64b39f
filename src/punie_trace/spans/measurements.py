"""What the spans of one query measure: the values that become metrics, each with the span that it came from.

Pure. It reads spans and nothing else, so that the metrics of a run can be made again from its folder, the same ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from punie_trace.records import Verdict
from punie_trace.spans import conventions, names
from punie_trace.spans.span import Span

Labels: TypeAlias = Mapping[str, str]

NS_PER_S: Final = 1e9
WALL: Final = "wall"
TOOL_CALL, TEXT = "tool_call", "text"
FIRST, AGAIN = "first", "again"
UNCATEGORIZED: Final = "none"
_LINES: Final = (
    (WALL, names.LEDGER_WALL),
    ("client_queue", names.LEDGER_CLIENT_QUEUE),
    ("generation", names.LEDGER_GENERATION),
    ("tool", names.LEDGER_TOOL),
    ("framework", names.LEDGER_FRAMEWORK),
)
_TOKENS: Final = (("input", names.GEN_AI_INPUT_TOKENS), ("output", names.GEN_AI_OUTPUT_TOKENS))
_SPECULATION: Final = (
    (names.METRIC_DRAFTED, names.SPECULATION_DRAFTED),
    (names.METRIC_ACCEPTED, names.SPECULATION_ACCEPTED),
    (names.METRIC_ROUNDS, names.SPECULATION_ROUNDS),
)
_UNANSWERED: Final = (Verdict.ERROR.value, Verdict.TIMEOUT.value)
_API: Final = "openai"  # the flavour of the API, as the conventions have it for servers that speak it
_IN_PROCESS: Final = "mlx_lm"
_OLD_PROVIDER: Final = "gen_ai.system"


@dataclass(frozen=True, slots=True)
class Measurement:
    """One value of one metric: times in seconds, tokens and queries by count. The ids are those of its span, in hex."""

    metric: str
    value: float
    labels: Labels
    trace_id: str
    span_id: str


def is_measured(span: Span) -> bool:
    """Whether the span is the root of a query that counts: a warm-up is no query, and neither is the whole run."""
    attributes = span.attributes
    return names.CONFIGURATION in attributes and names.LEDGER_WALL in attributes and names.WARM_UP not in attributes


def measure(query: Span, spans: Sequence[Span]) -> list[Measurement]:
    """All that the query with the root `query` measures; `spans` are the others of its trace, in any order."""
    labels = {
        names.CONFIGURATION: str(query.attributes[names.CONFIGURATION]),
        names.PATH: str(query.attributes.get(names.PATH, "")),
    }
    measured = list(_of_query(query, labels))
    generations, tools = conventions.generations(spans), conventions.tools(spans)
    for span in generations:
        measured += _of_generation(span, labels)
    for span in tools:
        tool = {names.GEN_AI_TOOL_NAME: conventions.tool_of(span).name}
        measured.append(_duration(names.METRIC_TOOL_DURATION, span, {**labels, **tool}))
    measured += _of_agents(spans, generations, tools, labels)
    measured += _of_turns(query, spans, labels)
    for span in spans:
        for metric, attribute in _SPECULATION:
            if (count := _count(span, attribute)) is not None:
                measured.append(_of(span, metric, count, labels))
    return measured


def _of_query(query: Span, labels: Labels) -> Iterator[Measurement]:
    category = {names.QUERY_CATEGORY: str(query.attributes.get(names.QUERY_CATEGORY, UNCATEGORIZED))}
    verdict = str(query.attributes.get(names.VERDICT, Verdict.ERROR.value))
    failed = {names.ERROR_TYPE: verdict} if verdict in _UNANSWERED else {}
    for line, attribute in _LINES:
        if (duration := _count(query, attribute)) is not None:
            of_line = {**labels, **category, **failed, **_ask(query), names.LEDGER_LINE: line}
            yield _of(query, names.METRIC_QUERY_DURATION, duration / NS_PER_S, of_line)
    yield _of(query, names.METRIC_QUERY_OUTCOMES, 1, {**labels, **category, names.VERDICT: verdict})


def _ask(query: Span) -> Labels:
    """Whether it was asked for the first time: the time of what a server remembers says nothing of its speed."""
    before = _count(query, names.ASKED_BEFORE)
    return {} if before is None else {names.ASK: AGAIN if before else FIRST}


def _of_turns(query: Span, spans: Sequence[Span], labels: Labels) -> Iterator[Measurement]:
    """Each turn of a session, by its number: the context grows from turn to turn."""
    for span in spans:
        number, wall = _count(span, names.TURN_NUMBER), _count(span, names.TURN_LEDGER_WALL)
        if number is not None and wall is not None:
            verdict = str(span.attributes.get(names.TURN_VERDICT, ""))
            failed = {names.ERROR_TYPE: verdict} if verdict in _UNANSWERED else {}
            of_turn = {**labels, **_ask(query), **failed, names.TURN_NUMBER: str(number)}
            yield _of(span, names.METRIC_TURN_DURATION, wall / NS_PER_S, of_turn)


def _of_agents(
    spans: Sequence[Span], generations: Sequence[Span], tools: Sequence[Span], labels: Labels
) -> Iterator[Measurement]:
    """Of each invocation of an agent: its time, and the calls anywhere below it, its own agents' among them."""
    agents = [span for span in spans if conventions.kind_of(span) == "agent"]
    if not agents:
        return
    by_id = {span.span_id: span for span in spans}
    inferences, calls = (
        Counter(above.span_id for span in found for above in conventions.ancestors(span, by_id))
        for found in (generations, tools)
    )
    for span in agents:
        name = span.attributes.get(names.GEN_AI_AGENT_NAME)
        named = labels if name is None else {**labels, names.GEN_AI_AGENT_NAME: str(name)}
        yield _duration(names.METRIC_AGENT_DURATION, span, named)
        yield _of(span, names.METRIC_AGENT_INFERENCE_CALLS, inferences[span.span_id], named)
        yield _of(span, names.METRIC_AGENT_TOOL_CALLS, calls[span.span_id], named)


def _of_generation(span: Span, labels: Labels) -> Iterator[Measurement]:
    attributes = span.attributes
    default = _API if span.kind == "CLIENT" else _IN_PROCESS
    generation = {
        **labels,
        names.GEN_AI_OPERATION: names.OPERATION_CHAT,
        names.GEN_AI_PROVIDER: str(attributes.get(names.GEN_AI_PROVIDER) or attributes.get(_OLD_PROVIDER) or default),
    }
    for name in (names.GEN_AI_REQUEST_MODEL, names.GEN_AI_RESPONSE_MODEL):
        if name in attributes:
            generation[name] = str(attributes[name])
    yield _duration(names.METRIC_OPERATION_DURATION, span, generation)
    at = {event.name: event.time_ns for event in span.events}
    first, last = at.get(names.EVENT_FIRST_CHUNK), at.get(names.EVENT_LAST_CHUNK)
    chunks = _count(span, names.CHUNKS) or 0
    if first is not None and last is not None and chunks > 1:
        between = (last - first) / (chunks - 1) / NS_PER_S
        yield _of(span, names.METRIC_TIME_PER_OUTPUT_CHUNK, between, generation)
    if first is not None:
        output = {names.GENERATION_OUTPUT: TOOL_CALL if _calls_a_tool(span) else TEXT}
        seconds = (first - span.start_ns) / NS_PER_S
        yield _of(span, names.METRIC_TIME_TO_FIRST_CHUNK, seconds, {**generation, **output})
    for kind, attribute in _TOKENS:
        if (count := _count(span, attribute)) is not None:
            yield _of(span, names.METRIC_TOKEN_USAGE, count, {**generation, names.GEN_AI_TOKEN_TYPE: kind})
    if (cached := _count(span, names.GEN_AI_CACHED_TOKENS)) is not None:
        yield _of(span, names.METRIC_CACHED_TOKENS, cached, labels)


def _duration(metric: str, span: Span, labels: Labels) -> Measurement:
    error = span.attributes.get(names.ERROR_TYPE) or (span.error and "error")
    failed = {names.ERROR_TYPE: str(error)} if error else {}
    return _of(span, metric, (span.end_ns - span.start_ns) / NS_PER_S, {**labels, **failed})


def _of(span: Span, metric: str, value: float, labels: Labels) -> Measurement:
    return Measurement(metric, value, labels, span.trace_id, span.span_id)


def _calls_a_tool(span: Span) -> bool:
    reasons = span.attributes.get(names.GEN_AI_FINISH_REASONS, ())
    return "tool_calls" in reasons if isinstance(reasons, tuple) else reasons == "tool_calls"


def _count(span: Span, attribute: str) -> int | None:
    value = span.attributes.get(attribute)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
