"""Finished spans, kept by trace until whoever sent the request fetches them: so they end in the caller's own file.

Bounded: where nobody fetches, the oldest traces are dropped. A trace with a call that is still open can be waited for,
because the last byte of an answer reaches its reader before the spans of that answer are written.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

from punie_trace.spans.otlp_json import encode_resource, encode_scope, span_line

MOST_SPANS = 20_000


class SpanBuffer(SpanProcessor):
    """A span processor that keeps what ends, `most` spans at most. Safe to use from several threads."""

    def __init__(self, most: int = MOST_SPANS) -> None:
        self._most = most
        self._kept = 0
        self._traces: OrderedDict[int, list[ReadableSpan]] = OrderedDict()
        self._open: Counter[int] = Counter()
        self._changed = threading.Condition()

    def opened(self, trace_id: int) -> None:
        """A call of that trace began."""
        with self._changed:
            self._open[trace_id] += 1

    def closed(self, trace_id: int) -> None:
        """It is over, and its spans are here."""
        with self._changed:
            self._open[trace_id] -= 1
            if self._open[trace_id] <= 0:
                del self._open[trace_id]
            self._changed.notify_all()

    def on_end(self, span: ReadableSpan) -> None:
        """Keep a finished span."""
        context = span.context
        if context is None:
            return
        with self._changed:
            self._traces.setdefault(context.trace_id, []).append(span)
            self._kept += 1
            while self._kept > self._most and self._traces:
                _, dropped = self._traces.popitem(last=False)
                self._kept -= len(dropped)

    def take(self, trace_id: int, timeout_s: float) -> list[ReadableSpan]:
        """The spans of a trace, which are no longer kept then; waits for its open calls, `timeout_s` at most."""
        with self._changed:
            self._changed.wait_for(lambda: trace_id not in self._open, timeout_s)
            spans = self._traces.pop(trace_id, [])
            self._kept -= len(spans)
            return spans


def span_lines(spans: list[ReadableSpan]) -> str:
    """The spans as OTLP/JSON, one `TracesData` a line."""
    lines: list[str] = []
    for span in spans:
        context, start, end = span.context, span.start_time, span.end_time
        if context is None or start is None or end is None:
            continue
        scope = span.instrumentation_scope
        lines.append(
            span_line(
                resource=encode_resource(span.resource.attributes),
                scope=encode_scope("", None) if scope is None else encode_scope(scope.name, scope.version),
                trace_id=f"{context.trace_id:032x}",
                span_id=f"{context.span_id:016x}",
                parent_id=None if span.parent is None else f"{span.parent.span_id:016x}",
                name=span.name,
                kind=span.kind.name,
                start_ns=start,
                end_ns=end,
                attributes=span.attributes,
                events=[(event.name, event.timestamp, event.attributes) for event in span.events],
                status_code=span.status.status_code.value,
                status_message=span.status.description,
            )
        )
    return "".join(f"{line}\n" for line in lines)
