"""Which spans of each local trace are still open, and the intervals of those that finished as a generation or a tool.

A span processor, called in the thread that starts or ends a span. It knows nothing of ledgers: it hands out intervals
exactly as the spans that are exported carry them.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from punie_trace.spans import names

Interval = tuple[int, int]


@dataclass(slots=True)
class _Trace:
    open: dict[int, Span] = field(default_factory=dict)
    generations: list[Interval] = field(default_factory=list)
    tools: list[Interval] = field(default_factory=list)


class OpenSpans(SpanProcessor):
    """Follows every trace from the start of its root to the root's end; traces rooted elsewhere are not followed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._traces: dict[int, _Trace] = {}

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002
        """Enter a started span; a root opens its trace."""
        context = span.get_span_context()
        with self._lock:
            if span.parent is None:
                self._traces[context.trace_id] = _Trace()
            trace = self._traces.get(context.trace_id)
            if trace is not None:
                trace.open[context.span_id] = span

    def on_end(self, span: ReadableSpan) -> None:
        """Strike out a finished span; keep the interval of a generation or a tool. A root ends its trace."""
        context, start, end = span.context, span.start_time, span.end_time
        if context is None or start is None or end is None:
            return
        attributes = span.attributes or {}
        with self._lock:
            trace = self._traces.get(context.trace_id)
            if trace is None:
                return
            trace.open.pop(context.span_id, None)
            if attributes.get(names.SEGMENT) == names.SEGMENT_GENERATION:
                trace.generations.append((start, end))
            elif attributes.get(names.GEN_AI_OPERATION) == names.OPERATION_EXECUTE_TOOL:
                trace.tools.append((start, end))
            if span.parent is None:
                del self._traces[context.trace_id]

    def open_below_root(self, trace_id: int) -> list[Span]:
        """Spans of this trace that are still open, the root left out, the newest first (children before parents)."""
        with self._lock:
            trace = self._traces.get(trace_id)
            return [] if trace is None else [span for span in reversed(trace.open.values()) if span.parent is not None]

    def intervals(self, trace_id: int) -> tuple[list[Interval], list[Interval]]:
        """(generations, tools) that have finished so far, each as (start_ns, end_ns) in the order of their ends."""
        with self._lock:
            trace = self._traces.get(trace_id)
            return ([], []) if trace is None else (list(trace.generations), list(trace.tools))

    def followed(self) -> int:
        """How many traces are open now."""
        with self._lock:
            return len(self._traces)
