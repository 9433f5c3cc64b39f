from __future__ import annotations

from dataclasses import replace

from punie_trace.serving.span_buffer import SpanBuffer
from punie_trace.spans import names
from punie_trace.spans.clock import Clock
from punie_trace.spans.codec import from_line, to_line
from punie_trace.spans.ingest import ingested_spans, server_source
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
    (span,) = ingested_spans(to_line(ROW).decode(), SERVER, RUN, server_source("run-1"))
    # 300 ns after the server's anchor is monotonic 400, which is the run's anchor.
    assert (span.start_ns, span.end_ns) == (7_000_000, 7_000_600)
    assert [(event.time_ns, event.attributes) for event in span.events] == [(7_000_200, {"k": 2})]
    assert (span.trace_id, span.parent_id) == ("a" * 32, "c" * 16)
    assert span.attributes == {"n": 3, "text": "x"}
    assert span.error == "it failed"
    assert span.source.resource[names.RUN_ID] == "run-1"
    assert span.source.resource[names.SERVICE_NAME] == names.SERVER_SERVICE


def test_lines_that_are_none_are_left_out() -> None:
    good = to_line(ROW).decode()
    lines = f"{good}{good[:40]}\n[]\n{good}"
    assert len(ingested_spans(lines, SERVER, RUN, server_source("r"))) == 2


def test_a_line_end_within_a_text_ends_no_line() -> None:
    span = replace(ROW, attributes={"text": "a\u2028b\x85c\x0cd"})
    (read,) = ingested_spans(to_line(span).decode(), RUN, RUN, server_source("r"))
    assert read.attributes == span.attributes


def test_ingested_spans_go_to_every_sink_and_read_back_as_they_were() -> None:
    first, second = SpanBuffer(), SpanBuffer()
    provider = make_tracer_provider(RUN, "run-1", [first, second])
    source = server_source("run-1")
    provider.ingest(ingested_spans(to_line(ROW).decode(), RUN, RUN, source))
    for buffer in (first, second):
        (span,) = buffer.take(int("a" * 32, 16), 0)
        assert from_line(to_line(span)) == [span] == [replace(ROW, source=source)]


def test_ingested_spans_belong_to_their_query_while_it_is_open() -> None:
    provider = make_tracer_provider(RUN, "run-1")
    root = provider.tracer.start_span("query")
    context = root.get_span_context()
    trace_id = f"{context.trace_id:032x}"
    provider.ingest([replace(ROW, trace_id=trace_id)])
    assert [span.name for span in provider.open_spans.finished(trace_id)] == ["server chat"]
    root.end()
    assert provider.open_spans.finished(trace_id) == []
