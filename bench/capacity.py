"""How many queries a second one client process can ask, answer, trace and write down, and how soon it is up and done.

A server of known latency (a process of its own) answers at once with 16 streamed chunks; `punie-trace run --path http`
asks it in a closed loop, spans and outcomes written. A bare httpx2 loop over the same server stands beside it: what the
library under the path can do with nothing on top. Printed are queries a second, CPU time a query, and for the command
the time from its start to the first query and from the last answer to its end (the report of all queries included).
The aims on two cores that also run the server: 600 queries a second at concurrency 8; up in 1.5 s; done in 1 s for
10,000 queries.

With `--generators 1 2` the same is asked by so many processes, one number after another, and what each of them, the
server and the machine's cores did stands beside it: two generators give less than twice of one where the cores or the
server give out first.

    uv run python bench/capacity.py [--queries 10000] [--concurrency 8] [--generators 1 2]
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import httpx2
import psutil
from known_server import HOST, KnownServer, known_server, request_bodies, timed_run

from punie_trace.driver.precise_loop import new_event_loop

SERVER = ("--first-ms", "0", "--between-ms", "0", "--chunks", "16")


async def bare(port: int, queries: int, concurrency: int) -> None:
    """The whole of each answer read by a bare httpx2 loop."""
    requests = islice(request_bodies(), queries)
    async with httpx2.AsyncClient(base_url=f"http://{HOST}:{port}/v1/", trust_env=False, timeout=60) as client:

        async def work(mine: Iterator[tuple[str, dict[str, object]]]) -> None:
            for _, body in mine:
                async with client.stream("POST", "chat/completions", json=body) as response:
                    async for _line in response.aiter_lines():
                        pass

        async with asyncio.TaskGroup() as tasks:
            for _ in range(concurrency):
                tasks.create_task(work(requests))


def show_bare(server: KnownServer, queries: int, concurrency: int) -> None:
    cpu, wall = time.process_time(), time.monotonic()
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(bare(server.port, queries, concurrency))
    cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    print(f"{'httpx2':8}{queries / wall:>12.0f}{cpu / queries * 1e3:>16.3f}")


def show_punie(folder: Path, server: KnownServer, queries: int, concurrency: int) -> None:
    timed = timed_run(folder, "run", server, "--concurrency", str(concurrency), "--queries", str(queries))
    (client,) = timed.run.header.client
    assert len(timed.outcomes) == queries
    wall = (max(one.done_ns for one in timed.outcomes) - min(one.due_ns for one in timed.outcomes)) / 1e9
    print(f"{'punie':8}{queries / wall:>12.0f}{client.cpu_share * client.seconds / queries * 1e3:>16.3f}")
    print(f"\nfrom start to first query {timed.to_first_query_s:.2f} s, from last answer to end ", end="")
    print(f"{timed.from_last_answer_s:.2f} s; event loop late by {client.lag.p99_ns / 1e6:.1f} ms (p99)")


def show_generators(folder: Path, server: KnownServer, queries: int, concurrency: int, generators: int) -> None:
    """One line of what so many generators did, the server and the machine beside it."""
    process = psutil.Process(server.pid)
    before, idle = sum(process.cpu_times()[:2]), psutil.cpu_times().idle
    flags = ("--concurrency", str(concurrency), "--queries", str(queries), "--generators", str(generators))
    timed = timed_run(folder, f"generators-{generators}", server, *flags)
    assert len(timed.outcomes) == queries
    wall = (max(one.done_ns for one in timed.outcomes) - min(one.due_ns for one in timed.outcomes)) / 1e9
    records = timed.run.header.client
    cpu = sum(one.cpu_share * one.seconds for one in records)
    busiest = max(one.loop_cpu_share for one in records)
    theirs = sum(process.cpu_times()[:2]) - before
    idle = (psutil.cpu_times().idle - idle) / ((timed.ended_ns - timed.started_ns) / 1e9)
    print(
        f"{generators:<12}{queries / wall:>10.0f}{cpu / queries * 1e3:>16.3f}{busiest:>12.0%}"
        f"{theirs / queries * 1e3:>18.3f}{idle:>12.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--generators", type=int, nargs="*", default=[], help="numbers of generators to compare")
    args = parser.parse_args()
    print(f"{args.queries} queries, concurrency {args.concurrency}, 16 chunks each\n")
    if args.generators:
        print(
            f"{'generators':12}{'queries/s':>10}{'CPU ms a query':>16}{'busiest':>12}{'server ms a query':>18}", end=""
        )
        print(f"{'idle cores':>12}")
        with tempfile.TemporaryDirectory() as name, known_server(Path(name), *SERVER) as server:
            for number in args.generators:
                show_generators(Path(name), server, args.queries, args.concurrency, number)
        return
    print(f"{'client':8}{'queries/s':>12}{'CPU ms a query':>16}")
    with tempfile.TemporaryDirectory() as name, known_server(Path(name), *SERVER) as server:
        show_bare(server, args.queries, args.concurrency)
        show_punie(Path(name), server, args.queries, args.concurrency)


if __name__ == "__main__":
    main()
