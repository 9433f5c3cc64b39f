from __future__ import annotations

import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from punie_trace.errors import ConfigurationError
from punie_trace.spans.metric_endpoint import PROMETHEUS_ENDPOINT, connect_metrics, metric_endpoints

if TYPE_CHECKING:
    from tests.receiver import Receiver

BASE, OF_METRICS = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.mark.parametrize(
    ("mode", "otlp", "environ", "expected"),
    [
        ("off", "auto", {OF_METRICS: "http://other"}, ()),
        ("auto", "off", {OF_METRICS: "http://other"}, ()),
        ("auto", "auto", {}, (PROMETHEUS_ENDPOINT,)),
        ("auto", "auto", {OF_METRICS: "http://a/as/it/is", BASE: "http://b"}, ("http://a/as/it/is",)),
        ("auto", "auto", {BASE: "http://b:4318/"}, ("http://b:4318/v1/metrics", PROMETHEUS_ENDPOINT)),
        ("auto", "http://c:4318", {BASE: "http://b"}, ("http://c:4318/v1/metrics", PROMETHEUS_ENDPOINT)),
        ("auto", "http://c:4318/v1/traces", {}, ("http://c:4318/v1/metrics", PROMETHEUS_ENDPOINT)),
        ("auto", "http://c:4318/v1/traces/", {}, ("http://c:4318/v1/metrics", PROMETHEUS_ENDPOINT)),
        ("auto", "auto", {BASE: "http://b:4318/v1/traces/"}, ("http://b:4318/v1/metrics", PROMETHEUS_ENDPOINT)),
        ("http://p:4318/v1/traces", "off", {}, ("http://p:4318/v1/metrics",)),
        ("http://p:9090", "off", {}, ("http://p:9090/v1/metrics", "http://p:9090/api/v1/otlp/v1/metrics")),
        ("http://p:9090/api/v1/otlp", "auto", {}, ("http://p:9090/api/v1/otlp/v1/metrics",)),
        ("auto", "auto", {BASE: "http://["}, ("http://[", PROMETHEUS_ENDPOINT)),
        ("https://p/v1/metrics", "auto", {}, ("https://p/v1/metrics",)),
    ],
)
def test_where_metrics_may_go(mode: str, otlp: str, environ: dict[str, str], expected: tuple[str, ...]) -> None:
    assert metric_endpoints(mode, otlp, environ) == expected


@pytest.mark.parametrize("mode", ["127.0.0.1:9090", "yes", "http://", "http://[", "http://h:x"])
def test_what_is_no_url_is_a_clear_error(mode: str) -> None:
    with pytest.raises(ConfigurationError, match="--otlp-metrics"):
        metric_endpoints(mode)


def test_no_receiver_costs_nothing(closed_port: int) -> None:
    environ = {OF_METRICS: f"http://127.0.0.1:{closed_port}/v1/metrics"}
    script = (
        "import os, sys; os.environ['PYDANTIC_DISABLE_PLUGINS'] = '__all__';"
        "from punie_trace.spans.metric_endpoint import connect_metrics;"
        f"assert connect_metrics('auto', 'run', environ={environ!r}) is None;"
        "assert not {'requests', 'google.protobuf', 'logfire'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_a_prometheus_is_found_by_its_host(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "x-tenant=me")
    receiver.refused = ("/v1/",)
    sender = connect_metrics(receiver.url, "run")
    assert sender is not None
    assert sender.endpoint == f"{receiver.url}/api/v1/otlp/v1/metrics"
    assert receiver.headers[-1]["x-tenant"] == "me"
    sender.close(20)


def test_a_collector_that_takes_no_metrics_is_not_taken(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("punie_trace.spans.metric_endpoint.PROMETHEUS_ENDPOINT", "http://127.0.0.1:1/no")
    receiver.refused = ("/v1/metrics",)
    assert connect_metrics("auto", "run", otlp=receiver.url) is None
    receiver.refused = ()
    sender = connect_metrics("auto", "run", otlp=receiver.url)
    assert sender is not None
    assert sender.endpoint == f"{receiver.url}/v1/metrics"
    sender.close(20)


def test_a_receiver_that_was_asked_for_must_answer(closed_port: int) -> None:
    with pytest.raises(ConfigurationError, match="Nothing takes metrics") as error:
        connect_metrics(f"http://user:secret@127.0.0.1:{closed_port}/?key=secret", "run")
    assert "secret" not in str(error.value)
