"""A tracer provider that hands out the run's clock to every span, those that libraries open included.

The OpenTelemetry SDK asks `time.time_ns()` wherever a caller passes no time, and pydantic-ai passes none; spans of two
clocks cannot make one ledger. So this provider's tracers make spans of a class of their own, a subclass of the SDK's
that fills in our time. Only public names of the SDK are used for it. No global provider is set.
"""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterable, Sequence
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, Tracer, get_current_span
from opentelemetry.util import types

import punie_trace
from punie_trace.errors import ConfigurationError
from punie_trace.runs.secrets import Secrets
from punie_trace.spans import names
from punie_trace.spans.clock import Clock
from punie_trace.spans.codec import from_sdk
from punie_trace.spans.open_spans import OpenSpans
from punie_trace.spans.sink import SpanSink
from punie_trace.spans.span import Span

# A generator of its own, seeded by the system: a call of the system for each id costs more than the span around it.
_random = random.Random(os.urandom(32))
os.register_at_fork(after_in_child=lambda: _random.seed(os.urandom(32)))
_SAMPLED = TraceFlags(TraceFlags.SAMPLED | TraceFlags.RANDOM_TRACE_ID)


class FreshIds(IdGenerator):
    """Ids of their own randomness: with the SDK's own, `random.seed(n)` anywhere would repeat the ids of a run."""

    def generate_span_id(self) -> int:
        """64 random bits, never zero."""
        return _random.getrandbits(64) or 1

    def generate_trace_id(self) -> int:
        """128 random bits, never zero."""
        return _random.getrandbits(128) or 1

    def is_trace_id_random(self) -> bool:
        """All bits are random, as W3C's trace-context level 2 wants to know."""
        return True


