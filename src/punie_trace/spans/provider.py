"""A tracer provider that hands out the run's clock to every span, those that libraries open included.

The OpenTelemetry SDK asks `time.time_ns()` wherever a caller passes no time, and pydantic-ai passes none; spans of two
clocks cannot make one ledger. So tracers and spans of this provider are the SDK's own objects with a subclass put over
them that fills in our time. Only public names of the SDK are used for it. No global provider is set.
"""

from __future__ import annotations

import os
import random
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from opentelemetry.context import Context
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, Tracer, get_current_span
from opentelemetry.util import types

import punie_trace
from punie_trace.errors import ConfigurationError
from punie_trace.spans import names
from punie_trace.spans.clock import Clock
from punie_trace.spans.open_spans import OpenSpans

# A generator of its own, seeded by the system: a call of the system for each id costs more than the span around it.
_random = random.Random(os.urandom(32))
os.register_at_fork(after_in_child=lambda: _random.seed(os.urandom(32)))
_SAMPLED = TraceFlags(TraceFlags.SAMPLED | TraceFlags.RANDOM_TRACE_ID)


class FreshIds(IdGenerator):
    """Ids of their own randomness: with the SDK's own, `random.seed(n)` anywhere would repeat the ids of a run.

    Within `using`, the ids are those of an identity that was told to others before its span is made.
    """

    def __init__(self) -> None:
        self._given: ContextVar[SpanContext | None] = ContextVar("given", default=None)

    @contextmanager
    def using(self, identity: SpanContext) -> Generator[None]:
        """Have the span that is started in here get this identity."""
        token = self._given.set(identity)
        try:
            yield
        finally:
            self._given.reset(token)

    def generate_span_id(self) -> int:
        """64 random bits, never zero."""
        if (given := self._given.get()) is not None:
            return given.span_id
        return _random.getrandbits(64) or 1

    def generate_trace_id(self) -> int:
        """128 random bits, never zero."""
        if (given := self._given.get()) is not None:
            return given.trace_id
        return _random.getrandbits(128) or 1

    def is_trace_id_random(self) -> bool:
        """All bits are random, as W3C's trace-context level 2 wants to know."""
        return True


class ClockSpan(sdk.Span):
    """An SDK span whose end and events default to the run's clock."""

    clock: Clock
    abandoned: bool

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
    """An SDK tracer whose spans start, by default, now on the run's clock."""

    clock: Clock

    def identity(self, context: Context) -> SpanContext:
        """What a span within `context` will be called, for others to be told before it is made (`span_of`)."""
        ids = self.id_generator
        parent = get_current_span(context).get_span_context()
        trace_id = parent.trace_id if parent.is_valid else ids.generate_trace_id()
        return SpanContext(trace_id, ids.generate_span_id(), is_remote=False, trace_flags=_SAMPLED)

    def span_of(
        self,
        identity: SpanContext,
        name: str,
        context: Context,
        kind: SpanKind,
        attributes: types.Attributes,
        start_time: int,
    ) -> sdk.Span:
        """The span that `identity` was made for, in the same context; it may have begun long ago."""
        if not isinstance(self.id_generator, FreshIds):
            raise TypeError("spans can be named beforehand only where FreshIds names them")
        with self.id_generator.using(identity):
            return self.start_span(name, context, kind, attributes, start_time=start_time)

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
    ) -> sdk.Span:
        """As the SDK's, with the run's clock. Always a recording span: sampling is always on."""
        start = self.clock.now_ns() if start_time is None else start_time
        span = super().start_span(
            name, context, kind, attributes, links, start, record_exception, set_status_on_exception
        )
        if not isinstance(span, sdk.Span):
            raise TypeError(f"the SDK made a {type(span).__name__} where sampling is always on")
        span.__dict__.update(clock=self.clock, abandoned=False)
        # The SDK's tracer makes its own class of span and lets nobody choose another; the layout is the same.
        span.__class__ = ClockSpan
        return span


class ClockTracerProvider(sdk.TracerProvider):
    """The provider of one run: its clock, and which spans are open in it."""

    def __init__(self, clock: Clock, resource: Resource) -> None:
        # Everything that the environment could set otherwise is set here: a measurement must not depend on it.
        super().__init__(
            sampler=ALWAYS_ON,
            resource=resource,
            shutdown_on_exit=False,  # the owner does it, in bounded time
            id_generator=FreshIds(),
            span_limits=sdk.SpanLimits(
                max_span_attributes=256,
                max_events=1024,
                max_links=16,
                max_event_attributes=64,
                max_link_attributes=16,
                max_attribute_length=sdk.SpanLimits.UNSET,
                max_span_attribute_length=sdk.SpanLimits.UNSET,
            ),
        )
        self.clock = clock
        self.open_spans = OpenSpans()
        tracer = self.get_tracer(names.SERVICE)
        if not isinstance(tracer, ClockTracer):
            raise ConfigurationError(
                "OTEL_SDK_DISABLED=true is set in the environment, but the times are measured with OpenTelemetry's "
                "spans: unset it (to send nothing anywhere, use --otlp off)."
            )
        self.tracer = tracer
        """For this project's own spans: to ask for a tracer by name costs as much as to start a span."""
        self._receivers: list[sdk.SpanProcessor] = []
        self.add_span_processor(self.open_spans)

    def add_span_processor(self, span_processor: sdk.SpanProcessor) -> None:
        """As the SDK's; adopted spans go to it as well."""
        self._receivers.append(span_processor)
        super().add_span_processor(span_processor)

    def adopt(self, spans: Iterable[sdk.ReadableSpan]) -> None:
        """Hand spans that ended elsewhere to all processors, as if they had ended here."""
        for span in spans:
            for receiver in self._receivers:
                receiver.on_end(span)

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: types.Attributes = None,
    ) -> Tracer:
        """A tracer on the run's clock. The SDK keeps one for each scope and so does this."""
        tracer = super().get_tracer(instrumenting_module_name, instrumenting_library_version, schema_url, attributes)
        if isinstance(tracer, sdk.Tracer) and not isinstance(tracer, ClockTracer):
            tracer.__dict__["clock"] = self.clock
            tracer.__class__ = ClockTracer
        return tracer


def run_resource(run_id: str) -> Resource:
    """What all spans and metrics of one run say of where they come from.

    The run is the service's instance as well: a metrics store that is not told to keep `punie.run.id` still keeps runs
    apart by it.
    """
    return Resource.create(
        {
            names.SERVICE_NAME: names.SERVICE,
            names.SERVICE_VERSION: punie_trace.__version__,
            names.SERVICE_INSTANCE: run_id,
            names.RUN_ID: run_id,
        }
    )


def make_tracer_provider(
    clock: Clock, run_id: str, processors: Iterable[sdk.SpanProcessor] = ()
) -> ClockTracerProvider:
    """The provider of one run; `processors` (spool, exporters) get every span that ends.

    Raises ConfigurationError where the environment has switched OpenTelemetry off: without spans there is no ledger.
    """
    provider = ClockTracerProvider(clock, run_resource(run_id))
    for processor in processors:
        provider.add_span_processor(processor)
    return provider
