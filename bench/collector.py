"""What becomes of 100,000 spans, and what sending them costs who is measured.

A driver makes traces of ten spans each, as a query with two generations and a tool has, one after another as fast as it
can: far faster than any model answers. They go to the file of spans, to a collector that is up (a process of its own
that speaks OTLP over HTTP), and into metrics. Counted are the spans that arrived, the most that ever waited, and the
CPU time of the driver's process a trace, with and without the sending.

    uv run python bench/collector.py [--spans 100000]
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from punie_trace.analysis.ledger import close_ledger
from punie_trace.records import Arrival, Query, Verdict
from punie_trace.spans import names
from punie_trace.spans.clock import Clock
from punie_trace.spans.metric_endpoint import connect_metrics
from punie_trace.spans.otlp_sender import QUEUE_LIMIT, OtlpSender, connect
from punie_trace.spans.provider import ClockTracerProvider, make_tracer_provider
from punie_trace.spans.query_span import open_query
from punie_trace.spans.sink import SpanSink
from punie_trace.spans.span_file import SpanFile

SPANS_A_TRACE = 10
BELOW = (
    *({names.SEGMENT: names.SEGMENT_GENERATION, names.GEN_AI_OUTPUT_TOKENS: 40} for _ in range(2)),
    {names.GEN_AI_OPERATION: names.OPERATION_EXECUTE_TOOL, names.GEN_AI_TOOL_NAME: "read_file"},
    *({"gen_ai.input.messages": "x" * 2000} for _ in range(6)),
)


def serve(pipe: Connection) -> None:
    """Count spans until told to end."""
    counted = [0]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.path.endswith("/v1/traces"):
                request = ExportTraceServiceRequest.FromString(body)
                counted[0] += sum(len(scope.spans) for one in request.resource_spans for scope in one.scope_spans)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    pipe.send(server.server_address[1])
    server.timeout = 0.05
    while not pipe.poll():
        server.handle_request()
    pipe.send(counted[0])


@contextmanager
def collector() -> Generator[tuple[str, Connection]]:
    """Its address, and a pipe that answers with the count when something is sent into it."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{here.recv()}", here
    finally:
        process.join(10)
        process.kill()


def drive(provider: ClockTracerProvider, clock: Clock, traces: int, sender: OtlpSender | None) -> tuple[int, int]:
    """(CPU time in ns, the most spans that waited)."""
    most = 0
    tracer = provider.get_tracer(names.SERVICE)
    query = Query("q", "?", category="search")
    begin = time.process_time_ns()
    for number in range(traces):
        arrival = Arrival(number, clock.now_ns(), 0, "baseline", query)
        with open_query(
            provider, clock, arrival=arrival, path="agent", run_span_context=None, close=close_ledger
        ) as span:
            span.mark_sent()
            for attributes in BELOW:
                tracer.start_span("POST", attributes=attributes).end()
            span.finish()
            span.set_verdict(Verdict.CORRECT)
        if sender is not None and number % 50 == 0:
            most = max(most, sender.waiting())
    return time.process_time_ns() - begin, most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spans", type=int, default=100_000)
    traces = parser.parse_args().spans // SPANS_A_TRACE
    clock = Clock.start()
    with tempfile.TemporaryDirectory() as folder:
        alone = SpanFile(Path(folder) / "alone.jsonl")
        file_only, _ = drive(make_tracer_provider(clock, "bench", [alone]), clock, traces, None)
        alone.close()
        with collector() as (url, pipe):
            sender, metrics = connect(url, {}), connect_metrics(f"{url}/v1/metrics", "bench")
            assert sender is not None
            assert metrics is not None
            file = SpanFile(Path(folder) / "spans.jsonl")
            sinks: list[SpanSink] = [file, sender, metrics]
            provider = make_tracer_provider(clock, "bench", sinks)
            begin = time.monotonic()
            everything, most = drive(provider, clock, traces, sender)
            driven = time.monotonic() - begin
            begin = time.monotonic()
            sender.flush(120)
            flushed = time.monotonic() - begin
            sender.close()
            metrics.close()
            file.close()
            pipe.send("done")
            arrived = pipe.recv()
    counts = sender.counts()
    print(f"{traces * SPANS_A_TRACE} spans made in {driven:.1f} s, the last sent {flushed:.1f} s later")
    print(f"in the file {file.written}, arrived {arrived}, counted as sent {counts.exported},", end=" ")
    print(f"dropped {counts.dropped}, failed {counts.failed}")
    print(f"most that waited: {most} (bound {QUEUE_LIMIT})")
    print(
        f"CPU a trace: {file_only / traces / 1e6:.3f} ms into the file, {everything / traces / 1e6:.3f} ms with",
        end=" ",
    )
    print("sending and metrics, in the same process")


if __name__ == "__main__":
    main()
