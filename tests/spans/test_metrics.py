from __future__ import annotations

from itertools import pairwise

import pytest
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    Sum,
)

from punie_trace.runs.header import ConfigurationRecord, ServerRecord
from punie_trace.spans import names
from punie_trace.spans.measurements import Measurement
from punie_trace.spans.metrics import OPERATION_BUCKETS, QUERY_BUCKETS, RunMetrics
from tests.synthetic_run import make_header

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def wall(seconds: float, configuration: str = "baseline") -> Measurement:
    labels = {names.CONFIGURATION: configuration, names.LEDGER_LINE: "wall"}
    return Measurement(names.METRIC_QUERY_DURATION, seconds, labels, TRACE, SPAN)


def collected(metrics: RunMetrics) -> dict[str, Metric]:
    data = metrics.collect()
    assert data is not None
    return {m.name: m for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics}


def histogram_point(metric: Metric) -> HistogramDataPoint:
    assert isinstance(metric.data, Histogram)
    (point,) = metric.data.data_points
    return point


def number_points(metric: Metric) -> list[NumberDataPoint]:
    assert isinstance(metric.data, Sum | Gauge)
    return list(metric.data.data_points)


def test_values_are_cumulative_and_name_their_trace() -> None:
    metrics = RunMetrics("run-1")
    metrics.record([wall(1.0), wall(3.0)])
    first = collected(metrics)[names.METRIC_QUERY_DURATION]
    assert isinstance(first.data, Histogram)
    assert first.data.aggregation_temporality is AggregationTemporality.CUMULATIVE
    point = histogram_point(first)
    assert (point.count, point.sum) == (2, 4.0)
    assert {(e.trace_id, e.span_id) for e in point.exemplars} == {(int(TRACE, 16), int(SPAN, 16))}
    assert sorted(e.value for e in point.exemplars) == [1.0, 3.0]
    metrics.record([wall(2.0)])
    again = histogram_point(collected(metrics)[names.METRIC_QUERY_DURATION])
    assert (again.count, again.sum) == (3, 6.0)
    assert [e.value for e in again.exemplars] == [2.0]
    assert metrics.recorded == 3


def test_the_resource_names_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_METRICS_EXEMPLAR_FILTER", "always_off")  # must not change what is measured
    metrics = RunMetrics("run-1")
    metrics.record([wall(1.0)])
    data = metrics.collect()
    assert data is not None
    attributes = data.resource_metrics[0].resource.attributes
    assert attributes[names.SERVICE_NAME] == "punie-trace"
    assert attributes[names.RUN_ID] == attributes[names.SERVICE_INSTANCE] == "run-1"
    assert histogram_point(data.resource_metrics[0].scope_metrics[0].metrics[0]).exemplars


def test_buckets_are_those_of_the_conventions_and_finer_for_queries() -> None:
    assert OPERATION_BUCKETS[:14] == pytest.approx([0.01 * 2**n for n in range(14)])
    assert OPERATION_BUCKETS[-1] == pytest.approx(327.68)
    assert set(OPERATION_BUCKETS) <= {round(bound, 12) for bound in QUERY_BUCKETS} | set(QUERY_BUCKETS)
    fine = [bound for bound in QUERY_BUCKETS if bound >= 0.01]
    assert max(after / before for before, after in pairwise(fine)) < 1.2
    metrics = RunMetrics("run-1")
    metrics.record([wall(1.0)])
    assert histogram_point(collected(metrics)[names.METRIC_QUERY_DURATION]).explicit_bounds == QUERY_BUCKETS


def test_the_header_tells_memory_and_length_of_drafts() -> None:
    header = make_header().model_copy(
        update={
            "servers": {"one": ServerRecord(memory_peak_bytes=2**30), "two": ServerRecord()},
            "configurations": {
                "baseline": ConfigurationRecord(path="agent", server="one", kind="mlx_lm"),
                "speculative-3": ConfigurationRecord(path="agent", server="two", kind="mlx_lm", num_draft_tokens=3),
                "within": ConfigurationRecord(path="inprocess", server=None, kind="mlx_lm"),
            },
        }
    )
    metrics = RunMetrics("run-1")
    metrics.record_header(header)
    found = collected(metrics)
    (memory,) = number_points(found[names.METRIC_MEMORY_PEAK])
    assert (memory.value, dict(memory.attributes or {})[names.CONFIGURATION]) == (2**30, "baseline")
    (drafts,) = number_points(found[names.METRIC_DRAFT_TOKENS])
    assert (drafts.value, dict(drafts.attributes or {})[names.CONFIGURATION]) == (3, "speculative-3")


def test_nothing_recorded_is_nothing_to_send() -> None:
    assert RunMetrics("run-1").collect() is None
