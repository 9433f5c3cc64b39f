"""Where spans and metrics of a run go, opened and closed as one: the file always, others where they answer."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from time import monotonic

from opentelemetry.trace import SpanContext

from punie_trace.analysis.ledger import close_ledger
from punie_trace.engine.energy_gauges import energy_gauges_of
from punie_trace.errors import RunFolderError
from punie_trace.records import Arrival, SentTo
from punie_trace.records import Path as AskPath
from punie_trace.runs.header import RunHeader
from punie_trace.runs.secrets import Secrets
from punie_trace.spans import names
from punie_trace.spans.clock import Clock
from punie_trace.spans.logfire_sender import logfire_senders
from punie_trace.spans.metric_endpoint import connect_metrics
from punie_trace.spans.otlp_sender import END_S, connect
from punie_trace.spans.provider import make_tracer_provider
from punie_trace.spans.query_span import QuerySpan, open_query
from punie_trace.spans.span_file import SpanFile


class Tracing:
    """The tracer provider of one run and everything behind it. Raises `ConfigurationError` for a bad `otlp`.

    `otlp` is 'auto', 'off' or a URL, for spans, and so is `otlp_metrics`, for metrics. No span holds any of `secrets`.
    Those of a `generator` go to the file alone: they are sent from the merged run, when their place in time is known.
    """

    def __init__(
        self,
        otlp: str,
        clock: Clock,
        run_id: str,
        spans_path: Path,
        otlp_metrics: str = "auto",
        secrets: Secrets | None = None,
        *,
        generator: str | None = None,
    ) -> None:
        alone = generator is None
        sender = connect(otlp) if alone else None
        self._metrics = connect_metrics(otlp_metrics, run_id, otlp) if alone else None
        self._senders = [*([sender] if sender is not None else []), *(logfire_senders() if alone else ())]
        self.clock = clock
        self._run_span: SpanContext | None = None
        self.file = SpanFile(spans_path)
        metrics = [self._metrics] if self._metrics is not None else []
        sinks = [self.file, *self._senders, *metrics]
        self.provider = make_tracer_provider(clock, run_id, sinks, secrets, generator)
        self.notes = (
            *(f"spans also go to {one.endpoint}" for one in self._senders),
            *(f"metrics go to {one.endpoint}" for one in metrics),
        )

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
            self.clock,
            arrival=arrival,
            path=path,
            run_span_context=self._run_span,
            close=close_ledger,
            warm_up=warm_up,
        )

    def check(self) -> None:
        """Raises `RunFolderError` where spans could not be written to the run folder."""
        self.file.check()

    @property
    def sent_to(self) -> SentTo:
        """The endpoints that took something until now."""
        metrics = self._metrics
        return SentTo(
            spans_at=tuple(sender.endpoint for sender in self._senders if sender.counts().exported),
            metrics_at=metrics.endpoint if metrics is not None and metrics.counts().sent else None,
        )

    def close(self, header: RunHeader) -> list[str]:
        """Sends what is queued, in bounded time, and says where spans and metrics went. The run's `header` is final."""
        if self._metrics is not None:
            # It sends while the others do.
            self._metrics.finish(header, energy_gauges_of(self.file.path.parent))
        deadline = monotonic() + END_S  # for all of them: they send at the same time
        for sender in [*self._senders, *([self._metrics] if self._metrics is not None else [])]:
            sender.close(max(0.0, deadline - monotonic()))
        self.file.close()
        lines = [f"{self.file.written} spans in {self.file.path}"]
        for sender in self._senders:
            counts = sender.counts()
            lost = counts.dropped + counts.failed
            why = f": {counts.reason}" if counts.reason else ""
            refused = f", {lost} not accepted (they are in the file){why}" if lost else ""
            lines.append(f"{counts.exported} spans sent to {sender.endpoint}{refused}")
        if self._metrics is not None:
            whole = self._metrics.counts().complete
            lines.append(
                f"metrics {'sent to' if whole else 'not all accepted by'} {self._metrics.endpoint}"
                + ("" if whole else f": 'punie-trace export {self.file.path.parent}' sends them again")
            )
        try:
            self.file.check()
        except RunFolderError as error:
            lines.append(str(error))
        return lines
