"""An httpx2 transport that times every generation request to its last byte and passes every byte on unchanged.

Other requests pass through untimed. It does not retry: a retry that hides within one request would be measured as part
of it. Headers are never recorded.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Self, TypeAlias

import httpx2

from punie_trace.spans.clock import Clock
from punie_trace.spans.generation_log import current_generations
from punie_trace.spans.generation_span import GenerationSpan
from punie_trace.spans.provider import ClockTracerProvider

TraceHook: TypeAlias = Callable[[str, dict[str, object]], Awaitable[None]]

# No limit: a request that waits for a free connection in here would be measured as a slow server.
_LIMITS = httpx2.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=30.0)


class BufferedStream(httpx2.AsyncByteStream):
    """A body whose first bytes may have come with its head: they are timed at once, not when somebody asks for them."""

    def buffered(self) -> bytes:
        """What is here already, taken out of the stream; never waits or raises."""
        return b""


class TracedTransport(httpx2.AsyncBaseTransport):
    """Wraps `inner` (by default an `AsyncHTTPTransport` with no limit of connections and no retries).

    A generation request is a POST to a path that ends in `/completions`. Its span starts with the first step on the
    network (opening the connection included, which `punie.generation.connect_ns` tells apart; what the library does
    before it is not the server's), is a child of the span that is current then, and ends with the last byte read; the
    request carries `traceparent`. Its `Generation` goes into `current_generations` where a query is open. `inner` tells
    its steps through `request.extensions['trace']`, as httpcore does.
    """

    def __init__(
        self, tracer_provider: ClockTracerProvider, clock: Clock, inner: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        self._tracer = tracer_provider.tracer
        self._clock = clock
        self._inner = httpx2.AsyncHTTPTransport(limits=_LIMITS, retries=0) if inner is None else inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request. Raises what the wrapped transport raises, after writing it down."""
        if not is_generation(request):
            return await self._inner.handle_async_request(request)
        span = GenerationSpan(self._tracer, self._clock, request, current_generations.get())
        try:
            span.inject(request.headers)
            # A compressed stream arrives in the compressor's portions, not in the model's.
            request.headers["accept-encoding"] = "identity"
            request.extensions = {
                **request.extensions,
                "trace": _chained(span, request.extensions.get("trace")),
            }
            response = await self._inner.handle_async_request(request)
        except BaseException as error:
            span.failed(error)
            raise
        first = response.stream.buffered() if isinstance(response.stream, BufferedStream) else b""
        span.answered(response, first)
        if not isinstance(response.stream, httpx2.AsyncByteStream):
            span.failed(TypeError(f"the transport answered with a {type(response.stream).__name__}"))
            return response
        return httpx2.Response(
            status_code=response.status_code,
            headers=response.headers,
            stream=_TracedStream(response.stream, span, first),
            extensions=response.extensions,
        )

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

    def __init__(self, inner: httpx2.AsyncByteStream, span: GenerationSpan, first: bytes = b"") -> None:
        self._inner = inner
        self._span = span
        self._first = first
        """What came before anybody asked, and has been told already."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._first:
            first, self._first = self._first, b""
            yield first
        try:
            async for data in self._inner:
                self._span.received(data)
                yield data
        except GeneratorExit:  # the reader lets go; `aclose` will say so
            raise
        except BaseException as error:
            self._span.failed(error)
            raise
        self._span.ended()

    async def aclose(self) -> None:
        self._span.closed()
        await self._inner.aclose()


def is_generation(request: httpx2.Request) -> bool:
    """Whether this request asks for tokens: a POST to `…/chat/completions` or `…/completions`."""
    return request.method == "POST" and request.url.path.rstrip("/").endswith("/completions")


def _chained(span: GenerationSpan, other: TraceHook | None) -> TraceHook:
    """A hook for httpcore's trace events that tells the span, then whoever asked before."""

    async def hook(event: str, info: dict[str, object]) -> None:
        span.step(event)
        if other is not None:
            await other(event, info)

    return hook
