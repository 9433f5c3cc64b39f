from __future__ import annotations

import threading
import time

from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from punie_trace.serving.call import Call, now_ns
from punie_trace.serving.server_spans import server_resource, write_spans
from punie_trace.serving.span_buffer import SpanBuffer
from punie_trace.spans.clock import Clock
from punie_trace.spans.provider import ClockTracerProvider


def write(buffer: SpanBuffer, trace_id: int) -> None:
    """One call that was refused: one span."""
    clock = Clock.start()
    provider = ClockTracerProvider(clock, server_resource("test"))
    provider.add_sink(buffer)
    caller = NonRecordingSpan(SpanContext(trace_id, 7, is_remote=True, trace_flags=TraceFlags(1)))
    call = Call(arrived_ns=now_ns(), parent=set_span_in_context(caller, Context()))
    call.done_ns = now_ns()
    call.fail("refused", 400, "no")
    write_spans(call, provider.get_tracer("test"), clock)


def test_spans_are_handed_over_once() -> None:
    buffer = SpanBuffer()
    write(buffer, 1)
    (span,) = buffer.take(1, 0)
    assert span.parent_id == f"{7:016x}"
    assert buffer.take(1, 0) == []


def test_the_oldest_traces_make_room() -> None:
    buffer = SpanBuffer(most=3)
    for trace_id in range(1, 6):
        write(buffer, trace_id)
    assert [len(buffer.take(trace_id, 0)) for trace_id in range(1, 6)] == [0, 0, 1, 1, 1]


def test_an_open_call_is_waited_for_within_a_limit() -> None:
    buffer = SpanBuffer()
    buffer.opened(1)
    begun = time.monotonic()
    assert buffer.take(1, 0.05) == []
    assert time.monotonic() - begun >= 0.05

    def end() -> None:
        write(buffer, 1)
        buffer.closed(1)

    thread = threading.Timer(0.05, end)
    thread.start()
    assert len(buffer.take(1, 60)) == 1
    thread.join()
