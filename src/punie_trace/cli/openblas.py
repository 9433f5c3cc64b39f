"""On Linux, this process anew with OpenBLAS in front: for commands in which MLX computes in this process.

A library can only be put in front at the start of a process. On macOS, and where OpenBLAS is not installed, nothing
happens.
"""

from __future__ import annotations

import os
import sys

from punie_trace.servers.blas import preload_for


def restart_with_openblas() -> None:
    """Replaces this process by the same command with OpenBLAS preloaded; at most once. To be called before any work."""
    library = preload_for(os.environ)
    if not library:
        return
    os.environ["LD_PRELOAD"] = library
    os.execv(sys.executable, [sys.executable, "-m", "punie_trace", *sys.argv[1:]])  # noqa: S606
