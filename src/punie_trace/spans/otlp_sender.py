"""Sends spans to an OpenTelemetry collector over HTTP, beside the file that is always written.

Nothing here may slow a run down or hold its end up: the queue is bounded, what does not fit is counted, one daemon
thread sends, and shutting down takes a few seconds at most. The SDK's own batch processor is not used: its queue drops
without a count, and with a collector that has gone away its `force_flush(1000)` takes half a minute.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Final

from httpx2 import TimeoutException

from punie_trace.errors import ConfigurationError, ExportError
from punie_trace.spans.codec import to_proto
from punie_trace.spans.otlp_endpoint import endpoint_for, port_is_open, shown
from punie_trace.spans.otlp_post import OtlpPost, Signal, rejected_spans
from punie_trace.spans.sink import SpanSink
from punie_trace.spans.span import Span

QUEUE_LIMIT: Final = 65_536
EXPORT_TIMEOUT_S: Final = 2.0
END_S: Final = 2.0
"""How long the end of a run waits for collectors."""
# Encoding a batch holds the interpreter's lock; this many spans take about as long as one thread switch.
_BATCH_LIMIT: Final = 64
_SEND_EVERY_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class ExportCounts:
    """What became of the spans that ended: accepted, not taken up because the queue was full, or not accepted."""

    exported: int
    dropped: int
    failed: int
    reason: str | None = None
    """Why the first were not accepted."""


class OtlpSender(SpanSink):
    """A sink that posts finished spans from a daemon thread of its own, which closes `post` at its end.

    `endpoint` is for messages only; by default it is where `post` sends to. Where the queue is full the newest span is
    dropped and counted.
    """

    def __init__(self, post: OtlpPost, endpoint: str | None = None, *, queue_limit: int = QUEUE_LIMIT) -> None:
        self.endpoint = shown(post.endpoint) if endpoint is None else endpoint
        self._post = post
        self._limit = queue_limit
        self._queue: deque[Span] = deque()
        self._changed = threading.Condition()
        self._sending = 0
        self._exported = self._dropped = self._failed = 0
        self._reason: str | None = None
        self._answering = True
        self._closing = False
        self._gave_up = False
        self._thread = threading.Thread(target=self._send_until_closed, name="punie-otlp", daemon=True)
        self._thread.start()

    def write(self, span: Span) -> None:
        """Queue one finished span; never waits."""
        with self._changed:
            if self._closing or len(self._queue) >= self._limit:
                self._dropped += 1
                return
            self._queue.append(span)
            if len(self._queue) == _BATCH_LIMIT:
                self._changed.notify_all()

    def counts(self) -> ExportCounts:
        """The counts so far; final after `close`."""
        with self._changed:
            return ExportCounts(self._exported, self._dropped, self._failed, self._reason)

    def waiting(self) -> int:
        """Spans that are queued now."""
        with self._changed:
            return len(self._queue)

    def flush(self, timeout_s: float = 3.0) -> bool:
        """Wait until all that is queued was sent or refused, `timeout_s` at most; whether it was in time."""
        with self._changed:
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._gave_up or not (self._queue or self._sending), timeout_s)

    def close(self, timeout_s: float = END_S) -> None:
        """Send what is queued, for `timeout_s` at most; the rest counts as failed.

        A collector that did not answer the last request in time is not waited for.
        """
        deadline = monotonic() + timeout_s
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            answering = self._answering
        self._thread.join(max(0.0, deadline - monotonic()) if answering else 0.0)
        with self._changed:
            if self._gave_up:
                return
            self._gave_up = True
            left = len(self._queue) + self._sending
            if left:
                self._failed += left
                self._reason = self._reason or "it did not answer in time"
            self._queue.clear()

    def _send_until_closed(self) -> None:
        try:
            while batch := self._next_batch():
                self._send(batch)
        finally:
            self._post.close()

    def _next_batch(self) -> list[Span]:
        """Wait for spans; an empty list where there will be none any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing or len(self._queue) >= _BATCH_LIMIT, _SEND_EVERY_S)
            while not self._queue and not self._closing:
                self._changed.wait(_SEND_EVERY_S)
            batch = [self._queue.popleft() for _ in range(min(_BATCH_LIMIT, len(self._queue)))]
            self._sending = len(batch)
            return batch

    def _send(self, batch: list[Span]) -> None:
        refused, reason, answering = len(batch), "", True
        try:
            refused, reason = rejected_spans(self._post.send(to_proto(batch).SerializeToString(), tries=1))
            refused = min(refused, len(batch))
        except ExportError as error:
            reason, answering = str(error), not isinstance(error.__cause__, TimeoutException)
        except Exception as error:  # whatever it is, the spans are in the file, and the run goes on
            reason = f"{type(error).__name__}: {error}"
        with self._changed:
            self._sending = 0
            self._answering = answering
            if not self._gave_up:  # else they have been counted
                self._exported += len(batch) - refused
                self._failed += refused
                if refused:
                    self._reason = self._reason or reason
            self._changed.notify_all()


def probe(endpoint: str, timeout_s: float = 0.3, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether an OTLP/HTTP receiver answers at `endpoint`: it takes an empty request.

    A closed port is found out at once, and without loading a client.
    """
    return answers(endpoint, "TRACES", timeout_s, environ)


def answers(endpoint: str, signal: Signal, timeout_s: float, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether a receiver of that signal takes an empty request at `endpoint`."""
    if not port_is_open(endpoint, timeout_s):
        return False
    try:
        with OtlpPost(endpoint, signal, environ, timeout_s=timeout_s) as post:
            post.probe()
    except ExportError:
        return False
    return True


def connect(mode: str, environ: Mapping[str, str] = os.environ) -> OtlpSender | None:
    """The sender for `--otlp MODE`, None where nothing shall or can be sent.

    Raises ConfigurationError where a URL was asked for by name and no collector answers there.
    """
    endpoint = endpoint_for(mode, environ)
    if endpoint is None:
        return None
    asked_for = mode != "auto"
    # Who names a collector may name a distant one: give it longer.
    if not probe(endpoint, timeout_s=EXPORT_TIMEOUT_S if asked_for else 0.3, environ=environ):
        if asked_for:
            raise ConfigurationError(
                f"No OTLP/HTTP collector answers at {shown(endpoint)}. Start it, correct --otlp, or leave --otlp out: "
                "the run folder holds all spans anyway, and `punie-trace export` can send them later."
            )
        return None
    return OtlpSender(OtlpPost(endpoint, "TRACES", environ, timeout_s=EXPORT_TIMEOUT_S, gzip=False))
