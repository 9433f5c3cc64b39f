"""Frozen values that cross folders: what was asked, what came back, what it cost.

All times are integer nanoseconds of one clock: wall-clock anchored once per run, monotonic after that. Nothing here
does I/O or computes a statistic; `runs` writes and reads these values, `analysis` works with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal, TypeAlias

JsonValue: TypeAlias = "str | int | float | bool | list[JsonValue] | dict[str, JsonValue] | None"

Expectation: TypeAlias = Literal["tool", "direct"]
Path: TypeAlias = Literal["agent", "imported", "program", "http", "inprocess"]
ServerKind: TypeAlias = Literal["mlx_lm", "punie", "command", "url"]
ToolMode: TypeAlias = Literal["calls", "code"]
"""How a model uses tools: call by call, or by code that it writes and a sandbox runs."""
MOST_TOKENS: Final = 2**53
"""A server that counts more counts nothing: JSON's numbers are inexact there, and sums have to stay writable."""


class Verdict(StrEnum):
    """What became of one query. Only `CORRECT` counts as right."""

    CORRECT = "correct"
    SHOULD_HAVE_CALLED = "should-have-called"
    SHOULD_NOT_HAVE_CALLED = "should-not-have-called"
    WRONG_TOOL = "wrong-tool"
    BAD_ARGUMENTS = "bad-arguments"
    UNPARSED_CALL = "unparsed-call"
    WRONG_ANSWER = "wrong-answer"
    NOT_JUDGED = "not-judged"
    """Nothing says what is right, or what should have said it failed: outside accuracy."""
    ERROR = "error"
    TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a session: the user's words, and what is right of it as a `Query` has it."""

    text: str
    expected: Expectation | None = None
    tools: tuple[str, ...] = ()
    arguments_contain: tuple[str, ...] = ()
    answer_contains: tuple[str, ...] = ()

    @property
    def has_facts(self) -> bool:
        """Whether anything says what is right in this turn."""
        return bool(self.expected or self.tools or self.arguments_contain or self.answer_contains)


@dataclass(frozen=True, slots=True)
class Query:
    """One case of a suite: the user's words and what is right. What is None or empty is not judged.

    A session has several turns; what is right is then said of each of them, and beside that, in the query's own fields,
    of the whole: of all its calls, and of its last answer.
    """

    name: str
    text: str
    """What the user says; of a session all turns, a line for each."""
    expected: Expectation | None = None
    tools: tuple[str, ...] = ()
    """Names of tools any of which is right."""
    arguments_contain: tuple[str, ...] = ()
    """Texts that must all occur (without regard to case) in the arguments of one executed call."""
    answer_contains: tuple[str, ...] = ()
    """Texts that must all occur (without regard to case) in the final answer."""
    category: str | None = None
    workspace: str = ""
    """Which of a run's code bases it asks about, by name; empty for the run's own."""
    once: bool = False
    """Whether one round of a run asks it, and the others do not: it is there to be new."""
    copies_workspace: bool = False
    """Whether whoever answers it writes, so that it is given a copy of the workspace of its own."""
    evaluators: tuple[str, ...] = ()
    """Names of the evaluators that judge it besides; they live with the suite, which runs them."""
    turns: tuple[Turn, ...] = ()
    """The turns of a session, in their order; empty for a query of one question."""

    @property
    def opening(self) -> str:
        """What is said first: whoever was asked it before may answer at least that from memory."""
        return self.turns[0].text if self.turns else self.text

    @property
    def has_facts(self) -> bool:
        """Whether the case says what is right of the query as a whole, evaluators aside."""
        return bool(self.expected or self.tools or self.arguments_contain or self.answer_contains)

    @property
    def judgeable(self) -> bool:
        """Whether anything says what is right: facts of the whole or of a turn, or evaluators."""
        return self.has_facts or bool(self.evaluators) or any(turn.has_facts for turn in self.turns)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What one evaluator found: an assertion (bool), a score (number) or a label (text).

    `value` is None where the evaluator failed; `reason` then says how.
    """

    name: str
    value: bool | int | float | str | None
    reason: str | None = None
    source: str = ""
    """The evaluator with its arguments, as the dataset writes it."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One tool call that the model made. `ok` is False where the tool raised, returned an error or was not run."""

    name: str
    arguments: dict[str, JsonValue]
    ok: bool
    refused: str | None = None
    """Why the tool was not run: no such tool, arguments that do not fit. None where it was. Of code that the model
    wrote, why it was refused or stopped."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One generation request as the client saw it. Times in ns on the run's clock; None where it never came."""

    sent_ns: int
    done_ns: int
    first_byte_ns: int | None = None
    prefill_end_ns: int | None = None
    """When the server's last progress comment was seen; servers that send none leave it None."""
    first_chunk_ns: int | None = None
    """First chunk with output: text, reasoning or a tool call."""
    last_chunk_ns: int | None = None
    chunks: int = 0
    status: int | None = None
    error: str | None = None
    requested_model: str | None = None
    served_model: str | None = None
    fingerprint: str | None = None
    finish_reason: str | None = None
    tool_calls: int = 0
    """Tool calls that the server parsed and sent."""
    unusable_call: str | None = None
    """Why a call that the model wrote cannot be used: it was not parsed, or names no tool."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None

    @property
    def unparsed_call(self) -> bool:
        """Whether the model wrote a call that cannot be used; a server that drops one still ends with 'tool_calls'."""
        return self.unusable_call is not None or (self.finish_reason == "tool_calls" and self.tool_calls == 0)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one query. Calls and generations are read from the query's spans, not made by the asker."""

    text: str
    """The answer in words; of an agent that gives an object, that object as JSON."""
    tool_calls: tuple[ToolCall, ...] = ()
    generations: tuple[Generation, ...] = ()
    error: str | None = None
    """Set where the path failed: there is no answer to judge."""
    workspace: str | None = None
    """The folder that it was worked in, where that is not the workspace itself."""
    held: str | None = None
    """A folder of the asker's own that is held for whoever judges, until the answer is released."""
    reason: str | None = None
    """Why the model came to no better answer, where the path can tell. It is judged all the same."""
    tools_unseen: bool = False
    """Whether the asker's tools may make no spans: then calls are read from the messages of its generations."""
    output_calls: frozenset[str] = frozenset()
    """Names under which the agent takes its answer as a call: they are no tools, and calling them is no tool call."""
    output: object = None
    """The object that the agent gave, for evaluators; None where it gave a text."""
    turns: tuple[Answer | None, ...] = ()
    """Of a session, the answers to its turns as far as it came, None for one that was cut off; `text` is the last."""


