"""How long `punie-trace report` takes over a run of many outcomes, and how much memory.

Purpose: a load test of hours leaves a million outcomes, and its report must still open: under 60 s and under 1 GB is
what is asked of a million. A run folder is made up (four configurations that take turns, 50 queries, seeded times),
then the real command reads it in a process of its own, whose CPU time and peak of memory are the system's figures.

    python bench/large_report.py [--outcomes 1000000] [--spans] [--format console] [--keep DIR]

`--spans` also writes two spans for each outcome (about 1.4 kB), of which a report reads a part where they are many.

Output: size of the folder, seconds, CPU seconds, peak memory. Exit code 1 above 60 s or 1 GB for each million.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from punie_trace.analysis.ledger import close_ledger
from punie_trace.records import Outcome, Query, Verdict
from punie_trace.runs.header import Clock, ConfigurationRecord, Machine, RunHeader, ServerRecord, SuiteRecord
from punie_trace.runs.outcome_line import encode_outcome
from punie_trace.runs.writer import RunWriter
from punie_trace.spans import names
from punie_trace.spans.codec import to_line
from punie_trace.spans.span import AttributeValue, Span

ANCHOR = 1_790_000_000_000_000_000
ARMS = {"baseline": 1.0, "speculative-2": 1.5, "speculative-3": 1.7, "speculative-5": 1.6}
QUERIES = tuple(Query(f"query-{n}", f"What is number {n}?", "direct", category=f"kind-{n % 5}") for n in range(50))
MS = 1_000_000


def make_run(folder: Path, outcomes: int, *, spans: bool) -> None:
    """Write a run of so many outcomes, as the runner would have."""
    chance = random.Random(1)
    per_round = len(QUERIES) * len(ARMS)
    header = RunHeader(
        id="large",
        started=datetime(2026, 11, 21, tzinfo=UTC),
        argv=("punie-trace", "run"),
        suite=SuiteRecord(name="large", digest="none", queries=QUERIES),
        machine=Machine(os="Linux", arch="x86_64", cpu="any", cores=2),
        seed=1,
        rounds=-(-outcomes // per_round),
        clock=Clock(anchor_wall_ns=ANCHOR, anchor_monotonic_ns=0),
        servers={"server": ServerRecord(batched=True)},
        configurations={name: ConfigurationRecord(path="http", server="server", kind="mlx_lm") for name in ARMS},
        status="done",
    )
    with RunWriter(folder, header):
        pass
    now = ANCHOR
    plan = [(query, arm) for query in QUERIES for arm in ARMS]
    with (folder / "outcomes.jsonl").open("wb") as lines, (folder / "spans.jsonl").open("wb") as traces:
        for seq in range(outcomes):
            query, arm = plan[seq % per_round]
            wall = int(50 * MS / ARMS[arm] * chance.lognormvariate(0, 0.2))
            one = make_outcome(seq, seq // per_round + 1, arm, query, now, wall)
            lines.write(encode_outcome(one))
            if spans:
                traces.writelines(map(to_line, make_spans(one)))
            now += wall // 4


def make_outcome(seq: int, round_: int, arm: str, query: Query, due: int, wall: int) -> Outcome:
    return Outcome(
        seq=seq,
        round=round_,
        configuration=arm,
        query=query.name,
        path="http",
        due_ns=due,
        sent_ns=due + 100_000,
        done_ns=due + wall,
        verdict=Verdict.CORRECT if seq % 97 else Verdict.WRONG_ANSWER,
        error=None,
        trace_id=f"{seq + 1:032x}",
        answer=f"The answer to {query.name}, in a sentence of the usual length that ends here.",
        tool_calls=(),
        generations=1,
        input_tokens=500,
        output_tokens=64,
        cached_tokens=400,
        ttft_ns=wall // 4,
        served_model="some-model",
    )


def make_spans(one: Outcome) -> list[Span]:
    generation = one.sent_ns + MS // 2, one.done_ns - MS // 2
    ledger = close_ledger(one.due_ns, one.sent_ns, one.done_ns, [generation], [])
    post: dict[str, AttributeValue] = {
        names.SEGMENT: names.SEGMENT_GENERATION,
        names.CHUNKS: 64,
        names.GEN_AI_FINISH_REASONS: ("stop",),
        names.GEN_AI_INPUT_TOKENS: 500,
        names.GEN_AI_OUTPUT_TOKENS: 64,
        names.GEN_AI_CACHED_TOKENS: 400,
    }
    query: dict[str, AttributeValue] = {
        names.CONFIGURATION: one.configuration,
        names.QUERY_NAME: one.query,
        names.SENT_NS: one.sent_ns,
        names.LEDGER_WALL: ledger.wall_ns,
        names.LEDGER_CLIENT_QUEUE: ledger.client_queue_ns,
        names.LEDGER_GENERATION: ledger.generation_ns,
        names.LEDGER_TOOL: ledger.tool_ns,
        names.LEDGER_FRAMEWORK: ledger.framework_ns,
        names.TOOL_WORK: ledger.tool_work_ns,
    }
    return [
        Span(one.trace_id, "2".rjust(16, "0"), "1".rjust(16, "0"), "POST", "CLIENT", *generation, post),
        Span(one.trace_id, "1".rjust(16, "0"), None, "query", "INTERNAL", one.due_ns, one.done_ns, query),
    ]


def report(folder: Path, form: str) -> tuple[float, float, int]:
    """Seconds, CPU seconds and peak bytes of the command."""
    begin = time.monotonic()
    with (folder / "printed.txt").open("wb") as printed:
        command = [sys.executable, "-m", "punie_trace", "report", str(folder), "--format", form]
        process = subprocess.Popen(command, stdout=printed)
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"report ended with {os.waitstatus_to_exitcode(status)}")
    kilobytes = usage.ru_maxrss if sys.platform != "darwin" else usage.ru_maxrss // 1024
    return time.monotonic() - begin, usage.ru_utime + usage.ru_stime, kilobytes * 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--outcomes", type=int, default=1_000_000)
    parser.add_argument("--spans", action="store_true")
    parser.add_argument("--format", default="console")
    parser.add_argument("--keep", type=Path, help="make the run in this folder, and leave it there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.keep or Path(temporary)) / "run"
        make_run(folder, options.outcomes, spans=options.spans)
        sizes = {file.name: file.stat().st_size / 2**20 for file in folder.glob("*.jsonl")}
        seconds, cpu, peak = report(folder, options.format)
        print(
            json.dumps(
                {
                    "outcomes": options.outcomes,
                    "MiB": {name: round(size) for name, size in sizes.items()},
                    "format": options.format,
                    "seconds": round(seconds, 1),
                    "cpu_seconds": round(cpu, 1),
                    "peak_MB": round(peak / 1e6),
                }
            )
        )
    millions = max(options.outcomes / 1e6, 1.0)
    return 1 if seconds > 60 * millions or peak > 1e9 * millions else 0


if __name__ == "__main__":
    sys.exit(main())
