from __future__ import annotations

import random
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk import trace as sdk
from opentelemetry.trace import StatusCode

from punie_trace.errors import ConfigurationError
from punie_trace.spans import names
from punie_trace.spans.clock import Clock
from punie_trace.spans.provider import ClockSpan, ClockTracer, FreshIds, make_tracer_provider

if TYPE_CHECKING:
    from tests.spans.conftest import Traced

HALF_AN_HOUR_NS = 1_800_000_000_000


def on_our_clock(time_ns: int | None) -> bool:
    """The fixture's clock runs an hour ahead: a time of the wall clock is far from it."""
    return time_ns is not None and time_ns > time.time_ns() + HALF_AN_HOUR_NS


def test_all_times_that_nobody_gave_are_of_our_clock(traced: Traced) -> None:
    tracer = traced.provider.get_tracer("somebody else's library")
    with tracer.start_as_current_span("outer"):
        with suppress(ZeroDivisionError), tracer.start_as_current_span("inner") as inner:
            inner.add_event("something")
            _ = 1 / 0
        tracer.start_span("plain").end()
    assert len(traced.kept.spans) == 3
    for span in traced.kept.spans:
        assert on_our_clock(span.start_time)
        assert on_our_clock(span.end_time)
    inner_span = traced.kept.one("inner")
    assert [event.name for event in inner_span.events] == ["something", "exception"]
    assert all(on_our_clock(event.timestamp) for event in inner_span.events)


def test_given_times_are_kept_to_the_nanosecond(traced: Traced) -> None:
    span = traced.provider.get_tracer("t").start_span("s", start_time=5)
    span.add_event("e", timestamp=0)
    span.end(7)
    (kept,) = traced.kept.spans
    assert (kept.start_time, kept.events[0].timestamp, kept.end_time) == (5, 0, 7)


def test_a_child_lies_within_its_parent(traced: Traced) -> None:
    tracer = traced.provider.get_tracer("t")
    with tracer.start_as_current_span("outer"), tracer.start_as_current_span("inner"):
        pass
    inner, outer = traced.kept.spans
    assert inner.parent is not None
    assert outer.context is not None
    assert inner.parent.span_id == outer.context.span_id
    assert (outer.start_time or 0) <= (inner.start_time or 0) <= (inner.end_time or 0) <= (outer.end_time or 0)


def test_spans_and_tracers_are_the_sdks_own_kind(traced: Traced) -> None:
    tracer = traced.provider.get_tracer("t", "1", attributes={"a": 1})
    assert isinstance(tracer, ClockTracer)
    assert isinstance(tracer, sdk.Tracer)
    assert traced.provider.get_tracer("t", "1", attributes={"a": 1}) is tracer
    assert traced.provider.get_tracer("t", "1", attributes={"a": 2}) is not tracer
    span = tracer.start_span("s")
    assert isinstance(span, sdk.Span)
    span.end()
    kept = traced.kept.one("s")
    assert kept.instrumentation_scope is not None
    assert (kept.instrumentation_scope.name, kept.instrumentation_scope.version) == ("t", "1")


def test_a_span_has_its_class_from_the_beginning(traced: Traced) -> None:
    class Seen(sdk.SpanProcessor):
        def __init__(self) -> None:
            self.classes: list[type] = []

        def on_start(self, span: sdk.Span, parent_context: Context | None = None) -> None:
            self.classes.append(type(span))

    seen = Seen()
    traced.provider.add_span_processor(seen)
    span = traced.provider.get_tracer("t").start_span("s")
    assert seen.classes == [type(span)] == [ClockSpan]
    span.end()


async def _asked(tracer: trace.Tracer) -> trace.Span:
    @tracer.start_as_current_span("decorated")
    async def inner() -> trace.Span:
        await anyio.lowlevel.checkpoint()
        return trace.get_current_span()

    return await inner()


def test_a_tracer_decorates_async_functions_as_the_sdks_does(traced: Traced) -> None:
    span = anyio.run(_asked, traced.provider.get_tracer("t"))
    assert isinstance(span, ClockSpan)
    assert traced.kept.one("decorated").context == span.get_span_context()


def test_a_child_takes_trace_and_flags_of_its_parent(traced: Traced) -> None:
    state = trace.TraceState([("vendor", "1")])
    parent = trace.SpanContext(5, 6, is_remote=True, trace_flags=trace.TraceFlags(1), trace_state=state)
    context = trace.set_span_in_context(trace.NonRecordingSpan(parent))
    span = traced.provider.get_tracer("t").start_span("s", context=context)
    child = span.get_span_context()
    assert (child.trace_id, child.trace_flags, child.trace_state) == (5, 1, state)
    assert isinstance(span, ClockSpan)
    assert span.parent == parent
    span.end()
    root = traced.provider.get_tracer("t").start_span("root", context=Context()).get_span_context()
    assert root.trace_flags.random_trace_id
    assert root.trace_flags.sampled


def test_the_resource_names_the_run(traced: Traced) -> None:
    attributes = traced.provider.resource.attributes
    assert attributes[names.SERVICE_NAME] == "punie-trace"
    assert attributes[names.RUN_ID] == "test-run"
    assert attributes[names.SERVICE_VERSION]


def test_the_environment_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "other")
    monkeypatch.setenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "3")
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "3")
    provider = make_tracer_provider(Clock.start(), "run")
    span = provider.get_tracer("t").start_span("s", attributes={"key": "a long value"})
    assert isinstance(span, sdk.Span)
    assert span.attributes is not None
    assert span.attributes["key"] == "a long value"
    assert provider.resource.attributes[names.SERVICE_NAME] == "punie-trace"
    span.end()


def test_an_environment_without_spans_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    with pytest.raises(ConfigurationError, match="unset it"):
        make_tracer_provider(Clock.start(), "run")


def test_no_global_provider_is_set(traced: Traced) -> None:
    assert trace.get_tracer_provider() is not traced.provider


def test_ids_do_not_repeat_with_the_seed() -> None:
    ids = []
    for _ in range(2):
        random.seed(1)
        ids.append((FreshIds().generate_trace_id(), FreshIds().generate_span_id()))
    assert ids[0][0] != ids[1][0]
    assert ids[0][1] != ids[1][1]


def test_an_abandoned_span_ends_once_as_an_error(traced: Traced, caplog: pytest.LogCaptureFixture) -> None:
    span = traced.provider.get_tracer("t").start_span("s")
    assert isinstance(span, ClockSpan)
    span.abandon()
    span.abandon()
    span.set_attribute("late", 1)
    span.set_status(StatusCode.OK)
    span.add_event("late")
    span.end()
    (kept,) = traced.kept.spans
    assert kept.attributes == {names.ERROR_TYPE: "abandoned"}
    assert kept.status.status_code is StatusCode.ERROR
    assert not kept.events
    assert not caplog.records


def test_many_threads_can_trace_at_once(traced: Traced) -> None:
    def work(number: int) -> None:
        tracer = traced.provider.get_tracer(f"library {number % 3}")
        for _ in range(50):
            with tracer.start_as_current_span("outer"), tracer.start_as_current_span("inner"):
                pass

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(traced.kept.spans) == 800
    assert all(on_our_clock(span.start_time) and on_our_clock(span.end_time) for span in traced.kept.spans)
    assert traced.provider.open_spans.followed() == 0
