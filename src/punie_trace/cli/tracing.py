"""Where a run's spans go, opened and closed as one: the file always, a collector and Logfire where there is one."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from opentelemetry.trace import SpanContext

from punie_trace.analysis.ledger import close_ledger
from punie_trace.errors import RunFolderError
from punie_trace.records import Arrival
from punie_trace.records import Path as AskPath
from punie_trace.telemetry import export, names
from punie_trace.telemetry.clock import Clock
from punie_trace.telemetry.logfire_export import logfire_senders
from punie_trace.telemetry.provider import make_tracer_provider
from punie_trace.telemetry.query_span import QuerySpan, open_query
from punie_trace.telemetry.spool import SpanSpool


class Tracing:
    """The tracer provider of one run and everything behind it. Raises `ConfigurationError` for a bad `otlp`.

    `otlp` is 'auto', 'off' or a URL.
    """

    def __init__(self, otlp: str, clock: Clock, run_id: str, spans_path: Path) -> None:
        sender = export.connect(otlp)
        self._senders = [*([sender] if sender is not None else []), *logfire_senders()]
        self._clock = clock
        self._run_span: SpanContext | None = None
        self.spool = SpanSpool(spans_path)
        self.provider = make_tracer_provider(clock, run_id, [self.spool, *self._senders])
        self.notes = tuple(f"spans also go to {one.endpoint}" for one in self._senders)

    @contextmanager
    def run_span(self) -> Generator[None]:
        """The span of the whole run, which every query's trace links to."""
        span = self.provider.get_tracer(names.SERVICE).start_span(names.SPAN_RUN)
        self._run_span = span.get_span_context()
        try:
            yield
        finally:
            span.end()

    def open_query(self, arrival: Arrival, path: AskPath, warm_up: bool) -> AbstractContextManager[QuerySpan]:
        """The span of one query, whose ledger is closed by the analysis' own rule."""
        return open_query(
            self.provider,
            self._clock,
            arrival=arrival,
            path=path,
            run_span_context=self._run_span,
            close=close_ledger,
            warm_up=warm_up,
        )

    def check(self) -> None:
        """Raises `RunFolderError` where spans could not be written to the run folder."""
        self.spool.check()

    def close(self) -> list[str]:
        """Sends what is queued, in bounded time, and says where the spans went."""
        for sender in self._senders:
            sender.shutdown()
        self.spool.shutdown()
        lines = [f"{self.spool.written} spans in {self.spool.path}"]
        for sender in self._senders:
            counts = sender.counts()
            lost = counts.dropped + counts.failed
            refused = f", {lost} not accepted (they are in the file)" if lost else ""
            lines.append(f"{counts.exported} spans sent to {sender.endpoint}{refused}")
        try:
            self.spool.check()
        except RunFolderError as error:
            lines.append(str(error))
        return lines
