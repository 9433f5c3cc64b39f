from __future__ import annotations

import json
from typing import Any

import anyio
import httpx2
import pytest
from pydantic import JsonValue

from punie_trace.errors import ConfigurationError
from punie_trace.testing import (
    Cut,
    Die,
    Hang,
    Keepalive,
    Raw,
    Reasoning,
    Reply,
    Rule,
    Script,
    Text,
    ToolCall,
    Usage,
    scripted_server,
)
from punie_trace.testing.asked import JsonObject

pytestmark = pytest.mark.anyio

ASK: JsonObject = {"model": "m", "messages": [{"role": "user", "content": "Where is it?"}]}
STREAM: JsonObject = ASK | {"stream": True, "stream_options": {"include_usage": True}}


async def post(url: str, body: JsonObject) -> httpx2.Response:
    async with httpx2.AsyncClient(trust_env=False, timeout=10) as client:
        return await client.post(f"{url}/chat/completions", json=body)


async def asked(url: str, limit_s: float) -> None:
    async with httpx2.AsyncClient(trust_env=False, timeout=limit_s) as client:
        await client.post(url, json=STREAM)


def chunks(text: str) -> list[Any]:
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]


async def test_a_stream_says_what_the_script_says() -> None:
    steps = (
        Keepalive(done=1, total=2),
        Reasoning(text="hm"),
        Text(text="He", delay_s=0.01),
        Text(text="llo"),
        ToolCall(name="find", arguments={"name": "UserSerializer"}, pieces=3),
        ToolCall(name="list"),
    )
    reply = Reply(steps=steps, usage=Usage(prompt_tokens=7, completion_tokens=9, cached_tokens=3))
    async with scripted_server(Script(replies=(reply,))) as server:
        text = (await post(server.base_url, STREAM)).text
    assert text.startswith(": keepalive 1/2\n\n")
    assert text.endswith("data: [DONE]\n\n")
    found = chunks(text)
    deltas = [choice["delta"] for chunk in found for choice in chunk["choices"]]
    assert "".join(delta.get("content", "") for delta in deltas) == "Hello"
    assert "".join(delta.get("reasoning", "") for delta in deltas) == "hm"
    calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
    assert [call["index"] for call in calls] == [0, 0, 0, 1]
    assert json.loads("".join(call["function"]["arguments"] for call in calls[:3])) == {"name": "UserSerializer"}
    assert [call["function"].get("name") for call in calls] == ["find", None, None, "list"]
    assert found[-2]["choices"][0]["finish_reason"] == "tool_calls"
    assert found[-1]["usage"]["prompt_tokens_details"] == {"cached_tokens": 3}
    assert {chunk["model"] for chunk in found} == {"m"}
    (request,) = server.requests
    assert request.body == STREAM
    assert request.done_ns is not None
    assert request.body_ns < request.written_ns[0]
    assert request.written_ns == sorted(request.written_ns)
    assert len(request.written_ns) == len(found) + 2


async def test_a_whole_answer_says_the_same() -> None:
    reply = Reply(steps=(Text(text="a"), Text(text="b"), ToolCall(name="t", arguments="{no json", pieces=5)))
    async with scripted_server(Script(replies=(reply,), models=("x", "y"))) as server:
        answer = (await post(server.base_url, ASK)).json()
        async with httpx2.AsyncClient(trust_env=False) as client:
            listed = (await client.get(f"{server.base_url}/models")).json()
            assert (await client.get(f"http://127.0.0.1:{server.port}/health")).json() == {"status": "ok"}
            assert (await client.get(f"{server.base_url}/nothing")).status_code == 404
    message = answer["choices"][0]["message"]
    assert message["content"] == "ab"
    assert message["tool_calls"][0]["function"] == {"name": "t", "arguments": "{no json"}
    assert answer["usage"]["completion_tokens"] == 3
    assert [entry["id"] for entry in listed["data"]] == ["x", "y"]


