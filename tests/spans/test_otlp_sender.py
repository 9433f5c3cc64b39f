from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from punie_trace.errors import ConfigurationError
from punie_trace.spans.otlp_post import OtlpPost
from punie_trace.spans.otlp_sender import QUEUE_LIMIT, ExportCounts, OtlpSender, connect, probe

if TYPE_CHECKING:
    from tests.receiver import Receiver
    from tests.spans.conftest import Traced


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def make_sender(receiver: Receiver, *, timeout_s: float = 20, queue_limit: int = QUEUE_LIMIT) -> OtlpSender:
    return OtlpSender(
        OtlpPost(f"{receiver.url}/v1/traces", "TRACES", {}, timeout_s=timeout_s, gzip=False), queue_limit=queue_limit
    )


def end_spans(traced: Traced, count: int) -> None:
    tracer = traced.provider.get_tracer("t")
    for number in range(count):
        tracer.start_span(f"s{number}").end()


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


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
        "import sys; from punie_trace.spans.otlp_sender import connect;"
        f"assert connect('auto', {environ!r}) is None;"
        "assert not {'requests', 'google.protobuf', 'logfire'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_a_collector_that_was_asked_for_must_answer(closed_port: int) -> None:
    with pytest.raises(ConfigurationError, match="No OTLP/HTTP collector") as error:
        connect(f"http://user:secret@127.0.0.1:{closed_port}/?key=secret", {})
    assert "secret" not in str(error.value)


def test_spans_arrive(traced: Traced, receiver: Receiver) -> None:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=me"}
    sender = connect("auto", environ)
    assert sender is not None
    traced.provider.add_sink(sender)
    tracer = traced.provider.get_tracer("t")
    for number in range(100):
        tracer.start_span(f"s{number}").end()
    assert sender.flush(20)
    assert sender.counts() == ExportCounts(100, 0, 0)
    tracer.start_span("last").end()
    sender.close(20)
    assert sender.counts() == ExportCounts(101, 0, 0)
    assert [span.name for span in receiver.spans] == [*(f"s{number}" for number in range(100)), "last"]
    assert [s.start_time_unix_nano for s in receiver.spans] == [s.start_time for s in traced.kept.spans]
    assert all(headers["x-tenant"] == "me" for headers in receiver.headers)


def test_a_full_queue_drops_the_newest_and_counts(traced: Traced, receiver: Receiver) -> None:
    receiver.release.clear()
    sender = make_sender(receiver, queue_limit=70)
    traced.provider.add_sink(sender)
    end_spans(traced, 64)
    wait_until(lambda: sender.waiting() == 0)
    end_spans(traced, 75)
    assert sender.counts() == ExportCounts(0, 5, 0)
    receiver.release.set()
    sender.close(20)
    assert sender.counts() == ExportCounts(134, 5, 0)
    assert len(receiver.spans) == 134


def test_the_end_does_not_wait_for_a_collector_that_hangs(traced: Traced, receiver: Receiver) -> None:
    receiver.release.clear()
    sender = make_sender(receiver)
    traced.provider.add_sink(sender)
    end_spans(traced, 200)
    wait_until(lambda: sender.waiting() <= 200 - 64)
    assert not sender.flush(0.01)
    sender.close(0.05)
    assert sender.counts() == ExportCounts(0, 0, 200, "it did not answer in time")
    receiver.release.set()
    sender.close(0.05)
    end_spans(traced, 1)
    assert sender.counts() == ExportCounts(0, 1, 200, "it did not answer in time")


def test_the_end_waits_no_longer_for_a_collector_that_did_not_answer_before(traced: Traced, receiver: Receiver) -> None:
    receiver.release.clear()
    sender = make_sender(receiver, timeout_s=0.1)
    traced.provider.add_sink(sender)
    end_spans(traced, 64)
    wait_until(lambda: sender.counts().failed == 64)
    end_spans(traced, 10)
    begin = time.monotonic()
    sender.close(20)
    assert time.monotonic() - begin < 1
    assert sender.counts().failed == 74
    assert "cannot be reached" in (sender.counts().reason or "")
    receiver.release.set()


PAGE = {"content-type": "text/html; charset=utf-8"}


@pytest.mark.parametrize(
    ("status", "headers", "reason"),
    [
        (302, {"location": "http://127.0.0.1/login"}, "answers 302"),
        (200, PAGE, "answers 200 with a page"),
        (500, {}, "answers 500"),
        (503, {}, "busy"),
        (401, {}, "other credentials"),
        (400, {}, "no"),
    ],
)
def test_what_is_not_accepted_is_not_counted_as_sent(
    traced: Traced, receiver: Receiver, status: int, headers: dict[str, str], reason: str
) -> None:
    sender = make_sender(receiver)
    traced.provider.add_sink(sender)
    receiver.status, receiver.answer, receiver.answer_headers = status, b"no", headers
    end_spans(traced, 3)
    sender.close(20)
    assert (sender.counts().exported, sender.counts().failed) == (0, 3)
    assert reason in (sender.counts().reason or "")


def test_spans_that_a_collector_rejects_among_others_are_counted(traced: Traced, receiver: Receiver) -> None:
    rejected = ExportTracePartialSuccess(rejected_spans=2, error_message="too old")
    receiver.answer = ExportTraceServiceResponse(partial_success=rejected).SerializeToString()
    sender = make_sender(receiver)
    traced.provider.add_sink(sender)
    end_spans(traced, 5)
    sender.close(20)
    assert sender.counts() == ExportCounts(3, 0, 2, "too old")


def test_a_collector_that_refuses_prints_nothing(
    traced: Traced, receiver: Receiver, capfd: pytest.CaptureFixture[str]
) -> None:
    sender = connect(receiver.url, {})
    assert sender is not None
    traced.provider.add_sink(sender)
    receiver.status = 400
    traced.provider.get_tracer("t").start_span("s").end()
    sender.close(20)
    assert sender.counts().failed == 1
    assert capfd.readouterr() == ("", "")
