from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.trace import NonRecordingSpan, SpanContext, set_span_in_context

from punie_trace.spans import names

if TYPE_CHECKING:
    from tests.spans.conftest import Traced

GENERATION = {names.SEGMENT: names.SEGMENT_GENERATION}
TOOL = {names.GEN_AI_OPERATION: names.OPERATION_EXECUTE_TOOL}


def test_intervals_are_those_of_finished_generations_and_tools(traced: Traced) -> None:
    tracer, followed = traced.provider.get_tracer("t"), traced.provider.open_spans
    with tracer.start_as_current_span("root") as root:
        trace_id = root.get_span_context().trace_id
        tracer.start_span("POST", attributes=GENERATION, start_time=1).end(5)
        tracer.start_span("chat", attributes={names.GEN_AI_OPERATION: "chat"}).end()
        late = tracer.start_span("execute_tool", start_time=2)
        late.set_attributes(TOOL)
        assert followed.intervals(trace_id) == ([(1, 5)], [])
        late.end(9)
        assert followed.intervals(trace_id) == ([(1, 5)], [(2, 9)])
    assert followed.intervals(trace_id) == ([], [])


def test_open_spans_come_children_first_and_without_the_root(traced: Traced) -> None:
    tracer, followed = traced.provider.get_tracer("t"), traced.provider.open_spans
    with tracer.start_as_current_span("root") as root:
        trace_id = root.get_span_context().trace_id
        with tracer.start_as_current_span("outer") as outer:
            inner = tracer.start_span("inner")
            tracer.start_span("ended").end()
            assert followed.open_below_root(trace_id) == [inner, outer]
            inner.end()
        assert followed.open_below_root(trace_id) == []
        assert followed.followed() == 1
    assert followed.followed() == 0


def test_traces_that_began_elsewhere_are_not_followed(traced: Traced) -> None:
    context = SpanContext(trace_id=5, span_id=6, is_remote=True)
    span = traced.provider.get_tracer("t").start_span("s", context=set_span_in_context(NonRecordingSpan(context)))
    assert traced.provider.open_spans.followed() == 0
    assert traced.provider.open_spans.open_below_root(5) == []
    span.end()
    assert len(traced.kept.spans) == 1


def test_a_child_that_starts_after_its_root_ended_is_not_followed(traced: Traced) -> None:
    tracer = traced.provider.get_tracer("t")
    root = tracer.start_span("root")
    root.end()
    tracer.start_span("late", context=set_span_in_context(root), attributes=TOOL).end()
    assert traced.provider.open_spans.followed() == 0
    assert len(traced.kept.spans) == 2
