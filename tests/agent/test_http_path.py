"""The plain path reads what a stream says, however its bytes were cut, and names what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import anyio
import httpx2
import pytest
from opentelemetry.trace import NoOpTracer

from punie_trace.agent.aiohttp_transport import AiohttpTransport
from punie_trace.agent.http_path import HttpPath
from punie_trace.agent.options import AskOptions
from punie_trace.agent.toolbox import Toolbox
from punie_trace.agent.workspace import Workspace
from punie_trace.driver.net import ask_safely
from punie_trace.records import Answer, Query
from punie_trace.spans.clock import Clock
from punie_trace.spans.provider import make_tracer_provider
from punie_trace.spans.transport import TracedTransport
from punie_trace.suite.load import sample_workspace
from punie_trace.testing import KnownLatency, Reply, Script, Text, scripted_server

pytestmark = pytest.mark.anyio


def event(content: str, *, ascii_only: bool = True) -> bytes:
    body = {"choices": [{"index": 0, "delta": {"content": content}, "finish_reason": None}]}
    return b"data: " + json.dumps(body, ensure_ascii=ascii_only).encode() + b"\n\n"


class Pieces(httpx2.AsyncByteStream):
    def __init__(self, data: bytes, size: int) -> None:
        self._data = data
        self._size = size

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._data), self._size):
            yield self._data[start : start + self._size]


async def ask(data: bytes, size: int = 1_000_000) -> Answer:
    def respond(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=Pieces(data, size))

    async with httpx2.AsyncClient(transport=traced(httpx2.MockTransport(respond)), base_url="http://t/v1/") as client:
        path = HttpPath(client, Toolbox(Workspace(sample_workspace())), AskOptions(model="m"), NoOpTracer())
        return await ask_safely(path.ask, Query("q", "?"))


def traced(inner: httpx2.AsyncBaseTransport | None = None) -> TracedTransport:
    clock = Clock.start()
    return TracedTransport(make_tracer_provider(clock, "test-run"), clock, inner)


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_text_is_whole_however_it_was_cut(size: int) -> None:
    texts = ["It ", "is ", 'called "it"\n', "", "und größer", "\u2028", " at last"]
    data = b": keepalive 1/1\n\n" + b"".join(event(text, ascii_only=False) for text in texts) + b"data: [DONE]\n\n"
    answer = await ask(data, size)
    assert answer.error is None
    assert answer.text == "".join(texts)


async def test_lines_may_end_as_windows_has_them() -> None:
    answer = await ask((event("a") + event("b") + b"data: [DONE]\n\n").replace(b"\n", b"\r\n"))
    assert (answer.text, answer.error) == ("ab", None)


async def test_an_end_mark_without_a_line_end_counts() -> None:
    assert (await ask(event("a") + b"data: [DONE]")).error is None


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (event("a"), "neither [DONE] nor a finish reason"),
        (event("a") + b"data: {oops\n\n", "a chunk is not a JSON object: '{oops'"),
        (event("a") + b"data: [1]\n\n", "a chunk is not a JSON object: '[1]'"),
        (event("a") + event("b")[:-9], "neither [DONE] nor a finish reason"),
        (b"<html><body>Log in", "the answer is no stream of chunks: '<html><body>Log in'"),
    ],
)
async def test_a_stream_that_is_broken_is_an_error(data: bytes, says: str) -> None:
    assert says in ((await ask(data)).error or "")


async def test_a_connection_is_used_again() -> None:
    async with (
        scripted_server(KnownLatency(first_s=0, between_s=0, chunks=3)) as server,
        httpx2.AsyncClient(transport=traced(), base_url=f"{server.base_url}/") as client,
    ):
        path = HttpPath(client, Toolbox(Workspace(sample_workspace())), AskOptions(model="m"), NoOpTracer())
        answers = [await path.ask(Query("q", "?")) for _ in range(3)]
        assert [answer.text for answer in answers] == ["word0 word1 word2 "] * 3
        assert server.connections == 1


async def test_half_of_a_surrogate_pair_goes_out_as_it_is() -> None:
    yes = Script(replies=(Reply(steps=(Text(text="yes"),)),))
    async with (
        scripted_server(yes) as server,
        httpx2.AsyncClient(transport=traced(AiohttpTransport()), base_url=f"{server.base_url}/") as client,
    ):
        path = HttpPath(client, Toolbox(Workspace(sample_workspace())), AskOptions(model="m"), NoOpTracer())
        answer = await path.ask(Query("q", "What is \ud800?"))
    assert (answer.text, answer.error) == ("yes", None)
    (request,) = server.requests
    assert "What is \\ud800?" in json.dumps(request.body["messages"])


async def test_a_body_that_does_not_end_after_its_end_mark_is_let_go() -> None:
    class Endless(httpx2.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield event("a") + b"data: [DONE]\n\n"
            await anyio.sleep_forever()

    def respond(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=Endless())

    async with httpx2.AsyncClient(transport=traced(httpx2.MockTransport(respond)), base_url="http://t/v1/") as client:
        path = HttpPath(client, Toolbox(Workspace(sample_workspace())), AskOptions(model="m"), NoOpTracer())
        with anyio.fail_after(60):
            answer = await path.ask(Query("q", "?"))
    assert (answer.text, answer.error) == ("a", None)
