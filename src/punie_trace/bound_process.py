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

    def __init__(self, popen: subprocess.Popen[bytes], lifeline: int) -> None:
        self.popen = popen
        self._lifeline: int | None = lifeline
        self._lock = threading.Lock()

    @property
    def group(self) -> int:
        """The id of the process group, which is the launcher's."""
        return self.popen.pid

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
) -> BoundProcess:
    """Start `argv` in `folder`. Its exit code is 127 where it cannot be run, and what it prints then says why.

    Raises `OSError` where `folder` is not there or no process can be made.
    """
    reading, writing = os.pipe()
    try:
        popen = subprocess.Popen(
            [sys.executable, "-I", "-S", str(LAUNCHER), str(reading), "", "", "--", *argv],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=None if environment is None else dict(environment),
            cwd=folder,
            start_new_session=True,
            pass_fds=(reading, *pass_fds),
        )
    except BaseException:
        os.close(writing)
        raise
    finally:
        os.close(reading)
    return BoundProcess(popen, writing)
