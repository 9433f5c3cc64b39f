"""A call as spans: one SERVER span under the caller's, with queue, tokenize, prefill, decode and speculation below it.

They are made once the answer is out, from the stamps of the call, so that no span costs a token time. Rounds of draft
and verify are events of the speculation span: a span for each would cost more than the round's bookkeeping.
"""

from __future__ import annotations

from collections.abc import Iterator

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, set_span_in_context

import punie_trace
from punie_trace.serving.call import Call
from punie_trace.spans import names
from punie_trace.spans.clock import Clock
from punie_trace.spans.span import AttributeValue
from punie_trace.speculative.rounds import GenerationRecord, RoundRecord

MOST_ROUNDS = 1000
"""Rounds of one generation that are written as events; the sums count all."""


def server_resource(instance: str) -> Resource:
    """What the server's spans say of where they come from."""
    return Resource.create(
        {
            names.SERVICE_NAME: names.SERVER_SERVICE,
            names.SERVICE_VERSION: punie_trace.__version__,
            names.SERVICE_INSTANCE: instance,
        }
    )


def write_spans(call: Call, tracer: Tracer, clock: Clock) -> None:
    """End the spans of a call that is over, on `clock`."""
    done_ns = call.done_ns if call.done_ns is not None else call.arrived_ns
    server = tracer.start_span(
        f"{names.SPAN_SERVER} {call.operation}",
        context=call.parent,
        kind=SpanKind.SERVER,
        attributes=_attributes(call),
        start_time=clock.from_monotonic(call.arrived_ns),
    )
    if call.outcome != "done":
        server.set_attribute(names.ERROR_TYPE, str(call.status) if call.status >= 400 else names.ERROR_CANCELLED)
        server.set_status(StatusCode.ERROR, call.error)
    for name, start, end, attributes in _steps(call, done_ns):
        child = _start(tracer, server, name, clock.from_monotonic(start), attributes)
        if name == names.SPAN_SPECULATION and call.record is not None:
            _write_rounds(child, call.record, clock.from_monotonic(start))
        child.end(clock.from_monotonic(end))
    server.end(clock.from_monotonic(done_ns))


def _start(tracer: Tracer, parent: Span, name: str, start_ns: int, attributes: dict[str, AttributeValue]) -> Span:
    context = set_span_in_context(parent, Context())
    return tracer.start_span(name, context=context, attributes=attributes, start_time=start_ns)


def _attributes(call: Call) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue | None] = {
        names.GEN_AI_OPERATION: call.operation,
        names.GEN_AI_REQUEST_MODEL: call.model or None,
        names.HTTP_STATUS: call.status,
        names.GEN_AI_INPUT_TOKENS: call.prompt_tokens,
        names.GEN_AI_CACHED_TOKENS: call.cached_tokens,
        names.GEN_AI_OUTPUT_TOKENS: call.output_tokens or None,
        names.GEN_AI_FINISH_REASONS: (call.finish_reason,) if call.finish_reason else None,
        names.BATCHED: call.batched,
    }
    return {key: value for key, value in attributes.items() if value is not None}


def _steps(call: Call, done_ns: int) -> Iterator[tuple[str, int, int, dict[str, AttributeValue]]]:
    """The steps that were begun: (name, start, end, attributes); one that never ended, ends with the call."""
    if call.tokenizing_ns is not None:
        yield names.SPAN_TOKENIZE, call.tokenizing_ns, call.tokenized_ns or done_ns, _known(tokens=call.prompt_tokens)
    if call.queued_ns is not None:
        yield names.SPAN_QUEUE, call.queued_ns, call.taken_ns or done_ns, {}
    if call.prefill_ns is None or call.prompt_tokens is None:
        return
    cached = {names.GEN_AI_CACHED_TOKENS: call.cached_tokens} if call.cached_tokens is not None else {}
    yield (
        names.SPAN_PREFILL,
        call.prefill_ns,
        call.decoding_ns or done_ns,
        {
            **_known(tokens=call.prompt_tokens),
            **cached,
        },
    )
    decoding_ns = call.decoding_ns
    if decoding_ns is None or call.last_token_ns is None:
        return
    yield (
        names.SPAN_DECODE,
        decoding_ns,
        call.last_token_ns,
        {names.GEN_AI_OUTPUT_TOKENS: call.output_tokens},
    )
    if call.speculation.mode != "off" or call.record is not None:
        yield names.SPAN_SPECULATION, decoding_ns, call.last_token_ns, speculation_attributes(call)


def speculation_attributes(call: Call) -> dict[str, AttributeValue]:
    """What was asked for and what came of it, by the names of spans."""
    record = call.record
    rounds = record.rounds if record is not None else ()
    attributes: dict[str, AttributeValue | None] = {
        names.SPECULATION_MODE: call.speculation.mode,
        names.SPECULATION_DRAFTER: call.drafters or call.speculation.drafter,
        names.SPECULATION_DRAFTED: record.drafted if record is not None else 0,
        names.SPECULATION_ACCEPTED: record.accepted if record is not None else 0,
        names.SPECULATION_ROUNDS: len(call.drafting),
        names.SPECULATION_K: call.speculation.k,
        names.SPECULATION_MEAN_K: call.mean_k,
        names.SPECULATION_ACCEPTANCE: record.acceptance if record is not None else None,
        names.SPECULATION_LENGTH: record.mean_accepted_length if record is not None else None,
        names.SPECULATION_FALLBACK: call.fallback,
        names.SPECULATION_DRAFT_NS: sum(one.draft_ns for one in rounds),
        names.SPECULATION_VERIFY_NS: sum(one.verify_ns for one in rounds),
    }
    return {key: value for key, value in attributes.items() if value is not None}


def _write_rounds(span: Span, record: GenerationRecord, start_ns: int) -> None:
    """An event at the end of each round, as far as the rounds' own times add up from the start."""
    at = start_ns
    for number, one in enumerate(record.rounds):
        at += one.draft_ns + one.verify_ns + one.rest_ns
        if number < MOST_ROUNDS:
            span.add_event(names.EVENT_ROUND, _round(one), timestamp=at)


def _round(one: RoundRecord) -> dict[str, AttributeValue]:
    return {
        names.SPECULATION_DRAFTER: one.drafter,
        names.SPECULATION_K: one.k,
        names.SPECULATION_DRAFTED: one.drafted,
        names.SPECULATION_ACCEPTED: one.accepted,
        names.SPECULATION_DRAFT_NS: one.draft_ns,
        names.SPECULATION_VERIFY_NS: one.verify_ns,
    }


def _known(*, tokens: int | None) -> dict[str, AttributeValue]:
    return {names.GEN_AI_INPUT_TOKENS: tokens} if tokens is not None else {}
