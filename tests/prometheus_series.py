"""Real OTLP requests as the series that Prometheus makes of them, by its documented rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from punie_trace.spans.prometheus_names import Kind, label_name, metric_name

CONFIGURATION = Path(__file__).parents[1] / "dashboards" / "stack" / "prometheus.yml"


def series_of(request: ExportMetricsServiceRequest) -> dict[str, set[str]]:
    """The names of all series, each with the labels that it has somewhere."""
    promoted = set(yaml.safe_load(CONFIGURATION.read_text())["otlp"]["promote_resource_attributes"])
    found: dict[str, set[str]] = {}
    for resource in request.resource_metrics:
        kept = {a.key for a in resource.resource.attributes} & promoted
        shared = {"job", "instance", *map(label_name, kept)}
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                kind, points = _points(metric)
                labels = shared.union(*({label_name(a.key) for a in point.attributes} for point in points))
                name = metric_name(metric.name, metric.unit, kind)
                if kind == "histogram":
                    found |= {f"{name}_sum": labels, f"{name}_count": labels, f"{name}_bucket": labels | {"le"}}
                else:
                    found[name] = labels
    return found


def _points(metric: Metric) -> tuple[Kind, Any]:
    match metric.WhichOneof("data"):
        case "histogram":
            return "histogram", metric.histogram.data_points
        case "sum" if metric.sum.is_monotonic:
            return "counter", metric.sum.data_points
        case _:
            return "gauge", metric.gauge.data_points
