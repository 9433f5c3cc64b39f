"""Which monotonic clock this process reads: processes with the same identity can share one anchor."""

from __future__ import annotations

import socket
import subprocess
import sys
import uuid
from contextlib import suppress
from pathlib import Path

_OWN = uuid.uuid4().hex
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_TIME_NAMESPACE = Path("/proc/self/ns/time")


def clock_id() -> str:
    """The same text for all processes that read one clock; otherwise, for certain, another.

    A monotonic clock counts from the start of the system, so its identity is that of the start, and on Linux of the
    time namespace, which may shift it. Where the system does not tell, it is a text that no other process has.
    """
    with suppress(OSError):
        boot = _BOOT.read_text(encoding="ascii").strip()
        namespace = _TIME_NAMESPACE.readlink().as_posix() if _TIME_NAMESPACE.exists() else ""
        return f"linux {boot} {namespace}"
    if sys.platform == "darwin":
        with suppress(OSError, subprocess.SubprocessError):
            command = ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]
            found = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
            return f"darwin {found.stdout.strip()}"
    return f"{socket.gethostname()} {_OWN}"
