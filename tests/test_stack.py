"""The stack beside the package: what docker-compose.yml must hold to, and that its files agree with what we send."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from punie_trace.spans import names
from punie_trace.spans.metric_endpoint import PROMETHEUS_ENDPOINT
from punie_trace.spans.otlp_endpoint import DEFAULT_ENDPOINT

ROOT = Path(__file__).parents[1]
STACK = ROOT / "dashboards" / "stack"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def ports() -> dict[int, str]:
    """The service behind each port of this machine."""
    return {int(port.split(":")[1]): name for name, service in SERVICES.items() for port in service["ports"]}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_pinned_and_shut_in(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"[a-z]+/[a-z]+:v?\d+\.\d+\.\d+", service["image"])
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"] == "512m"
    assert service["healthcheck"]["retries"]
    assert "privileged" not in service
    assert "network_mode" not in service


def test_what_is_mounted_is_there() -> None:
    for service in SERVICES.values():
        for volume in service["volumes"]:
            source, _, options = volume.partition(":")
            if source.startswith("."):
                assert (ROOT / source).is_file(), source
                assert options.endswith(":ro")
            else:
                assert source in COMPOSE["volumes"]


def test_runs_find_it_on_its_ports() -> None:
    def port_of(endpoint: str) -> int:
        return int(endpoint.split(":")[2].split("/")[0])

    assert ports()[port_of(DEFAULT_ENDPOINT)] == "jaeger"
    assert ports()[port_of(PROMETHEUS_ENDPOINT)] == "prometheus"
    assert ports()[16686] == "jaeger"
    assert ports()[3000] == "grafana"
    assert "--web.enable-otlp-receiver" in SERVICES["prometheus"]["command"]
    assert "--enable-feature=exemplar-storage" in SERVICES["prometheus"]["command"]


def test_prometheus_keeps_runs_apart() -> None:
    prometheus = yaml.safe_load((STACK / "prometheus.yml").read_text())
    assert names.RUN_ID in prometheus["otlp"]["promote_resource_attributes"]
    assert prometheus["storage"]["tsdb"]["out_of_order_time_window"]


def test_exemplars_and_spans_lead_to_each_other() -> None:
    (source,) = yaml.safe_load((STACK / "datasources.yaml").read_text())["datasources"]
    (link,) = source["jsonData"]["exemplarTraceIdDestinations"]
    assert link["name"] == "trace_id"  # as Prometheus names it in an exemplar that came by OTLP
    assert link["url"] == "http://localhost:16686/trace/$${__value.raw}"
    assert source["url"] == "http://prometheus:9090"
    known = {value for name, value in vars(names).items() if name.isupper()}
    patterns = json.loads((STACK / "jaeger-ui.json").read_text())["linkPatterns"]
    assert {pattern["key"] for pattern in patterns} <= known
    assert all(f"#{{{pattern['key']}}}" in pattern["url"] for pattern in patterns)


def test_jaeger_shows_only_what_its_environment_says() -> None:
    text = (STACK / "jaeger.yaml").read_text()
    endpoints = re.findall(r"endpoint: (.*)", text)
    assert len(endpoints) == 5
    assert all(endpoint.startswith('"${env:JAEGER_LISTEN_HOST:-127.0.0.1}:') for endpoint in endpoints)
