"""Finds who takes a run's metrics: a collector that takes spans too, or a Prometheus beside a Jaeger that does not.

Jaeger takes no metrics and Prometheus takes no spans, so the two go to endpoints of their own; one collector for both
works as well.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import urlunsplit

from punie_trace.errors import ConfigurationError
from punie_trace.spans.otlp_endpoint import TRACES_PATH, shown, split_url
from punie_trace.spans.otlp_post import OtlpPost
from punie_trace.spans.otlp_sender import EXPORT_TIMEOUT_S, answers

if TYPE_CHECKING:  # the SDK's metrics are loaded where metrics go somewhere
    from punie_trace.spans.metric_sender import MetricSender

PROMETHEUS_ENDPOINT: Final = "http://127.0.0.1:9090/api/v1/otlp/v1/metrics"
"""Where a Prometheus with `--web.enable-otlp-receiver` listens if nobody tells it otherwise."""
_METRICS_PATH: Final = "/v1/metrics"
_PROMETHEUS_PATH: Final = "/api/v1/otlp"
_PROBE_S: Final = 0.3


def metric_endpoints(mode: str, otlp: str = "auto", environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Where metrics may go by `--otlp-metrics MODE` beside `--otlp OTLP`: the first that answers is to be taken.

    'auto' is what the environment says (`OTEL_EXPORTER_OTLP_METRICS_ENDPOINT` as it is), else where the spans go, else
    Prometheus on its usual port. A URL without a path is tried as a collector's and as Prometheus' own. None at all for
    'off', or where OTLP is 'off' and MODE 'auto'. Raises ConfigurationError where MODE is none of these.
    """
    if mode == "off" or (mode == "auto" and otlp == "off"):
        return ()
    if mode == "auto":
        if of_metrics := environ.get("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"):
            return (of_metrics,)
        base = otlp if otlp != "auto" else environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
        return (*([_with_path(base.removesuffix(TRACES_PATH))] if base else []), PROMETHEUS_ENDPOINT)
    parts = split_url(mode)
    if parts is None:
        raise ConfigurationError(
            f"--otlp-metrics {mode!r} is neither 'auto', 'off' nor a URL such as http://127.0.0.1:9090."
        )
    if parts.path.rstrip("/"):
        return (_with_path(mode),)
    return (_with_path(mode), _with_path(urlunsplit(parts._replace(path=_PROMETHEUS_PATH))))


def first_that_answers(
    endpoints: Sequence[str], *, asked_for: bool, environ: Mapping[str, str] = os.environ
) -> str | None:
    """The first of the endpoints that takes metrics. One that was asked for by name may be distant, and gets longer."""
    timeout_s = EXPORT_TIMEOUT_S if asked_for else _PROBE_S
    return next((endpoint for endpoint in endpoints if answers(endpoint, "METRICS", timeout_s, environ)), None)


def connect_metrics(
    mode: str, run_id: str, otlp: str = "auto", environ: Mapping[str, str] = os.environ
) -> MetricSender | None:
    """The sender for `--otlp-metrics MODE`, None where nothing shall or can be sent.

    Raises ConfigurationError where a URL was asked for by name and nothing there takes metrics.
    """
    endpoints = metric_endpoints(mode, otlp, environ)
    asked_for = mode != "auto"
    endpoint = first_that_answers(endpoints, asked_for=asked_for, environ=environ)
    if endpoint is not None:
        from punie_trace.spans.metric_sender import MetricSender
        from punie_trace.spans.metrics import RunMetrics

        post = OtlpPost(endpoint, "METRICS", environ, timeout_s=EXPORT_TIMEOUT_S, gzip=False)
        return MetricSender(RunMetrics(run_id), post)
    if asked_for and endpoints:
        raise ConfigurationError(
            f"Nothing takes metrics at {' or '.join(shown(one) for one in endpoints)}. Start it (Prometheus "
            "needs --web.enable-otlp-receiver), correct --otlp-metrics, or leave it out: `punie-trace export` can send "
            "the metrics of a run later."
        )
    return None


def _with_path(url: str) -> str:
    parts = split_url(url)
    if parts is None:
        return url  # nothing will answer there
    path = parts.path.rstrip("/").removesuffix(TRACES_PATH)  # the address of the spans, given for both
    return urlunsplit(parts._replace(path=path if path.endswith(_METRICS_PATH) else path + _METRICS_PATH))
