"""How many requests are open at once, and how many bytes their bodies hold together, each with a limit.

Who comes when a limit is reached is answered that they may come again later. Safe to use from several threads.
"""

from __future__ import annotations

import threading


class Admission:
    """Counts open requests."""

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


class BodyBytes:
    """Counts the bytes of bodies that are being read, or answered. One body always has room where there is no other."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._held = 0
        self._lock = threading.Lock()

    def enter(self, size: int) -> bool:
        """Make room for a body of `size` bytes; False where there is none."""
        with self._lock:
            if self._held and self._held + size > self.limit:
                return False
            self._held += size
            return True

    def leave(self, size: int) -> None:
        """That body is let go."""
        with self._lock:
            self._held -= size
