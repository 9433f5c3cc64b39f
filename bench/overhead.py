"""What spans and the ledger cost a query, in CPU time and wall time of the process that asks.

A real PydanticAI agent asks a scripted server (a process of its own, which answers at once) a query with one tool call:
two generations and one tool. Three arms take turns, in an order shuffled in each round:

    off        the agent without any instrumentation, over the plain transport
    agent      pydantic-ai's own spans, on an OpenTelemetry SDK provider that keeps nothing
    traced     all of ours on top: query span, ledger, transport spans, and the file of spans

Printed are the median cost of each arm, and the median of the paired differences with a 95 % bootstrap interval. What
this project adds to pydantic-ai's own is `traced - agent`; the aim is under 1 ms of CPU a query.

    uv run python bench/overhead.py [--queries 300]
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import anyio
import httpx2
import numpy as np
from opentelemetry.sdk.trace import TracerProvider

from punie_trace.agent.agent_path import AgentPath, openai_client
from punie_trace.agent.options import AskOptions
from punie_trace.agent.toolbox import Toolbox
from punie_trace.agent.workspace import Workspace
from punie_trace.engine.tracing import Tracing
from punie_trace.records import Answer, Arrival, Query, Verdict
from punie_trace.servers.kinds import CommandConfig
from punie_trace.servers.server import open_server
from punie_trace.spans.clock import Clock
from punie_trace.spans.transport import TracedTransport
from punie_trace.suite.load import sample_workspace

ARMS = ("off", "agent", "traced")
QUESTION = "Where is IsLibrarian defined?"
ANSWER_CHUNKS = 40
SCRIPT = {
    "rules": [
        {
            "contains": "IsLibrarian",
            "turn": 0,
            "reply": {"steps": [{"do": "tool_call", "name": "find_definition", "arguments": {"name": "IsLibrarian"}}]},
        },
        {"turn": 1, "reply": {"steps": [{"do": "text", "text": f"word{i} "} for i in range(ANSWER_CHUNKS)]}},
    ],
    "replies": [{"steps": [{"do": "text", "text": "ok"}]}],
}
FAKE = ("python", "-m", "punie_trace.testing", "--port", "{port}", "--script")


async def measure(queries: int, seed: int) -> dict[str, np.ndarray]:
    """(cpu_ns, wall_ns) of each query by arm, shape (queries, 2), paired by position."""
    query = Query("overhead", QUESTION)
    results: dict[str, list[tuple[int, int]]] = {arm: [] for arm in ARMS}
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "script.json"
        script.write_text(json.dumps(SCRIPT))
        config = CommandConfig(command=(*FAKE, str(script)))
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(open_server(config, log_path=Path(folder) / "server.log"))
            asks = await arms(stack, server.base_url, server.request_model, Path(folder))
            order = random.Random(seed)
            for number in range(-10, queries):  # the first ten warm up
                for arm in order.sample(ARMS, len(ARMS)):
                    cpu, wall = time.process_time_ns(), time.perf_counter_ns()
                    answer = await asks[arm](query)
                    cost = time.process_time_ns() - cpu, time.perf_counter_ns() - wall
                    assert answer.error is None, answer.error
                    assert "word39" in answer.text
                    if number >= 0:
                        results[arm].append(cost)
    return {arm: np.array(costs) for arm, costs in results.items()}


async def arms(
    stack: AsyncExitStack, base_url: str, model: str, folder: Path
) -> dict[str, Callable[[Query], Awaitable[Answer]]]:
    """How each arm asks."""
    clock = Clock.start()
    tracing = Tracing("off", clock, "overhead", folder / "spans.jsonl")
    toolbox = Toolbox(Workspace(sample_workspace()))
    options = AskOptions(model=model)
    plain = await stack.enter_async_context(httpx2.AsyncClient())
    traced = await stack.enter_async_context(httpx2.AsyncClient(transport=TracedTransport(tracing.provider, clock)))
    off = AgentPath(openai_client(base_url, plain, "none", 60.0), toolbox, options, None)
    own = AgentPath(
        openai_client(base_url, plain, "none", 60.0), toolbox, options, TracerProvider(shutdown_on_exit=False)
    )
    ours = AgentPath(openai_client(base_url, traced, "none", 60.0), toolbox, options, tracing.provider)

    async def ask_traced(query: Query) -> Answer:
        arrival = Arrival(0, clock.now_ns(), 1, "traced", query)
        with tracing.open_query(arrival, "agent", False) as span:
            span.mark_sent()
            answer = await ours.ask(query)
            span.finish()
            span.set_verdict(Verdict.CORRECT)
        return answer

    return {"off": off.ask, "agent": own.ask, "traced": ask_traced}


def interval(differences: np.ndarray, seed: int) -> tuple[float, float, float]:
    """Median of paired differences and its 95 % percentile bootstrap interval."""
    generator = np.random.default_rng(seed)
    resampled = np.median(generator.choice(differences, (2000, len(differences))), axis=1)
    low, high = np.quantile(resampled, [0.025, 0.975])
    return float(np.median(differences)), float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    costs = anyio.run(partial(measure, args.queries, args.seed))
    print(f"{args.queries} queries in each arm, 2 generations and 1 tool each\n")
    print(f"{'':16}{'CPU, ms':>32}{'wall, ms':>32}")
    for arm in ARMS:
        cpu, wall = np.median(costs[arm], axis=0) / 1e6
        print(f"{arm:16}{cpu:>32.3f}{wall:>32.3f}")
    for name, first, second in (("traced - agent", "traced", "agent"), ("traced - off", "traced", "off")):
        cells = []
        for column in (0, 1):
            middle, low, high = interval((costs[first][:, column] - costs[second][:, column]) / 1e6, args.seed)
            cells.append(f"{middle:+.3f} [{low:+.3f}, {high:+.3f}]")
        print(f"{name:16}{cells[0]:>32}{cells[1]:>32}")


if __name__ == "__main__":
    main()
