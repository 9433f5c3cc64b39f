"""Sends the spans of a run's folder: each line of `spans.jsonl`, in batches that a receiver's body limit admits.

A span keeps its ids and times, so sending it twice gives the same span. Lines that hold no spans are counted and left
out, as is a last line that was cut off.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from punie_trace.errors import RunFolderError
from punie_trace.spans.codec import from_line, to_proto
from punie_trace.spans.otlp_post import BodyTooLargeError, OtlpPost, RefusedError, rejected_spans
from punie_trace.spans.span import Span

BATCH_SPANS: Final = 512
BATCH_BYTES: Final = 1 << 20
"""Before compression. The smallest limits in use are 1 MiB (nginx as a proxy) and 4 MiB (gRPC's default)."""


_HEX: Final = re.compile(r"(?:[0-9a-f]{2})*")
_TIME_LIMIT: Final = 2**64


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


def _send(batch: list[list[Span]], post: OtlpPost, sent: SpansSent) -> None:
    """Send the spans of some lines, in halves where they are too large."""
    spans = sum(map(len, batch))
    try:
        answer = post.send(to_proto(span for line in batch for span in line).SerializeToString())
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
        rejected, reason = rejected_spans(answer)
        sent.accepted += spans - rejected
        if rejected:
            _refuse(sent, rejected, reason)


def _batches(path: Path, sent: SpansSent) -> Iterator[tuple[list[list[Span]], int]]:
    """Batches of lines, each with its spans, and how many lines each batch takes with those that hold none."""
    batch: list[list[Span]] = []
    spans = size = lines = 0
    for line in _lines(path):
        lines += 1
        found = _parse(line)
        if not found:
            sent.unreadable += 1
            continue
        # A span takes less as a message than as a line, which is known already.
        if batch and (spans + len(found) > BATCH_SPANS or size + len(line) > BATCH_BYTES):
            yield batch, lines - 1
            batch, spans, size, lines = [], 0, 0, 1
        batch.append(found)
        spans += len(found)
        size += len(line)
    if batch:
        yield batch, lines


def _lines(path: Path) -> Iterable[bytes]:
    try:
        with path.open("rb") as file:
            yield from file
    except OSError as error:
        raise RunFolderError(f"{path}: cannot be read ({error.strerror})") from error


def _parse(line: bytes) -> list[Span]:
    """The spans of one line; none where it holds none that can be sent."""
    try:
        spans = from_line(line)
    except ValueError:
        return []
    return spans if all(map(_is_sendable, spans)) else []


def _is_sendable(span: Span) -> bool:
    ids = (span.trace_id, span.span_id, span.parent_id or "", *(link.trace_id + link.span_id for link in span.links))
    times = (span.start_ns, span.end_ns, *(event.time_ns for event in span.events))
    return all(_HEX.fullmatch(one) for one in ids) and all(0 <= one < _TIME_LIMIT for one in times)


def _refuse(sent: SpansSent, spans: int, reason: str) -> None:
    sent.refused += spans
    sent.reason = sent.reason or reason or None
