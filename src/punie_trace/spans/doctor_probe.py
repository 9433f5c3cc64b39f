"""One span and one measurement that belong to no run: for seeing whether they come back from where they were sent.

Their names are in no dashboard, so that probing leaves no trace among the runs.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import Final

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    Exemplar,
    Histogram,
    HistogramDataPoint,
    Metric,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from punie_trace.spans import names
from punie_trace.spans.prometheus_names import label_name, metric_name

SERVICE: Final = "punie-trace-doctor"
METRIC: Final = "punie.doctor.probe"
_SECONDS: Final = 0.25


@dataclass(frozen=True, slots=True)
class Probe:
    """A span and a measurement with an exemplar that names it, under ids that nobody had before."""

    trace_id: str = field(default_factory=lambda: secrets.token_hex(16))
    span_id: str = field(default_factory=lambda: secrets.token_hex(8))
    time_ns: int = field(default_factory=time.time_ns)

    @property
    def run_id(self) -> str:
        """The run that it claims to be of."""
        return f"doctor-{self.trace_id[:8]}"

    @property
    def series(self) -> str:
        """What Prometheus must have: the series by the label of the run."""
        name = metric_name(METRIC, "s", "histogram")
        return f'{name}_bucket{{{label_name(names.RUN_ID)}="{self.run_id}"}}'

    @property
    def series_of_any_run(self) -> str:
        """What Prometheus has where it was not told to keep the run as a label."""
        return f'{metric_name(METRIC, "s", "histogram")}_bucket{{instance="{self.run_id}"}}'

    def spans(self) -> ExportTraceServiceRequest:
        """The request with the span."""
        span = Span(
            trace_id=bytes.fromhex(self.trace_id),
            span_id=bytes.fromhex(self.span_id),
            name="doctor",
            kind=Span.SPAN_KIND_INTERNAL,
            start_time_unix_nano=self.time_ns - int(_SECONDS * 1e9),
            end_time_unix_nano=self.time_ns,
        )
        scope = ScopeSpans(scope=InstrumentationScope(name=names.SERVICE), spans=[span])
        return ExportTraceServiceRequest(resource_spans=[ResourceSpans(resource=self._resource(), scope_spans=[scope])])

    def metrics(self) -> ExportMetricsServiceRequest:
        """The request with the measurement."""
        exemplar = Exemplar(
            time_unix_nano=self.time_ns,
            as_double=_SECONDS,
            trace_id=bytes.fromhex(self.trace_id),
            span_id=bytes.fromhex(self.span_id),
        )
        point = HistogramDataPoint(
            start_time_unix_nano=self.time_ns - int(_SECONDS * 1e9),
            time_unix_nano=self.time_ns,
            count=1,
            sum=_SECONDS,
            explicit_bounds=[1.0],
            bucket_counts=[1, 0],
            exemplars=[exemplar],
        )
        histogram = Histogram(
            data_points=[point], aggregation_temporality=AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
        )
        metric = Metric(name=METRIC, unit="s", histogram=histogram)
        scope = ScopeMetrics(scope=InstrumentationScope(name=names.SERVICE), metrics=[metric])
        return ExportMetricsServiceRequest(
            resource_metrics=[ResourceMetrics(resource=self._resource(), scope_metrics=[scope])]
        )

    def _resource(self) -> Resource:
        attributes = {
            names.SERVICE_NAME: SERVICE,
            names.SERVICE_INSTANCE: self.run_id,
            names.RUN_ID: self.run_id,
        }
        return Resource(
            attributes=[KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in attributes.items()]
        )
