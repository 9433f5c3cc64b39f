"""What else the machine does while a run goes on, sampled every second by a thread and written beside the outcomes.

It reads counters of the system: what of the cores other processes took, swapping, memory pressure, slowing down for
heat. What a system does not tell is None. Nothing is judged here: that is for `analysis.disturbances`.
"""

from __future__ import annotations

import contextlib
import json
import resource
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psutil

from punie_trace.engine.conditions_macos import macos_conditions
from punie_trace.records import MachineSample
from punie_trace.servers.descendants import descendants

INTERVAL_S: Final = 1.0
_LOOK_FOR_CHILDREN: Final = 30  # samples: what runs below us changes seldom
_PSI: Final = Path("/proc/pressure/memory")
_VMSTAT: Final = Path("/proc/vmstat")
_SWAPS: Final = (b"pswpin", b"pswpout")
_PAGE: Final = resource.getpagesize()
_THROTTLES: Final = "/sys/devices/system/cpu"


class Conditions:
    """A context in which samples are taken. `ours` says whether every server is a child of this process.

    Where one is not, its load cannot be told from that of others, and `other_cpu` stays None. A sample that cannot be
    taken or written is left out: watching the machine must never cost the run.
    """

    def __init__(
        self, file: Path, now_ns: Callable[[], int], *, ours: bool = True, every_s: float = INTERVAL_S
    ) -> None:
        self._file = file
        self._now_ns = now_ns
        self._every_s = every_s
        self._load = _other_load() if ours else None
        self._samples: list[MachineSample] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="conditions", daemon=True)
        self._taken = 0
        self._throttle_files = sorted(Path(_THROTTLES).glob("cpu[0-9]*/thermal_throttle/core_throttle_count"))
        self._throttles = _throttle_count(self._throttle_files)
        self._swapped = _swapped()
        self._last_ns = now_ns()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(timeout=10)

    def samples(self) -> tuple[MachineSample, ...]:
        """All samples until now, one more among them that ends now."""
        self._take()
        return tuple(self._samples)

    def _watch(self) -> None:
        while not self._ended.wait(self._every_s):
            self._take()
        self._take()

    def _take(self) -> None:
        with _LOCK, contextlib.suppress(OSError, psutil.Error):
            sample = self._sample()
            self._samples.append(sample)
            with self._file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(sample), allow_nan=False) + "\n")

    def _sample(self) -> MachineSample:
        start, end = self._last_ns, self._now_ns()
        swapped, throttles = _swapped(), _throttle_count(self._throttle_files)
        others = self._load.since_last(look_for_children=self._taken % _LOOK_FOR_CHILDREN == 0) if self._load else None
        apple = macos_conditions() if sys.platform == "darwin" else None
        throttled = None if throttles is None or self._throttles is None else throttles > self._throttles
        sample = MachineSample(
            start_ns=start,
            end_ns=end,
            other_cpu=others,
            swapped_bytes=None if swapped is None or self._swapped is None else max(swapped - self._swapped, 0),
            memory_pressure=_pressure(),
            memory_warning=apple.memory_warning if apple else None,
            throttled=apple.throttled if apple else throttled,
            thermal=apple.thermal if apple else None,
        )
        self._taken += 1
        self._last_ns, self._swapped, self._throttles = end, swapped, throttles
        return sample


_LOCK = threading.Lock()


class _OtherLoad:
    """The share of the machine's cores that processes besides this one and its children took since the last time."""

    def __init__(self) -> None:
        self._cores = psutil.cpu_count() or 1
        self._own: dict[int, tuple[psutil.Process, float]] = {}
        self._busy, self._time = _busy()
        self._follow()

    def since_last(self, *, look_for_children: bool) -> float | None:
        """None where no time has gone by."""
        busy, time = _busy()
        own = 0.0
        for pid, (process, before) in list(self._own.items()):
            try:
                now = _cpu_s(process)
            except psutil.Error:
                del self._own[pid]
                continue
            own += now - before
            self._own[pid] = process, now
        passed, taken = time - self._time, busy - self._busy - own
        self._busy, self._time = busy, time
        if look_for_children:
            self._follow()
        return min(max(taken / passed, 0.0), 1.0) if passed > 0 else None

    def _follow(self) -> None:
        here = psutil.Process()
        for process in (here, *descendants(here.pid)):
            if process.pid not in self._own:
                with contextlib.suppress(psutil.Error):
                    self._own[process.pid] = process, _cpu_s(process)


def _other_load() -> _OtherLoad | None:
    """None where the system does not tell what runs, as in a container without /proc."""
    try:
        return _OtherLoad()
    except (OSError, psutil.Error):
        return None


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _busy() -> tuple[float, float]:
    """Core-seconds that were worked, and all of them, since the system started."""
    times = psutil.cpu_times()._asdict()
    # A guest's time is in 'user' already.
    every = sum(value for name, value in times.items() if name not in ("guest", "guest_nice"))
    return every - times["idle"] - times.get("iowait", 0.0), every


def _swapped() -> int | None:
    """Bytes swapped in and out since the system started."""
    with contextlib.suppress(OSError, ValueError, IndexError):  # by far less work than psutil's way
        counters = _VMSTAT.read_bytes()
        return sum(int(counters.split(b"\n%s " % name, 1)[1].split(b"\n", 1)[0]) for name in _SWAPS) * _PAGE
    try:
        swap = psutil.swap_memory()
    except (OSError, RuntimeError, psutil.Error):
        return None
    return swap.sin + swap.sout


def _pressure() -> float | None:
    """Linux: the share of the last ten seconds in which some task waited for memory (kernel's accounting/psi.rst)."""
    try:
        line = _PSI.read_text(encoding="ascii").splitlines()[0]
        return float(line.split("avg10=")[1].split()[0]) / 100
    except (OSError, IndexError, ValueError):
        return None


def _throttle_count(files: Iterable[Path]) -> int | None:
    """Linux on Intel: how often a core was slowed down for heat since the system started."""
    counts = []
    for file in files:
        with contextlib.suppress(OSError, ValueError):
            counts.append(int(file.read_text(encoding="ascii")))
    return sum(counts) if counts else None
