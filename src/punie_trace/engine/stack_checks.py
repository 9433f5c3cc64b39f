"""What `punie-trace doctor` looks at around this machine's programs: Jaeger, Prometheus and Grafana.

A port that is open proves little: a span, a measurement and an exemplar are sent, and asked back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import httpx2

from punie_trace.engine.checks import Check
from punie_trace.errors import ExportError
from punie_trace.report.interfaces import GRAFANA_PORT, JAEGER_PORT, beside
from punie_trace.spans.doctor_probe import Probe
from punie_trace.spans.metric_endpoint import first_that_answers, metric_endpoints
from punie_trace.spans.otlp_endpoint import endpoint_for, port_is_open, shown
from punie_trace.spans.otlp_post import BodyTooLargeError, OtlpPost, RefusedError

_START: Final = "start it with 'docker compose up -d' (runs go on without it)"
_PROBE_S: Final = 0.5
_BACK_S: Final = 6.0
_ASK_EVERY_S: Final = 0.2
_PROMETHEUS_PATH: Final = "/api/v1/otlp"


@dataclass(frozen=True, slots=True)
class Stack:
    """Where to send (None: not wanted) and where to ask (None: cannot be asked)."""

    spans: str | None
    metrics: str | None
    jaeger: str | None
    prometheus: str | None
    grafana: str | None


def stack_at(spans: str | None, metrics: str | None) -> Stack:
    """The stack around OTLP endpoints: interfaces are looked for on their usual ports of the same hosts."""
    address, found, _ = (metrics or "").partition(_PROMETHEUS_PATH)
    return Stack(
        spans=spans,
        metrics=metrics,
        jaeger=beside(spans, JAEGER_PORT) if spans else None,
        prometheus=address if found else None,
        grafana=beside(metrics, GRAFANA_PORT) if metrics else None,
    )


def checks_of_stack(otlp: str, otlp_metrics: str) -> Iterator[Check]:
    """The checks of the stack that a run with these endpoints, each auto, off or a URL, would send to."""
    metrics = metric_endpoints(otlp_metrics, otlp)
    answering = first_that_answers(metrics, asked_for=False)
    yield from stack_checks(stack_at(endpoint_for(otlp), answering or (metrics[-1] if metrics else None)))


def stack_checks(stack: Stack, *, back_s: float = _BACK_S) -> Iterator[Check]:
    """Send a span and a measurement, and ask for them for `back_s` at most each."""
    probe = Probe()
    if stack.spans is not None:
        yield from _jaeger(stack.spans, stack.jaeger, probe, back_s)
    if stack.metrics is not None:
        yield from _prometheus(stack.metrics, stack.prometheus, probe, back_s)
        yield _grafana(stack.grafana)


def _jaeger(endpoint: str, jaeger: str | None, probe: Probe, back_s: float) -> Iterator[Check]:
    where = shown(endpoint)
    if not port_is_open(endpoint, _PROBE_S):
        yield Check("Jaeger", "note", f"nothing answers at {where}", _START)
        return
    if problem := _sent(endpoint, "TRACES", probe):
        yield Check("Jaeger", "bad", problem, "correct the address, or --otlp off")
        return
    yield Check("Jaeger", "ok", f"takes spans at {where}")
    if jaeger is None:
        yield Check("a span back", "note", "no Jaeger interface beside that: it cannot be asked")
        return
    url = f"{jaeger}/api/v3/traces/{probe.trace_id}"
    if _back(url, {}, lambda answer: bool(answer.get("result", {}).get("resourceSpans")), back_s):
        yield Check("a span back", "ok", f"{jaeger}/trace/{probe.trace_id}")
    else:
        do = "look at its log: docker compose logs jaeger"
        yield Check("a span back", "bad", f"{jaeger} does not have it after {back_s:g} s", do)


def _prometheus(endpoint: str, prometheus: str | None, probe: Probe, back_s: float) -> Iterator[Check]:
    where = shown(endpoint)
    if not port_is_open(endpoint, _PROBE_S):
        yield Check("Prometheus", "note", f"nothing answers at {where}", _START)
        return
    if problem := _sent(endpoint, "METRICS", probe):
        yield Check("Prometheus", "bad", problem, "start it with --web.enable-otlp-receiver, or --otlp-metrics off")
        return
    yield Check("Prometheus", "ok", f"takes metrics at {where}")
    if prometheus is None:
        yield Check("a metric back", "note", "that is no Prometheus: it cannot be asked")
        return
    query = f"{prometheus}/api/v1/query"
    exemplars = f"{prometheus}/api/v1/query_exemplars"
    if _back(query, {"query": probe.series}, _has_result, back_s):
        yield Check("a metric back", "ok", probe.series)
    elif _back(query, {"query": probe.series_of_any_run}, _has_result, 0):
        do = "let it promote punie.run.id: otlp.promote_resource_attributes, as in dashboards/stack/prometheus.yml"
        yield Check("a metric back", "bad", "it came back without the run's label: dashboards would be empty", do)
        return
    else:
        do = "look at its log: docker compose logs prometheus"
        yield Check("a metric back", "bad", f"{prometheus} does not have it after {back_s:g} s", do)
        return
    around = {"query": probe.series, "start": str(time.time() - 3600), "end": str(time.time() + 60)}
    if _back(exemplars, around, lambda answer: probe.trace_id in str(answer.get("data")), back_s):
        yield Check("an exemplar back", "ok", "it names the trace")
    else:
        do = "start it with --enable-feature=exemplar-storage"
        yield Check("an exemplar back", "bad", "it does not have it: dots in Grafana would lead nowhere", do)


def _grafana(grafana: str | None) -> Check:
    if grafana is None:
        return Check("Grafana", "note", "nothing answers on its port", _START)
    health = _ask(f"{grafana}/api/health", {})
    if health is None:
        do = f"is that Grafana at {grafana}? It should answer at /api/health"
        return Check("Grafana", "bad", f"{grafana} does not answer as Grafana does", do)
    if _ask(f"{grafana}/api/dashboards/uid/punie-compare", {}) is None:
        do = "mount dashboards/*.json, as docker-compose.yml does"
        return Check("Grafana", "bad", f"{grafana} does not have the dashboards", do)
    return Check("Grafana", "ok", f"{health.get('version', '')} at {grafana}/d/punie-compare".strip())


def _sent(endpoint: str, signal: str, probe: Probe) -> str | None:
    """What went wrong; None where it was accepted."""
    try:
        if signal == "TRACES":
            with OtlpPost(endpoint, "TRACES", timeout_s=3) as post:
                post.send(probe.spans().SerializeToString(), tries=2)
        else:
            with OtlpPost(endpoint, "METRICS", timeout_s=3) as post:
                post.send(probe.metrics().SerializeToString(), tries=2)
    except (ExportError, RefusedError, BodyTooLargeError) as error:
        return str(error) or "the request is too large for it"
    return None


def _back(url: str, parameters: dict[str, str], found: Callable[[dict[str, Any]], bool], within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while True:
        answer = _ask(url, parameters)
        if answer is not None and found(answer):
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(_ASK_EVERY_S)


def _ask(url: str, parameters: dict[str, str]) -> dict[str, Any] | None:
    """The JSON object that is there; None where there is none."""
    try:
        response = httpx2.get(url, params=parameters, timeout=3)
        values = response.json() if response.status_code == 200 else None
    except (httpx2.HTTPError, ValueError):
        return None
    return values if isinstance(values, dict) else None


def _has_result(answer: dict[str, Any]) -> bool:
    return bool(answer.get("data", {}).get("result"))
