"""Sends spans to an OpenTelemetry collector over HTTP, beside the file that is always written.

Nothing here may slow a run down or hold its end up: the queue is bounded, what does not fit is counted, one daemon
thread sends, and shutting down takes a few seconds at most. The SDK's own batch processor is not used: its queue drops
without a count, and with a collector that has gone away its `force_flush(1000)` takes half a minute.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic
from urllib.parse import SplitResult, urlsplit, urlunsplit

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from punie_trace.errors import ConfigurationError

DEFAULT_ENDPOINT = "http://127.0.0.1:4318/v1/traces"
QUEUE_LIMIT = 65_536
EXPORT_TIMEOUT_S = 2.0
_TRACES_PATH = "/v1/traces"
# Encoding a batch holds the interpreter's lock; this many spans take about as long as one thread switch.
_BATCH_LIMIT = 64
_SEND_EVERY_S = 0.5
_DEFAULT_PORTS = {"http": 80, "https": 443}
# The exporter logs each failure, and without any handler Python prints that over the display. The counts tell it.
_SILENT = logging.NullHandler()


@dataclass(frozen=True, slots=True)
class ExportCounts:
    """What became of the spans that ended: sent, not taken up because the queue was full, or not accepted."""

    exported: int
    dropped: int
    failed: int


class OtlpSender(SpanProcessor):
    """A span processor that hands finished spans to `exporter` from a daemon thread of its own.

    `endpoint` is for messages only. Where the queue is full the newest span is dropped and counted.
    """

    def __init__(self, exporter: SpanExporter, endpoint: str, *, queue_limit: int = QUEUE_LIMIT) -> None:
        self.endpoint = endpoint
        self._exporter = exporter
        self._limit = queue_limit
        self._queue: deque[ReadableSpan] = deque()
        self._changed = threading.Condition()
        self._sending = 0
        self._exported = self._dropped = self._failed = 0
        self._closing = False
        self._gave_up = False
        silence()
        self._thread = threading.Thread(target=self._send_until_closed, name="punie-otlp", daemon=True)
        self._thread.start()

    def on_end(self, span: ReadableSpan) -> None:
        """Queue one finished span; never waits."""
        with self._changed:
            if self._closing or len(self._queue) >= self._limit:
                self._dropped += 1
                return
            self._queue.append(span)
            if len(self._queue) == _BATCH_LIMIT:
                self._changed.notify_all()

    def counts(self) -> ExportCounts:
        """The counts so far; final after `shutdown`."""
        with self._changed:
            return ExportCounts(self._exported, self._dropped, self._failed)

    def waiting(self) -> int:
        """Spans that are queued now."""
        with self._changed:
            return len(self._queue)

    def force_flush(self, timeout_millis: int = 3000) -> bool:
        """Wait until all that is queued was sent or refused, `timeout_millis` at most; whether it was in time."""
        with self._changed:
            self._changed.notify_all()
            return self._changed.wait_for(
                lambda: self._gave_up or not (self._queue or self._sending), timeout_millis / 1000
            )

    def shutdown(self, timeout_s: float = 3.0) -> None:
        """Send what is queued, for `timeout_s` at most; the rest counts as failed."""
        deadline = monotonic() + timeout_s
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(max(0.0, deadline - monotonic()))
        if self._gave_up:
            return
        with self._changed:
            self._gave_up = True
            self._failed += len(self._queue) + self._sending
            self._queue.clear()
        self._exporter.shutdown()  # interrupts an exporter that waits to try again

    def _send_until_closed(self) -> None:
        while batch := self._next_batch():
            self._settle(len(batch), sent=self._send(batch))

    def _next_batch(self) -> list[ReadableSpan]:
        """Wait for spans; an empty list where there will be none any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing or len(self._queue) >= _BATCH_LIMIT, _SEND_EVERY_S)
            while not self._queue and not self._closing:
                self._changed.wait(_SEND_EVERY_S)
            batch = [self._queue.popleft() for _ in range(min(_BATCH_LIMIT, len(self._queue)))]
            self._sending = len(batch)
            return batch

    def _send(self, batch: list[ReadableSpan]) -> bool:
        try:
            return self._exporter.export(batch) is SpanExportResult.SUCCESS
        except Exception:
            logging.getLogger(__name__).exception("Sending spans to %s failed", self.endpoint)
            return False

    def _settle(self, count: int, *, sent: bool) -> None:
        with self._changed:
            self._sending = 0
            if not self._gave_up:  # else they have been counted
                if sent:
                    self._exported += count
                else:
                    self._failed += count
            self._changed.notify_all()


