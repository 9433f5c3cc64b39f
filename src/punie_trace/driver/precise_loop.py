"""An event loop whose timers fire when they are due, and not up to a millisecond later.

On Linux asyncio waits with `epoll_wait`, which counts in whole milliseconds and so rounds every wait up. Here the wait
is `select` on the epoll descriptor itself, which counts in microseconds. Elsewhere (kqueue does it well) the loop is
asyncio's own. It changes nothing else, and sets no policy.
"""

from __future__ import annotations

import asyncio
import select
import selectors
import sys
from typing import Final

_SELECTABLE: Final = 1024
"""`select` takes descriptors below this (FD_SETSIZE)."""
_LONGEST_S: Final = 1.0
"""Waits above this keep the cheaper call: a millisecond is nothing to them, and most end early."""

if sys.platform == "linux":

    class PreciseSelector(selectors.EpollSelector):
        """An epoll selector that waits with a resolution of microseconds."""

        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            """As the base class."""
            if timeout is not None and 0 < timeout < _LONGEST_S and (own := self.fileno()) < _SELECTABLE:
                select.select((own,), (), (), timeout)
                timeout = 0
            return super().select(timeout)


def new_event_loop() -> asyncio.AbstractEventLoop:
    """A loop for `asyncio.Runner(loop_factory=…)`, or for anyio's `backend_options={"loop_factory": …}`."""
    if sys.platform == "linux":
        return asyncio.SelectorEventLoop(PreciseSelector())
    return asyncio.new_event_loop()
