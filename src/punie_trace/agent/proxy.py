"""A recording proxy on loopback: programs send their requests to it, and it sends them on and writes down what it saw.

Each query has a base URL of its own, so that a request is known by where it came to. What a program asks of its model
goes through the same `TracedTransport` as everything else that is measured; any other request is passed on unread.
Answers go back piece by piece as they come. From a request's arrival here to its going out is our time, and is part of
'connect', never of the server's.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import httpx2
from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, get_current_span, set_span_in_context

from punie_trace.agent.plain_server import Received, Reply, serving
from punie_trace.agent.program_requests import ProgramRequest, read_request, without_usage_event
from punie_trace.spans import names
from punie_trace.spans.clock import Clock
from punie_trace.spans.generation_forms import reader_of
from punie_trace.spans.transport import RECEIVED_NS, SPAN_ATTRIBUTES

_PREFIX: Final = "/q/"
_HOP_BY_HOP: Final = frozenset({
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade",
})  # fmt: skip
_REPLACED: Final = frozenset({"host", "content-length", "accept-encoding", "authorization", "x-api-key", "traceparent"})
_UNDER_V1: Final = ("chat/", "completions", "responses", "messages", "models", "embeddings")


@dataclass(slots=True, eq=False)
class Lane:
    """The way of one query through the proxy: its base URLs, and what has come by."""

    root: str
    """Without `/v1`, as `ANTHROPIC_BASE_URL` has it."""
    context: Context
    requests: int = 0
    generations: int = 0
    own_models: dict[str, None] = field(default_factory=dict)
    """Names that the program had for the model."""

    @property
    def base_url(self) -> str:
        """With `/v1`, as `OPENAI_BASE_URL` has it."""
        return f"{self.root}/v1"


class RecordingProxy:
    """Passes requests on to one server. `base_url` is the server's, with its `/v1`; made and used in one event loop."""

    def __init__(
        self,
        transport: httpx2.AsyncBaseTransport,
        clock: Clock,
        base_url: str,
        *,
        api_key: str | None = None,
        model: str | None = None,
        read_timeout_s: float = 600.0,
    ) -> None:
        self._transport = transport
        self._clock = clock
        self._base = base_url.rstrip("/")
        self._server_root = self._base.removesuffix("/v1")
        self._api_key = api_key
        self._model = model
        self._timeout = {"connect": 10.0, "read": read_timeout_s, "write": read_timeout_s, "pool": None}
        self._lanes: dict[str, Lane] = {}
        self._address = ""

    @asynccontextmanager
    async def listening(self) -> AsyncGenerator[None]:
        """Listen on a free port of loopback for as long as the context is open."""
        async with serving(self._handle) as port:
            self._address = f"http://127.0.0.1:{port}"
            yield

    @contextmanager
    def lane(self) -> Generator[Lane]:
        """Base URLs for the query that is current; requests to them are its own until the context is left."""
        token = secrets.token_urlsafe(12)
        lane = Lane(f"{self._address}{_PREFIX}{token}", get_current())
        self._lanes[token] = lane
        try:
            yield lane
        finally:
            del self._lanes[token]

    async def _handle(self, request: Received, reply: Reply) -> None:
        path, mark, query = request.target.partition("?")
        token, _, path = path.removeprefix(_PREFIX).partition("/")
        lane = self._lanes.get(token) if request.target.startswith(_PREFIX) else None
        if lane is None:
            await reply.refuse(404, "there is no query of this address, or it is over")
            return
        received_ns = self._clock.now_ns()
        lane.requests += 1
        read = None
        if reader_of(request.method, path) is not None:
            lane.generations += 1
            read = read_request(request.body, self._model, chat=path.rstrip("/").endswith("chat/completions"))
            if read.own_model is not None:
                lane.own_models[read.own_model] = None
        passed_on = self._request(request, f"{self._target(path)}{mark}{query}", read, received_ns)
        current = attach(_parent(lane.context, request.get("traceparent")))
        try:
            response = await self._transport.handle_async_request(passed_on)
        except httpx2.HTTPError as error:
            await reply.refuse(502, f"the server cannot be reached: {type(error).__name__}: {error}")
            return
        finally:
            detach(current)
        try:
            await _pass_back(response, reply, hides_usage=read is not None and read.hides_usage)
        finally:
            await response.aclose()

    def _request(self, request: Received, url: str, read: ProgramRequest | None, received_ns: int) -> httpx2.Request:
        headers = [(key, value) for key, value in request.headers if key not in _REPLACED and key not in _HOP_BY_HOP]
        if self._api_key is not None:
            headers.append(("authorization", f"Bearer {self._api_key}"))
            if request.get("x-api-key") is not None:
                headers.append(("x-api-key", self._api_key))
        extensions: dict[str, object] = {"timeout": self._timeout, RECEIVED_NS: received_ns}
        body = request.body
        if read is not None:
            body = read.body
            attributes: dict[str, object] = {names.ANSWERED_CALLS: json.dumps(read.answered)}
            if read.own_model is not None:
                attributes[names.PROGRAM_MODEL] = read.own_model
            if read.hides_usage:
                attributes[names.USAGE_ASKED] = True
            extensions[SPAN_ATTRIBUTES] = attributes
        return httpx2.Request(request.method, _url(url), headers=headers, content=body, extensions=extensions)

    def _target(self, path: str) -> str:
        """Where a path goes on the server: what belongs under its base URL, with or without the program's `/v1`."""
        if path == "v1" or path.startswith("v1/"):
            return self._base + path.removeprefix("v1")
        return f"{self._base if path.startswith(_UNDER_V1) else self._server_root}/{path}"


async def _pass_back(response: httpx2.Response, reply: Reply, *, hides_usage: bool) -> None:
    """The answer, piece by piece; where either side breaks off, it is left without its end."""
    headers = [
        (key.lower(), value)
        for key, value in response.headers.multi_items()
        if key.lower() not in _HOP_BY_HOP and not (hides_usage and key.lower() == "content-length")
    ]
    reply.begin(response.status_code, headers)
    assert isinstance(response.stream, httpx2.AsyncByteStream)
    with suppress(httpx2.HTTPError, ConnectionError):
        async for data in response.stream:
            await reply.send(without_usage_event(data) if hides_usage else data)
        await reply.end()


@lru_cache(maxsize=256)
def _url(text: str) -> httpx2.URL:
    """Parsed once: it would be a tenth of what a request costs."""
    return httpx2.URL(text)


def _parent(context: Context, traceparent: str | None) -> Context:
    """The query's context; below the program's own span where the program is traced as a part of the query."""
    parts = (traceparent or "").split("-")
    if len(parts) < 4:
        return context
    with suppress(ValueError):
        trace_id, span_id = int(parts[1], 16), int(parts[2], 16)
        if span_id and trace_id == get_current_span(context).get_span_context().trace_id:
            own = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
            return set_span_in_context(NonRecordingSpan(own), context)
    return context
