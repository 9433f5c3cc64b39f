"""Feeds a run's metrics from the spans that end, and sends them to an OTLP receiver every few seconds and at the end.

Nothing is done before a query is over: then its spans are measured in the thread that ends its root, when no time of
that query runs any more. One daemon thread sends. What could not be sent is no loss: values are cumulative, so the next
sending holds them, and all can be made again from the run's folder.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from httpx2 import TimeoutException
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics

from punie_trace.errors import ExportError
from punie_trace.runs.header import RunHeader
from punie_trace.spans.measurements import is_measured, measure
from punie_trace.spans.metrics import GaugeValue, RunMetrics
from punie_trace.spans.otlp_endpoint import shown
from punie_trace.spans.otlp_post import OtlpPost
from punie_trace.spans.otlp_sender import END_S
from punie_trace.spans.sink import SpanSink
from punie_trace.spans.span import Span

SEND_EVERY_S = 2.5
"""A run of seconds still shows its course, and a longer one does not fill the store."""


@dataclass(frozen=True, slots=True)
class MetricCounts:
    """How often the values were sent and not accepted, and whether the last ones, which hold all, were accepted."""

    sent: int
    failed: int
    complete: bool


class MetricSender(SpanSink):
    """A sink that turns each query's spans into metrics and posts these from a thread, which closes `post` at its end.

    `endpoint` is for messages only.
    """

    def __init__(self, metrics: RunMetrics, post: OtlpPost, *, every_s: float = SEND_EVERY_S) -> None:
        self.endpoint = shown(post.endpoint)
        self._metrics = metrics
        self._post = post
        self._every_s = every_s
        self._lock = threading.Lock()
        self._finishing = threading.Event()
        self._sent = self._failed = self._seen = 0
        self._complete = False
        self._answering = True
        self._thread = threading.Thread(target=self._send_until_finished, name="punie-metrics", daemon=True)
        self._thread.start()

    def trace_ended(self, root: Span, others: Sequence[Span]) -> None:
        """Measure the query whose root has ended; what ends after its root belongs to no query."""
        if not is_measured(root):
            return
        try:
            self._metrics.record(measure(root, others))
        except Exception:  # this runs within the measured program: a figure less is better than a query less
            logging.getLogger(__name__).exception("A query could not be measured for metrics")

    def finish(self, header: RunHeader, gauges: Iterable[GaugeValue] = ()) -> None:
        """All queries are over: take up what the header and the whole run tell, and begin the last sending.

        Returns at once.
        """
        self._metrics.record_header(header)
        self._metrics.record_gauges(gauges)
        self._finishing.set()

    def close(self, timeout_s: float = END_S) -> None:
        """Wait for the last sending, for `timeout_s` at most. `finish` first, or the header's values are missing.

        A receiver that did not answer the last request in time is not waited for.
        """
        self._finishing.set()
        self._thread.join(timeout_s if self._answering else 0.0)

    def counts(self) -> MetricCounts:
        """What became of the sendings; final after `shutdown`."""
        with self._lock:
            return MetricCounts(self._sent, self._failed, self._complete)

    def _send_until_finished(self) -> None:
        try:
            while not self._finishing.wait(self._every_s):
                self._send()
            self._send()
        finally:
            self._post.close()

    def _send(self) -> None:
        recorded = self._metrics.recorded
        if recorded == self._seen and self._complete:
            return  # nothing new since the last one arrived
        data = self._metrics.collect()
        if data is None:
            return
        sent = self._answering = True
        try:
            self._post.send(encode_metrics(data).SerializeToString(), tries=1)
        except ExportError as error:
            sent, self._answering = False, not isinstance(error.__cause__, TimeoutException)
        except Exception:  # whatever it is, the run goes on, and its folder holds all that metrics are made of
            sent = False
        with self._lock:
            self._seen = recorded
            self._sent += sent
            self._failed += not sent
            self._complete = sent
