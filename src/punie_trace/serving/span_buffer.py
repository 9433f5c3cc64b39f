"""Finished spans, kept by trace until whoever sent the request fetches them: so they end in the caller's own file.

Bounded: where nobody fetches, the oldest traces are dropped. A trace with a call that is still open can be waited for,
because the last byte of an answer reaches its reader before the spans of that answer are written.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict

from punie_trace.spans.sink import SpanSink
from punie_trace.spans.span import Span

MOST_SPANS = 20_000


class SpanBuffer(SpanSink):
    """A sink that keeps what ends, `most` spans at most. Safe to use from several threads."""

    def __init__(self, most: int = MOST_SPANS) -> None:
        self._most = most
        self._kept = 0
        self._traces: OrderedDict[int, list[Span]] = OrderedDict()
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

    def write(self, span: Span) -> None:
        """Keep a finished span."""
        with self._changed:
            self._traces.setdefault(int(span.trace_id, 16), []).append(span)
            self._kept += 1
            while self._kept > self._most and self._traces:
                _, dropped = self._traces.popitem(last=False)
                self._kept -= len(dropped)

    def take(self, trace_id: int, timeout_s: float) -> list[Span]:
        """The spans of a trace, which are no longer kept then; waits for its open calls, `timeout_s` at most."""
        with self._changed:
            self._changed.wait_for(lambda: trace_id not in self._open, timeout_s)
            spans = self._traces.pop(trace_id, [])
            self._kept -= len(spans)
            return spans
