"""What the recording proxy adds to a program's generations: time to first chunk through it, beside none, in one run.

A server of known latency is a process, the proxy is another (with its spans written to disk, as in a run), and the
programs are a third: workers over plain sockets, each of which asks the same with and without the proxy, in turns in a
random order. The error is the client's time to first chunk minus the server's own (first chunk handed over minus
request read). Printed are median, p99 and largest of both in ms, what the proxy adds to them, and how many answers came
through it in the very chunks in which the server sent them. The aim at 8 workers: 0.7 ms at the median, 3 ms at p99.

    uv run python bench/proxy.py [--workers 8] [--seconds 30] [--short]
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from known_server import HOST, MODEL, NS_PER_MS, QUESTION, KnownServer, known_server
from opentelemetry.trace import get_current_span

from punie_trace.agent.aiohttp_transport import AiohttpTransport
from punie_trace.agent.plain_transport import PlainTransport
from punie_trace.agent.proxy import RecordingProxy
from punie_trace.analysis.ledger import close_ledger
from punie_trace.driver.precise_loop import new_event_loop
from punie_trace.records import Arrival, Query
from punie_trace.spans.clock import Clock
from punie_trace.spans.provider import make_tracer_provider
from punie_trace.spans.query_span import open_query
from punie_trace.spans.span_file import SpanFile
from punie_trace.spans.transport import TracedTransport

FIRST_MS, BETWEEN_MS, CHUNKS = 50.0, 10.0, 16
WARM_UP = 3
ARMS = ("none", "proxy")
_ID = re.compile(rb'"id": ?"[^"]*"')


@dataclass(slots=True)
class Worker:
    """One connection for each arm, and what came of its questions."""

    roots: dict[str, str]
    trace_id: str
    times: dict[str, dict[int, int]] = field(default_factory=lambda: {arm: {} for arm in ARMS})
    pieces: dict[str, list[tuple[bytes, ...]]] = field(default_factory=lambda: {arm: [] for arm in ARMS})
    connections: dict[str, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=dict)

    async def ask(self, arm: str, name: int) -> None:
        url = urlsplit(self.roots[arm])
        if arm not in self.connections:
            self.connections[arm] = await asyncio.open_connection(url.hostname, url.port)
        reader, writer = self.connections[arm]
        content = json.dumps({
            "model": MODEL,
            "messages": [{"role": "user", "content": QUESTION}],
            "stream": True,
            "stream_options": {"include_usage": True},
        }).encode()  # fmt: skip
        head = f"POST {url.path}/chat/completions HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: {len(content)}\r\n"
        head += f"traceparent: 00-{self.trace_id}-{name:016x}-01\r\n\r\n"
        sent = time.monotonic_ns()
        writer.write(head.encode() + content)
        await reader.readuntil(b"\r\n\r\n")
        first = 0
        pieces: list[bytes] = []
        while size := int(await reader.readuntil(b"\r\n"), 16):
            data = await reader.readexactly(size + 2)
            first = first or time.monotonic_ns()
            pieces.append(_ID.sub(b'"id":""', data))
        await reader.readexactly(2)
        self.times[arm][name] = first - sent
        self.pieces[arm].append(tuple(pieces))


async def measure(roots: dict[str, str], trace_id: str, workers: int, seconds: float, seed: int) -> list[Worker]:
    made = [Worker(roots, trace_id) for _ in range(workers)]
    names = itertools.count(1)
    ends = time.monotonic() + seconds

    async def work(number: int, worker: Worker) -> None:
        order = random.Random(f"{seed} {number}")
        while time.monotonic() < ends:
            for arm in order.sample(ARMS, 2):
                await worker.ask(arm, next(names))

    async with asyncio.TaskGroup() as tasks:
        for number, worker in enumerate(made):
            tasks.create_task(work(number, worker))
    for worker in made:
        for _, writer in worker.connections.values():
            writer.close()
            await writer.wait_closed()
    return made


async def serve_proxy(base_url: str, folder: Path) -> None:
    """The proxy's process: one query that lasts until the input ends."""
    clock = Clock.start()
    spool = SpanFile(folder / "spans.jsonl")
    provider = make_tracer_provider(clock, "bench", [spool])
    transport = TracedTransport(provider, clock, PlainTransport(AiohttpTransport()))
    proxy = RecordingProxy(transport, clock, base_url, model=MODEL)
    arrival = Arrival(0, clock.now_ns(), 0, "bench", Query("bench", QUESTION))
    opened = open_query(
        provider, clock, arrival=arrival, path="program", run_span_context=None, close=close_ledger, warm_up=False
    )
    async with proxy.listening():
        with opened, proxy.lane() as lane:
            print(lane.base_url, get_current_span().get_span_context().trace_id, flush=True)
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await transport.aclose()
    spool.close()


