"""How many requests are open at once, with a limit: who comes when it is reached is told to come again later."""

from __future__ import annotations

import threading


class Admission:
    """Counts open requests. Safe to use from several threads."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._open = 0
        self._lock = threading.Lock()

    @property
    def open(self) -> int:
        """Requests that were let in and are not answered yet, the waiting ones included."""
        return self._open

    def enter(self) -> bool:
        """Let one more in; False where the limit is reached."""
        with self._lock:
            if self._open >= self.limit:
                return False
            self._open += 1
            return True

    def leave(self) -> None:
        """One is answered or gone."""
        with self._lock:
            self._open -= 1
