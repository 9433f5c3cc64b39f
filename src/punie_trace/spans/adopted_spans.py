"""Spans that a server wrote, taken up into the run: on the run's clock, and to wherever the run's own spans go.

The server's clock and the run's are both anchored to the same monotonic clock of the machine, so a time of the one
becomes a time of the other by the difference of their anchors, exactly.
"""

from __future__ import annotations

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

import punie_trace
from punie_trace.spans import names
from punie_trace.spans.clock import Clock
from punie_trace.spans.otlp_json import span_rows
from punie_trace.spans.span import Span

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


def server_resource(run_id: str) -> Resource:
    """What adopted spans say of where they come from: the server, within the run."""
    return Resource.create(
        {
            names.SERVICE_NAME: names.SERVER_SERVICE,
            names.SERVICE_VERSION: punie_trace.__version__,
            names.SERVICE_INSTANCE: run_id,
            names.RUN_ID: run_id,
        }
    )


def adopted_spans(lines: str, server: Clock, run: Clock, resource: Resource) -> list[ReadableSpan]:
    """The spans in OTLP/JSON `lines`, whose times are on the clock `server`, as spans on the clock `run`.

    A line that is none is left out: a server's fault must not end a run.
    """
    shift = run.from_monotonic(server.anchor_monotonic_ns) - server.anchor_wall_ns
    spans: list[ReadableSpan] = []
    for line in lines.splitlines():
        try:
            spans += [_span(row, shift, resource) for row in span_rows(line)]
        except (ValueError, KeyError):
            continue
    return spans


def _span(row: Span, shift: int, resource: Resource) -> ReadableSpan:
    trace_id = int(row.trace_id, 16)
    return ReadableSpan(
        name=row.name,
        context=SpanContext(trace_id, int(row.span_id, 16), is_remote=True, trace_flags=_SAMPLED),
        parent=None
        if row.parent_id is None
        else SpanContext(trace_id, int(row.parent_id, 16), is_remote=True, trace_flags=_SAMPLED),
        resource=resource,
        attributes=row.attributes,
        events=[Event(event.name, event.attributes, event.time_ns + shift) for event in row.events],
        kind=SpanKind[row.kind] if row.kind in SpanKind.__members__ else SpanKind.INTERNAL,
        instrumentation_scope=InstrumentationScope(names.SERVER_SERVICE, punie_trace.__version__),
        status=Status(StatusCode.ERROR, row.error) if row.error is not None else Status(StatusCode.UNSET),
        start_time=row.start_ns + shift,
        end_time=row.end_ns + shift,
    )
