"""Run a server so that it cannot outlive the runner, however the runner dies. Standard library only; run by path.

    python -I -S launch.py LIFELINE_FD REPORT_FD LD_PRELOAD HIDDEN_FD -- ARGV...

The runner holds the other end of the pipe LIFELINE_FD. When it dies, by whatever signal, the kernel closes that end;
we read end-of-file and end our process group: TERM, `GRACE_S` seconds, KILL. This works alike on Linux and macOS.

On Linux there is more (prctl(2)): the server gets PR_SET_PDEATHSIG, so that it dies even where this launcher is killed
first, and the launcher is a PR_SET_CHILD_SUBREAPER, so that what the server leaves behind is found and ended too.

When the server itself ends, its wait status is written to the pipe REPORT_FD ('' for none) at once: what it started
may take longer. Where it leaves anything running (seen on Linux), a second line has the names, which is then ended.

From HIDDEN_FD ('' for none) come values with a NUL after each, to the end of the file. What the server prints then
reaches our own output through a pipe, with *** in the place of each of them. So no log ever holds one, whenever and
however the runner dies; without any the server has our output itself, and nobody stands between.

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
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

GRACE_S = 2.0
_MOST_NAMES = 16
NOT_FOUND = 127
"""Exit code where the program could not be run, as in a shell."""
_HIDDEN = b"***"
_READ_BYTES = 65536
_EVERY_S = 0.02
"""Between two looks at the pipe: a server that prints line by line does not wake us for each."""
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def main(arguments: list[str]) -> NoReturn:
    """Start the server, wait for its end or the runner's, and end likewise."""
    lifeline, report, preload, hidden, _, *argv = arguments
    for pipe in filter(None, (lifeline, report)):
        os.set_inheritable(int(pipe), False)
    printed = _Printed(_values(int(hidden))) if hidden else None
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    server = os.fork()
    if server == 0:
        _become(argv, preload, printed)
    if printed is not None:
        os.close(printed.writing)
    status = _wait(server, [woken, int(lifeline)], printed)
    if printed is not None:
        printed.pass_on()  # before anyone hears of the end: they read the last words
    if status is not None and report:
        with suppress(OSError):  # the runner may be gone
            os.write(int(report), b"%d\n" % status)
            os.write(int(report), " ".join(map(_name, _children()[:_MOST_NAMES])).encode(errors="replace"))
    deadline = time.monotonic() + GRACE_S
    if status is None:
        os.killpg(0, signal.SIGTERM)
        _wait(server, [woken], printed, deadline)
    _end_children(deadline, printed)
    if printed is not None:
        printed.end()
    if status is None:
        os.killpg(0, signal.SIGKILL)  # this launcher included
    _end_like(status)


class Cleaner:
    """Replaces values in bytes that come in pieces, wherever a piece ends; of two that begin alike, the longer."""

    def __init__(self, values: Sequence[bytes]) -> None:
        self._values = values
        self._longest = max(map(len, values), default=0)
        self._held = b""

    def clean(self, piece: bytes, *, last: bool = False) -> bytes:
        """What may be passed on by now: all but an end that may be the beginning of a value."""
        data, done, begun = self._held + piece, bytearray(), 0
        end = len(data) if last else self._possible_beginning(data, 0)
        while (found := self._first(data, begun)) is not None and found[0] < end:
            place, length = found
            done += data[begun:place] + _HIDDEN
            begun = place + length
            if begun > end:
                end = self._possible_beginning(data, begun)
        done += data[begun:end]
        self._held = data[end:]
        return bytes(done)

    def _first(self, data: bytes, begun: int) -> tuple[int, int] | None:
        found = [(place, -len(value)) for value in self._values if (place := data.find(value, begun)) >= 0]
        return (min(found)[0], -min(found)[1]) if found else None

    def _possible_beginning(self, data: bytes, begun: int) -> int:
        for place in range(max(begun, len(data) - self._longest + 1), len(data)):
            if any(value.startswith(data[place:]) for value in self._values):
                return place
        return len(data)


class _Printed:
    """The pipe from the server to our own output."""

    def __init__(self, values: Sequence[bytes]) -> None:
        self.reading, self.writing = os.pipe()
        os.set_blocking(self.reading, False)
        self.due: float | None = 0.0
        """When to look next; None once nobody can write any more."""
        self._cleaner = Cleaner(values)

    def pass_on(self, most: int | None = None) -> None:
        """Write what has come, `most` pieces of it."""
        while self.due is not None and most != 0:
            most = None if most is None else most - 1
            try:
                piece = os.read(self.reading, _READ_BYTES)
            except BlockingIOError:
                self.due = time.monotonic() + _EVERY_S
                return
            self.due = None if not piece else time.monotonic() + (_EVERY_S if len(piece) < _READ_BYTES else 0.0)
            _write(self._cleaner.clean(piece))

    def end(self) -> None:
        """Write the rest."""
        self.pass_on()
        _write(self._cleaner.clean(b"", last=True))


def _write(data: bytes) -> None:
    with suppress(OSError):  # a full disk costs the log, not the server
        while data:
            data = data[os.write(1, data) :]


def _values(descriptor: int) -> list[bytes]:
    with open(descriptor, "rb") as given:
        return [value for value in given.read().split(b"\0") if value]


def _become(argv: list[str], preload: str, printed: _Printed | None) -> NoReturn:
    launcher = os.getppid()
    if printed is not None:
        os.dup2(printed.writing, 1)
        os.dup2(printed.writing, 2)
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


def _wait(server: int, watched: list[int], printed: _Printed | None, deadline: float | None = None) -> int | None:
    """The server's wait status; None where the lifeline closed, or the deadline passed, before it ended."""
    while True:
        with suppress(ChildProcessError):
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == server:
                return status
            if pid:
                continue  # an orphan that came to us as the subreaper
        now = time.monotonic()
        if deadline is not None and now >= deadline:
            return None
        due = None if printed is None else printed.due
        pipe = [printed.reading] if printed is not None and due is not None and due <= now else []
        times = [one for one in (deadline, None if pipe else due) if one is not None]
        ready, _, _ = select.select([*watched, *pipe], [], [], max(0.0, min(times) - now) if times else None)
        for fd in ready:
            if fd in pipe and printed is not None:
                printed.pass_on(most=1)
                continue
            # The wake-up pipe brings a byte per signal; the lifeline never brings any, only its end.
            if not os.read(fd, 512):
                return None


def _end_children(deadline: float, printed: _Printed | None) -> None:
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
        if printed is not None:
            printed.pass_on(most=16)  # a full pipe would hold up their end
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
