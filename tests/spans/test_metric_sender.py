from __future__ import annotations

import threading
from time import monotonic

import pytest
from opentelemetry.sdk.metrics.export import Histogram, MetricExporter, MetricExportResult, MetricsData

from punie_trace.analysis.ledger import close_ledger
from punie_trace.records import Arrival, Query, Verdict
from punie_trace.spans import names
from punie_trace.spans.metric_sender import MetricCounts, MetricSender
from punie_trace.spans.metrics import RunMetrics
from punie_trace.spans.query_span import open_query
from tests.spans.conftest import Traced
from tests.synthetic_run import make_header


class Kept(MetricExporter):
    """Keeps what it is given, after the gate is open, and answers as told."""

    def __init__(self, *results: MetricExportResult | Exception) -> None:
        super().__init__()
        self.results = list(results)
        self.given: list[MetricsData] = []
        self.gate = threading.Event()
        self.gate.set()
        self.closed = False

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: object) -> MetricExportResult:
        self.gate.wait(20)
        self.given.append(metrics_data)
        result = self.results.pop(0) if self.results else MetricExportResult.SUCCESS
        if isinstance(result, Exception):
            raise result
        return result

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: object) -> None:
        self.closed = True

    def queries(self) -> int:
        """How many queries the last values count."""
        for resource in self.given[-1].resource_metrics:
            for metric in resource.scope_metrics[0].metrics:
                if metric.name == names.METRIC_QUERY_DURATION and isinstance(metric.data, Histogram):
                    walls = [p for p in metric.data.data_points if (p.attributes or {})[names.LEDGER_LINE] == "wall"]
                    return sum(point.count for point in walls)
        return 0


def ask(traced: Traced, *, warm_up: bool = False) -> None:
    arrival = Arrival(0, traced.clock.now_ns(), 0, "baseline", Query("q", "?", category="search"))
    with open_query(
        traced.provider,
        traced.clock,
        arrival=arrival,
        path="agent",
        run_span_context=None,
        close=close_ledger,
        warm_up=warm_up,
    ) as span:
        span.mark_sent()
        tracer = traced.provider.get_tracer("t")
        with tracer.start_as_current_span("POST", attributes={names.SEGMENT: names.SEGMENT_GENERATION}):
            pass
        span.finish()
        span.set_verdict(Verdict.CORRECT)


def started(traced: Traced, exporter: Kept, every_s: float = 60) -> MetricSender:
    sender = MetricSender(RunMetrics("run-1"), exporter, "here", every_s=every_s)
    traced.provider.add_span_processor(sender)
    return sender


def test_a_run_that_is_over_at_once_is_whole(traced: Traced) -> None:
    exporter = Kept()
    sender = started(traced, exporter)
    run = traced.provider.get_tracer("t").start_span(names.SPAN_RUN)
    ask(traced, warm_up=True)
    ask(traced)
    ask(traced)
    run.end()
    sender.finish(make_header())
    sender.shutdown(20)
    assert exporter.queries() == 2
    assert sender.counts() == MetricCounts(1, 0, complete=True)
    assert exporter.closed


def test_values_are_sent_while_the_run_goes_on(traced: Traced) -> None:
    exporter = Kept()
    sender = started(traced, exporter, every_s=0.01)
    ask(traced)
    deadline = monotonic() + 20
    while not exporter.given and monotonic() < deadline:
        threading.Event().wait(0.01)
    assert exporter.queries() == 1
    sender.finish(make_header())
    sender.shutdown(20)
    assert sender.counts().complete


@pytest.mark.parametrize("failure", [MetricExportResult.FAILURE, RuntimeError("broken")])
def test_what_was_refused_once_is_in_the_next_sending(traced: Traced, failure: MetricExportResult | Exception) -> None:
    exporter = Kept(failure)
    sender = started(traced, exporter, every_s=0.01)
    ask(traced)
    deadline = monotonic() + 20
    while len(exporter.given) < 2 and monotonic() < deadline:
        threading.Event().wait(0.01)
    sender.finish(make_header())
    sender.shutdown(20)
    assert exporter.queries() == 1
    assert sender.counts().failed == 1
    assert sender.counts().complete


def test_shutting_down_does_not_wait_for_a_receiver_that_hangs(traced: Traced) -> None:
    exporter = Kept()
    exporter.gate.clear()
    sender = started(traced, exporter)
    ask(traced)
    before = monotonic()
    sender.finish(make_header())
    sender.shutdown(0.05)
    assert monotonic() - before < 5
    assert not sender.counts().complete
    exporter.gate.set()


def test_spans_that_end_after_their_query_are_not_kept(traced: Traced) -> None:
    exporter = Kept()
    sender = started(traced, exporter)
    tracer = traced.provider.get_tracer("t")
    root = tracer.start_span("query q")
    from opentelemetry.trace import set_span_in_context

    late = tracer.start_span("late", context=set_span_in_context(root))
    root.end()
    late.end()
    assert sender._traces == {}
    sender.shutdown(20)
    assert sender.counts() == MetricCounts(0, 0, complete=False)
