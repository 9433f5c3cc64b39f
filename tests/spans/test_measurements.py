from __future__ import annotations

from dataclasses import replace

import pytest

from punie_trace.spans import names
from punie_trace.spans.measurements import Measurement, is_measured, measure
from punie_trace.spans.span import AttributeValue, Span, SpanEvent

S = 1_000_000_000
TRACE = "a" * 32


def span(number: int, seconds: float, kind: str = "INTERNAL", **more: object) -> Span:
    row = Span(TRACE, f"{number:016x}", None, "s", kind, 100 * S, 100 * S + int(seconds * S))
    return replace(row, **more)


def query(**attributes: AttributeValue) -> Span:
    known: dict[str, AttributeValue] = {
        names.CONFIGURATION: "baseline",
        names.PATH: "agent",
        names.QUERY_CATEGORY: "search",
        names.VERDICT: "correct",
        names.LEDGER_WALL: 4 * S,
        names.LEDGER_CLIENT_QUEUE: 0,
        names.LEDGER_GENERATION: 3 * S,
        names.LEDGER_TOOL: S // 2,
        names.LEDGER_FRAMEWORK: S // 2,
    }
    return span(1, 4, attributes={**known, **attributes})


def generation(**attributes: AttributeValue) -> Span:
    known: dict[str, AttributeValue] = {
        names.SEGMENT: names.SEGMENT_GENERATION,
        names.GEN_AI_RESPONSE_MODEL: "served",
        names.GEN_AI_INPUT_TOKENS: 500,
        names.GEN_AI_OUTPUT_TOKENS: 40,
        names.GEN_AI_CACHED_TOKENS: 96,
    }
    events = (SpanEvent(names.EVENT_FIRST_BYTE, 100 * S), SpanEvent(names.EVENT_FIRST_CHUNK, 100 * S + S // 4))
    return span(2, 3, "CLIENT", attributes={**known, **attributes}, events=events)


def of(metric: str, measured: list[Measurement]) -> list[Measurement]:
    return [one for one in measured if one.metric == metric]


def test_a_query_measures_its_ledger_and_its_verdict() -> None:
    measured = measure(query(), [])
    lines = {one.labels[names.LEDGER_LINE]: one.value for one in of(names.METRIC_QUERY_DURATION, measured)}
    assert lines == {"wall": 4, "client_queue": 0, "generation": 3, "tool": 0.5, "framework": 0.5}
    (outcome,) = of(names.METRIC_QUERY_OUTCOMES, measured)
    assert outcome.value == 1
    assert outcome.labels == {
        names.CONFIGURATION: "baseline",
        names.PATH: "agent",
        names.QUERY_CATEGORY: "search",
        names.VERDICT: "correct",
    }
    assert {(one.trace_id, one.span_id) for one in measured} == {(TRACE, f"{1:016x}")}


@pytest.mark.parametrize(("verdict", "error"), [("timeout", "timeout"), ("error", "error"), ("wrong-tool", None)])
def test_times_of_queries_without_an_answer_can_be_told_apart(verdict: str, error: str | None) -> None:
    measured = of(names.METRIC_QUERY_DURATION, measure(query(**{names.VERDICT: verdict}), []))
    assert {one.labels.get(names.ERROR_TYPE) for one in measured} == {error}


@pytest.mark.parametrize(("before", "ask"), [(0, "first"), (1, "again"), (7, "again"), (None, None)])
def test_first_asks_are_told_from_what_was_asked_again(before: int | None, ask: str | None) -> None:
    known = {} if before is None else {names.ASKED_BEFORE: before}
    measured = of(names.METRIC_QUERY_DURATION, measure(query(**known), []))
    assert {one.labels.get(names.ASK) for one in measured} == {ask}


def test_each_turn_of_a_session_is_measured_by_its_number() -> None:
    walls = {1: S, 2: 3 * S}
    turns = [
        span(number + 5, 9, attributes={names.TURN_NUMBER: number, names.TURN_LEDGER_WALL: wall, names.TURN_VERDICT: v})
        for (number, wall), v in zip(walls.items(), ("correct", "timeout"), strict=True)
    ]
    measured = of(names.METRIC_TURN_DURATION, measure(query(**{names.ASKED_BEFORE: 0}), turns))
    assert [(one.labels[names.TURN_NUMBER], one.value) for one in measured] == [("1", 1.0), ("2", 3.0)]
    assert [one.labels.get(names.ERROR_TYPE) for one in measured] == [None, "timeout"]
    assert {one.labels[names.ASK] for one in measured} == {"first"}
    assert [one.span_id for one in measured] == [turn.span_id for turn in turns]


def test_a_generation_measures_time_and_tokens() -> None:
    measured = measure(query(), [generation()])
    (duration,) = of(names.METRIC_OPERATION_DURATION, measured)
    assert duration.value == 3
    assert duration.labels[names.GEN_AI_OPERATION] == "chat"
    assert duration.labels[names.GEN_AI_PROVIDER] == "openai"
    assert duration.labels[names.CONFIGURATION] == "baseline"
    assert names.ERROR_TYPE not in duration.labels
    assert duration.span_id == f"{2:016x}"
    (first,) = of(names.METRIC_TIME_TO_FIRST_CHUNK, measured)
    assert (first.value, first.labels[names.GENERATION_OUTPUT]) == (0.25, "text")
    tokens = {one.labels[names.GEN_AI_TOKEN_TYPE]: one.value for one in of(names.METRIC_TOKEN_USAGE, measured)}
    assert tokens == {"input": 500, "output": 40}
    assert [one.value for one in of(names.METRIC_CACHED_TOKENS, measured)] == [96]


def test_a_turn_that_calls_a_tool_is_told_apart() -> None:
    measured = measure(query(), [generation(**{names.GEN_AI_FINISH_REASONS: ("tool_calls",)})])
    (first,) = of(names.METRIC_TIME_TO_FIRST_CHUNK, measured)
    assert first.labels[names.GENERATION_OUTPUT] == "tool_call"


def test_what_was_not_reported_is_not_measured() -> None:
    bare = span(2, 3, "INTERNAL", attributes={names.SEGMENT: names.SEGMENT_GENERATION}, error="gone")
    measured = measure(query(), [bare])
    (duration,) = of(names.METRIC_OPERATION_DURATION, measured)
    assert duration.labels[names.ERROR_TYPE] == "error"
    assert duration.labels[names.GEN_AI_PROVIDER] == "mlx_lm"
    for metric in (names.METRIC_TIME_TO_FIRST_CHUNK, names.METRIC_TOKEN_USAGE, names.METRIC_CACHED_TOKENS):
        assert not of(metric, measured)


def test_tools_and_agent_measure_their_time() -> None:
    tool = span(
        3,
        0.5,
        attributes={
            names.GEN_AI_OPERATION: names.OPERATION_EXECUTE_TOOL,
            names.GEN_AI_TOOL_NAME: "read_file",
            names.ERROR_TYPE: "KeyError",
        },
    )
    agent = span(4, 3.9, attributes={names.GEN_AI_OPERATION: names.OPERATION_INVOKE_AGENT})
    chat = span(5, 3.1, attributes={names.GEN_AI_OPERATION: names.OPERATION_CHAT})
    measured = measure(query(), [tool, agent, chat, generation()])
    (tool_time,) = of(names.METRIC_TOOL_DURATION, measured)
    assert tool_time.value == 0.5
    assert tool_time.labels[names.GEN_AI_TOOL_NAME] == "read_file"
    assert tool_time.labels[names.ERROR_TYPE] == "KeyError"
    assert [one.value for one in of(names.METRIC_AGENT_DURATION, measured)] == [3.9]
    (request,) = of(names.METRIC_OPERATION_DURATION, measured)
    assert request.value == 3, "our POST counts, and not pydantic-ai's own span around it"


def test_speculation_is_measured_where_a_server_tells_it() -> None:
    told: dict[str, AttributeValue] = {
        names.SPECULATION_DRAFTED: 60,
        names.SPECULATION_ACCEPTED: 45,
        names.SPECULATION_ROUNDS: 15,
    }
    measured = measure(query(), [generation(**told)])
    values = {one.metric: one.value for one in measured}
    assert values[names.METRIC_DRAFTED] == 60
    assert values[names.METRIC_ACCEPTED] == 45
    assert values[names.METRIC_ROUNDS] == 15


def test_only_queries_that_count_are_measured() -> None:
    assert is_measured(query())
    assert not is_measured(query(**{names.WARM_UP: True}))
    assert not is_measured(span(1, 10))
    assert not is_measured(generation())


def test_an_agent_measures_the_calls_anywhere_below_it() -> None:
    agent = span(10, 3, attributes={names.GEN_AI_OPERATION: names.OPERATION_INVOKE_AGENT, names.GEN_AI_AGENT_NAME: "a"})
    inner = replace(agent, span_id=f"{11:016x}", parent_id=f"{12:016x}")
    tool = {names.GEN_AI_OPERATION: names.OPERATION_EXECUTE_TOOL, names.GEN_AI_TOOL_NAME: "t"}
    spans = [
        agent,
        replace(span(12, 1, attributes=tool), parent_id=agent.span_id),
        inner,
        replace(generation(), span_id=f"{13:016x}", parent_id=inner.span_id),
        replace(generation(), span_id=f"{14:016x}", parent_id=agent.span_id),
        replace(generation(), span_id=f"{15:016x}"),
    ]
    measured = measure(query(), spans)
    inferences = {one.span_id: one for one in of(names.METRIC_AGENT_INFERENCE_CALLS, measured)}
    calls = {one.span_id: one.value for one in of(names.METRIC_AGENT_TOOL_CALLS, measured)}
    assert {span_id: one.value for span_id, one in inferences.items()} == {agent.span_id: 2, inner.span_id: 1}
    assert calls == {agent.span_id: 1, inner.span_id: 0}
    assert inferences[agent.span_id].labels[names.GEN_AI_AGENT_NAME] == "a"


def test_the_time_between_chunks_is_their_mean() -> None:
    first, last = SpanEvent(names.EVENT_FIRST_CHUNK, 100 * S), SpanEvent(names.EVENT_LAST_CHUNK, 102 * S)
    timed = replace(generation(**{names.CHUNKS: 5}), events=(first, last))
    (between,) = of(names.METRIC_TIME_PER_OUTPUT_CHUNK, measure(query(), [timed]))
    assert between.value == 0.5
    single = replace(generation(**{names.CHUNKS: 1}), events=(first, first))
    assert not of(names.METRIC_TIME_PER_OUTPUT_CHUNK, measure(query(), [single, generation()]))
