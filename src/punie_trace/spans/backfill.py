"""Makes the metrics of a finished run again from its spans, under the times at which they happened.

The values are those that the run sent itself, or would have sent: the same measurements, cumulative, in steps of the
run's own time. A receiver that has them already gets the same values for the same times.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from punie_trace.errors import RunFolderError
from punie_trace.runs.header import RunHeader
from punie_trace.spans.codec import from_line
from punie_trace.spans.measurements import is_measured, measure
from punie_trace.spans.metric_sender import SEND_EVERY_S
from punie_trace.spans.metrics import GaugeValue, RunMetrics
from punie_trace.spans.span import Span

MOST_STEPS: Final = 240
"""A run of any length becomes so many points of time at most."""
_NS: Final = 1_000_000_000


def readable_spans(path: Path) -> list[Span]:
    """The spans of a file, but for lines that cannot be read. Raises RunFolderError where the file cannot be."""
    spans: list[Span] = []
    try:
        with path.open("rb") as file:
            for line in file:
                with suppress(ValueError):
                    spans += from_line(line)
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be read ({error.strerror})") from error
    return spans


def metric_requests(
    header: RunHeader, spans: Iterable[Span], gauges: Iterable[GaugeValue] = ()
) -> list[ExportMetricsServiceRequest]:
    """The requests to send, in order; the last one holds the whole run, with `gauges`, which only that tells.

    None where no query was written to its end.
    """
    queries = sorted(_queries(spans), key=lambda query: query[0].end_ns)
    if not queries:
        return []
    times = {bytes.fromhex(root.trace_id): root.end_ns for root, _ in queries}
    metrics = RunMetrics(header.id)
    requests: list[ExportMetricsServiceRequest] = []
    for number, (root, others) in enumerate(queries):
        metrics.record(measure(root, others))
        last = number + 1 == len(queries)
        if last:
            metrics.record_header(header)
            metrics.record_gauges(gauges)
        if last or _step(queries, number + 1) > _step(queries, number):
            data = metrics.collect()
            if data is not None:
                request = encode_metrics(data)
                _date(request, header.clock.anchor_wall_ns, root.end_ns, times)
                requests.append(request)
    return requests


def _queries(spans: Iterable[Span]) -> Iterator[tuple[Span, list[Span]]]:
    traces: dict[str, list[Span]] = {}
    for span in spans:
        traces.setdefault(span.trace_id, []).append(span)
    for trace in traces.values():
        root = next((span for span in trace if is_measured(span)), None)
        if root is not None:
            yield root, [span for span in trace if span is not root]


def _step(queries: list[tuple[Span, list[Span]]], number: int) -> int:
    """Which step of the run's time the query's end lies in."""
    begin, end = queries[0][0].end_ns, queries[-1][0].end_ns
    length = max(int(SEND_EVERY_S * _NS), (end - begin) // MOST_STEPS)
    return (queries[number][0].end_ns - begin) // length


def _date(request: ExportMetricsServiceRequest, start_ns: int, time_ns: int, times: Mapping[bytes, int]) -> None:
    """Put the run's times in place of the present ones: start, time of the values, and each exemplar's own."""
    for resource in request.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in _points(metric):
                    if metric.WhichOneof("data") != "gauge":
                        point.start_time_unix_nano = min(start_ns, time_ns)
                    point.time_unix_nano = time_ns
                    for exemplar in point.exemplars:
                        exemplar.time_unix_nano = times.get(exemplar.trace_id, time_ns)


def _points(metric: Metric) -> Any:
    return getattr(metric, metric.WhichOneof("data") or "gauge").data_points
