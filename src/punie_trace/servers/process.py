"""One process that we started: its group, its log, its end. Knows nothing of models or HTTP.

Output goes to a file; where there are secrets to be kept out of it, through a pipe that the launcher empties. The
process runs under `launch`, which ends it when we die; `stop` ends it in all other cases. Only processes that were
started here are ever ended, by id.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import anyio
import psutil

from punie_trace.bound_process import LAUNCHER
from punie_trace.errors import ServerError
from punie_trace.servers import ports
from punie_trace.servers.descendants import descendants
from punie_trace.servers.server_log import LogLimit, log_tail

_KILL_S = 5.0
_POLL_S = 0.02


class ServerProcess:
    """A running (or ended) process group. Made by `start_process`."""

    def __init__(
        self, popen: subprocess.Popen[bytes], lifeline: int, report: int, argv: Sequence[str], log_path: Path
    ) -> None:
        self._popen = popen
        self._lifeline = lifeline
        self._report = report
        """From it the launcher's report of the server's end is read."""
        self._status: int | None = None
        self._log_limit = LogLimit(log_path)
        self._log_limit.start()
        self._seen: dict[int, psutil.Process] = {}
        self.argv = tuple(argv)
        self.log_path = log_path

    @property
    def group(self) -> int:
        """The id of the process group, which is the launcher's pid."""
        return self._popen.pid

    def exit_code(self) -> int | None:
        """None while the server itself runs; -N where signal N ended it. What it started may outlive it a little."""
        if self._status is None:
            with suppress(BlockingIOError, ValueError, OSError):
                self._status = int(os.read(self._report, 32).partition(b"\n")[0])
        return self._popen.poll() if self._status is None else os.waitstatus_to_exitcode(self._status)

    def listens(self, pid: int, port: int) -> bool:
        """Whether the process `pid` of ours still runs, or another of ours listens on `port` now.

        True where the system does not tell.
        """
        if (known := self._seen.get(pid)) is None or _runs(known):
            return True
        try:
            return ports.listener(self.processes(), port) is not None
        except psutil.Error:
            return True

    def processes(self) -> list[psutil.Process]:
        """The server and all that it started and that still runs, the server first; the launcher is left out."""
        with suppress(psutil.Error, OSError):
            for process in descendants(self.group):
                self._seen.setdefault(process.pid, process)
        return [process for process in self._seen.values() if _runs(process)]

    def failure(self) -> str | None:
        """How it ended, in words; None while it runs."""
        code = self.exit_code()
        if code is None:
            return None
        if code < 0:
            name = signal.Signals(-code).name
            hint = " (often: the system ran out of memory)" if name == "SIGKILL" else ""
            return f"was ended by {name}{hint}"
        return f"exited with code {code}"

    def log_tail(self) -> str:
        """The last lines of what it printed, without control characters; '' where there is nothing."""
        return log_tail(self.log_path)

    async def stop(self, stop_s: float) -> None:
        """End the whole group: TERM, up to `stop_s` seconds, then KILL, and reap. Bounded; cancellation waits for it.

        Raises ServerError where something survives even KILL.
        """
        with anyio.CancelScope(shield=True):
            try:
                left = self.processes()  # noted first: once its parent is gone a child cannot be found any more
                self._signal(signal.SIGTERM)
                await self._ended(stop_s)
                self._signal(signal.SIGKILL)
                await self._ended(_KILL_S)
                for process in filter(_runs, left):  # children that left the group
                    with suppress(psutil.Error):
                        process.kill()
                survivors = await anyio.to_thread.run_sync(lambda: psutil.wait_procs(left, timeout=_KILL_S)[1])
            finally:
                os.close(self._lifeline)
                self.exit_code()  # read while it can be
                os.close(self._report)
                await anyio.to_thread.run_sync(self._log_limit.stop)
        if self._popen.poll() is None or survivors:
            pids = [self.group, *(process.pid for process in survivors)]
            msg = f"the server could not be ended: {' '.join(self.argv)} (pids {pids}); end it by hand"
            raise ServerError(msg, self.log_tail())

    def _signal(self, number: signal.Signals) -> None:
        # The launcher ends last of what obeys, so while it is unreaped the group's id cannot belong to anyone else.
        if self._popen.poll() is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.group, number)

    async def _ended(self, limit_s: float) -> None:
        deadline = time.monotonic() + limit_s
        while self._popen.poll() is None and time.monotonic() < deadline:  # noqa: ASYNC110 - processes send no event
            await anyio.sleep(_POLL_S)


def start_process(
    argv: Sequence[str], environment: Mapping[str, str], preload: str, log_path: Path, hidden: Sequence[str] = ()
) -> ServerProcess:
    """Start `argv` in its own session, its output appended to `log_path`, without the values in `hidden`.

    `preload` becomes the server's LD_PRELOAD ('' leaves it alone). Raises ServerError where the log cannot be written.
    """
    try:
        log_path.parent.mkdir(parents=True, exist_ok=True)
        log = log_path.open("ab")
    except OSError as error:
        msg = f"the server's log '{log_path}' cannot be written: {error.strerror}; give a folder that can"
        raise ServerError(msg) from None
    with log, _pipe() as (reading, writing), _pipe() as (report, reporting):
        values, given = os.pipe()
        os.set_blocking(report, False)
        launcher = [sys.executable, "-I", "-S", str(LAUNCHER), str(reading), str(reporting), preload]
        with suppress(BrokenPipeError), os.fdopen(given, "wb") as giving:
            try:
                popen = subprocess.Popen(
                    [*launcher, str(values) if hidden else "", "--", *argv],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=dict(environment),
                    start_new_session=True,
                    pass_fds=(reading, reporting, values),
                )
            finally:
                os.close(values)  # or a launcher that is gone would be waited for
            giving.write(b"".join(value.encode("utf-8", "surrogateescape") + b"\0" for value in hidden))
        return ServerProcess(popen, os.dup(writing), os.dup(report), argv, log_path)


@contextmanager
def _pipe() -> Generator[tuple[int, int]]:
    ends = os.pipe()
    try:
        yield ends
    finally:
        for end in ends:
            os.close(end)


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, OSError):
        return False
