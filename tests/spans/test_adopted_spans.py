from __future__ import annotations

from punie_trace.serving.span_buffer import SpanBuffer, span_lines
from punie_trace.spans import names
from punie_trace.spans.adopted_spans import adopted_spans, server_resource
from punie_trace.spans.clock import Clock
from punie_trace.spans.otlp_json import row_line, span_rows
from punie_trace.spans.provider import make_tracer_provider
from punie_trace.spans.span import Span, SpanEvent

SERVER = Clock(anchor_wall_ns=5_000_000, anchor_monotonic_ns=100)
RUN = Clock(anchor_wall_ns=7_000_000, anchor_monotonic_ns=400)
ROW = Span(
    "a" * 32,
    "b" * 16,
    "c" * 16,
    "server chat",
    "SERVER",
    5_000_300,
    5_000_900,
    {"n": 3, "text": "x"},
    (SpanEvent("round", 5_000_500, {"k": 2}),),
    "it failed",
)


def test_spans_of_a_server_come_to_lie_on_the_clock_of_the_run() -> None:
    (span,) = adopted_spans(row_line(ROW) + "\n", SERVER, RUN, server_resource("run-1"))
    # 300 ns after the server's anchor is monotonic 400, which is the run's anchor.
    assert (span.start_time, span.end_time) == (7_000_000, 7_000_600)
    assert [event.timestamp for event in span.events] == [7_000_200]
    assert span.context is not None
    assert span.parent is not None
    assert (span.context.trace_id, span.parent.span_id) == (int("a" * 32, 16), int("c" * 16, 16))
    assert dict(span.attributes or {}) == {"n": 3, "text": "x"}
    assert span.status.description == "it failed"
    assert span.resource.attributes[names.RUN_ID] == "run-1"


def test_lines_that_are_none_are_left_out() -> None:
    good = row_line(ROW)
    lines = f"{good}\n{good[:40]}\n[]\n{good}\n"
    assert len(adopted_spans(lines, SERVER, RUN, server_resource("r"))) == 2


def test_adopted_spans_go_to_every_processor_and_read_back_as_they_were() -> None:
    buffer = SpanBuffer()
    provider = make_tracer_provider(RUN, "run-1", [buffer])
    provider.adopt(adopted_spans(row_line(ROW), RUN, RUN, server_resource("run-1")))
    (row,) = span_rows(span_lines(buffer.take(int("a" * 32, 16), 0)))
    assert row == ROW
