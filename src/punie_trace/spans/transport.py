"""An httpx2 transport that times every generation request to its last byte and reads what it brings.

A sound answer passes byte for byte. Other requests pass through untimed. It sends a request again only where a kept
connection turned out to be closed before the first byte came, once, and the span says so: any other retry would hide
within one request and be measured as part of it. Headers are never recorded.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Final, Self, TypeAlias

import httpx2

from punie_trace.spans.clock import Clock
from punie_trace.spans.completion import LONGEST_BODY, CompletionReader
from punie_trace.spans.generation_forms import reader_of
from punie_trace.spans.generation_span import GenerationSpan
from punie_trace.spans.inflate import ENCODINGS, InflatedStream
from punie_trace.spans.left_open import until_left_open
from punie_trace.spans.provider import ClockTracerProvider

TraceHook: TypeAlias = Callable[[str, dict[str, object]], Awaitable[None]]

# No limit: a request that waits for a free connection in here would be measured as a slow server.
COMPLETION: Final = "punie_trace.completion"
"""The key in a response's `extensions` under which its `CompletionReader` stands."""
_STREAMED: Final = re.compile(rb'"stream"\s*:\s*true')
"""In a request: its quotes keep it from matching within a text, where they are escaped."""
RECEIVED_NS: Final = "punie_trace.received_ns"
"""The key in a request's `extensions` for when it came to us (ns), where it is passed on for another: its span begins
then, and the time until it is sent is part of 'connect'."""
TIMED: Final = "punie_trace.timed"
"""The key in a request's `extensions` that says that its generation is timed here."""
SPAN_ATTRIBUTES: Final = "punie_trace.span_attributes"
"""The key in a request's `extensions` for what its span says besides."""
_STALE: Final = (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError, httpx2.CloseError)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_LIMITS = httpx2.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=30.0)


class BufferedStream(httpx2.AsyncByteStream):
    """A body whose first bytes may have come with its head: they are timed at once, not when somebody asks for them."""

    def buffered(self) -> bytes:
        """What is here already, taken out of the stream; never waits or raises."""
        return b""


class TracedTransport(httpx2.AsyncBaseTransport):
    """Wraps `inner` (by default an `AsyncHTTPTransport` with no limit of connections and no retries).

    A generation request is a POST to a path that ends in `/completions`, `/responses` or `/messages`. Its span starts
    with the first step on the network (opening the connection included, which `punie.generation.connect_ns` tells
    apart; what the library does before it is not the server's), is a child of the span that is current then, and ends
    with the last byte read; the request carries `traceparent`. The response's `extensions[COMPLETION]` is the reader of
    its body. `inner` tells its steps through `request.extensions['trace']`, as httpcore does.

    With `origin`, only requests to that server (a URL with its scheme, host and port) are generations; what is sent
    elsewhere through the same client passes untimed.

    With `tidy`, chunks that a strict client would stumble over are passed on in OpenAI's own form; all others, and the
    whole of a sound stream, as they came. With `read_requests`, spans say which calls a request brings the results of.
    """

    def __init__(
        self,
        tracer_provider: ClockTracerProvider,
        clock: Clock,
        inner: httpx2.AsyncBaseTransport | None = None,
        *,
        tidy: bool = False,
        read_requests: bool = False,
        origin: str | None = None,
    ) -> None:
        self._provider = tracer_provider
        self._clock = clock
        self._inner = httpx2.AsyncHTTPTransport(limits=_LIMITS, retries=0) if inner is None else inner
        self._tidy = tidy
        self._read_requests = read_requests
        self._origin = None if origin is None else _origin(httpx2.URL(origin))

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request. Raises what the wrapped transport raises, after writing it down."""
        reader = reader_of(request.method, request.url.path)
        if reader is None or (self._origin is not None and _origin(request.url) != self._origin):
            return await self._inner.handle_async_request(request)
        # The other forms have no clients here that need it.
        tidy = self._tidy and reader is CompletionReader and _wants_stream(request)
        provider = self._provider
        span = GenerationSpan(
            provider.tracer,
            self._clock,
            request,
            provider.open_spans,
            keep_events=tidy,
            read_request=self._read_requests,
            reader=reader,
            received_ns=request.extensions.get(RECEIVED_NS),
            attributes=request.extensions.get(SPAN_ATTRIBUTES) or {},
        )
        try:
            span.inject(request.headers)
            # A compressed stream arrives in the compressor's portions, not in the model's.
            request.headers["accept-encoding"] = "identity"
            request.extensions = {
                **request.extensions,
                "trace": _chained(span, request.extensions.get("trace")),
                TIMED: True,
            }
            response = _inflated(await self._send(request, span))
        except BaseException as error:
            span.failed(error)
            raise
        first = response.stream.buffered() if isinstance(response.stream, BufferedStream) else b""
        passed_on = RECEIVED_NS in request.extensions
        head_ns = span.answered(response, b"" if passed_on else first)
        if not isinstance(response.stream, httpx2.AsyncByteStream):
            span.failed(TypeError(f"the transport answered with a {type(response.stream).__name__}"))
            return response
        return httpx2.Response(
            status_code=response.status_code,
            headers=response.headers,
            stream=(
                _PassedOnStream(response.stream, span, first, head_ns, self._clock)
                if passed_on
                else _TracedStream(response.stream, span, first, tidy=tidy and response.status_code < 400)
            ),
            extensions={**response.extensions, COMPLETION: span.reader},
        )

    async def _send(self, request: httpx2.Request, span: GenerationSpan) -> httpx2.Response:
        try:
            return await self._inner.handle_async_request(request)
        except _STALE:
            if not span.on_kept_connection or span.began_to_answer:
                raise
            span.resent()
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        """Close the wrapped transport and its connections."""
        await self._inner.aclose()

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self._inner.__aexit__(exc_type, exc_value, traceback)


class _TracedStream(httpx2.AsyncByteStream):
    """A response's body that tells the span what passes. It may be entered more than once; the span ends once."""

    def __init__(self, inner: httpx2.AsyncByteStream, span: GenerationSpan, first: bytes, *, tidy: bool) -> None:
        self._inner = inner
        self._span = span
        self._first = first
        """What came before anybody asked, and has been told already."""
        self._tidier = _Tidier(span.reader) if tidy else None
        self._over = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._over:  # the openai client reads on after an end mark that came last, for ever
            return
        tidier = self._tidier
        if self._first:
            first, self._first = self._first, b""
            if out := first if tidier is None else tidier.pass_on(first):
                yield out
        try:
            async for data in until_left_open(self._inner, self._span.reader, self._span.left_open):
                self._span.received(data)
                if out := data if tidier is None else tidier.pass_on(data):
                    yield out
                if self._span.reader.too_long is not None:
                    raise httpx2.RemoteProtocolError(self._span.reader.too_long)
        except GeneratorExit:  # the reader lets go; `aclose` will say so
            raise
        except BaseException as error:
            self._span.failed(error)
            raise
        self._over = True
        self._span.ended()
        if tidier is not None and (out := tidier.end()):
            yield out

    async def aclose(self) -> None:
        self._span.closed()
        await self._inner.aclose()


