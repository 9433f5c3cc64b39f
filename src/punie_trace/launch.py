"""Run a server so that it cannot outlive the runner, however the runner dies. Standard library only; run by path.

    python -I -S launch.py LIFELINE_FD REPORT_FD LD_PRELOAD -- ARGV...

The runner holds the other end of the pipe LIFELINE_FD. When it dies, by whatever signal, the kernel closes that end;
we read end-of-file and end our process group: TERM, `GRACE_S` seconds, KILL. This works alike on Linux and macOS.

On Linux there is more (prctl(2)): the server gets PR_SET_PDEATHSIG, so that it dies even where this launcher is killed
first, and the launcher is a PR_SET_CHILD_SUBREAPER, so that what the server leaves behind is found and ended too.

When the server itself ends, its wait status is written to the pipe REPORT_FD ('' for none) at once: what it started
may take longer. Where it leaves anything running (seen on Linux), a second line has the names, which is then ended.

The launcher leads the process group, ignores TERM while the server ends, and then ends as the server did: same exit
code, or same signal. It is single-threaded, so forking is safe and the parent-death signal, which follows the forking
thread, means the whole launcher.
"""

from __future__ import annotations

import ctypes
import os
import resource
import select
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

GRACE_S = 2.0
_MOST_NAMES = 16
NOT_FOUND = 127
"""Exit code where the program could not be run, as in a shell."""
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def main(arguments: list[str]) -> NoReturn:
    """Start the server, wait for its end or the runner's, and end likewise."""
    lifeline, report, preload, _, *argv = arguments
    for pipe in filter(None, (lifeline, report)):
        os.set_inheritable(int(pipe), False)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    server = os.fork()
    if server == 0:
        _become(argv, preload)
    status = _wait(server, [woken, int(lifeline)])
    if status is not None and report:
        with suppress(OSError):  # the runner may be gone
            os.write(int(report), b"%d\n" % status)
            os.write(int(report), " ".join(map(_name, _children()[:_MOST_NAMES])).encode(errors="replace"))
    deadline = time.monotonic() + GRACE_S
    if status is None:
        os.killpg(0, signal.SIGTERM)
        _wait(server, [woken], deadline)
    _end_children(deadline)
    if status is None:
        os.killpg(0, signal.SIGKILL)  # this launcher included
    _end_like(status)


def _become(argv: list[str], preload: str) -> NoReturn:
    launcher = os.getppid()
    signal.set_wakeup_fd(-1)
    # Python ignores the last two for itself; a server should start with the defaults.
    for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != launcher:  # it died before the signal was set
        os._exit(1)
    if preload:
        os.environ["LD_PRELOAD"] = preload
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - an argv without a shell is what this module is for
    except OSError as error:
        os.write(2, f"cannot run {argv[0]!r}: {error.strerror}\n".encode())
    os._exit(NOT_FOUND)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, ctypes.c_ulong(value), 0, 0, 0)


def _wait(server: int, watched: list[int], deadline: float | None = None) -> int | None:
    """The server's wait status; None where the lifeline closed, or the deadline passed, before it ended."""
    while True:
        with suppress(ChildProcessError):
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == server:
                return status
            if pid:
                continue  # an orphan that came to us as the subreaper
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        ready, _, _ = select.select(watched, [], [], left)
        if not ready:
            return None
        for fd in ready:
            # The wake-up pipe brings a byte per signal; the lifeline never brings any, only its end.
            if not os.read(fd, 512):
                return None


def _end_children(deadline: float) -> None:
    """End what the server left behind: all of it on Linux, where it became our child; elsewhere TERM to the group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(0, signal.SIGTERM)
    while left := _children():
        late = time.monotonic() > deadline
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL if late else signal.SIGTERM)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.02)


def _children() -> list[int]:
    with suppress(OSError, ValueError):
        return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
    return []


def _name(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").strip().replace(" ", "_") or "?"
    return "?"


def _end_like(status: int | None) -> NoReturn:
    if status is not None and os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the server dumped its own core, if any
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status) if status is not None else 1)


if __name__ == "__main__":
    main(sys.argv[1:])
