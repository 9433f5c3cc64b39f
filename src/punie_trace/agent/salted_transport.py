"""Gives each query a prefix cache of its own on a server that takes a salt, so that every ask is a first one.

The salt is the field `cache_salt` of the body: vLLM mixes it into the hashes of a prompt's blocks (its documentation,
"Automatic Prefix Caching", section on cache isolation), and so does our own server. The prompt stays what it is. A
server that does not know the field leaves it unread or refuses it; which of them it was, the report tells by the cached
tokens that the server counts.
"""

from __future__ import annotations

from typing import Final

import httpx2
from opentelemetry.trace import get_current_span
from pydantic_core import from_json, to_json

from punie_trace.spans.generation_forms import reader_of

FIELD: Final = "cache_salt"


class SaltedTransport(httpx2.AsyncBaseTransport):
    """Puts the id of the current trace, which is the query's, into each generation request to `base_url`.

    Requests to elsewhere, and bodies that are no JSON object or bring a salt of their own, pass as they are. It stands
    before what times a request, so that no server is charged with it.
    """

    def __init__(self, inner: httpx2.AsyncBaseTransport, base_url: str) -> None:
        self._inner = inner
        self._base = base_url.rstrip("/") + "/"

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request, salted where it is a generation's. Raises what the wrapped transport raises."""
        if reader_of(request.method, request.url.path) is not None and str(request.url).startswith(self._base):
            content = await request.aread()
            salted = with_salt(content, f"{get_current_span().get_span_context().trace_id:032x}")
            if salted is not content:
                headers = [(key, value) for key, value in request.headers.multi_items() if key != "content-length"]
                request = httpx2.Request(
                    request.method, request.url, headers=headers, content=salted, extensions=request.extensions
                )
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        """Close the wrapped transport."""
        await self._inner.aclose()


def with_salt(body: bytes, salt: str) -> bytes:
    """`body` with the salt; the same object where it is no JSON object, or has one already."""
    try:
        request = from_json(body)
    except ValueError:
        return body
    if not isinstance(request, dict) or FIELD in request:
        return body
    return to_json({**request, FIELD: salt})
