"""One generation request as a CLIENT span and as a `Generation`, from the first step of sending to the last byte read.

It is told what happens (a step of sending, the response's head, a piece of its body, the end) and writes it down once,
at the end: the span is named before the request goes out, which carries the name, and made when all is known, so that
none of that work stands between the request and its answer. It does no I/O; `transport` tells it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import httpx2
from opentelemetry.context import get_current
from opentelemetry.trace import SpanKind, StatusCode, format_trace_id

from punie_trace.descriptors import OURS, ran_out
from punie_trace.records import Generation
from punie_trace.spans import names
from punie_trace.spans.clock import Clock
from punie_trace.spans.completion import Completion, CompletionReader, Failure, Form
from punie_trace.spans.open_spans import OpenSpans
from punie_trace.spans.provider import ClockTracer
from punie_trace.spans.sent_results import answered_calls
from punie_trace.spans.span import AttributeValue

_ERROR_TEXT_LIMIT: Final = 500
_CALLS_LIMIT: Final = 64 * 1024
"""Characters of the calls of one generation that are kept with its span."""
_MODEL_FIRST = re.compile(rb'\{\s*"model"\s*:\s*"([^"\\\x00-\x1f]+)"\s*,')
_DEFAULT_PORTS = {"http": 80, "https": 443}
_HEAD_READ = "http11.receive_response_headers.complete"
_FIRST_STEPS = ("connection.connect_tcp.started", "http11.send_request_headers.started")


class GenerationSpan:
    """A generation request that is open. All times come from the clock, in ns; `finish` counts once.

    It is entered among the open requests of its trace, so that the end of the query is its end as well. `reader` has
    read what came so far; with `keep_events` in a form that a strict client can read. `received_ns` is when the request
    came to us, where it is passed on for another.
    """

    def __init__(
        self,
        tracer: ClockTracer,
        clock: Clock,
        request: httpx2.Request,
        open_spans: OpenSpans,
        *,
        reader: type[CompletionReader] = CompletionReader,
        keep_events: bool = False,
        read_request: bool = False,
        received_ns: int | None = None,
        attributes: Mapping[str, AttributeValue] | None = None,
    ) -> None:
        self._tracer = tracer
        self._clock = clock
        self._context = get_current()
        self._identity = tracer.identity(self._context)
        self._open_spans = open_spans
        self._index = open_spans.begin_request(format_trace_id(self._identity.trace_id), self)
        self._reader_type = reader
        self._keep_events = keep_events
        self._received_ns = received_ns
        self._resent_ns: list[int] = []
        self._left_open = False
        self._connect_from_ns: int | None = None
        self._connect_to_ns: int | None = None
        self._first_byte_ns: int | None = None
        self._last_byte_ns: int | None = None
        self._status: int | None = None
        self._finished = False
        self.reader = reader()
        self._requested_model = _requested_model(request)
        self._attributes = {**self._request_attributes(request), **(attributes or {})}
        if read_request and (answered := answered_calls(request)) is not None:
            self._attributes[names.ANSWERED_CALLS] = answered
        self._sending = False
        self._sent_ns = clock.now_ns()
        """When it was handed to the library; when that began to send, as soon as it has."""
        self._out_ns: int | None = None
        """When its head went out."""

    @property
    def finished(self) -> bool:
        """Whether the end has been written down."""
        return self._finished

    def inject(self, headers: httpx2.Headers) -> None:
        """Put W3C's `traceparent` of this span into the request's headers."""
        one = self._identity
        headers["traceparent"] = f"00-{one.trace_id:032x}-{one.span_id:016x}-{one.trace_flags:02x}"

    def step(self, event: str) -> None:
        """A step of the connection pool, as httpcore names it in `request.extensions['trace']`."""
        if not self._sending and event in _FIRST_STEPS:
            self._sending = True
            self._sent_ns = self._clock.now_ns()
        if event == _FIRST_STEPS[1]:
            self._out_ns = self._clock.now_ns()
        if event == "connection.connect_tcp.started":
            self._connect_from_ns = self._clock.now_ns()
        elif event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self._connect_to_ns = self._clock.now_ns()
        elif event == _HEAD_READ:
            self._first_byte_ns = self._clock.now_ns()

    @property
    def on_kept_connection(self) -> bool:
        """Whether it went out on a connection that had been open before, as far as the transport's steps tell."""
        return self._sending and self._connect_from_ns is None

    @property
    def began_to_answer(self) -> bool:
        """Whether a byte of the answer has come."""
        return self._first_byte_ns is not None

    def resent(self) -> None:
        """It is about to be sent again: the server had closed the kept connection before it read the request."""
        self._resent_ns.append(self._clock.now_ns())

    def left_open(self) -> None:
        """After its finish reason the server neither said that it was done nor closed the connection."""
        self._left_open = True

    def answered(self, response: httpx2.Response, first: bytes = b"") -> int:
        """The head of the response is here: that is the first byte, at the time that is returned.

        `first` of the body came with it.
        """
        head_ns = self._clock.now_ns() if self._first_byte_ns is None else self._first_byte_ns
        self._first_byte_ns = self._last_byte_ns = head_ns
        self._status = response.status_code
        keep = self._keep_events and response.status_code < 400
        self.reader = self._reader_type(_form(response.headers), keep_events=keep)
        if first:
            self._received(first, head_ns)
        return head_ns

    def received(self, data: bytes, at_ns: int | None = None) -> None:
        """A piece of the body, which came at `at_ns` or now. With `[DONE]` the request is over: nothing can follow."""
        self._received(data, self._clock.now_ns() if at_ns is None else at_ns)

    def _received(self, data: bytes, now: int) -> None:
        if self._finished:
            return
        self._last_byte_ns = now
        self.reader.feed(data, now)
        if self.reader.done:
            self.finish(at_ns=now)

    def ended(self) -> None:
        """The body has come to its end."""
        if not self._finished:
            now = self._clock.now_ns()
            self.reader.close(now)
            self.finish(at_ns=now)

    def failed(self, error: BaseException) -> None:
        """Sending or reading raised."""
        if not isinstance(error, Exception):
            self.finish((names.ERROR_CANCELLED, ""))
        elif ran_out(error):
            self.finish((names.ERROR_NO_DESCRIPTORS, OURS))
        elif isinstance(error, httpx2.RemoteProtocolError) and self._first_byte_ns is not None:
            self.finish((names.ERROR_CUT_STREAM, str(error)))
        elif self._resent_ns and self.on_kept_connection and isinstance(error, httpx2.TransportError):
            self.finish((names.ERROR_STALE_CONNECTION, f"ours: kept connections were closed by the server: {error}"))
        else:
            self.finish((type(error).__qualname__, str(error)))

    def closed(self) -> None:
        """The reader has let go of the response, at its end or before."""
        if self.reader.finish_reason is not None or self.reader.form == "opaque":
            self.finish(at_ns=self._last_byte_ns)
        else:
            self.abandon()

    def abandon(self) -> None:
        """Its query is over, or its reader has gone, before its end."""
        self.finish((names.ERROR_ABANDONED, "not read to its end"))

    def finish(self, failure: Failure | None = None, at_ns: int | None = None) -> None:
        """Write the span's end and the `Generation`, at `at_ns` or now. Only the first call does anything."""
        if self._finished:
            return
        self._finished = True
        done_ns = self._clock.now_ns() if at_ns is None else at_ns
        failure = self._failure(failure)
        completion = self.reader.completion()
        generation = self._generation(done_ns, failure, completion)
        self._write_span(generation, failure, completion)
        if self._index is not None:
            self._open_spans.end_request(format_trace_id(self._identity.trace_id), self._index)

    def _failure(self, failure: Failure | None) -> Failure | None:
        """What went wrong first: the server's own words count for more than what followed from them."""
        reader = self.reader
        if self._status is not None and self._status >= 400:
            words = reader.error_message or bytes(reader.head).decode("utf-8", "replace")
            return str(self._status), words
        found = reader.failure if self._status is not None else None
        if found is not None and (failure is None or found[0] != names.ERROR_CUT_STREAM):
            return found
        return failure

    def _generation(self, done_ns: int, failure: Failure | None, completion: Completion) -> Generation:
        reader = self.reader
        return Generation(
            sent_ns=self._sent_ns if self._received_ns is None else self._received_ns,
            done_ns=done_ns,
            first_byte_ns=self._first_byte_ns,
            prefill_end_ns=reader.prefill_end_ns,
            first_chunk_ns=reader.first_chunk_ns,
            last_chunk_ns=reader.last_chunk_ns,
            chunks=reader.chunks,
            status=self._status,
            error=None if failure is None else ": ".join(filter(None, failure))[:_ERROR_TEXT_LIMIT],
            requested_model=self._requested_model,
            served_model=reader.served_model,
            fingerprint=reader.fingerprint,
            finish_reason=reader.finish_reason,
            tool_calls=reader.tool_calls,
            unusable_call=completion.unusable_call,
            input_tokens=reader.input_tokens,
            output_tokens=reader.output_tokens,
            cached_tokens=reader.cached_tokens,
        )

    def _write_span(self, generation: Generation, failure: Failure | None, completion: Completion) -> None:
        attributes: dict[str, AttributeValue | None] = {
            **self._attributes,
            names.HTTP_STATUS: generation.status,
            names.GEN_AI_RESPONSE_MODEL: generation.served_model,
            names.FINGERPRINT: generation.fingerprint,
            names.GEN_AI_FINISH_REASONS: None if generation.finish_reason is None else (generation.finish_reason,),
            names.GEN_AI_INPUT_TOKENS: generation.input_tokens,
            names.GEN_AI_OUTPUT_TOKENS: generation.output_tokens,
            names.GEN_AI_CACHED_TOKENS: generation.cached_tokens,
            names.CHUNKS: generation.chunks,
            names.UNPARSED_CALL: generation.unparsed_call or None,
            names.UNUSABLE_CALL: generation.unusable_call,
            names.TOOL_CALLS: generation.tool_calls or None,
            names.WRITTEN_CALLS: _calls_json(completion),
            names.SERVER_TIMINGS: json.dumps(completion.timings) if completion.timings else None,
            names.RESENT: len(self._resent_ns) or None,
            names.LEFT_OPEN: self._left_open or None,
            names.CONNECT_NS: self._connect_ns(),
        }
        if failure is not None:
            attributes[names.ERROR_TYPE] = failure[0]
            attributes[names.ERROR_TEXT] = failure[1][:_ERROR_TEXT_LIMIT] or None
        span = self._tracer.span_of(
            self._identity,
            names.SPAN_POST,
            self._context,
            SpanKind.CLIENT,
            {key: value for key, value in attributes.items() if value is not None},
            generation.sent_ns,
        )
        if failure is not None:
            span.set_status(StatusCode.ERROR, generation.error)
        for name, time_ns in (
            (names.EVENT_FIRST_BYTE, generation.first_byte_ns),
            (names.EVENT_PREFILL_END, generation.prefill_end_ns),
            (names.EVENT_FIRST_CHUNK, generation.first_chunk_ns),
            (names.EVENT_LAST_CHUNK, generation.last_chunk_ns),
        ):
            if time_ns is not None:
                span.add_event(name, timestamp=time_ns)
        for time_ns in self._resent_ns:
            span.add_event(names.EVENT_RESENT, timestamp=time_ns)
        span.end(generation.done_ns)

    def _connect_ns(self) -> int | None:
        """Time to open the connection, TLS included; None where an open one was used or none came about.

        Of a request that is passed on for another: all until it went out.
        """
        if self._received_ns is not None:
            return None if self._out_ns is None else self._out_ns - self._received_ns
        if self._connect_from_ns is None or self._connect_to_ns is None:
            return None
        return self._connect_to_ns - self._connect_from_ns

    def _request_attributes(self, request: httpx2.Request) -> dict[str, AttributeValue]:
        attributes = dict(_of_url(request.method, str(request.url)))
        if self._requested_model is not None:
            attributes[names.GEN_AI_REQUEST_MODEL] = self._requested_model
        if self._index is not None:
            attributes[names.GENERATION_INDEX] = self._index
        return attributes


