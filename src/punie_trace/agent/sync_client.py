"""A blocking HTTP client for frameworks that know no other, whose requests are timed as those of the async one are.

Its requests go to the event loop, where the endpoint's own client sends them, and their answers come back piece by
piece as they arrive: all times are taken there, so that a thread which waits for its turn lengthens none.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Iterator
from typing import Any, TypeVar

import httpx2

Result = TypeVar("Result")


def sync_client(client: httpx2.AsyncClient) -> httpx2.Client:
    """A blocking client that sends through `client`, to be used in other threads than the running loop's own.

    Raises `RuntimeError` where a request is made in the thread of the loop, which would wait for itself.
    """
    return httpx2.Client(
        transport=_ThroughTheLoop(client, asyncio.get_running_loop()),
        base_url=client.base_url,
        headers=client.headers,
        timeout=client.timeout,
        trust_env=False,
    )


class _Loop:
    """Runs coroutines in the event loop for a thread that waits, in that thread's context: the query stays known."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def check(self) -> None:
        """Raises where this is the loop's own thread."""
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            return
        if here is self._loop:
            raise RuntimeError(
                "endpoint.sync_http_client would block the event loop that it needs: use endpoint.http_client in a "
                "coroutine, or make the function a plain one, which runs in a thread"
            )


class _ThroughTheLoop(httpx2.BaseTransport):
    def __init__(self, client: httpx2.AsyncClient, loop: asyncio.AbstractEventLoop) -> None:
        self._client = client
        self._loop = _Loop(loop)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self._loop.check()
        request.read()
        response = self._loop.run(self._client.send(request, stream=True, follow_redirects=False))
        return httpx2.Response(
            status_code=response.status_code,
            headers=response.headers,
            stream=_Body(response, self._loop),
            extensions={key: value for key, value in response.extensions.items() if key != "network_stream"},
        )


class _Body(httpx2.SyncByteStream):
    def __init__(self, response: httpx2.Response, loop: _Loop) -> None:
        self._response = response
        self._loop = loop
        self._pieces: AsyncGenerator[bytes, None] | None = None

    def __iter__(self) -> Iterator[bytes]:
        self._pieces = self._response.aiter_raw()
        while (piece := self._loop.run(_next(self._pieces))) is not None:
            yield piece

    def close(self) -> None:
        self._loop.run(_let_go(self._response, self._pieces))


async def _next(pieces: AsyncGenerator[bytes, None]) -> bytes | None:
    return await anext(pieces, None)


async def _let_go(response: httpx2.Response, pieces: AsyncGenerator[bytes, None] | None) -> None:
    """In the loop, both: a body that is left half read is else closed wherever memory happens to be collected."""
    try:
        if pieces is not None:
            await pieces.aclose()
    finally:
        await response.aclose()
