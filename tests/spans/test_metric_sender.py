from __future__ import annotations

from collections.abc import Callable
from time import monotonic, sleep

import pytest
from opentelemetry.trace import set_span_in_context

from punie_trace.analysis.ledger import close_ledger
from punie_trace.records import Arrival, Query, Verdict
from punie_trace.spans import names
from punie_trace.spans.metric_sender import MetricCounts, MetricSender
from punie_trace.spans.metrics import RunMetrics
from punie_trace.spans.otlp_post import OtlpPost
from punie_trace.spans.query_span import open_query
from tests.receiver import Receiver
from tests.spans.conftest import Traced
from tests.synthetic_run import make_header


def queries(receiver: Receiver) -> int:
    """How many queries the last values count."""
    found = 0
    for resource in receiver.metrics[-1].resource_metrics:
        for metric in resource.scope_metrics[0].metrics:
            if metric.name == names.METRIC_QUERY_DURATION:
                for point in metric.histogram.data_points:
                    labels = {one.key: one.value.string_value for one in point.attributes}
                    found += point.count if labels[names.LEDGER_LINE] == "wall" else 0
    return found


def wait_until(true: Callable[[], bool]) -> None:
    deadline = monotonic() + 20
    while not true():
        assert monotonic() < deadline
        sleep(0.005)


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


def started(traced: Traced, receiver: Receiver, every_s: float = 60, timeout_s: float = 20) -> MetricSender:
    post = OtlpPost(f"{receiver.url}/v1/metrics", "METRICS", {}, timeout_s=timeout_s, gzip=False)
    sender = MetricSender(RunMetrics("run-1"), post, every_s=every_s)
    traced.provider.add_sink(sender)
    return sender


def test_a_run_that_is_over_at_once_is_whole(traced: Traced, receiver: Receiver) -> None:
    sender = started(traced, receiver)
    run = traced.provider.get_tracer("t").start_span(names.SPAN_RUN)
    ask(traced, warm_up=True)
    ask(traced)
    ask(traced)
    run.end()
    sender.finish(make_header())
    sender.close(20)
    assert queries(receiver) == 2
    assert sender.counts() == MetricCounts(1, 0, complete=True)


def test_values_are_sent_while_the_run_goes_on(traced: Traced, receiver: Receiver) -> None:
    sender = started(traced, receiver, every_s=0.01)
    ask(traced)
    wait_until(lambda: bool(receiver.metrics))
    assert queries(receiver) == 1
    sender.finish(make_header())
    sender.close(20)
    assert sender.counts().complete


@pytest.mark.parametrize(("status", "headers"), [(500, {}), (302, {}), (200, {"content-type": "text/html"})])
def test_what_was_refused_once_is_in_the_next_sending(
    traced: Traced, receiver: Receiver, status: int, headers: dict[str, str]
) -> None:
    receiver.status, receiver.answer_headers = status, headers
    sender = started(traced, receiver, every_s=0.01)
    ask(traced)
    wait_until(lambda: sender.counts().failed > 0)
    assert not sender.counts().complete
    receiver.status, receiver.answer_headers = 200, {}
    sender.finish(make_header())
    sender.close(20)
    assert queries(receiver) == 1
    assert sender.counts().complete


def test_the_end_does_not_wait_for_a_receiver_that_hangs(traced: Traced, receiver: Receiver) -> None:
    receiver.release.clear()
    sender = started(traced, receiver)
    ask(traced)
    before = monotonic()
    sender.finish(make_header())
    sender.close(0.05)
    assert monotonic() - before < 5
    assert not sender.counts().complete
    receiver.release.set()


def test_the_end_waits_no_longer_for_a_receiver_that_did_not_answer_before(traced: Traced, receiver: Receiver) -> None:
    receiver.release.clear()
    sender = started(traced, receiver, every_s=0.01, timeout_s=0.1)
    ask(traced)
    wait_until(lambda: sender.counts().failed > 0)
    before = monotonic()
    sender.finish(make_header())
    sender.close(20)
    assert monotonic() - before < 1
    receiver.release.set()


def test_spans_that_end_after_their_query_are_not_measured(traced: Traced, receiver: Receiver) -> None:
    sender = started(traced, receiver)
    tracer = traced.provider.get_tracer("t")
    root = tracer.start_span("query q")
    late = tracer.start_span("late", context=set_span_in_context(root))
    root.end()
    late.end()
    sender.close(20)
    assert sender.counts() == MetricCounts(0, 0, complete=False)
    assert traced.provider.open_spans.followed() == 0
