"""Carries httpx2's requests over aiohttp: what the `http` path sends its generation requests through.

aiohttp reads HTTP in C: it costs a sixth of the time that httpx2's own transport does for the same streamed answer, and
that time is what a client adds to the latencies it measures. Everything above it (headers, cookies, credentials, base
URL, errors) stays httpx2's: requests go out and errors come back as its own transport has them. No redirect is
followed and no request is sent twice; a proxy is asked where the route says so. It needs asyncio.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from functools import lru_cache
from types import SimpleNamespace
from typing import Final

import aiohttp
import httpx2
from yarl import URL

from punie_trace.proxy_routes import Route
from punie_trace.spans.transport import BufferedStream, TraceHook

_KEEPALIVE_S: Final = 30.0
_LONGEST_LINE: Final = 64 * 1024
"""Bytes of a status line, or of one header field."""
_MOST_HEADERS: Final = 1000
_OWN_HEADERS: Final = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
"""What aiohttp would add by itself: the request says it all."""
_FAILURES: Final = (aiohttp.ClientError, TimeoutError, OSError)


class AiohttpTransport(httpx2.AsyncBaseTransport):
    """An httpx2 transport over aiohttp's connections, with no limit of their number; made and used in one event loop.

    It calls the hook in `request.extensions['trace']` by httpcore's names (for the opening of a connection, for the
    sending of a request that has a body, for the head of its answer), and raises httpx2's errors. A connection is used
    again within 30 s of its last answer. `read` and `connect` of the request's timeout hold, `connect` for looking up
    the host and for TLS as well; `write` and `pool` do not.
    """

    def __init__(self, route: Route | None = None) -> None:
        self._route = route
        """The way to the server that is asked, through an HTTP proxy or none; None goes directly."""
        self._session: aiohttp.ClientSession | None = None
        self._tls: ssl.SSLContext | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request; the head of its answer, with the body yet to be read."""
        session = self._session or self._opened()
        url = _url_of(str(request.url))
        if url.scheme not in ("http", "https"):
            raise httpx2.UnsupportedProtocol(f"Request URL has an unsupported protocol '{url.scheme}://'.")
        tls: ssl.SSLContext | bool = True
        if url.scheme == "https":
            # Made when first needed: it reads all certificates of the machine.
            tls = self._tls = self._tls or self._certificates()
        given = request.extensions.get("timeout") or {}
        try:
            response = await session.request(
                request.method,
                url,
                headers=request.headers.multi_items(),
                data=await request.aread() or None,
                allow_redirects=False,
                timeout=_timeout(given.get("connect"), given.get("read")),
                ssl=tls,
                proxy=None if self._route is None else self._route.proxy,
                trace_request_ctx=request.extensions.get("trace"),
            )
        except _FAILURES as error:
            failure = _as_httpx2(error)
        else:
            return httpx2.Response(
                status_code=response.status,
                headers=list(response.raw_headers),
                stream=_Body(response),
                extensions={"http_version": b"HTTP/1.1"},
            )
        raise failure  # here, so that aiohttp's own words are not told as well

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _certificates(self) -> ssl.SSLContext:
        found = None if self._route is None else self._route.certificates()
        return httpx2.create_ssl_context() if found is None else found

    def _opened(self) -> aiohttp.ClientSession:
        trace = aiohttp.TraceConfig()
        trace.on_connection_create_start.append(_connecting)
        trace.on_connection_create_end.append(_connected)
        trace.on_request_chunk_sent.append(_sending)
        trace.on_request_end.append(_answered)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0, keepalive_timeout=_KEEPALIVE_S, resolver=aiohttp.ThreadedResolver()
            ),
            cookie_jar=aiohttp.DummyCookieJar(),  # they are the client's, which is above
            skip_auto_headers=_OWN_HEADERS,
            auto_decompress=False,
            trace_configs=[trace],
            max_line_size=_LONGEST_LINE,
            max_field_size=_LONGEST_LINE,
            max_headers=_MOST_HEADERS,
        )
        return self._session


class _Body(BufferedStream):
    """The body of one answer, in the pieces in which it came."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    def buffered(self) -> bytes:
        """What came with the head."""
        content = self._response.content
        return b"" if content.exception() is not None else content.read_nowait()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        content = self._response.content
        while True:
            try:
                data = await content.readany()
            except _FAILURES as error:
                failure = _as_httpx2(error)
                break
            if not data:
                return
            yield data
        raise failure

    async def aclose(self) -> None:
        """Let go of the connection: for use again where the body was read to its end, else closed."""
        self._response.close()


async def _connecting(_: aiohttp.ClientSession, context: SimpleNamespace, __: object) -> None:
    await _tell(context.trace_request_ctx, "connection.connect_tcp.started")


async def _connected(_: aiohttp.ClientSession, context: SimpleNamespace, __: object) -> None:
    await _tell(context.trace_request_ctx, "connection.connect_tcp.complete")


async def _sending(_: aiohttp.ClientSession, context: SimpleNamespace, __: object) -> None:
    """The head goes out with the first piece of the body."""
    await _tell(context.trace_request_ctx, "http11.send_request_headers.started")


async def _answered(_: aiohttp.ClientSession, context: SimpleNamespace, __: object) -> None:
    await _tell(context.trace_request_ctx, "http11.receive_response_headers.complete")


async def _tell(hook: TraceHook | None, event: str) -> None:
    if hook is not None:
        await hook(event, {})


@lru_cache(maxsize=64)
def _url_of(url: str) -> URL:
    """Without credentials: the client has put them into a header."""
    return URL(url, encoded=True).with_user(None)


@lru_cache(maxsize=64)
def _timeout(connect_s: float | None, read_s: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, connect=connect_s, sock_read=read_s)


def _as_httpx2(error: Exception) -> httpx2.TransportError:
    """The error that httpx2's own transport would have raised, with what the system said as its cause."""
    failure = _named(error)
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error.__cause__
    if isinstance(cause, OSError) and isinstance(failure, httpx2.ConnectError | httpx2.ReadError):
        failure.__cause__ = cause
    return failure


def _named(error: Exception) -> httpx2.TransportError:
    match error:
        case aiohttp.ConnectionTimeoutError():
            return httpx2.ConnectTimeout("")
        case TimeoutError():  # as those of aiohttp are
            return httpx2.ReadTimeout("")
        case aiohttp.ClientConnectorCertificateError():
            return httpx2.ConnectError(str(error.certificate_error))
        case aiohttp.ClientConnectorDNSError() | aiohttp.ClientSSLError():
            return httpx2.ConnectError(str(error.os_error))
        case aiohttp.ClientConnectorError():
            return httpx2.ConnectError("All connection attempts failed")
        case aiohttp.ServerDisconnectedError():
            return httpx2.RemoteProtocolError("Server disconnected without sending a response.")
        case aiohttp.ClientPayloadError() if "ConnectionResetError" not in str(error):
            why = getattr(error.__cause__, "message", error)
            return httpx2.RemoteProtocolError(f"peer closed connection without sending complete message body ({why})")
        case aiohttp.ClientPayloadError():
            return httpx2.ReadError("Connection reset by peer")
        case OSError():
            return httpx2.ReadError("")
        case aiohttp.ClientResponseError():
            return httpx2.RemoteProtocolError(" ".join(error.message.split()))
        case _:
            return httpx2.RemoteProtocolError(str(error))
