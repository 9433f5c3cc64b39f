"""Whether the driver's memory grows with the number of queries: it must not.

One process drives an `ask` that answers at once, in process, in a closed loop, with spans and outcomes written to disk
as a run has them. Printed is the memory that is held (resident set, after a collection) after as many queries as each
line says; what is asked between 10,000 and 200,000 must add next to nothing.

    uv run python bench/memory.py [--queries 10000,50000,200000]
"""

from __future__ import annotations

import argparse
import gc
import tempfile
from pathlib import Path

import anyio
import anyio.lowlevel
import psutil

from punie_trace.driver.limits import Failures, Limits
from punie_trace.driver.load import Driver
from punie_trace.driver.precise_loop import new_event_loop
from punie_trace.driver.schedule import ClosedLoop, plan_endless
from punie_trace.driver.target import Target
from punie_trace.engine.tracing import Tracing
from punie_trace.records import Answer, Generation, Ledger, Outcome, Query, ToolCall
from punie_trace.runs.outcome_line import encode_outcome
from punie_trace.spans.clock import Clock
from punie_trace.suite.check import judge_by_facts

QUERIES = [Query(f"query-{number}", "What is REST?") for number in range(20)]


def nothing(_: Generation | None = None) -> None:
    return None


def fail(configuration: str, reason: str) -> None:
    raise RuntimeError(f"{configuration}: {reason}")


async def ask(query: Query) -> Answer:
    await anyio.lowlevel.checkpoint()
    return Answer(f"an answer to {query.text}", (ToolCall("find_definition", {"name": "X"}, True),))


async def drive(counts: list[int], folder: Path) -> None:
    clock = Clock.start()
    tracing = Tracing("off", clock, "memory", folder / "spans.jsonl")
    with (folder / "outcomes.jsonl").open("wb") as file:

        def keep(outcome: Outcome, ledger: Ledger) -> None:
            assert ledger.wall_ns == outcome.wall_ns
            file.write(encode_outcome(outcome))

        asked = 0
        for count in counts:
            target = Target("memory", "http", ask, nothing, nothing)
            limits = Limits(queries=count - asked)
            driver = Driver({"memory": target}, tracing.open_query, clock, judge_by_facts, limits, keep, fail)
            await driver.drive(plan_endless(["memory"], QUERIES, 0), Failures(), ClosedLoop(8))
            asked = count
            gc.collect()
            print(f"{asked:>10} queries{psutil.Process().memory_info().rss / 2**20:>10.1f} MiB", flush=True)
    tracing.file.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", default="1000,10000,50000,100000,200000", help="in rising order")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        counts = [int(count) for count in args.queries.split(",")]
        anyio.run(drive, counts, Path(name), backend_options={"loop_factory": new_event_loop})


if __name__ == "__main__":
    main()
