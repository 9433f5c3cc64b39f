"""Spans that a server wrote, taken into the run: on the run's clock, and to wherever the run's own spans go.

The server's clock and the run's are both anchored to the same monotonic clock of the machine, so a time of the one
becomes a time of the other by the difference of their anchors, exactly.
"""

from __future__ import annotations

from dataclasses import replace

import punie_trace
from punie_trace.spans import names
from punie_trace.spans.clock import Clock
from punie_trace.spans.codec import from_line
from punie_trace.spans.span import Span, SpanSource


def server_source(run_id: str) -> SpanSource:
    """What ingested spans say of where they come from: the server, within the run."""
    version = punie_trace.__version__
    return SpanSource(
        {
            names.SERVICE_NAME: names.SERVER_SERVICE,
            names.SERVICE_VERSION: version,
            names.SERVICE_INSTANCE: run_id,
            names.RUN_ID: run_id,
        },
        names.SERVER_SERVICE,
        version,
    )


def ingested_spans(lines: str, server: Clock, run: Clock, source: SpanSource) -> list[Span]:
    """The spans in OTLP/JSON `lines`, whose times are on the clock `server`, as spans of `source` on the clock `run`.

    A line that is none is left out: a server's fault must not end a run.
    """
    shift = run.from_monotonic(server.anchor_monotonic_ns) - server.anchor_wall_ns
    spans: list[Span] = []
    for line in lines.split("\n"):  # not `splitlines`, which splits at line ends within a model's text too
        try:
            spans += [_shifted(span, shift, source) for span in from_line(line)]
        except ValueError:
            continue
    return spans


def _shifted(span: Span, shift_ns: int, source: SpanSource) -> Span:
    return replace(
        span,
        start_ns=span.start_ns + shift_ns,
        end_ns=span.end_ns + shift_ns,
        events=tuple(replace(event, time_ns=event.time_ns + shift_ns) for event in span.events),
        source=source,
    )
