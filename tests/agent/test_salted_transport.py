from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider

from punie_trace.agent.salted_transport import SaltedTransport, with_salt

BASE = "http://127.0.0.1:9/v1/"
TRACER = TracerProvider().get_tracer("tests")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_nothing_but_the_salt_is_added(body: dict[str, Any]) -> None:
    found = json.loads(with_salt(json.dumps(body).encode(), "mine"))
    assert found == {"cache_salt": "mine", **body}


@given(st.binary() | st.lists(JSON, max_size=2).map(lambda value: json.dumps(value).encode()))
def test_what_is_no_object_stays_the_same_bytes(body: bytes) -> None:
    assert with_salt(body, "mine") is body


class Kept(httpx2.AsyncBaseTransport):
    def __init__(self) -> None:
        self.requests: list[httpx2.Request] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        return httpx2.Response(200)


@pytest.mark.anyio
async def test_requests_of_one_query_share_a_salt_and_no_two_queries_do() -> None:
    kept = Kept()
    async with httpx2.AsyncClient(transport=SaltedTransport(kept, BASE), base_url=BASE) as client:
        for _ in range(2):
            with TRACER.start_as_current_span("query"):
                await client.post("chat/completions", json={"model": "x", "stream": True})
                await client.post("chat/completions", json={"model": "x", "stream": True})
    salts = [json.loads(request.content)["cache_salt"] for request in kept.requests]
    assert salts[0] == salts[1]
    assert salts[2] == salts[3]
    assert salts[0] != salts[2]
    for request in kept.requests:
        assert int(request.headers["content-length"]) == len(request.content)


@pytest.mark.anyio
async def test_what_is_no_generation_of_this_server_passes_as_it_is() -> None:
    kept = Kept()
    async with httpx2.AsyncClient(transport=SaltedTransport(kept, BASE), base_url=BASE) as client:
        await client.get("models")
        await client.post("http://127.0.0.1:10/v1/chat/completions", json={"model": "x"})
        await client.post("chat/completions", json={"model": "x", "cache_salt": "own"})
    assert [request.content for request in kept.requests[:1]] == [b""]
    assert json.loads(kept.requests[1].content) == {"model": "x"}
    assert json.loads(kept.requests[2].content)["cache_salt"] == "own"
