from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from opentelemetry.trace import NonRecordingSpan, SpanContext, format_trace_id, set_span_in_context

from punie_trace.spans import names
from punie_trace.spans.open_spans import intervals

if TYPE_CHECKING:
    from tests.spans.conftest import Traced

GENERATION = {names.SEGMENT: names.SEGMENT_GENERATION}
TOOL = {names.GEN_AI_OPERATION: names.OPERATION_EXECUTE_TOOL}


def test_intervals_are_those_of_finished_generations_and_tools(traced: Traced) -> None:
    tracer, followed = traced.provider.get_tracer("t"), traced.provider.open_spans
    with tracer.start_as_current_span("root") as root:
        trace_id = format_trace_id(root.get_span_context().trace_id)
        tracer.start_span("POST", attributes=GENERATION, start_time=1).end(5)
        tracer.start_span("chat", attributes={names.GEN_AI_OPERATION: "chat"}).end()
        late = tracer.start_span("execute_tool", start_time=2)
        late.set_attributes(TOOL)
        assert intervals(followed.finished(trace_id)) == ([(1, 5)], [], [])
        late.end(9)
        assert intervals(followed.finished(trace_id)) == ([(1, 5)], [(2, 9)], [])
        assert [span.name for span in followed.finished(trace_id)] == ["POST", "chat", "execute_tool"]
    assert intervals(followed.finished(trace_id)) == ([], [], [])
    assert followed.finished(trace_id) == []


def test_open_spans_come_children_first_and_without_the_root(traced: Traced) -> None:
    tracer, followed = traced.provider.get_tracer("t"), traced.provider.open_spans
    with tracer.start_as_current_span("root") as root:
        trace_id = format_trace_id(root.get_span_context().trace_id)
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
    assert traced.provider.open_spans.open_below_root(f"{5:032x}") == []
    span.end()
    assert len(traced.kept.spans) == 1


def test_a_child_that_starts_after_its_root_ended_is_not_followed(traced: Traced) -> None:
    tracer = traced.provider.get_tracer("t")
    root = tracer.start_span("root")
    root.end()
    tracer.start_span("late", context=set_span_in_context(root), attributes=TOOL).end()
    assert traced.provider.open_spans.followed() == 0
    assert len(traced.kept.spans) == 2


def test_what_ended_below_an_open_root_is_kept_until_the_root_ends(traced: Traced) -> None:
    tracer, followed = traced.provider.get_tracer("t"), traced.provider.open_spans
    with tracer.start_as_current_span("query") as root:
        trace_id = format_trace_id(root.get_span_context().trace_id)
        with tracer.start_as_current_span("outer", attributes={"a": [1, 2]}), tracer.start_as_current_span("inner"):
            assert followed.finished(trace_id) == []
        inner, outer = followed.finished(trace_id)
        assert (inner.name, inner.parent_id) == ("inner", outer.span_id)
        assert outer.attributes == {"a": (1, 2)}
        assert outer.start_ns <= inner.start_ns <= inner.end_ns <= outer.end_ns
        with suppress(ValueError), tracer.start_as_current_span("tool"):
            raise ValueError("no")
        assert followed.finished(trace_id)[-1].error == "ValueError: no"
    assert followed.finished(trace_id) == []
