"""The `http` path: the requests that the agent makes, without the agent.

What it lacks against the `agent` path is what PydanticAI costs, and the openai client with the HTTP library under it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import anyio
import httpx2
from opentelemetry.trace import Tracer
from pydantic import BaseModel, ValidationError

from punie_trace.agent.options import AskOptions
from punie_trace.agent.toolbox import Toolbox
from punie_trace.agent.turns import Message, ToolLoop, Turn, WrittenCall
from punie_trace.records import Answer, Query
from punie_trace.spans.chunk_template import ChunkTemplate

_END_WITHIN_S: Final = 0.25
"""The longest that is waited for a body to end after its end mark: the answer is whole by then."""


class ResponseError(Exception):
    """The server answered with an error, or with something that is no chat completion chunk."""


class _Function(BaseModel):
    name: str | None = None
    arguments: str | None = None


class _CallDelta(BaseModel):
    index: int = 0
    id: str | None = None
    function: _Function = _Function()


class _Delta(BaseModel):
    content: str | None = None
    tool_calls: list[_CallDelta] | None = None


class _Choice(BaseModel):
    delta: _Delta = _Delta()


class _Chunk(BaseModel):
    choices: list[_Choice]


@dataclass(slots=True)
class _Pieces:
    """A call as its pieces arrive."""

    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)


class HttpPath:
    """Asks queries by plain chat completion requests for one configuration.

    `http_client` has the server's `/v1` as its base URL and carries the authorization, if there is any.
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
        rest = {
            "tools": self._loop.definitions,
            "stream": True,
            "stream_options": {"include_usage": True},
            "temperature": options.temperature,
            "max_completion_tokens": options.max_tokens,
            **options.request,
        }
        self._before = b'{"model":' + _json(rest.pop("model", options.model)) + b',"messages":'
        self._after = b"," + _json({k: v for k, v in rest.items() if k != "messages"})[1:]

    async def ask(self, query: Query) -> Answer:
        """The model's answer. What the model, the server or the connection did wrong is in `Answer.error`."""
        return await self._loop.ask(query, self._complete, (ResponseError, httpx2.HTTPError))

    async def _complete(self, messages: list[Message]) -> Turn:
        text: list[str] = []
        calls: dict[int, _Pieces] = {}
        response = await self._http.send(self._request(messages), stream=True)
        try:
            if response.status_code >= 400:
                message = (await response.aread())[:300].decode("utf-8", errors="replace")
                raise ResponseError(f"the server answered {response.status_code}: {message}")
            template = ChunkTemplate()
            async for data in _events(response):
                if (more := template.text_of(data)) is not None:
                    text.append(more)
                    continue
                for choice in _chunk(data, template).choices[:1]:
                    text.append(choice.delta.content or "")
                    for delta in choice.delta.tool_calls or ():
                        _add(calls, delta)
        finally:
            await response.aclose()
        return Turn("".join(text), tuple(WrittenCall(c.id, c.name, "".join(c.arguments)) for c in calls.values()))

    def _request(self, messages: list[Message]) -> httpx2.Request:
        return httpx2.Request(
            "POST",
            self._url,
            headers=self._headers,
            cookies=self._http.cookies or None,
            content=self._before + _json(messages) + self._after,
            extensions=dict(self._extensions),
        )


def _json(value: object) -> bytes:
    """As httpx2 writes it: half of a surrogate pair, which a model may well have written, is an escape."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")


def _add(calls: dict[int, _Pieces], delta: _CallDelta) -> None:
    pieces = calls.setdefault(delta.index, _Pieces())
    pieces.id = delta.id or pieces.id
    pieces.name = delta.function.name or pieces.name
    pieces.arguments.append(delta.function.arguments or "")


def _chunk(data: bytes, template: ChunkTemplate) -> _Chunk:
    try:
        parsed = json.loads(data)
        chunk = _Chunk.model_validate(parsed)
    except (ValueError, ValidationError, RecursionError) as error:
        raise ResponseError(f"a chunk that is no chat completion: {_shown(data)}") from error
    template.learn(data, parsed)
    return chunk


async def _events(response: httpx2.Response) -> AsyncIterator[bytes]:
    """What follows each 'data:' up to `[DONE]`; a stream that ends without it was cut."""
    rest = b""
    pieces = response.aiter_bytes()
    async for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                data = line[5:].strip()
                if data == b"[DONE]":
                    await _read_out(pieces)
                    return
                yield data
    if rest.strip() == b"data: [DONE]":
        return
    if rest.startswith(b"data:"):
        yield rest[5:].strip()
    raise ResponseError("the stream ended before its end mark '[DONE]'; the server may have died")


async def _read_out(pieces: AsyncIterator[bytes]) -> None:
    """Read the body's end, which is here already: a connection that is let go before it cannot be used again."""
    with anyio.move_on_after(_END_WITHIN_S), suppress(httpx2.HTTPError):
        async for _ in pieces:
            pass


def _shown(data: bytes) -> str:
    return repr(data[:200].decode("utf-8", errors="replace"))
