"""HTTP clients and transports that go the way which `proxy_routes` decides, and read no environment of their own.

Probe, queries and telemetry take theirs from here. What waits, and how long an answer may be, is the caller's part;
`read_within` is for answers that should be small.
"""

from __future__ import annotations

import ssl
import time
import zlib
from collections.abc import Mapping
from contextlib import aclosing
from typing import Final

import httpx2

from punie_trace.proxy_routes import Route, route_to

_LIMITS: Final = httpx2.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=30.0)
_EITHER_FORM: Final = 47
"""zlib's window bits for 'gzip or zlib, whichever the head says'."""


class TooLongError(Exception):
    """An answer is longer than it may be."""


def async_transport(route: Route) -> httpx2.AsyncHTTPTransport:
    """A transport with no limit of connections and no retries. Raises ConfigurationError for unusable certificates."""
    context = route.certificates()
    return httpx2.AsyncHTTPTransport(
        verify=True if context is None else context, proxy=route.proxy, limits=_LIMITS, retries=0, trust_env=False
    )


def async_client(
    base_url: str, *, headers: Mapping[str, str] | None = None, timeout: httpx2.Timeout | float
) -> httpx2.AsyncClient:
    """A client for one server. Raises ConfigurationError as `route_to` and `Route.certificates` do."""
    return httpx2.AsyncClient(
        base_url=base_url,
        headers={"accept-encoding": "identity", **(headers or {})},
        timeout=timeout,
        transport=async_transport(route_to(base_url)),
        trust_env=False,
    )


def client(
    url: str, *, headers: Mapping[str, str] | None = None, timeout: float, verify: ssl.SSLContext | None = None
) -> httpx2.Client:
    """A blocking client for one server; `verify` overrides whose certificates are believed."""
    route = route_to(url)
    context = verify or route.certificates()
    return httpx2.Client(
        headers=headers,
        timeout=timeout,
        transport=httpx2.HTTPTransport(
            verify=True if context is None else context,
            proxy=route.proxy,
            trust_env=False,
        ),
        trust_env=False,
    )


async def read_within(response: httpx2.Response, most: int, deadline: float) -> bytes:
    """The body of a response that was opened as a stream, decompressed, of `most` bytes at most.

    `deadline` is in seconds of `time.monotonic`. Raises TooLongError for a longer body, TimeoutError where it goes on
    beyond that, httpx2.DecodingError where it is not compressed as it says, and httpx2's other errors.
    """
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "", "gzip", "x-gzip", "deflate"):
        raise httpx2.DecodingError(f"the answer is compressed as {encoding!r}, which was not asked for")
    inflater = None if encoding in ("identity", "") else zlib.decompressobj(_EITHER_FORM)
    body = bytearray()
    async with aclosing(response.aiter_raw(65536)) as pieces:
        async for raw in pieces:
            data = raw
            if inflater is not None:
                try:
                    data = inflater.decompress(raw, most + 1 - len(body))
                except zlib.error as error:
                    raise httpx2.DecodingError(f"the answer is not compressed as it says: {error}") from error
            body += data
            if len(body) > most or (inflater is not None and inflater.unconsumed_tail):
                raise TooLongError
            if time.monotonic() > deadline:
                raise TimeoutError
    return bytes(body)
