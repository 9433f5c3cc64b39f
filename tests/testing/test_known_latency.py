"""The server of known latency: its answers are OpenAI's, its times are those that were set, and its truth is whole."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import httpx2
import pytest

from punie_trace.servers.ports import free_port
from punie_trace.testing import KnownLatency, ScriptedServer, scripted_server
from punie_trace.testing.asked import JsonObject

pytestmark = pytest.mark.anyio
ASK: JsonObject = {"model": "m", "messages": [{"role": "user", "content": "Where is it?"}]}
STREAM: JsonObject = ASK | {"stream": True, "stream_options": {"include_usage": True}}
MS = 1_000_000


async def post(client: httpx2.AsyncClient, server: ScriptedServer, body: JsonObject) -> httpx2.Response:
    return await client.post(f"{server.base_url}/chat/completions", json=body)


async def recorded(server: ScriptedServer) -> None:
    """Wait until the server has written a request down."""
    for _ in range(1000):
        if server.truth:
            return
        await anyio.sleep(0.01)


@pytest.fixture
async def client() -> AsyncGenerator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(trust_env=False, timeout=20) as opened:
        yield opened


async def test_chunks_leave_no_earlier_than_they_were_set_to(client: httpx2.AsyncClient) -> None:
    async with scripted_server(KnownLatency(first_s=0.03, between_s=0.005, chunks=4)) as server:
        text = (await post(client, server, STREAM)).text
    (truth,) = server.truth
    assert truth.kind == "text"
    assert truth.done_ns is not None
    assert len(truth.written_ns) == 7, "four chunks, the reason of the end, the usage, the end mark"
    waits = [at - truth.body_ns for at in truth.written_ns]
    assert waits == sorted(waits)
    for number in range(4):
        assert waits[number] >= (30 + 5 * number) * MS - 1000  # the loop keeps time in floats
    found = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
    assert "".join(c["delta"].get("content", "") for chunk in found for c in chunk["choices"]) == "".join(
        f"word{number} " for number in range(4)
    )
    assert found[-1]["usage"]["completion_tokens"] == 4
    assert {chunk["model"] for chunk in found} == {"m"}
    assert text.endswith("data: [DONE]\n\n")


async def test_a_connection_is_kept_and_every_request_told_apart(client: httpx2.AsyncClient) -> None:
    async with scripted_server(KnownLatency(first_s=0, between_s=0, chunks=1)) as server:
        for number in range(3):
            headers = {"traceparent": f"00-{number:032x}-{1:016x}-01"}
            await client.post(f"{server.base_url}/chat/completions", json=STREAM, headers=headers)
        assert len(server._open) == 1
    assert [truth.id for truth in server.truth] == [1, 2, 3]
    assert [truth.traceparent for truth in server.truth] == [f"00-{n:032x}-{1:016x}-01" for n in range(3)]


async def test_a_tool_is_called_until_it_has_answered(client: httpx2.AsyncClient) -> None:
    settings = KnownLatency(first_s=0, between_s=0, chunks=1, tool="find_definition", tool_arguments={"name": "X"})
    answered: JsonObject = ASK | {
        "messages": [
            {"role": "user", "content": "?"},
            {"role": "assistant", "content": None},
            {"role": "tool", "content": "there"},
        ]
    }
    async with scripted_server(settings) as server:
        called = (await post(client, server, STREAM)).text
        whole = (await post(client, server, answered)).json()
    assert '\\"name\\": \\"X\\"' in called
    assert whole["choices"][0]["message"]["content"] == "word0 "
    assert [truth.kind for truth in server.truth] == ["tool", "whole"]


async def test_failures_are_as_many_as_the_seed_says(client: httpx2.AsyncClient) -> None:
    settings = KnownLatency(first_s=0, between_s=0, chunks=2, fail_share=0.5, seed=3)
    statuses = []
    for _ in range(2):
        async with scripted_server(settings) as server:
            statuses.append([(await post(client, server, STREAM)).status_code for _ in range(12)])
    assert statuses[0] == statuses[1]
    assert set(statuses[0]) == {200, 500}


async def test_a_cut_answer_stops_half_way(client: httpx2.AsyncClient) -> None:
    async with scripted_server(KnownLatency(first_s=0, between_s=0, chunks=4, cut_share=1)) as server:
        with pytest.raises(httpx2.RemoteProtocolError):
            await post(client, server, STREAM)
        await recorded(server)
    (truth,) = server.truth
    assert (truth.kind, len(truth.written_ns)) == ("cut", 2)


async def test_a_client_that_goes_away_leaves_an_unfinished_truth() -> None:
    async with scripted_server(KnownLatency(first_s=30)) as server:
        _, writer = await asyncio.open_connection(server.host, server.port)
        body = json.dumps(STREAM).encode()
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:20])
        await writer.drain()
        await asyncio.sleep(0.02)
        assert not server.truth, "the body has not come yet"
        writer.write(body[20:])
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.close()
        await recorded(server)
    assert server.truth[0].done_ns is None


async def test_other_requests_get_an_answer(client: httpx2.AsyncClient) -> None:
    async with scripted_server(KnownLatency(models=("a", "b"))) as server:
        assert (await client.get(f"{server.base_url}/models")).json()["data"][1]["id"] == "b"
        assert (await client.get(f"http://127.0.0.1:{server.port}/health")).json() == {"status": "ok"}
        assert (await client.get(f"{server.base_url}/nothing")).status_code == 404
        assert (await client.post(f"{server.base_url}/nothing", json={})).status_code == 404
        bad = await client.post(f"{server.base_url}/chat/completions", content=b"[1]")
        assert bad.status_code == 400
        probe = await post(client, server, ASK | {"max_tokens": 1})
        assert probe.json()["choices"][0]["finish_reason"] == "length"


async def test_as_a_program_it_leaves_its_truth(tmp_path: Path, client: httpx2.AsyncClient) -> None:
    port, truth = free_port("127.0.0.1"), tmp_path / "truth.jsonl"
    flags = ["--port", str(port), "--first-ms", "1", "--between-ms", "0", "--chunks", "2", "--record", str(truth)]
    command = [sys.executable, "-m", "punie_trace.testing", *flags]
    with subprocess.Popen(command) as program:  # noqa: ASYNC220
        try:
            with anyio.fail_after(60):
                while True:
                    try:
                        answer = await client.post(f"http://127.0.0.1:{port}/v1/chat/completions", json=STREAM)
                        break
                    except httpx2.ConnectError:
                        await anyio.sleep(0.05)
            assert answer.status_code == 200
        finally:
            program.send_signal(signal.SIGTERM)
        assert await anyio.to_thread.run_sync(program.wait, 30) == 0
    (line,) = truth.read_text().splitlines()
    written = json.loads(line)
    assert (written["id"], written["kind"], len(written["written_ns"])) == (1, "text", 5)


def test_settings_that_cannot_be_are_refused_in_one_line() -> None:
    command = [sys.executable, "-m", "punie_trace.testing", "--port", "1", "--jitter", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 2
    assert "error: jitter: " in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
