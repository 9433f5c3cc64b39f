from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from punie_trace.errors import ConfigurationError
from punie_trace.spans.export import DEFAULT_ENDPOINT, ExportCounts, OtlpSender, connect, endpoint_for, probe

if TYPE_CHECKING:
    from tests.receiver import Receiver
    from tests.spans.conftest import Traced


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Gated(SpanExporter):
    """Lets a batch through only when the gate is open."""

    def __init__(self, result: SpanExportResult | Exception = SpanExportResult.SUCCESS) -> None:
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.result = result
        self.closed = False
        self.batch = 0
        """Size of the first batch."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if not self.entered.is_set():
            self.batch = len(spans)
        self.entered.set()
        self.gate.wait(20)
        if isinstance(self.result, Exception):
            raise self.result
        return self.result

    def shutdown(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("mode", "environ", "expected"),
    [
        ("off", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://other:4318"}, None),
        ("auto", {}, DEFAULT_ENDPOINT),
        ("auto", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://other:4318/"}, "http://other:4318/v1/traces"),
        (
            "auto",
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://b/as/it/is"},
            "http://b/as/it/is",
        ),
        ("http://127.0.0.1:4318", {}, "http://127.0.0.1:4318/v1/traces"),
        ("https://host/otlp/", {}, "https://host/otlp/v1/traces"),
        ("http://host:1/v1/traces", {}, "http://host:1/v1/traces"),
    ],
)
def test_where_spans_go(mode: str, environ: dict[str, str], expected: str | None) -> None:
    assert endpoint_for(mode, environ) == expected


@pytest.mark.parametrize("mode", ["127.0.0.1:4318", "yes", "grpc://host:4317", "http://", "http://[", "http://h:x"])
def test_what_is_no_url_is_a_clear_error(mode: str) -> None:
    with pytest.raises(ConfigurationError, match="--otlp"):
        endpoint_for(mode, {})


def test_a_collector_answers_and_others_do_not(receiver: Receiver, closed_port: int) -> None:
    assert probe(f"{receiver.url}/v1/traces", 5)
    receiver.status = 404
    assert not probe(f"{receiver.url}/v1/traces", 5)
    assert not probe(f"http://127.0.0.1:{closed_port}/v1/traces")
    assert not probe("nonsense")


def test_no_collector_costs_nothing(closed_port: int) -> None:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{closed_port}"}
    assert connect("auto", environ) is None
    assert connect("off", environ) is None
    script = (
        "import sys; from punie_trace.spans.export import connect;"
        f"assert connect('auto', {environ!r}) is None;"
        "assert not {'requests', 'google.protobuf', 'logfire'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_a_collector_that_was_asked_for_must_answer(closed_port: int) -> None:
    with pytest.raises(ConfigurationError, match="No OTLP/HTTP collector") as error:
        connect(f"http://user:secret@127.0.0.1:{closed_port}/?key=secret", {})
    assert "secret" not in str(error.value)


def test_spans_arrive(traced: Traced, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=me")
    sender = connect("auto", {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url})
    assert sender is not None
    traced.provider.add_span_processor(sender)
    tracer = traced.provider.get_tracer("t")
    for number in range(100):
        tracer.start_span(f"s{number}").end()
    assert sender.force_flush(20_000)
    assert sender.counts() == ExportCounts(100, 0, 0)
    tracer.start_span("last").end()
    sender.shutdown(20)
    assert sender.counts() == ExportCounts(101, 0, 0)
    assert [span.name for span in receiver.spans] == [*(f"s{number}" for number in range(100)), "last"]
    assert [s.start_time_unix_nano for s in receiver.spans] == [s.start_time for s in traced.kept.spans]
    assert all(headers["x-tenant"] == "me" for headers in receiver.headers)


def test_a_full_queue_drops_the_newest_and_counts(traced: Traced) -> None:
    exporter = Gated()
    sender = OtlpSender(exporter, "here", queue_limit=70)
    traced.provider.add_span_processor(sender)
    tracer = traced.provider.get_tracer("t")
    for _ in range(64):
        tracer.start_span("s").end()
    assert exporter.entered.wait(20)
    for _ in range(75):
        tracer.start_span("s").end()
    expected = ExportCounts(exporter.batch + 70, 64 + 75 - exporter.batch - 70, 0)
    assert expected.dropped >= 5
    assert sender.counts().dropped == expected.dropped
    exporter.gate.set()
    sender.shutdown(20)
    assert sender.counts() == expected
    assert exporter.closed


def test_shutting_down_does_not_wait_for_a_collector_that_hangs(traced: Traced) -> None:
    exporter = Gated()
    sender = OtlpSender(exporter, "here")
    traced.provider.add_span_processor(sender)
    for _ in range(200):
        traced.provider.get_tracer("t").start_span("s").end()
    assert exporter.entered.wait(20)
    assert not sender.force_flush(10)
    sender.shutdown(0.05)
    assert sender.counts() == ExportCounts(0, 0, 200)
    assert exporter.closed
    exporter.gate.set()
    sender.shutdown(0.05)
    traced.provider.get_tracer("t").start_span("late").end()
    assert sender.counts() == ExportCounts(0, 1, 200)


@pytest.mark.parametrize("result", [SpanExportResult.FAILURE, RuntimeError("broken")])
def test_what_is_refused_is_counted(traced: Traced, result: SpanExportResult | Exception) -> None:
    exporter = Gated(result)
    exporter.gate.set()
    sender = OtlpSender(exporter, "here")
    traced.provider.add_span_processor(sender)
    traced.provider.get_tracer("t").start_span("s").end()
    sender.shutdown(20)
    assert sender.counts() == ExportCounts(0, 0, 1)


def test_a_collector_that_refuses_prints_nothing(
    traced: Traced, receiver: Receiver, capfd: pytest.CaptureFixture[str]
) -> None:
    sender = connect(receiver.url, {})
    assert sender is not None
    traced.provider.add_span_processor(sender)
    receiver.status = 400
    traced.provider.get_tracer("t").start_span("s").end()
    sender.shutdown(20)
    assert sender.counts().failed == 1
    assert capfd.readouterr() == ("", "")
