"""What a bad answer to the first question means: each in words, in bounded time and memory."""

from __future__ import annotations

import gzip
import json
import ssl
import subprocess
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx2
import pytest

from punie_trace.errors import ServerError
from punie_trace.http_clients import async_client
from punie_trace.servers.probe import BrokenError, NotYetError, RefusedError, first_token, listed_models, only_model
from punie_trace.testing import Reply, Script, Text, scripted_server

pytestmark = pytest.mark.anyio
OK = Reply(steps=(Text(text="."),), finish_reason="length")


async def ask(base_url: str, *, limit_s: float = 20.0) -> tuple[str | None, str | None]:
    async with async_client(f"{base_url}/", timeout=limit_s) as client:
        found = await first_token(client, "m", limit_s=limit_s)
    return found.model, found.fingerprint


async def models(base_url: str) -> list[str]:
    async with async_client(f"{base_url}/", timeout=20.0) as client:
        return await listed_models(client, limit_s=20.0)


def streamed(status: int, content: dict[str, object]) -> httpx2.Response:
    return httpx2.Response(status, stream=httpx2.ByteStream(json.dumps(content).encode()))


@asynccontextmanager
async def raw_server(answer: bytes, *, repeat: int = 1) -> AsyncGenerator[str]:
    """Sends the same bytes to whoever connects and asks, `repeat` times, until the client goes away."""

    async def serve(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            try:
                await stream.receive()
                for _ in range(repeat):
                    await stream.send(answer)
            except (anyio.BrokenResourceError, anyio.EndOfStream):
                pass

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        yield f"http://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}/v1"
        group.cancel_scope.cancel()


async def test_a_sound_answer_tells_who_answered() -> None:
    async with scripted_server(Script()) as server:
        assert await ask(server.base_url) == ("m", "fake-1")


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (Reply(status=401, error="Invalid API Key"), ServerError, r"answered 401 .*Invalid API Key.*--api-key-env"),
        (Reply(status=404, error="no such model"), ServerError, "answered 404 .*Check the url and the model's name"),
        (Reply(status=400, error="unknown field"), ServerError, "answered 400 .*Check the model and its options"),
        (Reply(status=503, error="Loading model"), NotYetError, "answered 503 .*Loading model"),
        (Reply(status=429, error="slow down"), NotYetError, "answered 429"),
        (Reply(status=500, error="boom"), BrokenError, "answered 500 .*boom"),
        (Reply(body='{"error": {"message": "no slot"}}'), BrokenError, "answered with an error: .*no slot"),
        (
            Reply(body="<!DOCTYPE html><title>Sign in</title>", content_type="text/html"),
            ServerError,
            "no OpenAI-compatible server: a web page, as of a login or a proxy",
        ),
        (
            Reply(status=302, body="", headers={"location": "https://login.example/?next=/v1"}),
            ServerError,
            r"redirects .*\(302, to https://login\.example/\?next=/v1\): a login or a proxy stands in between",
        ),
        (Reply(body=""), ServerError, "no OpenAI-compatible server: an empty answer"),
        (Reply(body="[" * 100_000), ServerError, r"no OpenAI-compatible server: \[\["),
        (Reply(body='{"choices": []}'), ServerError, "no OpenAI-compatible server"),
        (Reply(status=500, error="\x1b]52;c;ZXZpbA==\x07evil"), BrokenError, r"evil"),
    ],
)
async def test_an_answer_that_is_none(reply: Reply, kind: type[Exception], words: str) -> None:
    async with scripted_server(Script(probe=reply)) as server:
        with pytest.raises(kind, match=words) as caught:
            await ask(server.base_url)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    ("refused", "kept"), [("max_tokens", "max_completion_tokens"), ("max_completion_tokens", "max_tokens")]
)
async def test_what_a_server_refuses_is_left_out_of_the_probe(refused: str, kept: str) -> None:
    """As o-series models refuse max_tokens, and older servers the newer name; neither takes a temperature here."""
    seen: list[dict[str, object]] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        body = json.loads(request.content)
        seen.append(body)
        if refused in body:
            return streamed(400, {"error": {"message": f"Unsupported parameter: {refused}"}})
        if "temperature" in body:
            return streamed(422, {"error": {"message": "temperature is not supported"}})
        return streamed(200, {"choices": [{}], "model": body["model"]})

    transport = httpx2.MockTransport(handler)
    async with httpx2.AsyncClient(transport=transport, base_url="http://x/v1/") as client:
        found = await first_token(client, "m", limit_s=5)
    assert found.model == "m"
    assert seen[-1][kept] == 1
    assert "temperature" not in seen[-1]


async def test_where_every_form_is_refused_the_first_refusal_is_told() -> None:
    reply = Reply(status=400, error="max_tokens must be at least 16")
    async with scripted_server(Script(probe=reply)) as server:
        with pytest.raises(ServerError, match=r"answered 400 .*at least 16"):
            await ask(server.base_url)
    assert len(server.probes) == 4


