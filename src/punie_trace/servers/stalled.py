"""Whether a server of ours has failed without ending: it printed a traceback and has done nothing since.

A Python server whose main thread died goes on as long as one of its other threads does, and listens to nobody: waiting
for it is waiting for the time-out. What counts is that its log ends with a traceback, that the log has not changed, and
that none of its processes has used the processor meanwhile; a server that is loading does one or the other.
"""

from __future__ import annotations

import re
import time
from typing import Final

import psutil

from punie_trace.outside_text import one_line
from punie_trace.servers.process import ServerProcess

_LOOK_EVERY_S: Final = 0.5
_BUSY: Final = 0.03
"""Share of a core below which a process only waits: a thread that polls takes about a hundredth."""
_TRACEBACK: Final = "Traceback (most recent call last):"
_WHAT: Final = re.compile(r"[A-Za-z_][\w.]*(?::\s|$)")


class StallWatch:
    """Looks at one process from time to time; `problem` says what it failed of once it has stalled for `stalled_s`."""

    def __init__(self, process: ServerProcess, stalled_s: float) -> None:
        self._process = process
        self._stalled_s = stalled_s
        self._looked = 0.0
        self._since = time.monotonic()
        self._cpu_s = 0.0
        self._log_bytes = -1
        self._found: str | None = None

    def problem(self) -> str | None:
        """The last line of the traceback that the server stalled with; None where it works, or may yet."""
        now = time.monotonic()
        if self._found is not None or now - self._looked < _LOOK_EVERY_S:
            return self._found
        self._looked = now
        size, cpu_s = self._size(), self._used()
        if size != self._log_bytes or cpu_s - self._cpu_s > _BUSY * (now - self._since):
            self._since, self._log_bytes, self._cpu_s = now, size, cpu_s
            return None
        if now - self._since < self._stalled_s:
            return None
        self._found = last_exception(self._process.log_tail())
        return self._found

    def _size(self) -> int:
        try:
            return self._process.log_path.stat().st_size
        except OSError:
            return 0

    def _used(self) -> float:
        """Seconds of processor time of all its processes that run."""
        total = 0.0
        for one in self._process.processes():
            try:
                times = one.cpu_times()
            except (psutil.Error, OSError):
                continue
            total += times.user + times.system
        return total


def last_exception(log: str) -> str | None:
    """What a log that ends with a traceback of Python's says last; None for a log that ends otherwise."""
    _, found, after = log.rpartition(_TRACEBACK)
    lines = [line for line in after.splitlines() if line.strip()]
    ends = [number for number, line in enumerate(lines) if not line[0].isspace()]
    if not found or not ends or _WHAT.match(lines[ends[0]]) is None:
        return None
    # What follows the exception's own line must be its further lines or notes: a record of a log means that it lives.
    return one_line(lines[ends[0]]) if ends[-1] == ends[0] else None