@contextmanager
def proxy_process(server: KnownServer, folder: Path) -> Generator[tuple[str, str]]:
    command = [sys.executable, __file__, "--serve", server.base_url, "--folder", str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        base_url, trace_id = process.stdout.readline().split()
        yield base_url, f"{int(trace_id):032x}"
        process.stdin.close()
        process.wait(30)


def errors(arm: str, made: list[Worker], truths: dict[int, int], passed_on: dict[int, int]) -> np.ndarray:
    """In ms, without each worker's first few; a request through the proxy has another name with the server."""
    found = [
        time_ns - truths[passed_on[name] if arm == "proxy" else name]
        for worker in made
        for name, time_ns in list(worker.times[arm].items())[WARM_UP:]
    ]
    return np.array(found) / NS_PER_MS


def truth_of(one: dict[str, object]) -> tuple[int, int]:
    """The id of the span that the request named, and the server's own time to first chunk in ns."""
    written, read = one["written_ns"], one["body_ns"]
    assert isinstance(written, list)
    assert isinstance(read, int)
    return int(str(one["traceparent"]).split("-")[2], 16), int(written[0]) - read


def passed_on_as(spans: Path) -> dict[int, int]:
    """The span that a request through the proxy named, and the proxy's own span below it."""
    found: dict[int, int] = {}
    for line in spans.read_text(encoding="ascii").splitlines():
        span = json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
        found[int(span.get("parentSpanId") or "0", 16)] = int(span["spanId"], 16)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--short", action="store_true", help="three seconds: does it work at all")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        if args.serve:
            runner.run(serve_proxy(args.serve, args.folder))
            return
        seconds = 3.0 if args.short else args.seconds
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            flags = ("--first-ms", str(FIRST_MS), "--between-ms", str(BETWEEN_MS), "--chunks", str(CHUNKS))
            with known_server(folder, *flags) as server, proxy_process(server, folder) as (proxied, trace_id):
                roots = {"none": server.base_url, "proxy": proxied}
                made = runner.run(measure(roots, trace_id, args.workers, seconds, args.seed))
            truths = dict(truth_of(one) for one in server.all_truths() if one["traceparent"])
            passed_on = passed_on_as(folder / "spans.jsonl")
    print(f"{args.workers} workers, first chunk after {FIRST_MS:g} ms, {CHUNKS} chunks {BETWEEN_MS:g} ms apart")
    print("time to first chunk beyond the server's own truth, ms\n")
    print(f"{'':8}{'n':>6}{'median':>10}{'p99':>10}{'largest':>10}")
    figures = {}
    for arm in ARMS:
        found = errors(arm, made, truths, passed_on)
        figures[arm] = np.array([*np.quantile(found, [0.5, 0.99]), found.max()])
        print(f"{arm:8}{len(found):>6}" + "".join(f"{value:>10.3f}" for value in figures[arm]))
    print(f"{'added':8}{'':>6}" + "".join(f"{value:>10.3f}" for value in figures["proxy"] - figures["none"]))
    like = {pieces for worker in made for pieces in worker.pieces["none"]}
    through = [pieces for worker in made for pieces in worker.pieces["proxy"]]
    same = sum(pieces in like for pieces in through)
    print(f"\n{same} of {len(through)} answers came through it in the chunks in which the server sends them")
    print(f"{len(passed_on) - 1} spans written for {len(through)} requests")


if __name__ == "__main__":
    main()
