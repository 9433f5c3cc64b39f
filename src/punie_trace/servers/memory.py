"""How much memory a server's own process takes, sampled while it works.

Linux: the resident set and its high-water mark, from /proc/PID/status (proc(5): VmRSS, VmHWM). Several processes share
pages, which each counts as its own: what they were seen to share is taken off their sum, by their proportional sets in
/proc/PID/smaps_rollup (Pss). macOS: the physical footprint (`memory_macos`), since what Metal holds is not in the
resident set. Our own process is never read.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from punie_trace.servers import memory_macos

EVERY_S = 2.0
"""Both systems keep the peak themselves, so a sample matters only shortly before a process ends."""
_TREE_EVERY = 10
"""Samples until a server's processes are looked for again, and what they share read: that walks all of their pages."""


@dataclass(frozen=True, slots=True)
class MemoryReading:
    """Bytes of the server and what it started. `peak_bytes` is since its start, loading included.

    With several processes the peak is the sum of each one's own peak, less what they were seen to share: at most that
    much was held at once.
    """

    peak_bytes: int
    now_bytes: int
    method: str


def read_process(pid: int) -> MemoryReading | None:
    """One process, children not included; None where it is gone or may not be read."""
    if sys.platform == "darwin":
        found = memory_macos.footprint(pid)
        return None if found is None else MemoryReading(*found, "physical footprint")
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return _resident(pid)
    return parse_status(text)


def read_proportional(pid: int) -> int | None:
    """Bytes of one process, of which pages that others hold as well count in part; None where Linux does not tell."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return None
    fields = (line.split() for line in text.splitlines())
    return next((int(one[1]) * 1024 for one in fields if len(one) > 1 and one[0] == "Pss:" and one[1].isdigit()), None)


def parse_status(text: str) -> MemoryReading | None:
    """A /proc/PID/status file; None for one without memory lines, as a zombie has."""
    try:
        peak, now = (int(text.split(f"\n{name}:", 1)[1].split(maxsplit=1)[0]) * 1024 for name in ("VmHWM", "VmRSS"))
    except (ValueError, IndexError):
        return None
    return MemoryReading(peak, now, "VmHWM")


class MemorySampler:
    """Reads the processes that `processes` lists every `every_s` seconds, in a thread, between `start` and `stop`."""

    def __init__(self, processes: Callable[[], Iterable[psutil.Process]], every_s: float = EVERY_S) -> None:
        self._processes = processes
        self._every_s = every_s
        self._pids: list[int] = []
        self._peaks: dict[int, int] = {}
        self._method = ""
        self._shared = 0
        """The most bytes that several processes were seen to count more than once."""
        self._missed = 0
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory-sampler", daemon=True)

    def start(self) -> None:
        """Start sampling. Once."""
        self._thread.start()

    def stop(self) -> None:
        """Take a last sample and end the thread. What was read stays readable."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self.peak()

    def peak(self) -> MemoryReading | None:
        """A sample now, combined with all before; None where nothing could ever be read."""
        with suppress(OSError, psutil.Error):
            return self._sample(look_again=True)
        self._missed += 1
        with self._lock:
            return self._combined(0)

    def _run(self) -> None:
        since_look = _TREE_EVERY
        while not self._stopping.wait(self._every_s):
            # Whatever keeps one sample from being taken (no descriptor left, say) must not end those that follow, and a
            # look at the processes that failed is taken again with the next sample.
            try:
                self._sample(look_again=since_look >= _TREE_EVERY)
            except Exception:
                self._missed += 1
            else:
                since_look = 1 if since_look >= _TREE_EVERY else since_look + 1

    def _sample(self, look_again: bool) -> MemoryReading | None:
        with self._lock:
            if look_again:
                self._pids = [process.pid for process in self._processes()]
            now = 0
            if look_again and len(self._pids) > 1:
                self._look_at_shared()
            for pid in self._pids:
                reading = read_process(pid)
                if reading is not None:
                    now += reading.now_bytes
                    self._peaks[pid] = max(self._peaks.get(pid, 0), reading.peak_bytes)
                    self._method = reading.method
            return self._combined(now)

    def _look_at_shared(self) -> None:
        readings = [(read_process(pid), read_proportional(pid)) for pid in self._pids]
        known = [(one.now_bytes, part) for one, part in readings if one is not None and part is not None]
        if len(known) == len(self._pids):
            self._shared = max(self._shared, sum(resident - part for resident, part in known))

    def _combined(self, now: int) -> MemoryReading | None:
        if not self._peaks:
            return None
        several = f", summed over {len(self._peaks)} processes" if len(self._peaks) > 1 else ""
        missed = f", {self._missed} samples failed" if self._missed else ""
        peaks = self._peaks.values()
        shared = self._shared if several else 0
        less = " less shared pages (Pss)" if shared else ""
        # Some of what they share may be others' as well; the largest held its own peak in any case.
        return MemoryReading(max(sum(peaks) - shared, *peaks, 0), now, f"{self._method}{less}{several}{missed}")


def _resident(pid: int) -> MemoryReading | None:
    with suppress(psutil.Error):
        now: int = psutil.Process(pid).memory_info().rss
        return MemoryReading(now, now, "sampled RSS")
    return None
