"""The generation requests of the query that is running: those that finished, and those that are open.

Whoever makes a request finds the log of its query in a context variable, which asyncio and anyio carry into child tasks
and threads. This module holds values; it opens no span.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Protocol

from punie_trace.records import Generation


class OpenRequest(Protocol):
    """A generation request that has begun and not finished."""

    def abandon(self) -> None:
        """Finish it as it stands, because its query is over. It enters itself in the log."""
        ...


class GenerationLog:
    """One query's generation requests, in the order in which they finished."""

    def __init__(self) -> None:
        self.finished: list[Generation] = []
        self._open: dict[int, OpenRequest] = {}
        self._begun = 0

    def begin(self, request: OpenRequest) -> int:
        """Enter an open request; its index in the query, from 0."""
        index = self._begun
        self._begun += 1
        self._open[index] = request
        return index

    def append(self, generation: Generation, index: int | None = None) -> None:
        """Enter a finished request; `index` is what `begin` gave, None for one that was never open here."""
        if index is None:
            self._begun += 1
        else:
            self._open.pop(index, None)
        self.finished.append(generation)

    def abandon_open(self) -> None:
        """Finish what is still open."""
        for request in list(self._open.values()):
            request.abandon()


current_generations: ContextVar[GenerationLog | None] = ContextVar("current_generations", default=None)
"""The log of the query that this task works for; None outside of a query."""


def finished_generations() -> tuple[Generation, ...]:
    """The requests of this task's query that have finished; none outside of a query."""
    log = current_generations.get()
    return tuple(log.finished) if log is not None else ()
