"""Open files and sockets of this process: how many it may have, how many a load needs, and whether they ran out.

Where they run out the server is not to blame, and what fails of it is marked as ours.
"""

from __future__ import annotations

import errno
import resource
from typing import Final

OURS: Final = "ours: this process may open no more files"
"""How an error begins that is due to this limit."""
_WANTED: Final = 16_384
_BASE: Final = 80
"""Interpreter, run folder, logs, pipes, tools."""
_EACH_SERVER: Final = 8
_EACH_QUERY: Final = 2
"""A connection to the server, and what a tool opens."""


def raise_limit() -> int:
    """Raise this process' soft limit as far as its hard one allows, to 16384 at most; what it is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _WANTED if hard == resource.RLIM_INFINITY else min(hard, _WANTED)
    while soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):  # macOS has a lower limit of its own
            wanted //= 2
        else:
            return wanted
    return _WANTED if soft == resource.RLIM_INFINITY else soft


def needed(concurrency: int, servers: int) -> int:
    """How many descriptors a run needs that has `concurrency` queries in flight and `servers` up."""
    return _BASE + _EACH_QUERY * concurrency + _EACH_SERVER * servers


def ran_out(error: BaseException | None) -> bool:
    """Whether an error, what caused it, or one of a group of them, is that no descriptor was left."""
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:  # errors that caused one another go in a circle
            continue
        seen.add(id(one))
        if isinstance(one, OSError) and one.errno in (errno.EMFILE, errno.ENFILE):
            return True
        waiting += [one.__cause__, one.__context__, *(one.exceptions if isinstance(one, BaseExceptionGroup) else ())]
    return False
