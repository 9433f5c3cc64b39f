"""How far the client's times are from the truth: time to first chunk against a server that wrote down its own.

A server of known latency (a process of its own) streams answers at set times and notes when it had read each request
and when it handed each chunk to the network. Clients ask it at the same offered rate, open loop, evenly spaced:

    raw       asyncio sockets with a fixed request: the floor, what the machine itself adds
    httpx2    a bare loop over httpx2, the library that the path `agent` stands on
    aiohttp   a bare loop over aiohttp, the library under the path `http`
    punie     `punie-trace run --path http`: all of it, spans and outcomes written
    guidellm, aiperf    where their commands are found or given: the times of their own output files

The error is the client's time to first chunk minus the server's (first chunk handed over minus request read): what the
client adds on the way out and back, and in noticing. Printed by rate: median, p99 and largest, in ms. The aim at 40
queries a second: median at most 1.0 ms and p99 at most 4 ms, on two cores that also run the server.

    uv run python bench/accuracy.py [--rates 10,40,100] [--seconds 20] [--short] [--guidellm PATH] [--aiperf PATH]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from itertools import islice
from pathlib import Path

import aiohttp
import httpx2
import numpy as np
from known_server import HOST, NS_PER_MS, KnownServer, known_server, request_bodies, timed_run
from other_generators import GENERATORS, beyond_truth

from punie_trace.driver.precise_loop import new_event_loop

FIRST_MS, BETWEEN_MS, CHUNKS = 50.0, 10.0, 16
Ask = Callable[[str, dict[str, object]], Awaitable[int]]
"""(trace id, body) -> time to first chunk in ns."""


def headers(trace_id: str) -> dict[str, str]:
    return {"traceparent": f"00-{trace_id}-{1:016x}-01"}


class RawSockets:
    """Requests over plain sockets, each connection used again."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self, trace_id: str, body: dict[str, object]) -> int:
        content = json.dumps(body).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: {len(content)}\r\n"
        head += f"traceparent: {headers(trace_id)['traceparent']}\r\n\r\n"
        connection = self._idle.pop() if self._idle else await asyncio.open_connection(HOST, self._port)
        reader, writer = connection
        sent = time.monotonic_ns()
        writer.write(head.encode() + content)
        data = await reader.read(65536)
        first = time.monotonic_ns()
        while not data.endswith(b"0\r\n\r\n"):
            data = data[-16:] + await reader.read(65536)
        self._idle.append(connection)
        return first - sent

    async def aclose(self) -> None:
        for _, writer in self._idle:
            writer.close()
            await writer.wait_closed()


class BareHttpx:
    """Requests over httpx2, as short as its users write them."""

    def __init__(self, port: int) -> None:
        self._client = httpx2.AsyncClient(base_url=f"http://{HOST}:{port}/v1/", trust_env=False, timeout=60)

    async def ask(self, trace_id: str, body: dict[str, object]) -> int:
        sent = time.monotonic_ns()
        first = 0
        async with self._client.stream("POST", "chat/completions", json=body, headers=headers(trace_id)) as response:
            async for line in response.aiter_lines():
                if not first and line.startswith("data: {"):
                    first = time.monotonic_ns()
        return first - sent

    async def aclose(self) -> None:
        await self._client.aclose()


class BareAiohttp:
    """Requests over aiohttp, as short as its users write them."""

    def __init__(self, port: int) -> None:
        self._url = f"http://{HOST}:{port}/v1/chat/completions"
        self._session: aiohttp.ClientSession | None = None

    async def ask(self, trace_id: str, body: dict[str, object]) -> int:
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        sent = time.monotonic_ns()
        first = 0
        async with self._session.post(self._url, json=body, headers=headers(trace_id)) as response:
            async for line in response.content:
                if not first and line.startswith(b"data: {"):
                    first = time.monotonic_ns()
        return first - sent

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()


BARE: dict[str, type[RawSockets | BareHttpx | BareAiohttp]] = {
    "raw": RawSockets,
    "httpx2": BareHttpx,
    "aiohttp": BareAiohttp,
}


