"""What every receiver of finished spans is: the file, an OpenTelemetry collector, Logfire, the metrics, a buffer.

A sink is called in the thread that ends a span, within the program that is being measured. So it never raises and never
waits; what it cannot do it counts, and its owner asks afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence

from punie_trace.spans.span import Span


class SpanSink:
    """Takes finished spans, from several threads at once. This one leaves them."""

    def write(self, span: Span) -> None:
        """One span has ended here, or was ingested."""

    def trace_ended(self, root: Span, others: Sequence[Span]) -> None:
        """A trace that began here is over: its root, and the others of it in the order of their ends."""
