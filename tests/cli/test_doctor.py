"""The doctor against programs that answer as Jaeger, Prometheus and Grafana do, and as they do when set up wrongly."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from punie_trace.engine.checks import Check, compute_checks, disk_check, memory_check, model_check, next_thing
from punie_trace.engine.stack_checks import Stack, stack_at, stack_checks
from punie_trace.spans import metrics
from tests.cli.conftest import GOOD, Bench
from tests.prometheus_series import series_of

SERIES = "punie_doctor_probe_seconds_bucket"


@dataclass
class FakeStack:
    """What it was sent, and what it gives back."""

    url: str
    lost: bool = False
    promotes: bool = True
    exemplars: bool = True
    dashboards: bool = True
    traces: set[str] = field(default_factory=set)
    exemplar_traces: set[str] = field(default_factory=set)
    series: dict[str, set[str]] = field(default_factory=dict)

    def post(self, path: str, data: bytes) -> int:
        if path == "/v1/traces":
            for resource in ExportTraceServiceRequest.FromString(data).resource_spans:
                self.traces |= {span.trace_id.hex() for scope in resource.scope_spans for span in scope.spans}
            return 200
        if path == "/api/v1/otlp/v1/metrics":
            request = ExportMetricsServiceRequest.FromString(data)
            self.series |= series_of(request)
            for resource in request.resource_metrics:
                for metric in resource.scope_metrics[0].metrics:
                    points = metric.histogram.data_points
                    self.exemplar_traces |= {e.trace_id.hex() for point in points for e in point.exemplars}
            return 200
        return 404

    def get(self, path: str, query: str) -> tuple[int, object]:
        known = not self.lost
        if path.startswith("/api/v3/traces/"):
            found = known and path.rpartition("/")[2] in self.traces
            return (200, {"result": {"resourceSpans": [{}]}}) if found else (404, {"error": {}})
        if path == "/api/v1/query":
            label = "punie_run_id" if "punie_run_id" in query else "instance"
            found = known and SERIES in self.series and (self.promotes or label == "instance")
            return 200, {"data": {"result": [{}] if found else []}}
        if path == "/api/v1/query_exemplars":
            traces = sorted(self.exemplar_traces) if self.exemplars else []
            return 200, {"data": [{"exemplars": [{"labels": {"trace_id": one}} for one in traces]}]}
        if path == "/api/health":
            return 200, {"version": "13.2.3"}
        if path == "/api/dashboards/uid/punie-compare":
            return (200, {"dashboard": {}}) if self.dashboards else (404, {})
        return 404, {}


@pytest.fixture
def fake() -> Iterator[FakeStack]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["content-length"]))
            self.answer(found.post(self.path, gzip.decompress(raw)), {})

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            self.answer(*found.get(parts.path, parse_qs(parts.query).get("query", [""])[0]))

        def answer(self, status: int, values: object) -> None:
            body = json.dumps(values).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = FakeStack(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()
    thread.join()


def stack(fake: FakeStack) -> Stack:
    return Stack(
        spans=f"{fake.url}/v1/traces",
        metrics=f"{fake.url}/api/v1/otlp/v1/metrics",
        jaeger=fake.url,
        prometheus=fake.url,
        grafana=fake.url,
    )


def states(checks: Iterator[Check]) -> dict[str, str]:
    return {check.name: check.state for check in checks}


def advice(checks: Iterator[Check], name: str) -> str:
    (check,) = (check for check in checks if check.name == name)
    assert check.state == "bad"
    return check.do or ""


def test_span_metric_and_exemplar_come_back(fake: FakeStack) -> None:
    assert states(stack_checks(stack(fake), back_s=2)) == {
        "Jaeger": "ok",
        "a span back": "ok",
        "Prometheus": "ok",
        "a metric back": "ok",
        "an exemplar back": "ok",
        "Grafana": "ok",
    }
    shown = {series for series in fake.series if series.startswith(("punie_query", "gen_ai"))}
    assert not shown  # a probe must not look like a run
    assert all("doctor" not in name for name, *_ in metrics.HISTOGRAMS)


@pytest.mark.parametrize(
    ("wrong", "name", "do"),
    [
        ({"lost": True}, "a span back", "logs jaeger"),
        ({"lost": True}, "a metric back", "logs prometheus"),
        ({"promotes": False}, "a metric back", "promote_resource_attributes"),
        ({"exemplars": False}, "an exemplar back", "--enable-feature=exemplar-storage"),
        ({"dashboards": False}, "Grafana", "dashboards"),
    ],
)
def test_what_is_set_up_wrongly_is_told_what_to_do(fake: FakeStack, wrong: dict[str, bool], name: str, do: str) -> None:
    for setting, value in wrong.items():
        setattr(fake, setting, value)
    assert do in advice(stack_checks(stack(fake), back_s=0.2), name)


def test_what_takes_nothing_is_bad_and_what_is_absent_is_not(fake: FakeStack) -> None:
    given = replace(stack(fake), spans=f"{fake.url}/wrong", metrics=f"{fake.url}/wrong", grafana=f"{fake.url}/sub")
    found = states(stack_checks(given, back_s=0.2))
    assert found == {"Jaeger": "bad", "Prometheus": "bad", "Grafana": "bad"}
    nowhere = Stack("http://127.0.0.1:1/v1/traces", "http://127.0.0.1:1/v1/metrics", None, None, None)
    assert set(states(stack_checks(nowhere)).values()) == {"note"}
    assert states(stack_checks(Stack(None, None, None, None, None))) == {}


def test_prometheus_is_asked_where_metrics_are_sent() -> None:
    found = stack_at(None, "http://127.0.0.1:1/prefix/api/v1/otlp/v1/metrics")
    assert found.prometheus == "http://127.0.0.1:1/prefix"
    assert stack_at(None, "http://127.0.0.1:1/v1/metrics").prometheus is None


def test_this_machine_can_compute() -> None:
    assert states(compute_checks())["MLX"] == "ok"


def test_mlx_that_does_not_load_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("punie_trace.engine.checks._ASK_MLX", "raise ImportError('libmlx.so is not there')")
    (check,) = compute_checks()
    assert check.state == "bad"
    assert "libmlx.so is not there" in check.found


def test_memory_and_disk(tmp_path: Path) -> None:
    assert memory_check(8 * 2**30, 16 * 2**30) == Check("memory", "ok", "8.0 GiB of 16.0 GiB free")
    assert memory_check(2**30, 16 * 2**30).state == "note"
    assert disk_check(tmp_path / "not" / "yet").state in ("ok", "note")


def test_models(tmp_path: Path) -> None:
    assert model_check(str(tmp_path)).state == "bad"
    (tmp_path / "model.safetensors").write_bytes(b"x" * 100)
    assert model_check(str(tmp_path)).state == "ok"
    absent = model_check("nobody/has-this")
    assert absent.state == "note"
    assert "download" in (absent.do or "")


def test_the_command_ends_with_1_where_something_is_bad(bench: Bench, tmp_path: Path) -> None:
    result = bench.invoke("doctor", "--model", str(tmp_path), "--otlp", "off")
    assert result.exit_code == 1
    assert "holds no weights" in result.output
    assert "-> give the folder" in result.output
    (tmp_path / "model.safetensors").write_bytes(b"x" * 100)
    result = bench.invoke("doctor", "--model", str(tmp_path), "--otlp", "off")
    assert result.exit_code == 0, result.output


def test_the_last_line_is_the_one_next_thing_to_do(bench: Bench) -> None:
    server = bench.server(GOOD)
    config = str(bench.config(f"[configurations.a]\n{server}"))
    fine = bench.invoke("doctor", "--config", config, "--suite", str(bench.suite), "--otlp", "off")
    lines = fine.output.splitlines()
    assert any(line.split()[:3] == ["ok", "tool", "call"] for line in lines), fine.output
    assert lines[-1] == f"next: punie-trace run --config {config} --suite {bench.suite}"
    worst = Check("suite", "bad", "cannot be used", "write discrimination")
    assert (
        next_thing([Check("GPU", "note", "none", "buy one"), worst], "punie-trace run") == "suite: write discrimination"
    )