class _PassedOnStream(httpx2.AsyncByteStream):
    """A response's body for one who passes it on: each piece is timed, passed on, and only then told to the span.

    So reading what a piece says stands between the server and nobody. Nothing is tidied.
    """

    def __init__(
        self, inner: httpx2.AsyncByteStream, span: GenerationSpan, first: bytes, first_ns: int, clock: Clock
    ) -> None:
        self._inner = inner
        self._span = span
        self._clock = clock
        self._untold: tuple[bytes, int] | None = (first, first_ns) if first else None
        """A piece that has been passed on, or is about to be, and when it came."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        span, clock = self._span, self._clock
        if self._untold is not None:
            yield self._untold[0]
            self._tell()
        try:
            async for data in until_left_open(self._inner, span.reader, span.left_open):
                self._untold = data, clock.now_ns()
                yield data
                self._tell()
                if span.reader.too_long is not None:
                    raise httpx2.RemoteProtocolError(span.reader.too_long)
        except GeneratorExit:  # the reader lets go; `aclose` will say so
            raise
        except BaseException as error:
            span.failed(error)
            raise
        span.ended()

    async def aclose(self) -> None:
        self._tell()
        self._span.closed()
        await self._inner.aclose()

    def _tell(self) -> None:
        untold, self._untold = self._untold, None
        if untold is not None:
            self._span.received(*untold)


class _Tidier:
    """Passes whole events on: as they came where all are sound, else in the reader's words."""

    def __init__(self, reader: CompletionReader) -> None:
        self._reader = reader
        self._held = b""
        """The beginning of an event whose end has not come."""

    def pass_on(self, data: bytes) -> bytes:
        """What can go on now that `data` has been read."""
        reader = self._reader
        if reader.form == "opaque":
            return data
        if reader.form == "json":
            return b""
        data = self._held + data if self._held else data
        pending = reader.pending
        events = reader.take_events()
        self._held = data[len(data) - pending :] if pending else b""
        if events is None:
            return data[: len(data) - pending] if pending else data
        return _as_stream(events)

    def end(self) -> bytes:
        """What is left when the body has ended."""
        events = self._reader.take_events()
        held, self._held = self._held, b""
        if self._reader.form == "json":
            return _as_stream([*(events or []), b"[DONE]"])
        return held if events is None else _as_stream(events)


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or _DEFAULT_PORTS.get(url.scheme)


def _inflated(response: httpx2.Response) -> httpx2.Response:
    """The response without its compression, where it has any that is known here."""
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding not in ENCODINGS or not isinstance(response.stream, httpx2.AsyncByteStream):
        return response
    dropped = ("content-encoding", "content-length")
    return httpx2.Response(
        status_code=response.status_code,
        headers=[(k, v) for k, v in response.headers.multi_items() if k.lower() not in dropped],
        stream=InflatedStream(response.stream, LONGEST_BODY),
        extensions=response.extensions,
    )


def _as_stream(events: list[bytes]) -> bytes:
    return b"".join(b"data: " + b"\ndata: ".join(event.split(b"\n")) + b"\n\n" for event in events)


def _wants_stream(request: httpx2.Request) -> bool:
    try:
        return _STREAMED.search(request.content) is not None
    except httpx2.RequestNotRead:  # it is made while it is sent
        return False


def _chained(span: GenerationSpan, other: TraceHook | None) -> TraceHook:
    """A hook for httpcore's trace events that tells the span, then whoever asked before."""

    async def hook(event: str, info: dict[str, object]) -> None:
        span.step(event)
        if other is not None:
            await other(event, info)

    return hook
