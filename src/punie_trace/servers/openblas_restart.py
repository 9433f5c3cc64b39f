"""On Linux, this process anew with OpenBLAS in front: for commands in which MLX computes in this process.

A library can only be put in front at the start of a process. On macOS, and where OpenBLAS is not installed, nothing
happens.
"""

from __future__ import annotations

import os
import sys

from punie_trace.servers.blas import variables_for


def restart_with_openblas() -> None:
    """Replaces this process by the same command with OpenBLAS preloaded; at most once. To be called before any work."""
    added = variables_for(os.environ)
    if "LD_PRELOAD" not in added:
        return
    os.environ.update(added)
    os.execv(sys.executable, [sys.executable, "-m", "punie_trace", *sys.argv[1:]])  # noqa: S606
