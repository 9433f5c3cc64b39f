"""Real processes: how they start, what they leave in the log, and that they end, whatever happens to whom."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import psutil
import pytest

from punie_trace.errors import ServerError
from punie_trace.servers.process import ServerProcess, start_process
from punie_trace.servers.server_log import log_tail

pytestmark = pytest.mark.anyio

# Prints the pids of itself and of a child, then waits; with 'deaf' neither obeys TERM.
TREE = """
import os, signal, subprocess, sys, time
deaf = "deaf" in sys.argv
if deaf:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "600"], start_new_session="detached" in sys.argv)
print(os.getpid(), child.pid, flush=True)
if "leave" in sys.argv:
    sys.exit(7)
time.sleep(600)
"""


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


STARTED: list[ServerProcess] = []


@pytest.fixture(autouse=True)
def ended() -> Iterator[None]:
    """A test that fails leaves nothing running, and nothing unreaped for a later test to be blamed for."""
    yield
    while STARTED:
        left = STARTED.pop()
        if left._popen.poll() is None:
            os.close(left._lifeline)  # the launcher then ends all that was started
            left._popen.wait(20)


def start(tmp_path: Path, *argv: str) -> ServerProcess:
    process = start_process(argv, os.environ, "", tmp_path / "logs" / "server.log")
    STARTED.append(process)
    return process


def python(tmp_path: Path, code: str, *argv: str) -> ServerProcess:
    return start(tmp_path, sys.executable, "-c", code, *argv)


async def until(condition: Callable[[], object], limit_s: float = 20) -> None:
    with anyio.fail_after(limit_s):
        while not condition():  # noqa: ASYNC110
            await anyio.sleep(0.02)


async def pids_in(process: ServerProcess) -> list[int]:
    await until(lambda: len(process.log_tail().split()) == 2)
    return [int(word) for word in process.log_tail().split()]


@pytest.mark.parametrize("arguments", [(), ("deaf",), ("detached",), ("deaf", "detached")])
async def test_stop_ends_the_server_and_all_that_it_started(arguments: tuple[str, ...], tmp_path: Path) -> None:
    process = python(tmp_path, TREE, *arguments)
    pids = await pids_in(process)
    assert [found.pid for found in process.processes()] == pids
    await process.stop(0.3)
    assert not any(alive(pid) for pid in pids)
    assert process.exit_code() == (-signal.SIGKILL if "deaf" in arguments else -signal.SIGTERM)
    assert not psutil.pid_exists(process.group)  # reaped, no zombie


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has subreapers")
async def test_what_a_server_leaves_behind_ends_with_it(tmp_path: Path) -> None:
    process = python(tmp_path, TREE, "leave", "detached")
    pids = await pids_in(process)
    await until(lambda: process.exit_code() is not None)
    assert process.exit_code() == 7
    await until(lambda: not any(alive(pid) for pid in pids))  # told of the server's end first, then rid of the rest
    await process.stop(1)


async def test_output_goes_to_the_log_and_the_exit_code_comes_back(tmp_path: Path) -> None:
    process = python(tmp_path, "import sys; print('out'); print('err', file=sys.stderr); sys.exit(5)")
    await until(lambda: process.exit_code() is not None)
    assert process.failure() == "exited with code 5"
    assert sorted(process.log_tail().split()) == ["err", "out"]
    await process.stop(1)


async def test_a_signal_comes_back_as_one(tmp_path: Path) -> None:
    process = python(tmp_path, "import os; os.kill(os.getpid(), 9)")
    await until(lambda: process.exit_code() is not None)
    assert process.failure() == "was ended by SIGKILL (often: the system ran out of memory)"
    await process.stop(1)


async def test_a_program_that_cannot_run_says_so_in_the_log(tmp_path: Path) -> None:
    process = start(tmp_path, str(tmp_path))
    await until(lambda: process.exit_code() is not None)
    assert process.exit_code() == 127
    assert "cannot run" in process.log_tail()
    await process.stop(1)


async def test_a_full_log_pipe_cannot_happen(tmp_path: Path) -> None:
    process = python(tmp_path, "print(('y' * 79 + '\\n') * 20000)")
    await until(lambda: process.exit_code() is not None)
    assert process.exit_code() == 0
    assert process.log_path.stat().st_size > 20000 * 80
    assert len(process.log_tail()) < 6001
    await process.stop(1)


def test_a_log_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "logs").touch()
    with pytest.raises(ServerError, match=r"cannot be written: .*; give a folder that can"):
        start(tmp_path, "true")


async def test_cancelling_a_stop_still_ends_the_server(tmp_path: Path) -> None:
    process = python(tmp_path, TREE)
    pids = await pids_in(process)
    with anyio.move_on_after(0):
        await process.stop(5)
    assert not any(alive(pid) for pid in pids)


KEY = "sk-proj-0123456789/abc"
# Prints the key in two pieces, and again when it is ended.
TELLS = f"""
import signal, sys, time
key = {KEY!r}
signal.signal(signal.SIGTERM, lambda *_: (print("ended with", key, flush=True), sys.exit(3)))
print("started with", key[:9], end="", flush=True)
time.sleep(0.1)
print(key[9:], "and goes on", flush=True)
time.sleep(600)
"""


async def test_what_must_be_hidden_never_reaches_the_log(tmp_path: Path) -> None:
    process = start_process([sys.executable, "-c", TELLS], os.environ, "", tmp_path / "server.log", [KEY])
    await until(lambda: "goes on" in process.log_tail())
    assert process.log_tail() == "started with *** and goes on"
    await process.stop(5)
    assert process.log_tail().splitlines() == ["started with *** and goes on", "ended with ***"]
    assert process.failure() == "exited with code 3"


async def test_a_flood_through_the_pipe_is_whole_when_the_server_has_ended(tmp_path: Path) -> None:
    code = f"for n in range(20000): print('y' * 79, {KEY!r} if n % 100 == 0 else n)\nraise SystemExit(5)"
    process = start_process([sys.executable, "-c", code], os.environ, "", tmp_path / "server.log", [KEY, KEY[:12]])
    await until(lambda: process.exit_code() is not None)
    lines = process.log_path.read_text().splitlines()
    assert process.exit_code() == 5
    assert lines == ["y" * 79 + (" ***" if n % 100 == 0 else f" {n}") for n in range(20000)]
    await process.stop(1)


async def test_a_runner_that_is_killed_leaves_no_key_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    code = RUNNER.replace("Path(sys.argv[2])", f"Path(sys.argv[2]), [{KEY!r}]")
    with subprocess.Popen([sys.executable, "-c", code, TELLS, str(log)], stdout=subprocess.PIPE) as runner:  # noqa: ASYNC220
        await until(lambda: "goes on" in log_tail(log))
        runner.kill()
        await until(lambda: "ended with" in log_tail(log))
    assert log_tail(log).splitlines() == ["started with *** and goes on", "ended with ***"]


RUNNER = """
import os, sys, time
from pathlib import Path
from punie_trace.servers.process import start_process
process = start_process([sys.executable, "-c", sys.argv[1], *sys.argv[3:]], os.environ, "", Path(sys.argv[2]))
print(process.group, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("arguments", [(), ("deaf",), ("detached",)])
async def test_killing_the_runner_ends_the_server(arguments: tuple[str, ...], tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    runner = subprocess.Popen(  # noqa: ASYNC220 - it is killed, not waited for
        [sys.executable, "-c", RUNNER, TREE, str(log), *arguments], stdout=subprocess.PIPE, text=True
    )
    assert runner.stdout is not None
    with runner.stdout:
        launcher = int(runner.stdout.readline())
    await until(lambda: len(log_tail(log).split()) == 2)
    pids = [launcher, *(int(word) for word in log_tail(log).split())]
    assert all(alive(pid) for pid in pids)
    runner.send_signal(signal.SIGKILL)
    runner.wait()
    await until(lambda: not any(alive(pid) for pid in pids), limit_s=5)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a parent-death signal")
async def test_killing_the_launcher_ends_the_server(tmp_path: Path) -> None:
    process = python(tmp_path, TREE)
    server, child = await pids_in(process)
    os.kill(process.group, signal.SIGKILL)
    await until(lambda: not alive(server))
    await until(lambda: process.failure() is not None)
    await process.stop(1)
    os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize(
    ("content", "tail"),
    [
        (b"", ""),
        (b"a\nb\n", "a\nb"),
        (b"10%\r50%\r100%\nend\n", "100%\nend"),
        (b"\x1b[31mred\x1b[0m\xff\x00\n", "red\ufffd"),
        (b"x" * 9000, "x" * 6000),
        (b"first\n" + b"y" * 5996 + b"\nlast\n", "last"),
        (b"\n".join(b"%d" % number for number in range(100)), "\n".join(str(number) for number in range(60, 100))),
    ],
)
def test_the_end_of_a_log(content: bytes, tail: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(content)
    assert log_tail(log) == tail


def test_a_log_that_is_not_there(tmp_path: Path) -> None:
    assert log_tail(tmp_path / "none") == ""


OUTLIVED = """
import subprocess, sys
child = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('child', flush=True); time.sleep(60)"
process = subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE)
process.stdout.readline()
print(process.pid, flush=True)
sys.exit(7)
"""


async def test_the_end_of_a_server_is_known_while_a_child_outlives_it(tmp_path: Path) -> None:
    process = start_process([sys.executable, "-c", OUTLIVED], os.environ, "", tmp_path / "log")
    await until(lambda: process.failure() is not None)
    assert process.failure() == "exited with code 7"
    child = int(process.log_tail())
    assert process._popen.poll() is None, "the launcher still waits for the child, which ignores TERM"
    await process.stop(5)
    assert process.failure() == "exited with code 7"
    await until(lambda: not alive(child))
