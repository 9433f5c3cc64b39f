"""A process that cannot outlive us, however we die: started under `launch`, ended with all that it started.

It opens no log and waits for nothing; what the process prints goes where the caller says.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, TypeAlias

LAUNCHER = Path(__file__).with_name("launch.py")
Stream: TypeAlias = "int | IO[bytes] | None"


class BoundProcess:
    """A process in a session of its own. `popen` is its launcher, which ends as the process does: same exit code."""

    def __init__(self, popen: subprocess.Popen[bytes], lifeline: int, report: int | None = None) -> None:
        self.popen = popen
        self._lifeline: int | None = lifeline
        self._report = report
        self._reported = b""
        self._lock = threading.Lock()

    @property
    def group(self) -> int:
        """The id of the process group, which is the launcher's."""
        return self.popen.pid

    @property
    def report(self) -> int:
        """A descriptor that can be read once the process itself has ended, whatever it left behind."""
        assert self._report is not None, "it was started without"
        return self._report

    def reported(self) -> int:
        """The exit code of the process itself, negative for a signal, once `report` can be read."""
        self._reported += os.read(self.report, 4096)
        status = self._reported.partition(b"\n")[0]
        return os.waitstatus_to_exitcode(int(status)) if status else self.popen.wait()

    def left_behind(self) -> tuple[str, ...]:
        """After `end`: the names of what still ran when the process had ended by itself."""
        if self._report is not None:
            self._reported += os.read(self._report, 4096)
            os.close(self._report)
            self._report = None
        return tuple(self._reported.partition(b"\n")[2].decode(errors="replace").split())

    def end(self, limit_s: float = 4.0) -> None:
        """End the process and all that it started, and reap it: TERM, KILL after two seconds.

        The launcher does that, as it can find what left the group; where it does not within `limit_s`, the group is
        killed with it. It may be called twice, and from another thread than the one that waits for the process.
        """
        with self._lock:
            if self._lifeline is not None:
                os.close(self._lifeline)
                self._lifeline = None
        try:
            self.popen.wait(limit_s)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.group, signal.SIGKILL)
            self.popen.wait()


def start_bound(
    argv: Sequence[str],
    *,
    stdin: Stream = subprocess.DEVNULL,
    stdout: Stream = subprocess.DEVNULL,
    stderr: Stream = subprocess.DEVNULL,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    pass_fds: Sequence[int] = (),
    reports: bool = False,
) -> BoundProcess:
    """Start `argv` in `folder`. Its exit code is 127 where it cannot be run, and what it prints then says why.

    With `reports` its `report` tells of its own end. Raises `OSError` where `folder` is not there or no process can be
    made.
    """
    reading, writing = os.pipe()
    report, reporting = os.pipe() if reports else (None, None)
    launcher = (sys.executable, "-I", "-S", str(LAUNCHER))
    try:
        popen = subprocess.Popen(
            [*launcher, str(reading), "" if reporting is None else str(reporting), "", "", "--", *argv],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=None if environment is None else dict(environment),
            cwd=folder,
            start_new_session=True,
            pass_fds=(reading, *pass_fds, *(() if reporting is None else (reporting,))),
        )
    except BaseException:
        os.close(writing)
        if report is not None:
            os.close(report)
        raise
    finally:
        os.close(reading)
        if reporting is not None:
            os.close(reporting)
    return BoundProcess(popen, writing, report)
