"""A span of ours whose time is split: due, sent, done, and the ledger of what happened between them.

Queries and the turns of a session are timed by this one rule. The function that closes a ledger is given (this package
may not know how times are split). What is open below is ended before the time is closed, so that no child outlives it
and the ledger can be made again from the spans alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from opentelemetry import trace as api
from opentelemetry.trace import StatusCode, format_trace_id

from punie_trace.records import Generation, Ledger, ToolCall, Verdict
from punie_trace.spans import names
from punie_trace.spans.activity import Defaults, calls_of, generations_of
from punie_trace.spans.clock import Clock
from punie_trace.spans.open_spans import Interval, intervals
from punie_trace.spans.provider import ClockSpan, ClockTracerProvider
from punie_trace.spans.span import Span

LedgerCloser: TypeAlias = Callable[[int, int, int, Sequence[Interval], Sequence[Interval], Sequence[Interval]], Ledger]
"""(due_ns, sent_ns, done_ns, generations, tools, runs of code) -> Ledger; intervals lie within sent and done."""

_ERROR_TEXT_LIMIT: Final = 500


@dataclass(frozen=True, slots=True)
class TimedNames:
    """Under which attributes a kind of span carries its time of sending, its ledger and its verdict."""

    sent: str
    wall: str
    client_queue: str
    generation: str
    tool: str
    framework: str
    tool_work: str
    sandbox: str
    hidden: str
    verdict: str


OF_QUERY: Final = TimedNames(
    names.SENT_NS,
    names.LEDGER_WALL,
    names.LEDGER_CLIENT_QUEUE,
    names.LEDGER_GENERATION,
    names.LEDGER_TOOL,
    names.LEDGER_FRAMEWORK,
    names.TOOL_WORK,
    names.SANDBOX,
    names.TOOL_HIDDEN,
    names.VERDICT,
)
OF_TURN: Final = TimedNames(
    names.TURN_SENT_NS,
    names.TURN_LEDGER_WALL,
    names.TURN_LEDGER_CLIENT_QUEUE,
    names.TURN_LEDGER_GENERATION,
    names.TURN_LEDGER_TOOL,
    names.TURN_LEDGER_FRAMEWORK,
    names.TURN_TOOL_WORK,
    names.TURN_SANDBOX,
    names.TURN_TOOL_HIDDEN,
    names.TURN_VERDICT,
)


class TimedSpan:
    """Handle of a query or a turn that runs. Times in ns on the run's clock."""

    written_as: TimedNames = OF_QUERY

    def __init__(
        self, provider: ClockTracerProvider, clock: Clock, span: api.Span, due_ns: int, close: LedgerCloser
    ) -> None:
        self._provider = provider
        self._clock = clock
        self._span = span
        self._close = close
        self._finished: list[Span] | None = None
        self.trace_id = format_trace_id(span.get_span_context().trace_id)
        self.due_ns = due_ns
        self.sent_ns: int | None = None
        self.done_ns: int | None = None
        self.ledger: Ledger | None = None

    @property
    def generations(self) -> list[Generation]:
        """The generation requests that finished so far, in the order of their ends."""
        return generations_of(self.spans)

    def tool_calls(self, defaults: Defaults | None = None, *, by_messages: bool = False) -> list[ToolCall]:
        """The tool calls that finished so far, as `calls_of` reads them."""
        return calls_of(self.spans, defaults, by_messages=by_messages)

    @property
    def spans(self) -> list[Span]:
        """What finished below it, in the order of the ends; once the ledger is closed, what it was made of."""
        return self._finished_so_far() if self._finished is None else self._finished

    def mark_sent(self, at_ns: int | None = None) -> None:
        """It goes to the agent, now or at `at_ns`: what came before was the client's queue. The first call counts."""
        if self.sent_ns is None:
            self._set_sent(max(self._clock.now_ns() if at_ns is None else at_ns, self.due_ns))

    def finish(self) -> Ledger:
        """The answer is here: end what is still open below, fix `done_ns`, close the ledger. The first call counts.

        Raises what the ledger closer raises.
        """
        if self.ledger is None:
            self.ledger = self._closed()
            self._write(self.ledger)
        return self.ledger

    def set_verdict(self, verdict: Verdict, error: str | None = None) -> None:
        """What became of it. An error or a timeout marks the span as failed; a wrong answer does not."""
        self._span.set_attribute(self.written_as.verdict, verdict.value)
        if verdict in (Verdict.ERROR, Verdict.TIMEOUT):
            self.fail(verdict.value, error or verdict.value)

    def fail(self, error_type: str, message: str) -> None:
        """Mark the span as failed."""
        self._span.set_attribute(names.ERROR_TYPE, error_type)
        self._span.set_status(StatusCode.ERROR, message[:_ERROR_TEXT_LIMIT])

    def _finished_so_far(self) -> list[Span]:
        return self._provider.open_spans.finished(self.trace_id)

    def _end_what_is_open(self) -> None:
        open_spans = self._provider.open_spans
        for request in open_spans.open_requests(self.trace_id):
            request.abandon()
        for span in open_spans.open_below_root(self.trace_id):
            # A session's turns stay open until their verdicts are written on them.
            if isinstance(span, ClockSpan) and names.TURN_NUMBER not in (span.attributes or ()):
                span.abandon()

    def _closed(self) -> Ledger:
        self._end_what_is_open()
        # Read after the last child ended, so that none can end later than this.
        done_ns = max(self._clock.now_ns(), self.due_ns)
        if self.sent_ns is None:
            self._set_sent(done_ns)  # it never left the queue
        sent_ns = self.sent_ns or done_ns
        self.done_ns = max(done_ns, sent_ns)
        self._finished = self.spans
        generations, tools, code = intervals(self._finished)
        return self._close(
            self.due_ns,
            sent_ns,
            self.done_ns,
            clip(generations, sent_ns, self.done_ns),
            clip(tools, sent_ns, self.done_ns),
            clip(code, sent_ns, self.done_ns),
        )

    def _set_sent(self, sent_ns: int) -> None:
        self.sent_ns = sent_ns
        self._span.set_attribute(self.written_as.sent, sent_ns)

    def _write(self, ledger: Ledger) -> None:
        self._span.set_attributes(
            {
                self.written_as.wall: ledger.wall_ns,
                self.written_as.client_queue: ledger.client_queue_ns,
                self.written_as.generation: ledger.generation_ns,
                self.written_as.tool: ledger.tool_ns,
                self.written_as.framework: ledger.framework_ns,
                self.written_as.tool_work: ledger.tool_work_ns,
            }
        )
        beside = (self.written_as.sandbox, ledger.sandbox_ns), (self.written_as.hidden, ledger.hidden_tool_ns)
        self._span.set_attributes({attribute: value for attribute, value in beside if value})


def clip(intervals: Sequence[Interval], start_ns: int, end_ns: int) -> list[Interval]:
    """The parts of `intervals` within [start_ns, end_ns]; what has no length there is left out."""
    clipped = ((max(start, start_ns), min(end, end_ns)) for start, end in intervals)
    return [(start, end) for start, end in clipped if start < end]
