"""One generation request as a CLIENT span and as a `Generation`, from the first step of sending to the last byte read.

It is told what happens (a step of sending, the response's head, a piece of its body, the end) and writes it down once,
at the end: the span is named before the request goes out, which carries the name, and made when all is known, so that
none of that work stands between the request and its answer. It does no I/O; `transport` tells it.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import TypeAlias

import httpx2
from opentelemetry.context import get_current
from opentelemetry.trace import SpanKind, StatusCode

from punie_trace.records import Generation
from punie_trace.spans import names
from punie_trace.spans.clock import Clock
from punie_trace.spans.completion_reader import CompletionReader, Form
from punie_trace.spans.generation_log import GenerationLog
from punie_trace.spans.provider import ClockTracer
from punie_trace.spans.span import AttributeValue

_ERROR_TEXT_LIMIT = 500
_MODEL_FIRST = re.compile(rb'\{\s*"model"\s*:\s*"([^"\\\x00-\x1f]+)"\s*,')
_DEFAULT_PORTS = {"http": 80, "https": 443}
_HEAD_READ = "http11.receive_response_headers.complete"
_FIRST_STEPS = ("connection.connect_tcp.started", "http11.send_request_headers.started")

Failure: TypeAlias = tuple[str, str]
"""(error type, what was said about it, or '')"""


class GenerationSpan:
    """A generation request that is open. All times come from the clock, in ns; `finish` counts once."""

    def __init__(self, tracer: ClockTracer, clock: Clock, request: httpx2.Request, log: GenerationLog | None) -> None:
        self._tracer = tracer
        self._clock = clock
        self._context = get_current()
        self._identity = tracer.identity(self._context)
        self._log = log
        self._index = None if log is None else log.begin(self)
        self._connect_from_ns: int | None = None
        self._connect_to_ns: int | None = None
        self._first_byte_ns: int | None = None
        self._last_byte_ns: int | None = None
        self._status: int | None = None
        self._finished = False
        self._reader = CompletionReader()
        self._requested_model = _requested_model(request)
        self._attributes = self._request_attributes(request)
        self._sending = False
        self._sent_ns = clock.now_ns()
        """When it was handed to the library; when that began to send, as soon as it has."""

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
        if event == "connection.connect_tcp.started":
            self._connect_from_ns = self._clock.now_ns()
        elif event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self._connect_to_ns = self._clock.now_ns()
        elif event == _HEAD_READ:
            self._first_byte_ns = self._clock.now_ns()

    def answered(self, response: httpx2.Response, first: bytes = b"") -> None:
        """The head of the response is here: that is the first byte; `first` of the body came with it."""
        head_ns = self._clock.now_ns() if self._first_byte_ns is None else self._first_byte_ns
        self._first_byte_ns = self._last_byte_ns = head_ns
        self._status = response.status_code
        self._reader = CompletionReader(_form(response.headers))
        if first:
            self._received(first, head_ns)

    def received(self, data: bytes) -> None:
        """A piece of the body. With `[DONE]` the request is over: nothing that matters can follow."""
        self._received(data, self._clock.now_ns())

    def _received(self, data: bytes, now: int) -> None:
        if self._finished:
            return
        self._last_byte_ns = now
        self._reader.feed(data, now)
        if self._reader.done:
            self.finish(at_ns=now)

    def ended(self) -> None:
        """The body has come to its end."""
        if not self._finished:
            now = self._clock.now_ns()
            self._reader.close(now)
            self.finish((names.ERROR_CUT_STREAM, "") if self._reader.cut else None, at_ns=now)

    def failed(self, error: BaseException) -> None:
        """Sending or reading raised."""
        if not isinstance(error, Exception):
            self.finish((names.ERROR_CANCELLED, ""))
        elif isinstance(error, httpx2.RemoteProtocolError) and self._first_byte_ns is not None:
            self.finish((names.ERROR_CUT_STREAM, str(error)))
        else:
            self.finish((type(error).__qualname__, str(error)))

    def closed(self) -> None:
        """The reader has let go of the response, at its end or before."""
        if self._reader.finish_reason is not None or self._reader.form == "opaque":
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
        generation = self._generation(done_ns, failure)
        self._write_span(generation, failure)
        if self._log is not None:
            self._log.append(generation, self._index)

    def _failure(self, failure: Failure | None) -> Failure | None:
        """What went wrong first: the server's own words count for more than what followed from them."""
        reader = self._reader
        if self._status is not None and self._status >= 400:
            said = reader.error_message or bytes(reader.head).decode("utf-8", "replace")
            return str(self._status), said
        if reader.error_message is not None:
            return names.ERROR_IN_STREAM, reader.error_message
        if reader.malformed:
            return names.ERROR_MALFORMED_CHUNK, "a chunk is not a JSON object"
        return failure

    def _generation(self, done_ns: int, failure: Failure | None) -> Generation:
        reader = self._reader
        return Generation(
            sent_ns=self._sent_ns,
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
            input_tokens=reader.input_tokens,
            output_tokens=reader.output_tokens,
            cached_tokens=reader.cached_tokens,
        )

    def _write_span(self, generation: Generation, failure: Failure | None) -> None:
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
        span.end(generation.done_ns)

    def _connect_ns(self) -> int | None:
        """Time to open the connection, TLS included; None where an open one was used or none came about."""
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
