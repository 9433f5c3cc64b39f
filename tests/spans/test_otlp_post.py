from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from punie_trace.errors import ExportError
from punie_trace.spans.otlp_post import ANSWER_LIMIT, BodyTooLargeError, OtlpPost, RefusedError

if TYPE_CHECKING:
    from tests.receiver import Receiver

BODY = ExportTraceServiceRequest(resource_spans=[ResourceSpans()]).SerializeToString()


class Waits:
    """Sleeps for nobody and keeps how long it should have been."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def post(receiver: Receiver, waits: Waits | None = None, **environ: str) -> OtlpPost:
    return OtlpPost(f"{receiver.url}/v1/traces", "TRACES", environ, timeout_s=5, sleep=waits or Waits())


def test_it_speaks_protobuf_and_gzip_with_the_headers_of_the_environment(receiver: Receiver) -> None:
    general, specific = "x-tenant=other", "x-tenant=me,authorization=Bearer%20abc"
    with post(receiver, OTEL_EXPORTER_OTLP_HEADERS=general, OTEL_EXPORTER_OTLP_TRACES_HEADERS=specific) as connection:
        connection.send(BODY)
    assert receiver.bodies[0].SerializeToString() == BODY
    headers = receiver.headers[0]
    assert headers["content-type"] == "application/x-protobuf"
    assert headers["content-encoding"] == "gzip"
    assert (headers["x-tenant"], headers["authorization"]) == ("me", "Bearer abc")


def test_a_busy_receiver_is_asked_again(receiver: Receiver) -> None:
    waits = Waits()
    receiver.next_statuses = [503, 429, 502]
    with post(receiver, waits) as connection:
        connection.send(BODY)
    assert len(receiver.bodies) == 1
    assert waits.seconds == [0.5, 1.0, 2.0]


def test_it_waits_as_long_as_it_is_told_but_not_for_ever(receiver: Receiver) -> None:
    waits = Waits()
    receiver.next_statuses = [429, 200, 429]
    receiver.answer_headers = {"Retry-After": "3"}
    with post(receiver, waits) as connection:
        connection.send(BODY)
        receiver.answer_headers = {"Retry-After": "86400"}
        connection.send(BODY)
    assert waits.seconds == [3.0, 15.0]


def test_a_receiver_that_stays_busy_is_given_up(receiver: Receiver) -> None:
    waits = Waits()
    receiver.status = 503
    with post(receiver, waits) as connection, pytest.raises(ExportError, match="answered 503 6 times"):
        connection.send(BODY)
    assert len(waits.seconds) == 5


def test_a_bad_request_is_told_in_the_receivers_words(receiver: Receiver) -> None:
    receiver.status = 400
    receiver.answer = Status(message="no such tenant").SerializeToString()
    receiver.answer_headers = {"Content-Type": "application/x-protobuf"}
    with post(receiver) as connection:
        with pytest.raises(RefusedError, match="no such tenant"):
            connection.send(BODY)
        receiver.answer, receiver.answer_headers = b"in plain words\n", {}
        with pytest.raises(RefusedError, match=r"^in plain words$"):
            connection.send(BODY)
        with pytest.raises(ExportError, match="refuses even an empty request"):
            connection.probe()


def test_a_body_that_is_too_large_is_an_error_of_its_own(receiver: Receiver) -> None:
    receiver.body_limit = 1
    with post(receiver) as connection, pytest.raises(BodyTooLargeError):
        connection.send(BODY)


@pytest.mark.parametrize(
    ("status", "headers", "says"),
    [
        (404, {}, "no OTLP/HTTP receiver of spans"),
        (405, {}, "no OTLP/HTTP receiver of spans"),
        (301, {"Location": "/elsewhere"}, "no OTLP/HTTP receiver of spans"),
        (200, {"Content-Type": "text/html; charset=utf-8"}, "no OTLP/HTTP receiver of spans"),
        (401, {}, "other credentials"),
        (403, {}, "other credentials"),
    ],
)
def test_what_is_no_receiver_is_told_apart(receiver: Receiver, status: int, headers: dict[str, str], says: str) -> None:
    receiver.status, receiver.answer_headers = status, headers
    with post(receiver) as connection, pytest.raises(ExportError, match=says):
        connection.probe()


def test_an_answer_without_end_is_no_receivers(receiver: Receiver) -> None:
    receiver.answer = b"x" * (ANSWER_LIMIT + 1)
    with post(receiver) as connection, pytest.raises(ExportError, match="answers 200 with more than 64 KiB and is no"):
        connection.send(BODY)
    receiver.answer = b"x" * ANSWER_LIMIT  # some form that is not protobuf's
    with post(receiver) as connection:
        assert len(connection.send(BODY)) == ANSWER_LIMIT


def test_nobody_there() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    secret = OtlpPost(f"http://user:secret@127.0.0.1:{port}/v1/traces?key=secret", "TRACES", {}, sleep=Waits())
    with secret as connection, pytest.raises(ExportError, match="cannot be reached") as error:
        connection.send(BODY)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("url", ["grpc://127.0.0.1:4317", "127.0.0.1:4318", "http://["])
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(ExportError, match="no address of a collector"):
        OtlpPost(url, "TRACES", {})


def test_tls_against_a_port_without_it(receiver: Receiver) -> None:
    url = receiver.url.replace("http:", "https:")
    connection = OtlpPost(url, "TRACES", {}, timeout_s=5, sleep=Waits())
    with connection, pytest.raises(ExportError, match="TLS failed"):
        connection.probe()


def test_a_certificate_that_is_not_there() -> None:
    with pytest.raises(ExportError, match="OTEL_EXPORTER_OTLP_CERTIFICATE"):
        OtlpPost("https://127.0.0.1:1", "METRICS", {"OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE": "/absent.pem"})