async def offered(client: RawSockets | BareHttpx | BareAiohttp, rate: float, seconds: float) -> dict[str, int]:
    """Time to first chunk in ns by trace id, of queries that come evenly at `rate` a second."""
    loop = asyncio.get_running_loop()
    times: dict[str, int] = {}

    async def one(trace_id: str, body: dict[str, object]) -> None:
        times[trace_id] = await client.ask(trace_id, body)

    async with AsyncExitStack() as stack:
        stack.push_async_callback(client.aclose)
        began = loop.time()
        async with asyncio.TaskGroup() as tasks:
            for number, (trace_id, body) in enumerate(islice(request_bodies(), int(rate * seconds))):
                await asyncio.sleep(max(0.0, began + number / rate - loop.time()))
                tasks.create_task(one(trace_id, body))
    return times


def punie(folder: Path, server: KnownServer, rate: float, seconds: float) -> dict[str, int]:
    """The same by `punie-trace run`; warm-up left out."""
    flags = ("--rate", f"{rate:g}", "--arrivals", "constant", "--duration", f"{seconds:g}")
    timed = timed_run(folder, f"run-{rate:g}", server, *flags)
    return {one.trace_id: one.ttft_ns for one in timed.outcomes if one.ttft_ns is not None}


def measure(arm: str, rate: float, seconds: float) -> np.ndarray:
    """The errors of one client at one rate, in ms."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        flags = ("--first-ms", str(FIRST_MS), "--between-ms", str(BETWEEN_MS), "--chunks", str(CHUNKS))
        with known_server(folder, *flags) as server:
            if arm == "punie":
                times = punie(folder, server, rate, seconds)
            else:
                with asyncio.Runner(loop_factory=new_event_loop) as runner:
                    times = runner.run(offered(BARE[arm](server.port), rate, seconds))
        truths = server.truths()
    errors = [ttft - truth_ns(truths[trace_id]) for trace_id, ttft in times.items() if trace_id in truths]
    if len(errors) < len(times) or not errors:
        raise RuntimeError(f"{arm} at {rate:g}/s: {len(times)} times, of which the server knows {len(errors)}")
    return np.array(errors) / NS_PER_MS


def measure_other(name: str, command: str, rate: float, seconds: float) -> np.ndarray:
    """The same of another load generator."""
    with tempfile.TemporaryDirectory() as folder:
        flags = ("--first-ms", str(FIRST_MS), "--between-ms", str(BETWEEN_MS), "--chunks", str(CHUNKS))
        with known_server(Path(folder), *flags) as server:
            times = GENERATORS[name](command, Path(folder), server, rate, int(rate * seconds))
        return np.array(beyond_truth(times, server.all_truths())) / NS_PER_MS


def truth_ns(truth: dict[str, object]) -> int:
    written, body = truth["written_ns"], truth["body_ns"]
    assert isinstance(written, list)
    assert isinstance(body, int)
    return int(written[0]) - body


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", default="10,40,100", help="offered rates, queries a second")
    parser.add_argument("--seconds", type=float, default=20.0, help="for each client at each rate")
    parser.add_argument("--short", action="store_true", help="two seconds at 40 a second: does it work at all")
    for name in GENERATORS:
        parser.add_argument(f"--{name}", metavar="PATH", default=shutil.which(name), help=f"{name}'s command")
    args = parser.parse_args()
    others = {name: command for name in GENERATORS if (command := getattr(args, name)) is not None}
    rates = [40.0] if args.short else [float(rate) for rate in args.rates.split(",")]
    seconds = 2.0 if args.short else args.seconds
    print(f"first chunk after {FIRST_MS:g} ms, {CHUNKS} chunks {BETWEEN_MS:g} ms apart, {seconds:g} s each")
    print("time to first chunk beyond the server's own truth, ms\n")
    print(f"{'rate':>6}  {'client':8}{'n':>6}{'median':>10}{'p99':>10}{'largest':>10}")
    for rate in rates:
        for arm in (*BARE, "punie", *others):
            errors = measure_other(arm, others[arm], rate, seconds) if arm in others else measure(arm, rate, seconds)
            median, p99 = np.quantile(errors, [0.5, 0.99])
            print(f"{rate:>6g}  {arm:8}{len(errors):>6}{median:>10.3f}{p99:>10.3f}{errors.max():>10.3f}", flush=True)
    for name in GENERATORS.keys() - others.keys():
        print(f"{name} is not installed (or give its command with --{name})")


if __name__ == "__main__":
    main()
