"""An OTLP/HTTP receiver on loopback that speaks the real protocol: protobuf, gzip, and faults as told."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan


@dataclass
class Receiver:
    """An OTLP/HTTP receiver: the spans and metrics that came in, and the headers they came with."""

    url: str
    spans: list[ProtoSpan] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[ExportTraceServiceRequest] = field(default_factory=list)
    metrics: list[ExportMetricsServiceRequest] = field(default_factory=list)
    status: int = 200
    refused: tuple[str, ...] = ()
    """Beginnings of paths that are not there: Jaeger takes no metrics, Prometheus no spans."""
    next_statuses: list[int] = field(default_factory=list)
    """What the next requests are answered with, before `status` counts again."""
    body_limit: int | None = None
    """Bytes of a request, unpacked, above which the answer is 413."""
    answer: bytes = b""
    answer_headers: dict[str, str] = field(default_factory=dict)
    sizes: list[int] = field(default_factory=list)
    """Bytes of each accepted request, unpacked."""
    release: threading.Event = field(default_factory=threading.Event)
    """Requests are answered once this is set; it is, from the start."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["content-length"]))
            data = gzip.decompress(raw) if self.headers.get("content-encoding") == "gzip" else raw
            found.release.wait(20)
            status = found.next_statuses.pop(0) if found.next_statuses else found.status
            if self.path.startswith(found.refused):
                status = 404
            elif found.body_limit is not None and len(data) > found.body_limit:
                status = 413
            if status == 200:
                found.sizes.append(len(data))
                found.headers.append({key.lower(): value for key, value in self.headers.items()})
                if self.path.endswith("/v1/metrics"):
                    found.metrics.append(ExportMetricsServiceRequest.FromString(data))
                else:
                    body = ExportTraceServiceRequest.FromString(data)
                    found.bodies.append(body)
                    found.spans += [s for r in body.resource_spans for scope in r.scope_spans for s in scope.spans]
            self.send_response(status)
            for name, value in found.answer_headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(found.answer)))
            self.end_headers()
            self.wfile.write(found.answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

        def handle(self) -> None:
            try:
                super().handle()
            except OSError:  # a sender that gave up
                return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found = Receiver(f"http://127.0.0.1:{server.server_address[1]}")
    found.release.set()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield found
    found.release.set()
    server.shutdown()
    server.server_close()
    thread.join()
