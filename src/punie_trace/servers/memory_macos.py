"""The physical footprint of a process on macOS: what Activity Monitor calls Memory, Metal buffers included.

`proc_pid_rusage(pid, RUSAGE_INFO_V4, ...)` of libproc, declared in <libproc.h>; `struct rusage_info_v4` in
<sys/resource.h> of the macOS SDK (XNU, bsd/sys/resource.h): a 16-byte uuid, then 64-bit counters in this order.
"""

from __future__ import annotations

import ctypes
from functools import lru_cache

_RUSAGE_INFO_V4 = 4
_COUNTERS = (  # noqa: SIM905 - the list is easier to hold against the header this way
    "user_time system_time pkg_idle_wkups interrupt_wkups pageins wired_size resident_size phys_footprint "
    "proc_start_abstime proc_exit_abstime child_user_time child_system_time child_pkg_idle_wkups "
    "child_interrupt_wkups child_pageins child_elapsed_abstime diskio_bytesread diskio_byteswritten "
    "cpu_time_qos_default cpu_time_qos_maintenance cpu_time_qos_background cpu_time_qos_utility cpu_time_qos_legacy "
    "cpu_time_qos_user_initiated cpu_time_qos_user_interactive billed_system_time serviced_system_time "
    "logical_writes lifetime_max_phys_footprint instructions cycles billed_energy serviced_energy "
    "interval_max_phys_footprint runnable_time"
).split()


class RusageInfoV4(ctypes.Structure):
    """`struct rusage_info_v4`, its members without their `ri_` prefix."""

    _fields_ = [("uuid", ctypes.c_uint8 * 16), *((name, ctypes.c_uint64) for name in _COUNTERS)]


def footprint(pid: int, library: ctypes.CDLL | None = None) -> tuple[int, int] | None:
    """(lifetime peak, now) of the physical footprint in bytes; None where the process is gone or may not be read.

    `library` stands in for libproc in tests on other systems.
    """
    info = RusageInfoV4()
    read = (library or _libproc()).proc_pid_rusage
    if read(ctypes.c_int(pid), ctypes.c_int(_RUSAGE_INFO_V4), ctypes.byref(info)) != 0:
        return None
    # Before macOS 10.12 the lifetime peak is not filled in.
    return max(info.lifetime_max_phys_footprint, info.phys_footprint), info.phys_footprint


@lru_cache(maxsize=1)
def _libproc() -> ctypes.CDLL:
    return ctypes.CDLL("/usr/lib/libproc.dylib")
