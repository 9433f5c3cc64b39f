"""What a process started, and what that started: by the kernel's own lists where it keeps them.

Linux lists the children of each thread in /proc/PID/task/TID/children (proc(5), since 3.5, with CONFIG_PROC_CHILDREN):
reading those of a few processes costs far less than asking every process of the machine for its parent, which is what
psutil does, and what is done here elsewhere. A child that is started or ends meanwhile may be missed, either way.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil

_PROC: Final = Path("/proc")


def descendants(pid: int, proc: Path = _PROC) -> list[psutil.Process]:
    """All that still run, each after what started it. Raises psutil.Error where `pid` is gone or cannot be read."""
    root = psutil.Process(pid)
    if sys.platform != "linux" or not (proc / str(pid) / "task" / str(pid) / "children").exists():
        return root.children(recursive=True)
    found: dict[int, psutil.Process] = {}
    waiting = [pid]
    while waiting:
        for child in _children(proc / str(waiting.pop(0)) / "task"):
            if child in found or child == pid:
                continue
            try:
                found[child] = psutil.Process(child)
            except psutil.Error:
                continue
            waiting.append(child)
    return list(found.values())


def _children(tasks: Path) -> Iterator[int]:
    try:
        threads = sorted(tasks.iterdir())
    except OSError:  # it ended
        return
    for thread in threads:
        try:
            yield from map(int, (thread / "children").read_bytes().split())
        except (OSError, ValueError):
            continue