async def test_a_compressed_answer_is_read() -> None:
    body = '{"choices": [{"message": {}}], "model": "m"}'
    async with scripted_server(Script(probe=Reply(body=body, gzip=True))) as server:
        assert await ask(server.base_url) == ("m", None)


async def test_a_gzip_bomb_is_given_up_in_bounded_memory() -> None:
    packed = gzip.compress(b"\0" * 200_000_000, compresslevel=9)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    async with raw_server(head + packed) as base_url:
        with pytest.raises(ServerError, match="its answer is longer than 4194304 bytes"):
            await ask(base_url)


async def test_an_endless_error_body_is_given_up() -> None:
    head = b"HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with raw_server(head + b"10000\r\n" + b"x" * 65536 + b"\r\n") as base_url:
        with pytest.raises(NotYetError, match="the connection broke"):
            await ask(base_url, limit_s=2)
    async with raw_server(b"HTTP/1.1 500 X\r\n\r\n" + b"x" * 65536, repeat=10_000) as base_url:
        with pytest.raises(ServerError, match="longer than 4194304 bytes"):
            await models(base_url)


async def test_an_answer_that_trickles_is_given_up_in_time() -> None:
    pieces = tuple(Text(text="x", delay_s=0.2) for _ in range(200))
    async with scripted_server(Script(probe=Reply(steps=pieces))) as server:
        started = time.monotonic()
        with pytest.raises(NotYetError, match="did not answer"):
            await ask(server.base_url, limit_s=1)
        assert time.monotonic() - started < 5


async def test_nothing_listens() -> None:
    async with scripted_server(Script()) as server:
        base_url = server.base_url
    with pytest.raises(RefusedError, match="it refuses connections"):
        await ask(base_url)


async def test_a_host_that_does_not_exist() -> None:
    with pytest.raises(ServerError, match=r"there is no host 'no-such-host\.invalid'"):
        await ask("http://no-such-host.invalid/v1")


async def test_tls_where_there_is_none_and_the_other_way_round(tls: ssl.SSLContext) -> None:
    async with scripted_server(Script()) as server:
        with pytest.raises(ServerError, match="it speaks no TLS; write http://"):
            await ask(server.base_url.replace("http://", "https://"))
    async with scripted_server(Script(), tls=tls) as server:
        with pytest.raises((ServerError, NotYetError)):
            await ask(server.base_url.replace("https://", "http://"))


async def test_a_self_signed_certificate_on_loopback_is_taken(tls: ssl.SSLContext) -> None:
    async with scripted_server(Script(), tls=tls) as server:
        assert await ask(server.base_url) == ("m", "fake-1")


async def test_a_certificate_that_nobody_vouches_for_is_named(tls: ssl.SSLContext) -> None:
    async with scripted_server(Script(), tls=tls) as server:
        strict = httpx2.AsyncClient(
            base_url=f"{server.base_url}/", verify=ssl.create_default_context(), trust_env=False
        )
        async with strict as client:
            with pytest.raises(ServerError, match=r"TLS failed .*certificate.*SSL_CERT_FILE"):
                await first_token(client, "m", limit_s=5)


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(status=401, error="key"), r"answered 401 when asked for its models.*api_key_env"),
        (Reply(status=404, error="none"), r"answered 404 when asked for its models.*or set model to the name"),
        (Reply(body="ok"), "does not list models"),
        (Reply(body='{"data": {}}'), "does not list models"),
    ],
)
async def test_a_list_of_models_that_is_none(reply: Reply, words: str) -> None:
    async with scripted_server(Script(pages={"/v1/models": reply})) as server:
        with pytest.raises(ServerError, match=words):
            await models(server.base_url)


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ('{"data": [{"id": "a"}, {"id": 3}, "x", null, {"id": "b", "owned_by": "vllm"}]}', ["a", "b"]),
        ('{"data": null}', []),
        ('{"data": []}', []),
    ],
)
async def test_lists_of_models_as_they_come(body: str, names: list[str]) -> None:
    async with scripted_server(Script(pages={"/v1/models": Reply(body=body)})) as server:
        assert await models(server.base_url) == names


def test_one_of_several_models_has_to_be_named() -> None:
    assert only_model(["a"], None) == "a"
    assert only_model(["a", "b"], "b") == "b"
    many = [f"model-{number}\x1b[2J" for number in range(5000)]
    with pytest.raises(ServerError, match=r"lists 5000 models; set model \(or --served-model\) to one of") as caught:
        only_model(many, None)
    assert len(str(caught.value)) < 2000
    with pytest.raises(ServerError, match=r"lists 0 models.*\(it lists none\)"):
        only_model([], "x")


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    folder: Path = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    try:
        subprocess.run(
            [*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True, timeout=60
        )
    except FileNotFoundError:
        pytest.skip("openssl makes the certificate, and is not installed")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context
