"""`open_server` against fakes, as programs or in this process: what goes wrong, who answers, and what is left."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import httpx2
import psutil
import pytest

from punie_trace.errors import ConfigurationError, IdentityError, ModelError, ServerError
from punie_trace.records import Generation
from punie_trace.servers import ports
from punie_trace.servers.config import ServerConfig
from punie_trace.servers.kinds import CommandConfig, MlxLmConfig, UrlConfig
from punie_trace.servers.readiness import ServerTimeouts
from punie_trace.servers.server import open_server
from punie_trace.testing import Die, Reply, Script, Text, scripted_server

pytestmark = pytest.mark.anyio

Fake = Callable[..., CommandConfig]
BODY = {"model": "fake-model", "messages": [{"role": "user", "content": "x"}]}


async def ask(url: str, body: dict[str, object] | None = None) -> httpx2.Response:
    async with httpx2.AsyncClient(trust_env=False, timeout=10) as client:
        return await client.post(f"{url}/chat/completions", json=body or BODY)


async def opened(config: ServerConfig, log_path: Path, timeouts: ServerTimeouts) -> None:
    """Opens and closes, for servers that must not open."""
    async with open_server(config, log_path=log_path, timeouts=timeouts):
        pytest.fail("it opened")


async def until(condition: Callable[[], object]) -> None:
    with anyio.fail_after(20):
        while not condition():  # noqa: ASYNC110
            await anyio.sleep(0.02)


def alive(pid: int | None) -> bool:
    assert pid is not None
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


ANSWER = Generation(sent_ns=0, done_ns=1, status=200, served_model="fake-model", fingerprint="fake-1")


def answer(**fields: Any) -> Generation:
    return replace(ANSWER, **fields)


async def test_a_command_is_started_identified_and_ended(
    fake_program: Fake, tmp_path: Path, quick: ServerTimeouts
) -> None:
    states: list[str] = []
    log = tmp_path / "deep" / "server.log"
    config = fake_program(Script(replies=(Reply(steps=(Text(text="ok"),)),), says="hello log"))
    async with open_server(config, log_path=log, timeouts=quick, on_state=states.append) as server:
        assert server.request_model == server.identity.model == "fake-model"
        assert server.identity.fingerprint == "fake-1"
        assert server.identity.kind == "command"
        assert server.base_url == f"http://127.0.0.1:{server.identity.port}/v1"
        assert (await ask(server.base_url)).json()["choices"][0]["message"]["content"] == "ok"
        server.verify(answer())
        memory = server.memory()
        assert memory is not None
        assert memory.peak_bytes >= memory.now_bytes > 0
        assert server.failure() is None
        assert server.log_tail() == "hello log"
        pid = server.identity.pid
        assert alive(pid)
    assert states == ["starting", "loading", "ready", "stopping", "stopped"]
    assert not alive(pid)


@pytest.mark.parametrize("ends", ["error", "cancel"])
async def test_the_server_ends_however_the_block_ends(
    ends: str, fake_program: Fake, tmp_path: Path, quick: ServerTimeouts
) -> None:
    pids: list[int | None] = []

    async def use() -> None:
        async with open_server(fake_program(), log_path=tmp_path / "log", timeouts=quick) as server:
            pids.append(server.identity.pid)
            if ends == "error":
                msg = "boom"
                raise RuntimeError(msg)
            await anyio.sleep_forever()

    if ends == "error":
        with pytest.raises(RuntimeError, match="boom"):
            await use()
    else:
        async with anyio.create_task_group() as group:
            group.start_soon(use)
            await until(lambda: pids)
            group.cancel_scope.cancel()
    assert len(pids) == 1
    assert not alive(pids[0])


@pytest.mark.parametrize("state", ["loading", "ready", "stopping", "stopped"])
async def test_a_listener_that_raises_leaves_no_server(
    state: str, fake_program: Fake, tmp_path: Path, quick: ServerTimeouts
) -> None:
    def hear(words: str) -> None:
        if words == state:
            raise BrokenPipeError(words)

    config = fake_program()
    with pytest.raises(BrokenPipeError):
        async with open_server(config, log_path=tmp_path / "log", timeouts=quick, on_state=hear):
            pass
    assert not running_with(config.command[-1])


def running_with(argument: str) -> list[psutil.Process]:
    return [found for found in psutil.process_iter(["cmdline"]) if argument in (found.info["cmdline"] or ())]


async def test_cancelling_while_it_loads_leaves_nothing(
    fake_program: Fake, tmp_path: Path, quick: ServerTimeouts
) -> None:
    config = fake_program(Script(startup="deaf", says="loading"))
    log = tmp_path / "log"
    async with anyio.create_task_group() as group:
        group.start_soon(opened, config, log, quick)
        await until(lambda: log.exists() and "loading" in log.read_text())
        group.cancel_scope.cancel()
    assert not running_with(config.command[-1])


async def test_a_server_that_ignores_term_is_killed(fake_program: Fake, tmp_path: Path) -> None:
    limits = ServerTimeouts(ready_s=20, poll_s=0.02, stop_s=0.2)
    config = fake_program(Script(ignores_term=True))
    async with open_server(config, log_path=tmp_path / "log", timeouts=limits) as server:
        pid = server.identity.pid
    assert not alive(pid)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (Script(startup="exit", exit_code=9, says="no such weights"), r"exited with code 9 .*\n.*\nno such weights"),
        (Script(startup="exit", exit_code=0), "must stay in the foreground"),
    ],
)
async def test_a_server_that_exits_while_loading(
    script: Script, words: str, fake_program: Fake, tmp_path: Path, quick: ServerTimeouts
) -> None:
    with pytest.raises(ServerError, match=words):
        await opened(fake_program(script), tmp_path / "log", quick)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (
            Script(startup="deaf", says="still loading"),
            r"not ready within 5 s: it never listened .*\n.*\nstill loading",
        ),
        (Script(startup="mute"), "not ready within 5 s: it did not answer"),
        (Script(startup="error"), "not ready within 5 s: it answered 500"),
    ],
)
async def test_a_server_that_never_gets_ready(script: Script, words: str, fake_program: Fake, tmp_path: Path) -> None:
    limits = ServerTimeouts(ready_s=5, poll_s=0.02, stop_s=2)
    with pytest.raises(ServerError, match=words):
        await opened(fake_program(script, model="fake-model"), tmp_path / "log", limits)


async def test_a_server_that_dies_in_the_middle(fake_program: Fake, tmp_path: Path, quick: ServerTimeouts) -> None:
    script = Script(replies=(Reply(steps=(Text(text="a"), Die(code=3))),), says="my last words")
    async with open_server(fake_program(script), log_path=tmp_path / "log", timeouts=quick) as server:
        with pytest.raises(httpx2.HTTPError):
            (await ask(server.base_url)).raise_for_status()
        await until(lambda: server.failure() is not None)
        assert server.failure() == "exited with code 3"
        assert server.log_tail() == "my last words"
        with pytest.raises(ServerError, match=r"exited with code 3\nIts last output:\nmy last words"):
            server.verify(answer(error="cut"))


async def test_a_server_that_dies_while_its_starter_lives_on(tmp_path: Path, quick: ServerTimeouts) -> None:
    served = f"{sys.executable} -m punie_trace.testing --port {{port}} & sleep 300"
    environment = {"PYDANTIC_DISABLE_PLUGINS": "__all__"}
    config = CommandConfig(command=("sh", "-c", served), environment=environment)
    async with open_server(config, log_path=tmp_path / "log", timeouts=quick) as server:
        assert server.failure() is None
        assert server.identity.pid is not None
        os.kill(server.identity.pid, signal.SIGKILL)
        await until(lambda: server.failure() is not None)
        assert server.failure() == (
            f"no longer listens: its process {server.identity.pid} has ended, though others that it started still run"
        )


async def test_a_server_that_only_answers_500_is_given_up_in_words(tmp_path: Path) -> None:
    limits = ServerTimeouts(ready_s=60, poll_s=0.02, broken_s=0.5, slow_poll_s=0.1)
    states: list[str] = []
    script = Script(probe=Reply(status=500, error="CUDA error"), pages={"/metrics": Reply(status=404)})
    async with scripted_server(script) as fake:
        with pytest.raises(ServerError, match=r"answered 500 .*CUDA error.*\(asked \d+ times in \d+ s\)"):
            async with open_server(
                UrlConfig(url=fake.base_url), log_path=tmp_path / "log", timeouts=limits, on_state=states.append
            ):
                pytest.fail("it opened")
    assert len(fake.probes) < 40
    assert [state for state in states if state.startswith("waiting: it answered 500")]


async def test_a_list_of_models_that_fails_is_no_hindrance_where_the_model_is_named(
    tmp_path: Path, quick: ServerTimeouts
) -> None:
    script = Script(pages={"/v1/models": Reply(status=500)}, probe=Reply(model="X@main"))
    async with (
        scripted_server(script) as fake,
        open_server(UrlConfig(url=fake.base_url, model="X"), log_path=tmp_path / "log", timeouts=quick) as server,
    ):
        assert server.identity.model == "X@main"
        server.verify(answer(served_model="X@main"))


async def test_a_command_that_is_not_there(tmp_path: Path, quick: ServerTimeouts) -> None:
    config = CommandConfig(command=("no-such-program", "{port}"))
    with pytest.raises(ConfigurationError, match="'no-such-program' was not found"):
        await opened(config, tmp_path / "log", quick)


async def test_a_port_in_use_names_who_uses_it(fake_program: Fake, tmp_path: Path, quick: ServerTimeouts) -> None:
    async with scripted_server(Script()) as stranger:
        with pytest.raises(ServerError, match=rf"port {stranger.port} is in use by pid {os.getpid()} \(.+\); end that"):
            await opened(fake_program(port=stranger.port), tmp_path / "log", quick)
    assert not stranger.probes


async def test_a_stranger_is_never_taken_for_ours(fake_program: Fake, tmp_path: Path, quick: ServerTimeouts) -> None:
    """It takes the port after we looked, while ours still loads; it answers well, and ours is left out in the cold."""
    port = ports.free_port("127.0.0.1")
    config = fake_program(Script(load_s=30), port=port)
    squatters: list[subprocess.Popen[bytes]] = []

    def take(state: str) -> None:
        if state == "loading":
            program = (sys.executable, "-m", "punie_trace.testing", "--port", str(port))
            squatters.append(subprocess.Popen(program))

    try:
        with pytest.raises(ServerError, match=rf"port {port} is answered by pid \d+ .*, not by our server; leave port"):
            async with open_server(config, log_path=tmp_path / "log", timeouts=quick, on_state=take):
                pytest.fail("it opened")
    finally:
        for squatter in squatters:
            squatter.terminate()
            squatter.wait()
    assert len(squatters) == 1


async def test_a_free_port_that_is_snatched_is_replaced(
    fake_program: Fake, tmp_path: Path, quick: ServerTimeouts, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = ports.free_port
    async with scripted_server(Script()) as stranger:
        handed_out = iter([stranger.port])
        monkeypatch.setattr(ports, "free_port", lambda host: next(handed_out, None) or real(host))
        async with open_server(fake_program(), log_path=tmp_path / "log", timeouts=quick) as server:
            assert server.identity.port != stranger.port
    assert not stranger.probes


async def test_two_at_once_get_two_ports(fake_program: Fake, tmp_path: Path, quick: ServerTimeouts) -> None:
    async with (
        open_server(fake_program(), log_path=tmp_path / "a", timeouts=quick) as one,
        open_server(fake_program(), log_path=tmp_path / "b", timeouts=quick) as two,
    ):
        assert one.identity.port != two.identity.port
        assert one.identity.pid != two.identity.pid


async def test_a_model_that_is_not_there_starts_nothing(tmp_path: Path, quick: ServerTimeouts) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        await opened(MlxLmConfig(model_path=str(tmp_path / "none")), tmp_path / "log", quick)
    assert not (tmp_path / "log").exists()


async def test_a_log_folder_that_cannot_be_written(fake_program: Fake, tmp_path: Path, quick: ServerTimeouts) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ServerError, match="cannot be written"):
        await opened(fake_program(), tmp_path / "file" / "log", quick)


async def test_a_url_is_used_and_left_alone(tmp_path: Path, quick: ServerTimeouts) -> None:
    async with scripted_server(Script()) as fake:
        for url in (fake.base_url, fake.base_url.removesuffix("/v1"), f"{fake.base_url}/chat/completions"):
            config = UrlConfig(url=url)
            async with open_server(config, log_path=tmp_path / "log", timeouts=quick) as server:
                assert server.base_url == fake.base_url
                assert server.request_model == "fake-model"
                assert server.memory() is None
                assert server.failure() is None
                assert server.identity.pid is None
                server.verify(answer())
        assert (await ask(fake.base_url)).status_code == 500  # still there: the script is empty
    assert not (tmp_path / "log").exists()


async def test_nothing_runs_at_the_url(tmp_path: Path, quick: ServerTimeouts) -> None:
    for model in (None, "m"):
        config = UrlConfig(url=f"http://127.0.0.1:{ports.free_port('127.0.0.1')}", model=model)
        with pytest.raises(
            ServerError, match=r"http://127\.0\.0\.1:\d+/v1: nothing is running there.*start the server"
        ):
            await opened(config, tmp_path / "log", quick)


async def test_something_else_runs_at_the_url(tmp_path: Path, quick: ServerTimeouts) -> None:
    async def serve(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\n<html>")

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        with pytest.raises(
            ServerError, match=r"no OpenAI-compatible server: a web page, as of a login or a proxy \(<html>\)"
        ):
            await opened(UrlConfig(url=f"http://127.0.0.1:{port}", model="m"), tmp_path / "log", quick)
        with pytest.raises(ServerError, match=r"does not list models .*; set model"):
            await opened(UrlConfig(url=f"http://127.0.0.1:{port}"), tmp_path / "log", quick)
        group.cancel_scope.cancel()


async def test_a_server_with_several_models_must_be_told_which(tmp_path: Path, quick: ServerTimeouts) -> None:
    async with scripted_server(Script(models=("small", "large"))) as fake:
        with pytest.raises(
            ServerError, match=r"lists 2 models; set model \(or --served-model\) to one of: small, large"
        ):
            await opened(UrlConfig(url=fake.base_url), tmp_path / "log", quick)
        config = UrlConfig(url=fake.base_url, model="large")
        async with open_server(config, log_path=tmp_path / "log", timeouts=quick) as server:
            assert server.request_model == "large"


async def test_the_key_is_read_from_its_variable_and_kept_nowhere(
    tmp_path: Path, quick: ServerTimeouts, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scripted_server(Script()) as fake:
        config = UrlConfig(url=fake.base_url, api_key_env="TEST_KEY")
        monkeypatch.delenv("TEST_KEY", raising=False)
        with pytest.raises(ConfigurationError, match="TEST_KEY, which is not set; export it"):
            await opened(config, tmp_path / "log", quick)
        monkeypatch.setenv("TEST_KEY", "s3cret")
        async with open_server(config, log_path=tmp_path / "log", timeouts=quick) as server:
            assert server.api_key() == "s3cret"
            assert "s3cret" not in repr(server)
    assert fake.probes[-1].headers["authorization"] == "Bearer s3cret"


async def test_an_answer_from_elsewhere_is_refused(tmp_path: Path, quick: ServerTimeouts) -> None:
    async with scripted_server(Script()) as fake:
        config = UrlConfig(url=fake.base_url)
        async with open_server(config, log_path=tmp_path / "log", timeouts=quick) as server:
            with pytest.raises(IdentityError, match=r"'fake-model' was asked and 'other' answered.*check_identity"):
                server.verify(answer(served_model="other"))
            server.verify(answer(served_model=None))  # nothing contradicts: many streams do not name their model
            server.verify(answer(served_model="fake-model-2025-01-31"))
            server.verify(answer(served_model=None, fingerprint=None, status=500))
            server.verify(answer(served_model=None, fingerprint=None, status=None, error="refused"))


async def test_a_server_of_ours_keeps_its_fingerprint_and_a_hosted_one_need_not(
    fake_program: Fake, tmp_path: Path, quick: ServerTimeouts
) -> None:
    changed = answer(fingerprint="fake-2")
    async with open_server(fake_program(Script()), log_path=tmp_path / "log", timeouts=quick) as server:
        with pytest.raises(IdentityError, match="fingerprint changed from 'fake-1' to 'fake-2'"):
            server.verify(changed)
    async with scripted_server(Script()) as fake:
        config = UrlConfig(url=fake.base_url)
        async with open_server(config, log_path=tmp_path / "log", timeouts=quick) as server:
            server.verify(changed)


async def test_a_port_that_cannot_be_bound(fake_program: Fake, tmp_path: Path, quick: ServerTimeouts) -> None:
    with pytest.raises(ServerError, match=r"cannot listen on 192\.0\.2\.1: .*; check host and port"):
        await opened(fake_program(host="192.0.2.1"), tmp_path / "log", quick)


RUNNER = """
import json, sys, anyio
from dataclasses import replace
from pathlib import Path
from typing import Any
from punie_trace.servers.config import server_config
from punie_trace.servers.server import open_server

async def main():
    config = server_config(json.loads(sys.argv[1]))
    async with open_server(config, log_path=Path(sys.argv[2])) as server:
        print(server.identity.pid, server.identity.port, flush=True)
        await anyio.sleep_forever()

anyio.run(main)
"""


@pytest.mark.parametrize("ignores_term", [False, True])
def test_killing_the_runner_leaves_no_server(ignores_term: bool, fake_program: Fake, tmp_path: Path) -> None:
    config = fake_program(Script(ignores_term=ignores_term))
    argv = [sys.executable, "-c", RUNNER, config.model_dump_json(), str(tmp_path / "log")]
    runner = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert runner.stdout is not None
    with runner.stdout:
        pid, port = (int(word) for word in runner.stdout.readline().split())
    assert alive(pid)
    runner.send_signal(signal.SIGKILL)
    runner.wait()
    psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=5)
    assert not alive(pid)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=1)
