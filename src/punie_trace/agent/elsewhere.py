"""Notices what a user's agent asks of models past its endpoint: of other servers, or by a client of its own.

A sub-agent with a model of its own, or a framework that was given no client, would be seen by nobody otherwise. While a
watch is open, the transports of httpx2 and httpx (where that is loaded) write a span for each such request that is made
within a query, which says to which host it went and counts as no generation. What goes through an endpoint's own client
is passed over. Nothing of a request or of its answer is read or changed; clients without either library are not seen.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any, Final

from opentelemetry.trace import Span, SpanKind, StatusCode, get_current_span

from punie_trace.spans import names
from punie_trace.spans.generation_forms import reader_of
from punie_trace.spans.provider import ClockTracerProvider
from punie_trace.spans.transport import TIMED

_OTHER_FORMS: Final = re.compile(
    r"(:(stream)?generatecontent|/converse(-stream)?|/invoke(-\w+)*|/api/(chat|generate))$"
)
"""Ends of the paths by which models are asked that `reader_of` does not read: Gemini, Bedrock, Ollama."""
_LIBRARIES: Final = ("httpx2", "httpx")
_lock = threading.Lock()
_watching: list[ClockTracerProvider] = []
_originals: dict[tuple[type, str], Callable[..., Any]] = {}


@contextmanager
def watching(provider: ClockTracerProvider) -> Generator[None]:
    """Write such spans into the traces of `provider` while the context is open. Several may be open at once."""
    with _lock:
        _watching.append(provider)
        if len(_watching) == 1:
            _wrap()
    try:
        yield
    finally:
        with _lock:
            _watching.remove(provider)
            if not _watching:
                _unwrap()


def _wrap() -> None:
    for name in _LIBRARIES:
        library = sys.modules.get(name)
        if library is None:
            continue
        for owner, method, wrapped in (
            (library.AsyncHTTPTransport, "handle_async_request", _async_method),
            (library.HTTPTransport, "handle_request", _sync_method),
        ):
            original = getattr(owner, method)
            _originals[owner, method] = original
            setattr(owner, method, wrapped(original, library))


def _unwrap() -> None:
    for (owner, method), original in _originals.items():
        setattr(owner, method, original)
    _originals.clear()


def _begun(request: Any) -> Span | None:
    """A span for the request; None where it is no model that is asked, or it is timed already, or in no query."""
    if request.extensions.get(TIMED) or request.method != "POST":
        return None
    path = request.url.path.rstrip("/").lower()
    if reader_of("POST", path) is None and _OTHER_FORMS.search(path) is None:
        return None
    trace_id = f"{get_current_span().get_span_context().trace_id:032x}"
    provider = next((one for one in _watching if one.open_spans.follows(trace_id)), None)
    if provider is None:
        return None
    attributes: dict[str, str | int] = {
        names.SEGMENT: names.SEGMENT_ELSEWHERE,
        names.HTTP_METHOD: "POST",
        names.SERVER_ADDRESS: request.url.host,
    }
    if request.url.port is not None:
        attributes[names.SERVER_PORT] = request.url.port
    return provider.tracer.start_span(names.SPAN_POST, kind=SpanKind.CLIENT, attributes=attributes)


def _failed(span: Span, error: BaseException) -> None:
    span.set_attribute(names.ERROR_TYPE, type(error).__qualname__)
    span.set_status(StatusCode.ERROR, f"{type(error).__qualname__}: {error}")
    span.end()


def _answered(span: Span, response: Any, body: type) -> Any:
    """The response with a body at whose end the span ends."""
    span.set_attribute(names.HTTP_STATUS, response.status_code)
    if response.status_code >= 400:
        span.set_status(StatusCode.ERROR, str(response.status_code))
    response.stream = body(response.stream, span)
    return response


def _async_method(original: Callable[..., Awaitable[Any]], library: Any) -> Callable[..., Awaitable[Any]]:
    body = type("WatchedAsyncBody", (_AsyncBody, library.AsyncByteStream), {})

    async def handle_async_request(self: Any, request: Any) -> Any:
        span = _begun(request)
        if span is None:
            return await original(self, request)
        try:
            response = await original(self, request)
        except BaseException as error:
            _failed(span, error)
            raise
        return _answered(span, response, body)

    return handle_async_request


def _sync_method(original: Callable[..., Any], library: Any) -> Callable[..., Any]:
    body = type("WatchedBody", (_Body, library.SyncByteStream), {})

    def handle_request(self: Any, request: Any) -> Any:
        span = _begun(request)
        if span is None:
            return original(self, request)
        try:
            response = original(self, request)
        except BaseException as error:
            _failed(span, error)
            raise
        return _answered(span, response, body)

    return handle_request


class _AsyncBody:
    def __init__(self, stream: Any, span: Span) -> None:
        self._stream = stream
        self._span = span

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._stream:
            yield piece

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        finally:
            self._span.end()


class _Body:
    def __init__(self, stream: Any, span: Span) -> None:
        self._stream = stream
        self._span = span

    def __iter__(self) -> Iterator[bytes]:
        yield from self._stream

    def close(self) -> None:
        try:
            self._stream.close()
        finally:
            self._span.end()
