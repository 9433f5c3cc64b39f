from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from punie_trace.runs.reader import RunRecord, read_run
from punie_trace.spans import names
from punie_trace.spans.backfill import MOST_STEPS, metric_requests, readable_spans
from punie_trace.spans.metrics import GaugeValue
from tests.synthetic_run import ANCHOR, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    return read_run(write_run(tmp_path_factory.mktemp("runs") / "run"))


@pytest.fixture(scope="module")
def requests(run: RunRecord) -> list[ExportMetricsServiceRequest]:
    return metric_requests(run.header, run.spans)


def metric(request: ExportMetricsServiceRequest, name: str) -> Metric:
    return next(m for r in request.resource_metrics for s in r.scope_metrics for m in s.metrics if m.name == name)


def outcomes(request: ExportMetricsServiceRequest) -> int:
    return sum(point.as_int for point in metric(request, names.METRIC_QUERY_OUTCOMES).sum.data_points)


def test_the_last_values_are_the_whole_run(run: RunRecord, requests: list[ExportMetricsServiceRequest]) -> None:
    assert outcomes(requests[-1]) == len(run.outcomes)
    walls = [
        point
        for point in metric(requests[-1], names.METRIC_QUERY_DURATION).histogram.data_points
        if {a.key: a.value.string_value for a in point.attributes}[names.LEDGER_LINE] == "wall"
    ]
    assert sum(point.count for point in walls) == len(run.outcomes)
    assert sum(point.sum for point in walls) == pytest.approx(sum(o.wall_ns for o in run.outcomes) / 1e9)
    assert metric(requests[-1], names.METRIC_MEMORY_PEAK).gauge.data_points


def test_values_have_the_times_of_the_run(run: RunRecord, requests: list[ExportMetricsServiceRequest]) -> None:
    times = [metric(one, names.METRIC_QUERY_OUTCOMES).sum.data_points[0].time_unix_nano for one in requests]
    assert times == sorted(set(times))
    assert len(times) > 3
    assert times[-1] == max(o.done_ns for o in run.outcomes)
    assert min(after - before for before, after in pairwise(times[:-1])) > 1_000_000_000
    counts = [outcomes(one) for one in requests]
    ended = [sum(o.done_ns <= time for o in run.outcomes) for time in times]
    assert counts == ended  # a run that sent its metrics itself had these values at these times
    starts = {p.start_time_unix_nano for p in metric(requests[0], names.METRIC_QUERY_OUTCOMES).sum.data_points}
    assert starts == {ANCHOR}


def test_figures_of_the_whole_run_are_in_the_last_values_alone(run: RunRecord) -> None:
    joules = GaugeValue(names.METRIC_ENERGY_PER_RIGHT, "baseline", "agent", 2.5)
    *before, last = metric_requests(run.header, run.spans, [joules])
    (point,) = metric(last, names.METRIC_ENERGY_PER_RIGHT).gauge.data_points
    assert point.as_double == 2.5
    assert point.time_unix_nano == max(o.done_ns for o in run.outcomes)
    sent = [m.name for request in before for r in request.resource_metrics for s in r.scope_metrics for m in s.metrics]
    assert names.METRIC_ENERGY_PER_RIGHT not in sent


def test_exemplars_lead_to_the_traces_of_the_run(run: RunRecord, requests: list[ExportMetricsServiceRequest]) -> None:
    ends = {outcome.trace_id: outcome.done_ns for outcome in run.outcomes}
    found = {
        exemplar.trace_id.hex(): exemplar.time_unix_nano
        for request in requests
        for point in metric(request, names.METRIC_QUERY_DURATION).histogram.data_points
        for exemplar in point.exemplars
    }
    assert len(found) > len(run.outcomes) / 2
    assert found.items() <= ends.items()


def test_making_them_twice_gives_the_same(run: RunRecord, requests: list[ExportMetricsServiceRequest]) -> None:
    assert [r.SerializeToString() for r in metric_requests(run.header, run.spans)] == [
        r.SerializeToString() for r in requests
    ]


def test_a_long_run_has_a_bounded_number_of_steps(run: RunRecord) -> None:
    def stretched(time_ns: int) -> int:
        return ANCHOR + (time_ns - ANCHOR) * 10_000

    spans = [replace(s, start_ns=stretched(s.start_ns), end_ns=stretched(s.end_ns)) for s in run.spans]
    assert len(metric_requests(run.header, spans)) <= MOST_STEPS + 1


def test_a_run_without_a_whole_query_has_no_metrics(run: RunRecord) -> None:
    assert metric_requests(run.header, []) == []


def test_lines_that_cannot_be_read_are_passed_over(run: RunRecord, tmp_path: Path) -> None:
    whole = (run.folder / "spans.jsonl").read_text().splitlines()
    path = tmp_path / "spans.jsonl"
    path.write_text("\n".join([whole[0], "not a span", whole[1], whole[2][:50]]))
    assert len(readable_spans(path)) == 2
