"""How often what answers was asked the same question before: what tells an answer from memory apart from a fast one.

A server process keeps what it was asked and what it answered (prompt caches, texts to draft from). Questions of the
warm-up count as asked. It counts and judges nothing.
"""

from __future__ import annotations

from collections import Counter


class Asks:
    """The questions that each memory was asked in this run; a memory is a server process, or a part of one."""

    def __init__(self) -> None:
        self._asked: Counter[tuple[str, str]] = Counter()

    def enter(self, memory: str, text: str) -> int:
        """One more ask of `text`, which is sent now. Returns how many there were before."""
        before = self._asked[memory, text]
        self._asked[memory, text] = before + 1
        return before

    def forget(self, memory: str) -> None:
        """`memory` was made to forget: what it is asked from now on is asked for the first time."""
        for key in [key for key in self._asked if key[0] == memory]:
            del self._asked[key]