def endpoint_for(mode: str, environ: Mapping[str, str] = os.environ) -> str | None:
    """Where to send spans by `--otlp MODE`: None for 'off'; for 'auto' what the environment says, else the usual port.

    A URL without a path gets `/v1/traces`. Raises ConfigurationError where MODE is none of these.
    """
    if mode == "off":
        return None
    if mode == "auto":
        if of_traces := environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
            return of_traces  # the specification: taken as it is
        base = environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
        return base.rstrip("/") + _TRACES_PATH if base else DEFAULT_ENDPOINT
    parts = split_url(mode)
    if parts is None:
        raise ConfigurationError(f"--otlp {mode!r} is neither 'auto', 'off' nor a URL such as http://127.0.0.1:4318.")
    path = parts.path.rstrip("/")
    return urlunsplit(parts._replace(path=path if path.endswith(_TRACES_PATH) else path + _TRACES_PATH))


def split_url(url: str) -> SplitResult | None:
    """The parts of an address with http:// or https:// and a host; None for anything else."""
    try:
        parts = urlsplit(url)
        whole = parts.scheme in _DEFAULT_PORTS and parts.hostname is not None and (parts.port is None or parts.port > 0)
    except ValueError:  # brackets that do not close, a port that is no number
        return None
    return parts if whole else None


def port_is_open(endpoint: str, timeout_s: float) -> bool:
    """Whether anything takes connections where `endpoint` says; a closed port of this machine says no at once."""
    try:
        parts = urlsplit(endpoint)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
        if parts.hostname is None or port is None:
            return False
        socket.create_connection((parts.hostname, port), timeout_s).close()
    except (OSError, ValueError):
        return False
    return True


def silence() -> None:
    """Keep the exporters' log of each failure off the display; the counts tell it."""
    logging.getLogger("opentelemetry").addHandler(_SILENT)


def probe(endpoint: str, timeout_s: float = 0.3) -> bool:
    """Whether an OTLP/HTTP receiver answers at `endpoint`: it takes an empty request.

    A closed port is found out at once, and without loading the exporter.
    """
    if not port_is_open(endpoint, timeout_s):
        return False
    silence()
    exporter = _otlp_exporter(endpoint, timeout_s)
    try:
        return exporter.export([]) is SpanExportResult.SUCCESS
    finally:
        exporter.shutdown()


def connect(mode: str, environ: Mapping[str, str] = os.environ) -> OtlpSender | None:
    """The sender for `--otlp MODE`, None where nothing shall or can be sent.

    Raises ConfigurationError where a URL was asked for by name and no collector answers there.
    """
    endpoint = endpoint_for(mode, environ)
    if endpoint is None:
        return None
    asked_for = mode != "auto"
    # Who names a collector may name a distant one: give it longer.
    if not probe(endpoint, timeout_s=EXPORT_TIMEOUT_S if asked_for else 0.3):
        if asked_for:
            raise ConfigurationError(
                f"No OTLP/HTTP collector answers at {shown(endpoint)}. Start it, correct --otlp, or leave --otlp out: "
                "the run folder holds all spans anyway, and `punie-trace export` can send them later."
            )
        return None
    return OtlpSender(_otlp_exporter(endpoint, EXPORT_TIMEOUT_S), shown(endpoint))


def _otlp_exporter(endpoint: str, timeout_s: float) -> SpanExporter:
    """The standard exporter, which reads OTEL_EXPORTER_OTLP_HEADERS, _CERTIFICATE and _COMPRESSION itself."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=endpoint, timeout=timeout_s)


def shown(endpoint: str) -> str:
    """An endpoint without what may be secret in it: user, password, query."""
    try:
        parts = urlsplit(endpoint)
        port = parts.port
    except ValueError:
        return "an address that cannot be read"
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    return urlunsplit((parts.scheme, host if port is None else f"{host}:{port}", parts.path, "", ""))
