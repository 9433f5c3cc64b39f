"""How a run that goes on is told to end: by SIGTERM or SIGHUP, or from another thread.

Ctrl-C is the event loop's own matter. Whoever is told ends its servers and keeps what was measured.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable
from typing import Final

import anyio
import anyio.lowlevel
from anyio.abc import TaskStatus

ENDING: Final = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


class Ending:
    """Whether a run was told to end, from whichever thread. For one run."""

    def __init__(self) -> None:
        self.asked = False
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._scope: anyio.CancelScope | None = None

    def ask(self) -> None:
        """End what runs within `watch`, now or as soon as it begins. May be called from any thread, and again."""
        with self._lock:
            self.asked = True
            if self._loop is not None and self._scope is not None:
                self._loop.call_soon_threadsafe(self._scope.cancel)

    async def watch(self, work: Callable[[], Awaitable[None]]) -> None:
        """Does `work` until it is done or told to end, which `asked` then says; by signals too, in the main thread."""
        with anyio.CancelScope() as scope:
            with self._lock:
                self._loop, self._scope = asyncio.get_running_loop(), scope
                if self.asked:
                    scope.cancel()
            try:
                if threading.current_thread() is not threading.main_thread():
                    await anyio.lowlevel.checkpoint()
                    await work()
                    return
                async with anyio.create_task_group() as tasks:
                    await tasks.start(self._listen)
                    await work()
                    tasks.cancel_scope.cancel()
            finally:
                with self._lock:
                    self._loop = self._scope = None

    async def _listen(self, *, task_status: TaskStatus[None]) -> None:
        with anyio.open_signal_receiver(*ENDING) as signals:
            task_status.started()
            async for _ in signals:
                self.ask()
