"""The root span of one query, from due to done, with its ledger on it.

The function that closes a ledger is given (this package may not know how times are split). Everything below the root is
ended before the root is, so that no child outlives its query and the ledger can be made again from the spans alone.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

from opentelemetry import trace as api
from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanContext, StatusCode, format_trace_id, use_span

from punie_trace.records import Arrival, Generation, Ledger, Path, ToolCall, Verdict
from punie_trace.spans import names
from punie_trace.spans.activity import Defaults, calls_of, generations_of
from punie_trace.spans.clock import Clock
from punie_trace.spans.open_spans import Interval, intervals
from punie_trace.spans.provider import ClockSpan, ClockTracerProvider
from punie_trace.spans.span import AttributeValue, Span

LedgerCloser: TypeAlias = Callable[[int, int, int, Sequence[Interval], Sequence[Interval], Sequence[Interval]], Ledger]
"""(due_ns, sent_ns, done_ns, generations, tools, runs of code) -> Ledger; intervals lie within sent and done."""

_ERROR_TEXT_LIMIT = 500


class QuerySpan:
    """Handle of a query that runs. Times in ns on the run's clock."""

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
        """What finished below the root, in the order of the ends; once the ledger is closed, what it was made of."""
        return self._provider.open_spans.finished(self.trace_id) if self._finished is None else self._finished

    def mark_sent(self) -> None:
        """The query goes to the agent now: what came before was the client's queue. The first call counts."""
        if self.sent_ns is None:
            self.sent_ns = max(self._clock.now_ns(), self.due_ns)
            self._span.set_attribute(names.SENT_NS, self.sent_ns)

    def finish(self) -> Ledger:
        """The answer is here: end what is still open below, fix `done_ns`, close the ledger. The first call counts.

        Leaving the context does it as well; calling it before keeps the time of judging out of the query's time.
        Raises what the ledger closer raises.
        """
        if self.ledger is not None:
            return self.ledger
        for request in self._provider.open_spans.open_requests(self.trace_id):
            request.abandon()
        for span in self._provider.open_spans.open_below_root(self.trace_id):
            if isinstance(span, ClockSpan):
                span.abandon()
        # Read after the last child ended, so that none can end later than the query.
        done_ns = max(self._clock.now_ns(), self.due_ns)
        if self.sent_ns is None:
            self.sent_ns = done_ns  # it never left the queue
            self._span.set_attribute(names.SENT_NS, done_ns)
        self.done_ns = max(done_ns, self.sent_ns)
        self._finished = self.spans
        generations, tools, code = intervals(self._finished)
        ledger = self._close(
            self.due_ns,
            self.sent_ns,
            self.done_ns,
            clip(generations, self.sent_ns, self.done_ns),
            clip(tools, self.sent_ns, self.done_ns),
            clip(code, self.sent_ns, self.done_ns),
        )
        self.ledger = ledger
        self._span.set_attributes(
            {
                names.LEDGER_WALL: ledger.wall_ns,
                names.LEDGER_CLIENT_QUEUE: ledger.client_queue_ns,
                names.LEDGER_GENERATION: ledger.generation_ns,
                names.LEDGER_TOOL: ledger.tool_ns,
                names.LEDGER_FRAMEWORK: ledger.framework_ns,
                names.TOOL_WORK: ledger.tool_work_ns,
            }
        )
        for attribute, value in ((names.SANDBOX, ledger.sandbox_ns), (names.TOOL_HIDDEN, ledger.hidden_tool_ns)):
            if value:
                self._span.set_attribute(attribute, value)
        return ledger

    def tools_unseen(self) -> None:
        """Its tools, if it has any, made no spans: they cannot be told from the rest of what is no generation."""
        self._span.set_attribute(names.TOOLS_UNSEEN, True)

    def set_verdict(self, verdict: Verdict, error: str | None = None) -> None:
        """What became of the query. An error or a timeout marks the span as failed; a wrong answer does not."""
        self._span.set_attribute(names.VERDICT, verdict.value)
        if verdict in (Verdict.ERROR, Verdict.TIMEOUT):
            self.fail(verdict.value, error or verdict.value)

    def fail(self, error_type: str, message: str) -> None:
        """Mark the span as failed."""
        self._span.set_attribute(names.ERROR_TYPE, error_type)
        self._span.set_status(StatusCode.ERROR, message[:_ERROR_TEXT_LIMIT])


def clip(intervals: Sequence[Interval], start_ns: int, end_ns: int) -> list[Interval]:
    """The parts of `intervals` within [start_ns, end_ns]; what has no length there is left out."""
    clipped = ((max(start, start_ns), min(end, end_ns)) for start, end in intervals)
    return [(start, end) for start, end in clipped if start < end]


@contextmanager
def open_query(
    provider: ClockTracerProvider,
    clock: Clock,
    *,
    arrival: Arrival,
    path: Path,
    run_span_context: SpanContext | None,
    close: LedgerCloser,
    warm_up: bool = False,
) -> Generator[QuerySpan]:
    """Run one query within its own trace: a root span from `arrival.due_ns` to done, linked to the run's span.

    Enter and leave it in the same task; tasks and threads started inside belong to the query. An exception that passes
    through marks the span as failed and goes on. The root ends, and all below it, whatever happens.
    """
    query = arrival.query
    attributes: dict[str, AttributeValue] = {
        names.CONFIGURATION: arrival.configuration,
        names.QUERY_NAME: query.name,
        names.QUERY_SEQ: arrival.seq,
        names.ROUND: arrival.round,
        names.PATH: path,
    }
    if query.category is not None:
        attributes[names.QUERY_CATEGORY] = query.category
    if warm_up:
        attributes[names.WARM_UP] = True
    span = provider.tracer.start_span(
        f"{names.SPAN_QUERY} {query.name}",
        context=Context(),  # a trace of its own, whatever is open around it
        attributes=attributes,
        links=[Link(run_span_context)] if run_span_context is not None else [],
        start_time=arrival.due_ns,
    )
    handle = QuerySpan(provider, clock, span, arrival.due_ns, close)
    try:
        with use_span(span, record_exception=False, set_status_on_exception=False):
            yield handle
    except BaseException as error:
        handle.fail(type(error).__qualname__, f"{type(error).__qualname__}: {error}")
        raise
    finally:
        try:
            handle.finish()
        finally:
            span.end(handle.done_ns)
