"""The `http` path: the requests that the agent makes, without the agent.

What it lacks against the `agent` path is what PydanticAI costs, and the openai client with the HTTP library under it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from typing import Final

import anyio
import httpx2
from opentelemetry.trace import Tracer

from punie_trace.agent.asker import AskTurn
from punie_trace.agent.options import AskOptions
from punie_trace.agent.toolbox import Toolbox
from punie_trace.agent.turns import Message, ToolLoop
from punie_trace.records import Answer, Query
from punie_trace.spans.completion import Completion, CompletionReader
from punie_trace.spans.transport import COMPLETION

_END_WITHIN_S: Final = 0.25
"""The longest that is waited for a body to end after its end mark: the answer is whole by then."""
_SHOWN: Final = 300


class ResponseError(Exception):
    """The server answered with an error, or with something that is no chat completion."""


class HttpPath:
    """Asks queries by plain chat completion requests for one configuration.

    `http_client` has the server's `/v1` as its base URL, goes through a `TracedTransport`, whose reading of the answer
    this takes, and carries the authorization, if there is any.
    """

    def __init__(self, http_client: httpx2.AsyncClient, toolbox: Toolbox, options: AskOptions, tracer: Tracer) -> None:
        self._http = http_client
        self._loop = ToolLoop(toolbox, tracer, options.max_requests)
        # What all requests share is made once: it would be a third of what a request costs.
        like = http_client.build_request(
            "POST", "chat/completions", json={}, timeout=httpx2.Timeout(options.read_timeout_s, connect=10.0)
        )
        self._url, self._extensions = like.url, like.extensions
        self._headers = [(k, v) for k, v in like.headers.multi_items() if k not in ("content-length", "cookie")]
        # In the order in which the openai client writes them.
        body = {
            "model": options.model,
            "stream": True,
            "messages": [],
            "max_completion_tokens": options.max_tokens,
            "stream_options": {"include_usage": True},
            "temperature": options.temperature,
            "tool_choice": "auto",
            "tools": self._loop.definitions,
            **options.request,
        }
        keys = list(body)
        split = keys.index("messages")
        self._before = _encoded({key: body[key] for key in keys[:split]})[:-1] + b',"messages":'
        self._after = b"," + _encoded({key: body[key] for key in keys[split + 1 :]})[1:]

    async def ask(self, query: Query) -> Answer:
        """The model's answer. Raises `ResponseError`, or what httpx2 raises, for what the server did wrong."""
        return await self.converse(query)(query.text)

    def converse(self, _query: Query) -> AskTurn:
        """A conversation whose turns are asked as `ask` asks a query."""
        return self._loop.converse(self._complete)

    async def _complete(self, messages: list[Message]) -> Completion:
        response = await self._http.send(self._request(messages), stream=True)
        try:
            if response.status_code >= 400:
                message = (await response.aread())[:_SHOWN].decode("utf-8", errors="replace")
                raise ResponseError(f"the server answered {response.status_code}: {message}")
            reader = response.extensions[COMPLETION]
            assert isinstance(reader, CompletionReader)
            # Closed here and now: one that is left half read is closed whenever memory is collected, by anybody.
            async with aclosing(response.aiter_raw()) as pieces:
                async for _ in pieces:
                    if reader.done:
                        await _read_out(pieces)
                        break
        finally:
            await response.aclose()
        completion = reader.completion()
        if completion.failure is not None:
            raise ResponseError(": ".join(filter(None, completion.failure)))
        return completion

    def _request(self, messages: list[Message]) -> httpx2.Request:
        return httpx2.Request(
            "POST",
            self._url,
            headers=self._headers,
            cookies=self._http.cookies or None,
            content=self._before + _encoded(messages) + self._after,
            extensions=dict(self._extensions),
        )


def _encoded(value: object) -> bytes:
    """As httpx2 writes it; half of a surrogate pair, which has no UTF-8, as an escape."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")


async def _read_out(pieces: AsyncIterator[bytes]) -> None:
    """Read the body's end, which is here already: a connection that is let go before it cannot be used again."""
    with anyio.move_on_after(_END_WITHIN_S), suppress(httpx2.HTTPError):
        async for _ in pieces:
            pass
