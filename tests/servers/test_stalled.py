from __future__ import annotations

import sys
from pathlib import Path

import anyio
import pytest

from punie_trace.errors import ServerError
from punie_trace.servers.kinds import CommandConfig
from punie_trace.servers.readiness import ServerTimeouts
from punie_trace.servers.server import open_server
from punie_trace.servers.stalled import last_exception

pytestmark = pytest.mark.anyio

HEAD = "starting\nTraceback (most recent call last):\n  File 'x', line 1\n    run()\n"


@pytest.mark.parametrize(
    ("log", "says"),
    [
        ("", None),
        ("UserWarning: not for production\n", None),
        (HEAD, None),
        (HEAD + "UserWarning: not for production\n", "UserWarning: not for production"),
        (HEAD + "mlx.core.Failure\n  with a line more\n", "mlx.core.Failure"),
        (HEAD + "KeyError: 1\n\nDuring handling\n\n" + HEAD + "TypeError: 2", "TypeError: 2"),
        (HEAD + "KeyError: 1\nINFO: it goes on\n", None),
        (HEAD + "something else\n", None),
    ],
)
def test_a_log_that_ends_with_an_exception(log: str, says: str | None) -> None:
    assert last_exception(log) == says


FAILS = (
    "import threading, time; threading.Thread(target=time.sleep, args=(300,)).start(); {before}; raise UserWarning('x')"
)


@pytest.mark.parametrize(
    "before",
    ["pass", "import socket; s = socket.socket(); s.bind(('127.0.0.1', {port})); s.listen()"],
    ids=["listening to nobody", "listening without answering"],
)
async def test_a_server_whose_main_thread_died_is_found_out_while_another_thread_lives(
    before: str, tmp_path: Path
) -> None:
    config = CommandConfig(command=(sys.executable, "-c", FAILS.replace("{before}", before), "{port}"), model="m")
    limits = ServerTimeouts(ready_s=300, stalled_s=1.5, poll_s=0.05, stop_s=5)
    with (
        anyio.fail_after(60),
        pytest.raises(ServerError, match="failed \\(UserWarning: x\\) and does nothing") as raised,
    ):
        async with open_server(config, log_path=tmp_path / "log", timeouts=limits):
            pytest.fail("it opened")
    assert "Traceback" in raised.value.log_tail


async def test_a_server_that_printed_a_traceback_and_works_on_is_waited_for(tmp_path: Path) -> None:
    works = (
        "import runpy, sys, time, traceback\n"
        "try:\n    1 / 0\nexcept Exception:\n    traceback.print_exc()\n"
        "end = time.monotonic() + 3\nwhile time.monotonic() < end: pass\n"
        "sys.argv = ['testing', '--port', '{port}']\nrunpy.run_module('punie_trace.testing', run_name='__main__')"
    )
    config = CommandConfig(command=(sys.executable, "-c", works), environment={"PYDANTIC_DISABLE_PLUGINS": "__all__"})
    limits = ServerTimeouts(ready_s=60, stalled_s=1.5, poll_s=0.05, stop_s=5)
    async with open_server(config, log_path=tmp_path / "log", timeouts=limits) as server:
        assert "ZeroDivisionError" in server.log_tail()