@lru_cache(maxsize=64)
def _of_url(method: str, url: str) -> tuple[tuple[str, AttributeValue], ...]:
    """What a request to `url` says of itself, without secrets."""
    shown = httpx2.URL(url).copy_with(username=None, password=None, query=None, fragment=None)
    port = shown.port or _DEFAULT_PORTS.get(shown.scheme)
    return (
        (names.SEGMENT, names.SEGMENT_GENERATION),
        (names.HTTP_METHOD, method),
        (names.URL_FULL, str(shown)),
        (names.SERVER_ADDRESS, shown.host),
        *(((names.SERVER_PORT, port),) if port is not None else ()),
    )


def _calls_json(completion: Completion) -> str | None:
    """The calls for `names.WRITTEN_CALLS`; arguments that would make it too long are left out."""
    if not completion.calls:
        return None
    calls, room = [], _CALLS_LIMIT
    for call in completion.calls:
        room -= len(call.arguments)
        calls.append({"id": call.id, "name": call.name, "arguments": call.arguments if room >= 0 else ""})
    return json.dumps(calls)


def _form(headers: httpx2.Headers) -> Form:
    if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        return "opaque"
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return "events" if kind == "text/event-stream" else "json" if kind == "application/json" else "unknown"


def _requested_model(request: httpx2.Request) -> str | None:
    try:
        content = request.content
        # The clients that are used here write the model first; then the rest, with all its tools, need not be parsed.
        if (first := _MODEL_FIRST.match(content)) is not None:
            return first[1].decode("utf-8")
        body = json.loads(content)
    except (ValueError, RecursionError, httpx2.RequestNotRead):
        return None
    model = body.get("model") if isinstance(body, dict) else None
    return model if isinstance(model, str) else None
