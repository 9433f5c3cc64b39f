"""The root span of one query, from due to done, with its ledger on it; and below it the turns of a session.

A session's turns lie one after another, each with a due of its own; what passes between two of them is no one's, so
that the ledger of the whole is the sum of its turns' ledgers, and its wall time that of their wall times.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import astuple

from opentelemetry import trace as api
from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanContext, use_span

from punie_trace.records import Arrival, Ledger, Path
from punie_trace.spans import names
from punie_trace.spans.clock import Clock
from punie_trace.spans.provider import ClockTracerProvider
from punie_trace.spans.span import AttributeValue, Span
from punie_trace.spans.timed_span import OF_TURN, LedgerCloser, TimedSpan


class TurnSpan(TimedSpan):
    """Handle of a turn that runs, or has ended. Its spans are those that began since it was due."""

    written_as = OF_TURN

    def end(self) -> None:
        """End the span itself, once its verdict is on it."""
        self.finish()
        self._span.end(self.done_ns)

    def _finished_so_far(self) -> list[Span]:
        return [one for one in super()._finished_so_far() if one.start_ns >= self.due_ns]


class QuerySpan(TimedSpan):
    """Handle of a query that runs. `turns` are those of a session that have begun."""

    def __init__(
        self, provider: ClockTracerProvider, clock: Clock, span: api.Span, due_ns: int, close: LedgerCloser
    ) -> None:
        super().__init__(provider, clock, span, due_ns, close)
        self.turns: list[TurnSpan] = []

    @contextmanager
    def turn(self, due_ns: int) -> Generator[TurnSpan]:
        """The session's next turn, due at `due_ns`: what happens inside belongs to it; leaving closes its time.

        It begins when the one before is done. Its span ends with the query's, so that its verdict can be written on it.
        """
        span = self._provider.tracer.start_span(
            f"{names.SPAN_TURN} {len(self.turns) + 1}",
            attributes={names.TURN_NUMBER: len(self.turns) + 1},
            start_time=due_ns,
        )
        handle = TurnSpan(self._provider, self._clock, span, due_ns, self._close)
        self.turns.append(handle)
        try:
            with use_span(span, record_exception=False, set_status_on_exception=False):
                yield handle
        finally:
            handle.finish()

    def asked_before(self, times: int) -> None:
        """What answers had been asked the same so often before: from 1 on it may answer from memory."""
        self._span.set_attribute(names.ASKED_BEFORE, times)

    def tools_unseen(self) -> None:
        """Its tools, if it has any, made no spans: they cannot be told from the rest of what is no generation."""
        self._span.set_attribute(names.TOOLS_UNSEEN, True)

    def _closed(self) -> Ledger:
        if not self.turns:
            return super()._closed()
        self._end_what_is_open()
        ledgers = [turn.finish() for turn in self.turns]
        self.done_ns = self.turns[-1].done_ns
        self._finished = self._finished_so_far()
        return Ledger(*map(sum, zip(*map(astuple, ledgers), strict=True)))


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
    if query.turns:
        attributes[names.TURNS] = len(query.turns)
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
            for turn in handle.turns:
                turn.end()
        finally:
            span.end(handle.done_ns)
