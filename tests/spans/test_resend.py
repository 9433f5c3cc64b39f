from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from punie_trace.errors import ExportError, RunFolderError
from punie_trace.spans.codec import to_line
from punie_trace.spans.otlp_post import OtlpPost
from punie_trace.spans.resend import BATCH_BYTES, SpansSent, count_lines, send_spans
from punie_trace.spans.span import Span, SpanEvent, SpanLink, SpanSource

if TYPE_CHECKING:
    from tests.receiver import Receiver


def line(number: int, *, scope: str = "punie-trace", text: str = "") -> str:
    span = Span(
        trace_id=f"{number // 4 + 1:032x}",
        span_id=f"{number + 1:016x}",
        parent_id=f"{number:016x}" if number % 4 else None,
        name=f"span {number}",
        kind="CLIENT",
        start_ns=1_790_000_000_000_000_000 + number,
        end_ns=1_790_000_000_000_000_500 + number,
        attributes={"n": number, "share": 0.5, "ok": True, "names": ("a", "b"), "text": text},
        events=(SpanEvent("first_byte", 1_790_000_000_000_000_100, {"k": 1}),),
        error="gone",
        links=(SpanLink("ab" * 16, "cd" * 8),),
        source=SpanSource({"service.name": "punie-trace", "punie.run.id": "run-1"}, scope, "1.0"),
    )
    return to_line(span).decode().rstrip()


def write(folder: Path, lines: list[str]) -> Path:
    path = folder / "spans.jsonl"
    path.write_text("".join(f"{one}\n" for one in lines))
    return path


def send(path: Path, receiver: Receiver) -> SpansSent:
    sent = SpansSent()
    with OtlpPost(f"{receiver.url}/v1/traces", "TRACES", {}, timeout_s=5, sleep=lambda _: None) as post:
        send_spans(path, post, sent, lambda lines: None)
    return sent


def test_every_span_arrives_as_it_was(tmp_path: Path, receiver: Receiver) -> None:
    path = write(tmp_path, [line(7)])
    assert send(path, receiver) == SpansSent(accepted=1)
    (span,) = receiver.spans
    assert span.trace_id == bytes.fromhex(f"{2:032x}")
    assert span.span_id == bytes.fromhex(f"{8:016x}")
    assert span.parent_span_id == bytes.fromhex(f"{7:016x}")
    assert (span.name, span.kind, span.start_time_unix_nano) == ("span 7", 3, 1_790_000_000_000_000_007)
    assert {a.key: a.value.WhichOneof("value") for a in span.attributes} == {
        "n": "int_value",
        "share": "double_value",
        "ok": "bool_value",
        "names": "array_value",
        "text": "string_value",
    }
    assert span.events[0].name == "first_byte"
    assert span.links[0].trace_id.hex() == "ab" * 16
    assert (span.status.code, span.status.message) == (2, "gone")
    (resource,) = receiver.bodies[0].resource_spans
    assert {a.key: a.value.string_value for a in resource.resource.attributes}["punie.run.id"] == "run-1"


def test_batches_are_bounded_and_share_their_resource(tmp_path: Path, receiver: Receiver) -> None:
    path = write(
        tmp_path, [line(number, scope="pydantic-ai" if number % 2 else "punie-trace") for number in range(1300)]
    )
    told: list[int] = []
    sent = SpansSent()
    with OtlpPost(f"{receiver.url}/v1/traces", "TRACES", {}) as post:
        send_spans(path, post, sent, told.append)
    assert sent == SpansSent(accepted=1300)
    assert told == [512, 512, 276]
    assert sum(told) == count_lines(path)
    assert [span.name for span in receiver.spans] == [f"span {number}" for number in range(1300)]
    assert all(len(body.resource_spans) == 1 for body in receiver.bodies)


def test_batches_stay_within_usual_body_limits(tmp_path: Path, receiver: Receiver) -> None:
    path = write(tmp_path, [line(number, text="x" * 100_000) for number in range(30)])
    assert send(path, receiver).accepted == 30
    assert len(receiver.sizes) == 3
    assert max(receiver.sizes) <= BATCH_BYTES


def test_a_smaller_limit_is_found_by_halves(tmp_path: Path, receiver: Receiver) -> None:
    lines = [line(number, text="x" * 900) for number in range(100)]
    lines[40] = line(40, text="x" * 50_000)
    receiver.body_limit = 10_000
    sent = send(write(tmp_path, lines), receiver)
    assert sent == SpansSent(accepted=99, refused=1, reason="a single line is larger than the receiver takes")
    assert max(receiver.sizes) <= 10_000
    assert sorted(span.name for span in receiver.spans) == sorted(f"span {n}" for n in range(100) if n != 40)


def test_what_cannot_be_read_is_left_out_and_counted(tmp_path: Path, receiver: Receiver) -> None:
    strange = ["", "not json", "[1]", '{"message": "a log line"}', '{"resourceSpans": []}', '{"resourceSpans": [7]}']
    strange.append(line(3).replace(f'"traceId":"{1:032x}"', '"traceId":"zz"'))
    path = write(tmp_path, [line(1), *strange, line(2), line(9)[:200]])
    assert send(path, receiver) == SpansSent(accepted=2, unreadable=len(strange) + 1)


def test_lines_of_another_program_are_sent_as_they_are(tmp_path: Path, receiver: Receiver) -> None:
    span = {"traceId": "AB" * 16, "spanId": "CD" * 8, "name": "theirs", "startTimeUnixNano": 5, "later": {"field": 1}}
    text = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span, {**span, "spanId": "EF" * 8}]}]}]})
    assert send(write(tmp_path, [text]), receiver) == SpansSent(accepted=2)
    assert receiver.spans[0].trace_id.hex() == "ab" * 16


def test_partial_success_is_counted(tmp_path: Path, receiver: Receiver) -> None:
    partial = ExportTracePartialSuccess(rejected_spans=2, error_message="too old")
    receiver.answer = ExportTraceServiceResponse(partial_success=partial).SerializeToString()
    receiver.answer_headers = {"Content-Type": "application/x-protobuf"}
    assert send(write(tmp_path, [line(n) for n in range(5)]), receiver) == SpansSent(3, 2, 0, "too old")


def test_a_receiver_that_goes_away_keeps_what_it_got(tmp_path: Path, receiver: Receiver) -> None:
    path = write(tmp_path, [line(number) for number in range(600)])
    receiver.next_statuses = [200, *[503] * 6]
    sent = SpansSent()
    post = OtlpPost(f"{receiver.url}/v1/traces", "TRACES", {}, sleep=lambda _: None)
    with post, pytest.raises(ExportError, match="busy"):
        send_spans(path, post, sent, lambda lines: None)
    assert sent == SpansSent(accepted=512)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="cannot be read"):
        count_lines(tmp_path / "absent.jsonl")
