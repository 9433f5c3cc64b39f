"""The spans of a query are there for as long as it goes on, and not longer."""

from __future__ import annotations

from punie_trace.spans.clock import Clock
from punie_trace.spans.kept_spans import KeptSpans
from punie_trace.spans.provider import make_tracer_provider


def test_what_ended_below_an_open_root_is_kept_until_the_root_ends() -> None:
    kept = KeptSpans()
    tracer = make_tracer_provider(Clock.start(), "run", [kept]).get_tracer("test")
    with tracer.start_as_current_span("query") as root:
        trace_id = f"{root.get_span_context().trace_id:032x}"
        with tracer.start_as_current_span("outer", attributes={"a": [1, 2]}), tracer.start_as_current_span("inner"):
            assert kept.of(trace_id) == []
        inner, outer = kept.of(trace_id)
        assert (inner.name, inner.parent_id) == ("inner", outer.span_id)
        assert outer.attributes == {"a": (1, 2)}
        assert outer.start_ns <= inner.start_ns <= inner.end_ns <= outer.end_ns
        assert kept.followed == 1
    assert kept.of(trace_id) == []
    assert kept.followed == 0


def test_a_span_that_failed_says_so() -> None:
    kept = KeptSpans()
    tracer = make_tracer_provider(Clock.start(), "run", [kept]).get_tracer("test")
    with tracer.start_as_current_span("query") as root:
        try:
            with tracer.start_as_current_span("tool"):
                raise ValueError("no")
        except ValueError:
            pass
        (tool,) = kept.of(f"{root.get_span_context().trace_id:032x}")
    assert tool.error == "ValueError: no"
