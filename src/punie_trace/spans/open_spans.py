"""The traces that are open in this process: which of their spans and requests still run, and what has finished.

What calls and generations a query had is read from here. It knows nothing of ledgers: it hands out spans and intervals
exactly as the sinks get them. A generation request has its span only at its end, so that until then it is entered here
by itself. Trace ids are 32 hexadecimal digits.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Protocol

from opentelemetry.sdk import trace as sdk

from punie_trace.spans import conventions
from punie_trace.spans.code_runs import is_code_run
from punie_trace.spans.span import Span

Interval = tuple[int, int]


class OpenRequest(Protocol):
    """A generation request that has begun and not finished."""

    def abandon(self) -> None:
        """Finish it as it stands, because its query is over."""
        ...


@dataclass(slots=True)
class _Trace:
    open: dict[str, sdk.Span] = field(default_factory=dict)
    finished: list[Span] = field(default_factory=list)
    requests: dict[int, OpenRequest] = field(default_factory=dict)
    begun: int = 0


class OpenSpans:
    """Follows every trace from the start of its root to the root's end; traces rooted elsewhere are not followed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._traces: dict[str, _Trace] = {}

    def started(self, span: sdk.Span) -> None:
        """Enter a started span; a root opens its trace."""
        context = span.get_span_context()
        trace_id = f"{context.trace_id:032x}"
        with self._lock:
            if span.parent is None:
                self._traces[trace_id] = _Trace()
            trace = self._traces.get(trace_id)
            if trace is not None:
                trace.open[f"{context.span_id:016x}"] = span

    def ended(self, span: Span) -> list[Span] | None:
        """Strike out a finished span and keep it. A root ends its trace: the others of it; None for all others."""
        with self._lock:
            trace = self._traces.get(span.trace_id)
            if trace is None:
                return None
            trace.open.pop(span.span_id, None)
            if span.parent_id is None:
                del self._traces[span.trace_id]
                return trace.finished
            trace.finished.append(span)
            return None

    def open_below_root(self, trace_id: str) -> list[sdk.Span]:
        """Spans of this trace that are still open, the root left out, the newest first (children before parents)."""
        with self._lock:
            trace = self._traces.get(trace_id)
            return [] if trace is None else [span for span in reversed(trace.open.values()) if span.parent is not None]

    def begin_request(self, trace_id: str, request: OpenRequest) -> int | None:
        """Enter a generation request; its index in the trace, from 0. None where the trace is not followed."""
        with self._lock:
            trace = self._traces.get(trace_id)
            if trace is None:
                return None
            index = trace.begun
            trace.begun += 1
            trace.requests[index] = request
            return index

    def end_request(self, trace_id: str, index: int) -> None:
        """Strike out a request that has finished."""
        with self._lock:
            trace = self._traces.get(trace_id)
            if trace is not None:
                trace.requests.pop(index, None)

    def open_requests(self, trace_id: str) -> list[OpenRequest]:
        """The generation requests of this trace that are still open."""
        with self._lock:
            trace = self._traces.get(trace_id)
            return [] if trace is None else list(trace.requests.values())

    def finished(self, trace_id: str) -> list[Span]:
        """The spans of an open trace that have finished so far, in the order of their ends; not its root."""
        with self._lock:
            trace = self._traces.get(trace_id)
            return [] if trace is None else list(trace.finished)

    def follows(self, trace_id: str) -> bool:
        """Whether this trace is open now."""
        with self._lock:
            return trace_id in self._traces

    def followed(self) -> int:
        """How many traces are open now."""
        with self._lock:
            return len(self._traces)


def intervals(spans: list[Span]) -> tuple[list[Interval], list[Interval], list[Interval]]:
    """(generations, tools, runs of code) among `spans`, each as (start_ns, end_ns), in their order."""
    generations, tools = conventions.generations(spans), conventions.tools(spans)
    code = [span for span in tools if is_code_run(span)]
    if code:
        tools = [span for span in tools if not is_code_run(span)]
    return _times(generations), _times(tools), _times(code)


def _times(spans: list[Span]) -> list[Interval]:
    return [(span.start_ns, span.end_ns) for span in spans]
