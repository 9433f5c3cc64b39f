from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import sys
import threading
import time
from typing import Any, cast

import psutil
import pytest

from punie_trace.servers.memory import MemoryReading, MemorySampler, parse_status, read_process
from punie_trace.servers.memory_macos import RusageInfoV4, footprint

MB = 1 << 20


def test_a_status_file() -> None:
    reading = parse_status("Name:\tpython\nVmHWM:\t   300 kB\nVmRSS:\t     200 kB\n")
    assert reading is not None
    assert (reading.peak_bytes, reading.now_bytes, reading.method) == (300 * 1024, 200 * 1024, "VmHWM")


@pytest.mark.parametrize("text", ["", "Name:\tzombie\nState:\tZ (zombie)\n", "VmHWM:\t\nVmRSS:\t\n"])
def test_a_status_file_without_memory(text: str) -> None:
    assert parse_status(text) is None


def test_a_process_that_is_gone_has_no_memory() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert read_process(ended.pid) is None


def read_once_given_back(sampler: MemorySampler) -> MemoryReading:
    """A reading below 80 MB, or the last one: some kernels count late, after the next system calls."""
    ends = time.monotonic() + 10
    while True:
        reading = sampler.peak()
        assert reading is not None
        if reading.now_bytes < 80 * MB or time.monotonic() > ends:
            return reading
        time.sleep(0.05)


def test_a_peak_is_kept_after_the_memory_is_given_back() -> None:
    """In another process than ours, with and without a second one beside it."""
    # Every page is written, and there is room above the bound: the kernel counts in batches, and adds up when a process
    # calls it. One that only waits for its input would hold what it gave back for ever; so this one goes on calling.
    program = """if True:
        import select, sys
        x = bytearray(b"x") * (120 << 20)
        del x
        print(flush=True)
        while not select.select([sys.stdin], [], [], 0.02)[0]:
            bytearray(1 << 20)
    """
    started = [
        subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for code in (program, "import sys; print(flush=True); sys.stdin.read()")
    ]
    try:
        for process in started:
            assert process.stdout is not None
            process.stdout.readline()
        processes = [psutil.Process(process.pid) for process in started]
        both = MemorySampler(lambda: processes)
        one = MemorySampler(lambda: processes[:1])
        one.start()
        alone, together = read_once_given_back(one), both.peak()
        assert together is not None
        assert alone.peak_bytes > 80 * MB > alone.now_bytes > 0
        assert together.peak_bytes >= alone.peak_bytes
        assert together.method.endswith("summed over 2 processes")
    finally:
        for process in started:
            process.communicate()
    one.stop()
    after = one.peak()
    assert after is not None
    assert after.peak_bytes == alone.peak_bytes
    assert after.now_bytes == 0


def test_samples_that_fail_end_nothing_and_are_counted() -> None:
    failures = [OSError(errno.EMFILE, "no descriptor left"), RuntimeError("another"), OSError(errno.EMFILE, "again")]
    taken = threading.Event()

    def processes() -> list[psutil.Process]:
        if failures:
            raise failures.pop()
        taken.set()
        return [psutil.Process()]

    sampler = MemorySampler(processes, every_s=0.05)
    sampler.start()
    assert taken.wait(20), "the sampler's thread ended"
    sampler.stop()
    reading = sampler.peak()
    assert reading is not None
    assert reading.peak_bytes > MB
    assert reading.method.endswith(", 3 samples failed")


def test_nothing_to_read_is_no_reading() -> None:
    assert MemorySampler(list).peak() is None


def test_the_macos_structure_is_the_kernels() -> None:
    """296 bytes: a 16-byte uuid and 35 counters of 8; the offsets as <sys/resource.h> lays them out."""
    assert ctypes.sizeof(RusageInfoV4) == 16 + 35 * 8
    assert RusageInfoV4.phys_footprint.offset == 16 + 7 * 8
    assert RusageInfoV4.lifetime_max_phys_footprint.offset == 16 + 28 * 8


class FakeLibproc:
    """Stands in for libproc, which only macOS has."""

    def __init__(self, result: int) -> None:
        self.result = result

    def proc_pid_rusage(self, pid: ctypes.c_int, flavor: ctypes.c_int, buffer: Any) -> int:
        assert (pid.value, flavor.value) == (os.getpid(), 4)
        info = ctypes.cast(buffer, ctypes.POINTER(RusageInfoV4)).contents
        info.phys_footprint, info.lifetime_max_phys_footprint = 5 * MB, 9 * MB
        return self.result


@pytest.mark.parametrize(("result", "found"), [(0, (9 * MB, 5 * MB)), (-1, None)])
def test_the_macos_footprint(result: int, found: tuple[int, int] | None) -> None:
    assert footprint(os.getpid(), cast("ctypes.CDLL", FakeLibproc(result))) == found


@pytest.mark.skipif(sys.platform != "darwin", reason="libproc is macOS's")
def test_our_own_footprint_on_macos() -> None:
    reading = read_process(os.getpid())
    assert reading is not None
    assert reading.peak_bytes >= reading.now_bytes > MB


@pytest.mark.skipif(sys.platform != "linux", reason="macOS tells no proportional sets")
def test_what_processes_share_is_counted_once() -> None:
    """Two children of a fork hold the same 60 MB."""
    code = (
        "import os, sys\nheld = b'x' * 60_000_000\npids = [os.fork() for _ in range(1)]\n"
        "os.write(1, b'%d\\n' % os.getpid())\nsys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as both:
        assert both.stdin is not None
        assert both.stdout is not None
        pids = [int(both.stdout.readline()) for _ in range(2)]
        sampler = MemorySampler(lambda: [psutil.Process(pid) for pid in pids])
        reading = sampler.peak()
        own = [read_process(pid) for pid in pids]
        both.stdin.close()
    assert reading is not None
    assert reading.method == "VmHWM less shared pages (Pss), summed over 2 processes"
    resident = sum(one.peak_bytes for one in own if one is not None)
    assert resident - 85e6 < reading.peak_bytes < resident - 50e6
