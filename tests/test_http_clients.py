"""One decision on the way to a server, for whatever client asks it."""

from __future__ import annotations

import gzip
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from punie_trace import http_clients
from punie_trace.agent.aiohttp_transport import AiohttpTransport
from punie_trace.http_clients import TooLongError, async_client, async_transport, read_within
from punie_trace.proxy_routes import route_to
from punie_trace.servers.kinds import UrlConfig
from punie_trace.servers.readiness import ServerTimeouts
from punie_trace.servers.server import open_server
from punie_trace.testing import Script, scripted_server

pytestmark = pytest.mark.anyio
ELSEWHERE = "http://model.invalid:8000/v1"
ASK = {"model": "m", "messages": [{"role": "user", "content": "?"}]}


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


async def test_every_client_goes_through_the_proxy(no_proxy: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The probe, both transports of queries, and what telemetry is sent with."""
    async with scripted_server(Script(models=("m",))) as proxy:
        no_proxy.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        limits = ServerTimeouts(ready_s=20, request_s=10)
        async with open_server(UrlConfig(url=ELSEWHERE), log_path=tmp_path / "log", timeouts=limits) as server:
            assert server.request_model == "m"
        assert len(proxy.probes) == 1
        route = route_to(ELSEWHERE)
        for transport in (async_transport(route), AiohttpTransport(route)):
            async with httpx2.AsyncClient(transport=transport, timeout=10, trust_env=False) as client:
                await client.post(f"{ELSEWHERE}/chat/completions", json=ASK)
        with http_clients.client(ELSEWHERE, timeout=10) as client:
            client.post(f"{ELSEWHERE}/chat/completions", json=ASK)
        assert len(proxy.requests) == 3


async def test_no_client_asks_the_proxy_for_what_is_excluded(no_proxy: pytest.MonkeyPatch) -> None:
    async with scripted_server(Script()) as proxy, scripted_server(Script()) as server:
        no_proxy.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        no_proxy.setenv("ALL_PROXY", "unknown://127.0.0.1:1")
        async with async_client(f"{server.base_url}/", timeout=10) as client:
            assert (await client.get("models")).status_code == 200
        assert proxy.connections == 0


def answer(pieces: list[bytes], encoding: str = "identity") -> httpx2.Response:
    class Stream(httpx2.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            for piece in pieces:
                yield piece

    return httpx2.Response(200, headers={"content-encoding": encoding}, stream=Stream())


async def test_a_body_is_read_to_its_limit_and_no_further() -> None:
    later = time.monotonic() + 10
    assert await read_within(answer([b"ab", b"c"]), 3, later) == b"abc"
    assert await read_within(answer([gzip.compress(b"abc")], "gzip"), 3, later) == b"abc"
    with pytest.raises(TooLongError):
        await read_within(answer([b"ab", b"cd"]), 3, later)
    with pytest.raises(TooLongError):
        await read_within(answer([gzip.compress(b"x" * 10_000_000)], "gzip"), 1000, later)
    with pytest.raises(TimeoutError):
        await read_within(answer([b"ab", b"cd"]), 9, time.monotonic() - 1)


@pytest.mark.parametrize(("body", "encoding"), [(b"no gzip", "gzip"), (b"x", "br"), (b"x", "zstd")])
async def test_a_body_that_is_not_compressed_as_it_says(body: bytes, encoding: str) -> None:
    with pytest.raises(httpx2.DecodingError):
        await read_within(answer([body], encoding), 100, time.monotonic() + 10)
