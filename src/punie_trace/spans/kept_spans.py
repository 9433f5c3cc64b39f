"""The spans of queries that still go on, for those who judge them: evaluators look at what was called and asked.

A span processor, called in the thread that ends a span. It keeps the spans of a trace until its root has ended, and is
added only where somebody asks for them.
"""

from __future__ import annotations

import threading

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace import Span as OpenSpan
from opentelemetry.trace import StatusCode

from punie_trace.spans.span import Span


class KeptSpans(SpanProcessor):
    """Follows every trace from the start of its root to the root's end; traces rooted elsewhere are not followed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._traces: dict[int, list[ReadableSpan]] = {}

    def on_start(self, span: OpenSpan, parent_context: Context | None = None) -> None:  # noqa: ARG002
        """A root opens its trace."""
        if span.parent is None:
            with self._lock:
                self._traces[span.get_span_context().trace_id] = []

    def on_end(self, span: ReadableSpan) -> None:
        """Keep a finished span; the end of a root lets its trace go."""
        if span.context is None:
            return
        with self._lock:
            if span.parent is None:
                self._traces.pop(span.context.trace_id, None)
            elif (kept := self._traces.get(span.context.trace_id)) is not None:
                kept.append(span)

    def of(self, trace_id: str) -> list[Span]:
        """What has ended below the root of the trace with this id (hexadecimal), in the order of the ends."""
        with self._lock:
            kept = list(self._traces.get(int(trace_id, 16), ()))
        return [_finished(span) for span in kept]

    @property
    def followed(self) -> int:
        """How many traces are open now."""
        return len(self._traces)


def _finished(span: ReadableSpan) -> Span:
    context, parent, status = span.get_span_context(), span.parent, span.status
    attributes = {
        key: tuple(value) if isinstance(value, list | tuple) else value
        for key, value in (span.attributes or {}).items()
    }
    return Span(
        trace_id=f"{context.trace_id:032x}" if context is not None else "",
        span_id=f"{context.span_id:016x}" if context is not None else "",
        parent_id=None if parent is None else f"{parent.span_id:016x}",
        name=span.name,
        kind=span.kind.name,
        start_ns=span.start_time or 0,
        end_ns=span.end_time or 0,
        attributes=attributes,  # ty: ignore[invalid-argument-type]  # the SDK's own sequences are of one kind
        error=(status.description or "failed") if status.status_code is StatusCode.ERROR else None,
    )
