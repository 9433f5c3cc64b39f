"""Feeds a run's metrics from the spans that end, and sends them to an OTLP receiver every few seconds and at the end.

Nothing is done before a query is over: then its spans are measured in the thread that ends its root, when no time of
that query runs any more. One daemon thread sends. What could not be sent is no loss: values are cumulative, so the next
sending holds them, and all can be made again from the run's folder.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from time import monotonic

from opentelemetry.context import Context
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.trace import StatusCode

from punie_trace.runs.header import RunHeader
from punie_trace.spans.measurements import is_measured, measure
from punie_trace.spans.metrics import RunMetrics
from punie_trace.spans.span import Span, SpanEvent

SEND_EVERY_S = 2.5
"""A run of seconds still shows its course, and a longer one does not fill the store."""


@dataclass(frozen=True, slots=True)
class MetricCounts:
    """How often the values were sent and not accepted, and whether the last ones, which hold all, were accepted."""

    sent: int
    failed: int
    complete: bool


class MetricSender(SpanProcessor):
    """A span processor that turns each query's spans into metrics and hands these to `exporter`.

    `endpoint` is for messages only.
    """

    def __init__(
        self, metrics: RunMetrics, exporter: MetricExporter, endpoint: str, *, every_s: float = SEND_EVERY_S
    ) -> None:
        self.endpoint = endpoint
        self._metrics = metrics
        self._exporter = exporter
        self._every_s = every_s
        self._traces: dict[int, list[ReadableSpan]] = {}
        self._lock = threading.Lock()
        self._finishing = threading.Event()
        self._sent = self._failed = self._seen = 0
        self._complete = False
        self._thread = threading.Thread(target=self._send_until_finished, name="punie-metrics", daemon=True)
        self._thread.start()

    def on_start(self, span: sdk.Span, parent_context: Context | None = None) -> None:  # noqa: ARG002
        """A root opens its trace: what ends after its root has no query to belong to."""
        if span.parent is None:
            with self._lock:
                self._traces[span.get_span_context().trace_id] = []

    def on_end(self, span: ReadableSpan) -> None:
        """Keep a finished span until its root ends; then measure the query."""
        if (context := span.context) is None:
            return
        with self._lock:
            if span.parent is not None:
                if (trace := self._traces.get(context.trace_id)) is not None:
                    trace.append(span)
                return
            spans = self._traces.pop(context.trace_id, [])
        try:
            query = _row(span)
            if is_measured(query):
                self._metrics.record(measure(query, [_row(one) for one in spans]))
        except Exception:  # this runs within the measured program: a figure less is better than a query less
            logging.getLogger(__name__).exception("A query could not be measured for metrics")

    def finish(self, header: RunHeader) -> None:
        """All queries are over: take up what the header tells, and begin the last sending. Returns at once."""
        self._metrics.record_header(header)
        self._finishing.set()

    def shutdown(self, timeout_s: float = 3.0) -> None:
        """Wait for the last sending, for `timeout_s` at most. `finish` first, or the header's values are missing."""
        deadline = monotonic() + timeout_s
        self._finishing.set()
        self._thread.join(max(0.0, deadline - monotonic()))
        self._exporter.shutdown()  # interrupts an exporter that waits to try again

    def force_flush(self, timeout_millis: int = 3000) -> bool:  # noqa: ARG002
        """Nothing waits that the next sending would not hold."""
        return True

    def counts(self) -> MetricCounts:
        """What became of the sendings; final after `shutdown`."""
        with self._lock:
            return MetricCounts(self._sent, self._failed, self._complete)

    def _send_until_finished(self) -> None:
        while not self._finishing.wait(self._every_s):
            self._send()
        self._send()

    def _send(self) -> None:
        recorded = self._metrics.recorded
        if recorded == self._seen and self._complete:
            return  # nothing new since the last one arrived
        data = self._metrics.collect()
        if data is None:
            return
        try:
            sent = self._exporter.export(data) is MetricExportResult.SUCCESS
        except Exception:
            logging.getLogger(__name__).exception("Sending metrics to %s failed", self.endpoint)
            sent = False
        with self._lock:
            self._seen = recorded
            self._sent += sent
            self._failed += not sent
            self._complete = sent


def _row(span: ReadableSpan) -> Span:
    context = span.context
    error = span.status.description or "error" if span.status.status_code is StatusCode.ERROR else None
    return Span(
        trace_id="" if context is None else f"{context.trace_id:032x}",
        span_id="" if context is None else f"{context.span_id:016x}",
        parent_id=None if span.parent is None else f"{span.parent.span_id:016x}",
        name=span.name,
        kind=span.kind.name,
        start_ns=span.start_time or 0,
        end_ns=span.end_time or 0,
        attributes=dict(span.attributes or {}),  # ty: ignore[invalid-argument-type]
        events=tuple(SpanEvent(event.name, event.timestamp) for event in span.events),
        error=error,
    )
