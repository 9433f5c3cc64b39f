"""A run of five queries as the runner would have written it, through `RunWriter` and the spans' own line format.

Times are made up from a seed, everything else follows from them: spans first, the ledger closed over them.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from punie_trace.analysis.ledger import close_ledger
from punie_trace.records import Evaluation, JsonValue, Ledger, Outcome, Query, ServerKind, ToolCall, Verdict
from punie_trace.runs.header import Clock, ConfigurationRecord, Machine, RunHeader, RunStatus, ServerRecord, SuiteRecord
from punie_trace.runs.writer import RunWriter
from punie_trace.spans import names
from punie_trace.spans.codec import to_line
from punie_trace.spans.span import AttributeValue, Span, SpanEvent

MS = 1_000_000
ANCHOR = 1_790_000_000_000_000_000

QUERIES = (
    Query("django-views", "Find all Django views in the codebase", "tool", ("search_code",), category="search"),
    Query("user-serializer", "Show me the UserSerializer implementation", "tool", ("read_file",), category="read"),
    Query("dependency-injection", "What is dependency injection?", "direct", category="concept"),
    Query("async-await", "Find all uses of async/await", "tool", ("search_code",), category="search"),
    Query("orm-or-sql", "What's the difference between ORM and raw SQL?", "direct", category="comparison"),
)


@dataclass(frozen=True)
class Arm:
    """How one configuration behaves: decoding speed relative to the baseline, and what goes wrong in it."""

    speed: float = 1.0
    noise: float = 0.04
    draft: bool = False
    progress: bool = True
    verdicts: Mapping[tuple[str, int], Verdict] = field(default_factory=dict)
    answers: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[tuple[str, int], str] = field(default_factory=dict)
    evaluations: Mapping[str, tuple[Evaluation, ...]] = field(default_factory=dict)
    cached: int = 96
    kind: ServerKind = "mlx_lm"
    tokens_reported: bool = True
    remembers: bool = False
    """Whether its server is one that may keep what it was asked; else it is configured to forget."""
    again: float = 1.0
    """How many times as fast it is when asked again."""


ARMS: dict[str, Arm] = {
    "baseline": Arm(),
    "speculative-2": Arm(speed=1.7, draft=True, progress=False),
    "speculative-3": Arm(
        speed=2.0, draft=True, progress=False, answers={"django-views": "Other text.", "async-await": "None."}
    ),
    "speculative-5": Arm(speed=1.02, noise=0.3, draft=True, progress=False),
}


@dataclass
class SpanMaker:
    """Hands out spans of one trace."""

    trace_id: str
    spans: list[Span] = field(default_factory=list)

    def add(
        self,
        name: str,
        start: int,
        end: int,
        attributes: dict[str, AttributeValue],
        kind: str = "INTERNAL",
        events: tuple[SpanEvent, ...] = (),
    ) -> None:
        span_id = f"{len(self.spans) + 1:016x}"
        self.spans.append(Span(self.trace_id, span_id, None, name, kind, start, end, attributes, events))


def make_header(
    *, rounds: int = 3, queries: tuple[Query, ...] = QUERIES, run_id: str = "20261121-142233-4f2a"
) -> RunHeader:
    return RunHeader(
        id=run_id,
        started=datetime(2026, 11, 21, 14, 22, 33, tzinfo=UTC),
        argv=("punie-trace", "run"),
        configuration={"suite": "discrimination", "rounds": rounds},
        suite=SuiteRecord(name="discrimination", digest="sha256:0f3c", queries=queries),
        versions={"python": "3.11.7", "punie_trace": "0.1.0", "mlx": "0.32.4", "mlx-lm": "0.32.2"},
        machine=Machine(os="Linux", arch="x86_64", cpu="Intel Xeon", cores=2, memory_bytes=8 * 2**30),
        seed=7,
        rounds=rounds,
        clock=Clock(anchor_wall_ns=ANCHOR, anchor_monotonic_ns=0),
    )


def write_run(
    folder: Path,
    arms: Mapping[str, Arm] | None = None,
    *,
    rounds: int = 3,
    queries: tuple[Query, ...] = QUERIES,
    failures: Mapping[str, str] | None = None,
    status: RunStatus = "done",
    concurrency: int = 1,
    blas: str = "openblas (/usr/lib/libopenblas.so.0)",
    first: int | None = None,
) -> Path:
    """Write the run; `first` stops after so many outcomes, as a kill would."""
    arms = ARMS if arms is None else arms
    chance = random.Random(11)
    header = make_header(rounds=rounds, queries=queries)
    settings = {name: {} if arm.remembers else {"prompt_cache_size": 0} for name, arm in arms.items()}
    configuration = {**header.configuration, "configurations": settings}
    header = header.model_copy(update={"concurrency": concurrency, "configuration": configuration})
    with RunWriter(folder, header) as writer, writer.spans_path.open("wb") as spans:
        for name, arm in arms.items():
            server = "speculative" if arm.draft else "plain"
            writer.server_ready(server, ServerRecord(identity={"model": "demo-target"}, blas=blas))
            writer.write_memory(server, (312 if arm.draft else 248) * 2**20, "peak resident set")
            writer.configuration_ready(name, _configuration(name, arm, server))
        for name, reason in (failures or {}).items():
            writer.configuration_failed(name, reason)
        seq = 0
        now = ANCHOR
        for round_ in range(rounds):
            for query in queries:
                if query.once and round_:
                    continue
                for name, arm in arms.items():
                    if first is not None and seq >= first:
                        return folder
                    outcome, rows = make_query(seq, round_, name, arm, query, now, chance)
                    spans.writelines(map(to_line, rows))
                    spans.flush()
                    writer.append_outcome(outcome)
                    now = outcome.done_ns + MS
                    seq += 1
        writer.finish(status)
    return folder


def _configuration(name: str, arm: Arm, server: str) -> ConfigurationRecord:
    drafted = int(name.rpartition("-")[2]) if arm.draft and name[-1].isdigit() else None
    return ConfigurationRecord(
        path="agent",
        server=server,
        kind=arm.kind,
        model="demo-target",
        draft_model="demo-draft" if arm.draft else None,
        num_draft_tokens=drafted,
        temperature=0.0,
    )


def make_query(
    seq: int, round_: int, configuration: str, arm: Arm, query: Query, due: int, chance: random.Random
) -> tuple[Outcome, list[Span]]:
    """One query: two generations with a tool between them where it expects a tool, else one generation."""
    trace = SpanMaker(f"{seq + 1:032x}")
    speed = arm.speed * chance.lognormvariate(0, arm.noise) * (arm.again if round_ else 1.0)
    sent = due + 150_000
    at = sent + 2 * MS
    kinds: tuple[Literal["call", "text"], ...] = ("call", "text") if query.expected == "tool" else ("text",)
    first_chunk = None
    tokens_out = 0
    for kind in kinds:
        tokens = 24 if kind == "call" else 60
        tokens_out += tokens
        first, at = _generation(trace, at, kind, tokens, speed, arm)
        first_chunk = first if first_chunk is None else first_chunk
        if kind == "call":
            tool: dict[str, AttributeValue] = {
                names.GEN_AI_OPERATION: names.OPERATION_EXECUTE_TOOL,
                names.GEN_AI_TOOL_NAME: query.tools[0],
            }
            trace.add("execute_tool", at + MS, at + 4 * MS, tool)
            at += 5 * MS
    done = at + 3 * MS
    ledger = close_ledger(
        due,
        sent,
        done,
        [(span.start_ns, span.end_ns) for span in trace.spans if names.SEGMENT in span.attributes],
        [(span.start_ns, span.end_ns) for span in trace.spans if names.GEN_AI_OPERATION in span.attributes],
    )
    verdict = arm.verdicts.get((query.name, round_), Verdict.CORRECT)
    described: dict[str, AttributeValue] = {
        names.CONFIGURATION: configuration,
        names.PATH: "agent",
        names.QUERY_CATEGORY: query.category or "",
        names.VERDICT: verdict.value,
    }
    trace.add(f"query {query.name}", due, done, {**described, **query_attributes(sent, ledger)})
    arguments: dict[str, JsonValue] = {"pattern": "class .*View"}
    calls = (ToolCall(query.tools[0], arguments, ok=True),) if query.expected == "tool" else ()
    known = arm.tokens_reported
    outcome = Outcome(
        seq=seq,
        round=round_,
        configuration=configuration,
        query=query.name,
        path="agent",
        due_ns=due,
        sent_ns=sent,
        done_ns=done,
        verdict=verdict,
        error=arm.errors.get((query.name, round_)),
        trace_id=trace.trace_id,
        answer=arm.answers.get(query.name, f"The answer to {query.name}."),
        tool_calls=calls,
        generations=len(kinds),
        input_tokens=512 * len(kinds) if known else None,
        output_tokens=tokens_out if known else None,
        cached_tokens=arm.cached * len(kinds) if known else None,
        ttft_ns=None if first_chunk is None else first_chunk - sent - 2 * MS,
        served_model="demo-target",
        evaluations=arm.evaluations.get(query.name, ()),
    )
    return outcome, trace.spans


def query_attributes(sent: int, ledger: Ledger) -> dict[str, AttributeValue]:
    return {
        names.SENT_NS: sent,
        names.LEDGER_WALL: ledger.wall_ns,
        names.LEDGER_CLIENT_QUEUE: ledger.client_queue_ns,
        names.LEDGER_GENERATION: ledger.generation_ns,
        names.LEDGER_TOOL: ledger.tool_ns,
        names.LEDGER_FRAMEWORK: ledger.framework_ns,
        names.TOOL_WORK: ledger.tool_work_ns,
    }


def _generation(
    trace: SpanMaker, start: int, kind: Literal["call", "text"], tokens: int, speed: float, arm: Arm
) -> tuple[int, int]:
    """Add one generation; returns its first chunk and its end."""
    connect = 400_000
    prefill_end = start + connect + 80 * MS
    last = prefill_end + int(tokens * 9 * MS / speed)
    first = last - MS if kind == "call" else prefill_end + MS
    end = last + 300_000
    marks = [(names.EVENT_FIRST_CHUNK, first), (names.EVENT_LAST_CHUNK, last)]
    if arm.progress:
        marks.insert(0, (names.EVENT_PREFILL_END, prefill_end))
    attributes: dict[str, AttributeValue] = {
        names.SEGMENT: names.SEGMENT_GENERATION,
        names.CONNECT_NS: connect,
        names.CHUNKS: 1 if kind == "call" else tokens,
        names.GEN_AI_FINISH_REASONS: ("tool_calls" if kind == "call" else "stop",),
    }
    if arm.tokens_reported:
        attributes[names.GEN_AI_OUTPUT_TOKENS] = tokens
    events = tuple(SpanEvent(name, time) for name, time in marks)
    trace.add(names.SPAN_POST, start, end, attributes, "CLIENT", events)
    return first, end


def without_progress(arm: Arm) -> Arm:
    return replace(arm, progress=False)