class ClockSpan(sdk.Span):
    """An SDK span whose end and events default to the run's clock."""

    def __init__(self, clock: Clock, name: str, context: SpanContext, **of_sdk: Any) -> None:
        super().__init__(name, context, **of_sdk)
        self.clock = clock
        self.abandoned = False

    def end(self, end_time: int | None = None) -> None:
        """End now on the run's clock, or at `end_time` ns. The owner of an abandoned span may end it again, in vain."""
        if not self.abandoned:
            super().end(self.clock.now_ns() if end_time is None else end_time)

    def add_event(self, name: str, attributes: types.Attributes = None, timestamp: int | None = None) -> None:
        """An event now on the run's clock, or at `timestamp` ns; recorded exceptions come this way too."""
        if not self.abandoned:
            super().add_event(name, attributes, self.clock.now_ns() if timestamp is None else timestamp)

    def set_attribute(self, key: str, value: types.AnyValue) -> None:
        """Set one attribute; nothing where the span was abandoned."""
        if not self.abandoned:
            super().set_attribute(key, value)

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Set the status; nothing where the span was abandoned."""
        if not self.abandoned:
            super().set_status(status, description)

    def abandon(self) -> None:
        """End a span that its owner left open, as an error. What the owner does to it later is ignored, in silence."""
        if self.abandoned or not self.is_recording():
            return
        self.set_attribute(names.ERROR_TYPE, names.ERROR_ABANDONED)
        self.set_status(StatusCode.ERROR, "still open when its query was over")
        self.end()
        self.abandoned = True


class ClockTracer(sdk.Tracer):
    """An SDK tracer whose spans are `ClockSpan`s and start, by default, now on the run's clock.

    Every span is recorded: no sampler is asked.
    """

    def __init__(self, clock: Clock, scope: InstrumentationScope, alike: sdk.Tracer, limits: sdk.SpanLimits) -> None:
        super().__init__(
            alike.sampler,
            alike.resource,
            alike.span_processor,
            alike.id_generator,
            alike.instrumentation_info,
            limits,
            scope,
        )
        self.clock = clock
        self._scope = scope
        self._limits = limits

    def identity(self, context: Context | None = None) -> SpanContext:
        """What a span within `context` will be called, so that others can be given it before the span is made."""
        parent = get_current_span(context).get_span_context()
        span_id = self.id_generator.generate_span_id()
        if not parent.is_valid:
            return SpanContext(self.id_generator.generate_trace_id(), span_id, is_remote=False, trace_flags=_SAMPLED)
        flags = TraceFlags(TraceFlags.SAMPLED | (parent.trace_flags & TraceFlags.RANDOM_TRACE_ID))
        return SpanContext(parent.trace_id, span_id, is_remote=False, trace_flags=flags, trace_state=parent.trace_state)

    def span_of(
        self,
        identity: SpanContext,
        name: str,
        context: Context | None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: types.Attributes = None,
        start_time: int | None = None,
        links: Sequence[Link] | None = (),
        *,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> ClockSpan:
        """The span that `identity` was made for, in the same context; it may have begun long ago."""
        parent = get_current_span(context).get_span_context()
        span = ClockSpan(
            self.clock,
            name,
            identity,
            parent=parent if parent.is_valid else None,
            sampler=self.sampler,
            resource=self.resource,
            attributes=attributes,
            links=links or (),
            kind=kind,
            span_processor=self.span_processor,
            record_exception=record_exception,
            set_status_on_exception=set_status_on_exception,
            limits=self._limits,
            instrumentation_scope=self._scope,
        )
        span.start(self.clock.now_ns() if start_time is None else start_time, context)
        return span

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: types.Attributes = None,
        links: Sequence[Link] | None = (),
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> ClockSpan:
        """As the SDK's, with the run's clock."""
        return self.span_of(
            self.identity(context),
            name,
            context,
            kind,
            attributes,
            start_time,
            links,
            record_exception=record_exception,
            set_status_on_exception=set_status_on_exception,
        )


_LIMITS = sdk.SpanLimits(
    max_span_attributes=256,
    max_events=1024,
    max_links=16,
    max_event_attributes=64,
    max_link_attributes=16,
    max_attribute_length=sdk.SpanLimits.UNSET,
    max_span_attribute_length=sdk.SpanLimits.UNSET,
)


class _Delivery(sdk.SpanProcessor):
    """Makes a `Span` of each SDK span that ends, once, and gives it to whoever wants spans."""

    def __init__(self, open_spans: OpenSpans, secrets: Secrets) -> None:
        self.sinks: list[SpanSink] = []
        self._open_spans = open_spans
        self._secrets = secrets

    def on_start(self, span: sdk.Span, parent_context: Context | None = None) -> None:  # noqa: ARG002
        self._open_spans.started(span)

    def on_end(self, span: sdk.ReadableSpan) -> None:
        self.deliver(from_sdk(span))

    def deliver(self, span: Span) -> None:
        span = self._secrets.hide_in_span(span)
        others = self._open_spans.ended(span)
        for sink in self.sinks:
            sink.write(span)
            if others is not None:
                sink.trace_ended(span, others)


class ClockTracerProvider(sdk.TracerProvider):
    """The provider of one run: its clock, and which spans are open in it."""

    def __init__(self, clock: Clock, resource: Resource, secrets: Secrets | None = None) -> None:
        # Everything that the environment could set otherwise is set here: a measurement must not depend on it.
        super().__init__(
            sampler=ALWAYS_ON,
            resource=resource,
            shutdown_on_exit=False,  # the owner does it, in bounded time
            id_generator=FreshIds(),
            span_limits=_LIMITS,
        )
        self._clock_tracers: dict[InstrumentationScope, ClockTracer] = {}
        self.clock = clock
        self.open_spans = OpenSpans()
        self._delivery = _Delivery(self.open_spans, secrets or Secrets())
        tracer = self.get_tracer(names.SERVICE)
        if not isinstance(tracer, ClockTracer):
            raise ConfigurationError(
                "OTEL_SDK_DISABLED=true is set in the environment, but the times are measured with OpenTelemetry's "
                "spans: unset it (to send nothing anywhere, use --otlp off)."
            )
        self.tracer = tracer
        """For this project's own spans: to ask for a tracer by name costs as much as to start a span."""
        self.add_span_processor(self._delivery)

    def add_sink(self, sink: SpanSink) -> None:
        """Have every span that ends from now on written to `sink`."""
        self._delivery.sinks.append(sink)

    def ingest(self, spans: Iterable[Span]) -> None:
        """Give spans that ended elsewhere to all sinks, as if they had ended here."""
        for span in spans:
            self._delivery.deliver(span)

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: types.Attributes = None,
    ) -> Tracer:
        """A tracer on the run's clock, the same one for the same scope."""
        scope = InstrumentationScope(
            instrumenting_module_name or "", instrumenting_library_version or "", schema_url, attributes
        )
        known = self._clock_tracers.get(scope)
        if known is not None:
            return known
        alike = super().get_tracer(instrumenting_module_name, instrumenting_library_version, schema_url, attributes)
        if not isinstance(alike, sdk.Tracer):
            return alike  # the SDK is switched off
        return self._clock_tracers.setdefault(scope, ClockTracer(self.clock, scope, alike, _LIMITS))


def run_resource(run_id: str, generator: str | None = None) -> Resource:
    """What all spans and metrics of one run say of where they come from; `generator` is the part that they are in.

    The run is the service's instance as well: a metrics store that is not told to keep `punie.run.id` still keeps runs
    apart by it.
    """
    return Resource.create(
        {
            names.SERVICE_NAME: names.SERVICE,
            names.SERVICE_VERSION: punie_trace.__version__,
            names.SERVICE_INSTANCE: run_id,
            names.RUN_ID: run_id,
            **({names.GENERATOR: generator, names.HOST_NAME: socket.gethostname()} if generator is not None else {}),
        }
    )


def make_tracer_provider(
    clock: Clock,
    run_id: str,
    sinks: Iterable[SpanSink] = (),
    secrets: Secrets | None = None,
    generator: str | None = None,
) -> ClockTracerProvider:
    """The provider of one run; `sinks` (the file, senders) get every span that ends, without any of `secrets`.

    Raises ConfigurationError where the environment has switched OpenTelemetry off: without spans there is no ledger.
    """
    provider = ClockTracerProvider(clock, run_resource(run_id, generator), secrets)
    for sink in sinks:
        provider.add_sink(sink)
    return provider