async def test_an_unparsed_call_and_raw_bytes() -> None:
    reply = Reply(steps=(Raw(data="data: {broken\n\n"),), finish_reason="tool_calls", model="other", fingerprint="f2")
    async with scripted_server(Script(replies=(reply,))) as server:
        text = (await post(server.base_url, STREAM)).text
    assert text.startswith("data: {broken\n\n")
    last = json.loads(text.split("data: ")[2])
    assert last["choices"] == [{"index": 0, "delta": {"role": "assistant"}, "finish_reason": "tool_calls"}]
    assert (last["model"], last["system_fingerprint"]) == ("other", "f2")


async def test_statuses_and_the_end_of_the_script() -> None:
    script = Script(replies=(Reply(status=503, error="busy"), Reply(steps=(Text(text="x"),))), after_last="error")
    async with scripted_server(script) as server:
        answers = [await post(server.base_url, ASK) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [503, 200, 500]
    assert answers[0].json() == {"error": {"message": "busy"}}


async def test_replies_repeat_and_probes_use_none_up() -> None:
    script = Script(replies=tuple(Reply(steps=(Text(text=text),)) for text in "ab"))
    async with scripted_server(script) as server:
        probe = await post(server.base_url, ASK | {"max_tokens": 1})
        texts = [(await post(server.base_url, ASK)).json()["choices"][0]["message"]["content"] for _ in range(3)]
    assert probe.json()["choices"][0]["finish_reason"] == "length"
    assert texts == ["a", "b", "a"]
    assert (len(server.probes), len(server.requests)) == (1, 3)


async def test_rules_follow_the_conversation() -> None:
    called = Reply(steps=(ToolCall(name="find"),))
    script = Script(
        rules=(
            Rule(contains="Where", turn=0, reply=called),
            Rule(contains="Where", turn=1, reply=Reply(steps=(Text(text="there"),))),
        ),
        replies=(Reply(steps=(Text(text="else"),)),),
    )
    later: JsonValue = [
        {"role": "user", "content": "Where is it?"},
        {"role": "assistant", "content": None},
        {"role": "tool", "content": "views.py"},
    ]
    async with scripted_server(script) as server:
        first = (await post(server.base_url, ASK)).json()
        second = (await post(server.base_url, ASK | {"messages": later})).json()
        third = (await post(server.base_url, ASK | {"messages": [{"role": "user", "content": "Why?"}]})).json()
    assert first["choices"][0]["finish_reason"] == "tool_calls"
    assert second["choices"][0]["message"]["content"] == "there"
    assert third["choices"][0]["message"]["content"] == "else"


async def test_a_cut_breaks_the_stream() -> None:
    async with scripted_server(Script(replies=(Reply(steps=(Text(text="a"), Cut(), Text(text="b"))),))) as server:
        text = (await post(server.base_url, STREAM)).text
    assert len(chunks(text)) == 1
    assert "[DONE]" not in text
    assert server.requests[0].done_ns is None


async def test_closing_lets_go_of_what_hangs() -> None:
    async with scripted_server(Script(replies=(Reply(steps=(Text(text="a"), Hang())),))) as server:
        url = f"{server.base_url}/chat/completions"
        with pytest.raises(httpx2.ReadTimeout):
            await asked(url, limit_s=0.2)
    assert server.requests[0].done_ns is None


async def test_a_client_that_only_connects_does_not_keep_the_server() -> None:
    async with scripted_server(Script()) as server:
        stream = await anyio.connect_tcp("127.0.0.1", server.port)
    await stream.aclose()


@pytest.mark.parametrize(
    "script",
    [Script(replies=(Reply(steps=(Die(),)),)), Script(ignores_term=True), Script(startup="exit")],
)
async def test_what_ends_a_process_needs_one_of_its_own(script: Script) -> None:
    with pytest.raises(ConfigurationError, match="as a program"):
        async with scripted_server(script):
            pass


async def test_a_body_that_is_no_object_is_refused() -> None:
    async with scripted_server(Script()) as server, httpx2.AsyncClient(trust_env=False) as client:
        answer = await client.post(f"{server.base_url}/chat/completions", content=b"[1]")
    assert answer.status_code == 400
