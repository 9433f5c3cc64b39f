"""Sends the spans of a run's folder: each line of `spans.jsonl`, in batches that a receiver's body limit admits.

A span keeps its ids and times, so sending it twice gives the same span. Lines that hold no spans are counted and left
out, as is a last line that was cut off.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from google.protobuf.json_format import ParseDict, ParseError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from punie_trace.errors import RunFolderError
from punie_trace.spans.otlp_post import BodyTooLargeError, OtlpPost, RefusedError

BATCH_SPANS: Final = 512
BATCH_BYTES: Final = 1 << 20
"""Before compression. The smallest limits in use are 1 MiB (nginx as a proxy) and 4 MiB (gRPC's default)."""


@dataclass(slots=True)
class SpansSent:
    """What became of the spans of a file so far. `unreadable` counts lines, the others count spans."""

    accepted: int = 0
    refused: int = 0
    unreadable: int = 0
    reason: str | None = None
    """What the receiver said when it first refused."""


def count_lines(path: Path) -> int:
    """How many lines the file has, which is how many spans, or nearly. Raises RunFolderError."""
    try:
        with path.open("rb") as file:
            return sum(1 for _ in file)
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be read ({error.strerror})") from error


def send_spans(path: Path, post: OtlpPost, sent: SpansSent, progress: Callable[[int], None]) -> None:
    """Send every span of the file, and count in `sent`. `progress` is told after each batch how many lines it took.

    Raises RunFolderError where the file cannot be read, and ExportError where nothing more can be sent.
    """
    for batch, lines in _batches(path, sent):
        _send(batch, post, sent)
        progress(lines)


def _send(batch: list[TracesData], post: OtlpPost, sent: SpansSent) -> None:
    """Send one batch, in halves where it is too large."""
    spans = sum(map(_count, batch))
    try:
        answer = post.send(_request(batch).SerializeToString())
    except BodyTooLargeError:
        if len(batch) == 1:
            _refuse(sent, spans, "a single line is larger than the receiver takes")
            return
        half = len(batch) // 2
        _send(batch[:half], post, sent)
        _send(batch[half:], post, sent)
    except RefusedError as refused:
        _refuse(sent, spans, str(refused))
    else:
        rejected, said = _rejected(answer)
        sent.accepted += spans - rejected
        if rejected:
            _refuse(sent, rejected, said)


def _batches(path: Path, sent: SpansSent) -> Iterator[tuple[list[TracesData], int]]:
    batch: list[TracesData] = []
    spans = size = lines = 0
    for line in _lines(path):
        lines += 1
        data = _parse(line)
        if data is None:
            sent.unreadable += 1
            continue
        count, length = _count(data), data.ByteSize()
        if batch and (spans + count > BATCH_SPANS or size + length > BATCH_BYTES):
            yield batch, lines - 1
            batch, spans, size, lines = [], 0, 0, 1
        batch.append(data)
        spans += count
        size += length
    if batch:
        yield batch, lines


def _lines(path: Path) -> Iterable[bytes]:
    try:
        with path.open("rb") as file:
            yield from file
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be read ({error.strerror})") from error


def _parse(line: bytes) -> TracesData | None:
    """The spans of one line; None where it holds none that can be read."""
    try:
        values = json.loads(line)
        for resource in values["resourceSpans"]:
            for scope in resource["scopeSpans"]:
                for span in scope["spans"]:
                    _ids_to_base64(span, "traceId", "spanId", "parentSpanId")
                    for link in span.get("links", ()):
                        _ids_to_base64(link, "traceId", "spanId")
        data = ParseDict(values, TracesData(), ignore_unknown_fields=True)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, ParseError):
        return None
    return data if _count(data) else None


def _ids_to_base64(values: dict[str, Any], *names: str) -> None:
    """OTLP's JSON has ids in hex, where protobuf's own JSON wants base64."""
    for name in names:
        if values.get(name):
            values[name] = b64encode(bytes.fromhex(values[name])).decode("ascii")


def _request(batch: Iterable[TracesData]) -> ExportTraceServiceRequest:
    """One request, in which spans of the same resource and scope that follow each other share these."""
    request = ExportTraceServiceRequest()
    for data in batch:
        for resource in data.resource_spans:
            known = request.resource_spans[-1] if request.resource_spans else None
            if known is None or known.resource != resource.resource:
                request.resource_spans.append(resource)
                continue
            for scope in resource.scope_spans:
                last = known.scope_spans[-1]
                if last.scope == scope.scope:
                    last.spans.extend(scope.spans)
                else:
                    known.scope_spans.append(scope)
    return request


def _count(data: TracesData) -> int:
    return sum(len(scope.spans) for resource in data.resource_spans for scope in resource.scope_spans)


def _rejected(answer: bytes) -> tuple[int, str]:
    from google.protobuf.message import DecodeError

    try:
        partial = ExportTraceServiceResponse.FromString(answer).partial_success
    except DecodeError:
        return 0, ""  # an answer in another form, as a receiver may give that accepts all
    return partial.rejected_spans, partial.error_message


def _refuse(sent: SpansSent, spans: int, reason: str) -> None:
    sent.refused += spans
    sent.reason = sent.reason or reason or None