@dataclass(frozen=True, slots=True)
class EndedQuery:
    """One query that has ended, for whoever judges it. `wall_ns` is from due to done."""

    query: Query
    answer: Answer | None
    trace_id: str
    wall_ns: int
    timed_out: bool = False
    error: str | None = None
    """What went wrong on the way, which comes before anything that the answer says."""
    warm_up: bool = False
    """Whether it counts in no figure, so that its verdict matters to nobody."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What became of a query, why in words where there are some, and what evaluators found."""

    verdict: Verdict
    reason: str | None = None
    evaluations: tuple[Evaluation, ...] = ()
    turns: tuple[Verdict, ...] = ()
    """Of a session, the verdict on each turn that was asked."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One query that is due: its place in the run, when it is due, in which round and configuration."""

    seq: int
    due_ns: int
    round: int
    configuration: str
    query: Query


@dataclass(frozen=True, slots=True)
class TurnOutcome:
    """What became of one turn of a session; times in ns on the run's clock, token counts as in `Outcome`."""

    due_ns: int
    sent_ns: int
    done_ns: int
    verdict: Verdict
    error: str | None
    answer: str
    tool_calls: tuple[ToolCall, ...]
    generations: int
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    ttft_ns: int | None

    @property
    def wall_ns(self) -> int:
        """From due to done."""
        return self.done_ns - self.due_ns


@dataclass(frozen=True, slots=True)
class Outcome:
    """One line of `outcomes.jsonl`. Token counts are None where the server reported none."""

    seq: int
    round: int
    configuration: str
    query: str
    path: Path
    due_ns: int
    sent_ns: int
    done_ns: int
    verdict: Verdict
    error: str | None
    trace_id: str
    answer: str
    tool_calls: tuple[ToolCall, ...]
    generations: int
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    ttft_ns: int | None
    """First chunk with output of the query's first generation, minus that request's sending."""
    served_model: str | None
    evaluations: tuple[Evaluation, ...] = ()
    asked_before: int | None = None
    """How often what answered had been asked this before, as far as it was not made to forget. None: nobody noted it,
    and it follows from the order of the outcomes."""
    turns: tuple[TurnOutcome, ...] = ()
    """Of a session, each turn that was asked; the last one is done when the query is."""

    @property
    def wall_ns(self) -> int:
        """From due to done; of a session the sum of its turns, as the time between them is no one's."""
        if self.turns:
            return sum(turn.wall_ns for turn in self.turns)
        return self.done_ns - self.due_ns


@dataclass(frozen=True, slots=True)
class MachineSample:
    """What else the machine did from `start_ns` to `end_ns` (ns on the run's clock). None is 'not observable'."""

    start_ns: int
    end_ns: int
    other_cpu: float | None = None
    """Share of all cores that processes took which are neither ours nor our servers, 0 to 1."""
    swapped_bytes: int | None = None
    memory_pressure: float | None = None
    """Share of the last seconds in which something waited for memory, 0 to 1."""
    memory_warning: str | None = None
    """What the system calls the state of its memory, where that is not normal."""
    throttled: bool | None = None
    """Whether the machine slowed itself down."""
    thermal: str | None = None
    """What the system calls its thermal state."""


@dataclass(frozen=True, slots=True)
class EnergySample:
    """The machine's energy counters at one moment (ns on the run's clock); None is 'not observable'.

    `joules` counts from some fixed moment, so only differences mean something. `watts` is the power at the moment, of
    those sources that tell it; `gpu_utilization` is 0 to 1; `gpu_memory_bytes` is what is in use on all GPUs.
    """

    at_ns: int
    joules: float
    watts: float | None = None
    gpu_utilization: float | None = None
    gpu_memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Ledger:
    """Where one query's time went, in ns; the four lines add up to `wall_ns` exactly."""

    wall_ns: int
    client_queue_ns: int
    generation_ns: int
    tool_ns: int
    framework_ns: int
    tool_work_ns: int
    """Sum of the tools' own durations; above `tool_ns` where tools ran in parallel or beside a generation."""
    sandbox_ns: int = 0
    """Of `tool_ns`, what code that the model wrote took by itself, with no tool of its at work; the rest is tools."""
    hidden_tool_ns: int = 0
    """How long tools were at work while a generation was open: it is generation's, and hidden behind it."""


@dataclass(frozen=True, slots=True)
class SentTo:
    """The endpoints that took something of a run, beside its folder."""

    spans_at: tuple[str, ...] = ()
    metrics_at: str | None = None
