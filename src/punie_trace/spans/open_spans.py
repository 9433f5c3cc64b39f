"""Which spans and requests of each local trace are still open, and its generations and tool calls that finished.

A span processor, called in the thread that starts or ends a span. It knows nothing of ledgers: it hands out spans and
intervals exactly as those that are exported. A generation request has its span only at its end, so that until then it
is entered here by itself.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Protocol

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from punie_trace.spans import names

Interval = tuple[int, int]


class OpenRequest(Protocol):
    """A generation request that has begun and not finished."""

    def abandon(self) -> None:
        """Finish it as it stands, because its query is over."""
        ...


@dataclass(slots=True)
class _Trace:
    open: dict[int, Span] = field(default_factory=dict)
    generations: list[ReadableSpan] = field(default_factory=list)
    tools: list[ReadableSpan] = field(default_factory=list)
    requests: dict[int, OpenRequest] = field(default_factory=dict)
    begun: int = 0


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
                trace.generations.append(span)
            elif attributes.get(names.GEN_AI_OPERATION) == names.OPERATION_EXECUTE_TOOL:
                trace.tools.append(span)
            if span.parent is None:
                del self._traces[context.trace_id]

    def open_below_root(self, trace_id: int) -> list[Span]:
        """Spans of this trace that are still open, the root left out, the newest first (children before parents)."""
        with self._lock:
            trace = self._traces.get(trace_id)
            return [] if trace is None else [span for span in reversed(trace.open.values()) if span.parent is not None]

    def begin_request(self, trace_id: int, request: OpenRequest) -> int | None:
        """Enter a generation request; its index in the trace, from 0. None where the trace is not followed."""
        with self._lock:
            trace = self._traces.get(trace_id)
            if trace is None:
                return None
            index = trace.begun
            trace.begun += 1
            trace.requests[index] = request
            return index

    def end_request(self, trace_id: int, index: int) -> None:
        """Strike out a request that has finished."""
        with self._lock:
            trace = self._traces.get(trace_id)
            if trace is not None:
                trace.requests.pop(index, None)

    def open_requests(self, trace_id: int) -> list[OpenRequest]:
        """The generation requests of this trace that are still open."""
        with self._lock:
            trace = self._traces.get(trace_id)
            return [] if trace is None else list(trace.requests.values())

    def finished(self, trace_id: int) -> tuple[list[ReadableSpan], list[ReadableSpan]]:
        """(generations, tools) that have finished so far, in the order of their ends."""
        with self._lock:
            trace = self._traces.get(trace_id)
            return ([], []) if trace is None else (list(trace.generations), list(trace.tools))

    def intervals(self, trace_id: int) -> tuple[list[Interval], list[Interval]]:
        """`finished`, each span as (start_ns, end_ns)."""
        generations, tools = self.finished(trace_id)
        return _intervals(generations), _intervals(tools)

    def followed(self) -> int:
        """How many traces are open now."""
        with self._lock:
            return len(self._traces)


def _intervals(spans: list[ReadableSpan]) -> list[Interval]:
    return [
        (span.start_time, span.end_time) for span in spans if span.start_time is not None and span.end_time is not None
    ]
