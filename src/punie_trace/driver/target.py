"""What the driver is told of a configuration: how to ask it, and how to tell that it is still the right one.

The driver knows no agent, no HTTP and no model: all it has is these callables.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from punie_trace.records import Answer, EndedQuery, Generation, JsonValue, Judgement, Path, Query

Ask = Callable[[Query], Awaitable[Answer]]
Converse = Callable[[Query], Callable[[str], Awaitable[Answer]]]
"""Begins a conversation for a session: what it gives answers one turn after another, and knows those before."""


class Judge(Protocol):
    """Decides what became of a query, after its time is closed."""

    async def __call__(self, ended: EndedQuery) -> Judgement:
        """The judgement on `ended`. It may take its time; it never raises for what an answer holds."""
        ...


@dataclass(frozen=True, slots=True)
class Target:
    """One configuration as the driver sees it.

    `verify` raises `ServerError` where a generation was answered by something other than what was asked, or by a
    server that has died. `served_model` is what the server was found to serve when it got ready.
    """

    configuration: str
    path: Path
    ask: Ask
    verify: Callable[[Generation], None]
    alive: Callable[[], None]
    served_model: str | None = None
    memory: str = ""
    """What remembers together: targets of one process, or of one part of it, have the same; '' is its own."""
    remembers: bool = True
    """Whether it may answer from what an earlier query was asked; False where each query is kept apart."""
    forget: Callable[[], Awaitable[str | None]] | None = None
    """Has it forget all that it was asked, where that is wished between rounds: None, or why it did not."""
    defaults: Mapping[str, Mapping[str, JsonValue]] = field(default_factory=dict)
    """Tool's name -> argument's name -> its default: what a call leaves out is recorded as if it had been written."""
    collect: Callable[[str], Awaitable[None]] | None = None
    """Takes up what the server knows of a trace (by its id, in hex), after its query is over; never raises."""
    prepare: Callable[[Query], Awaitable[Ask]] | None = None
    """Readies what one query needs (a copy of the workspace), in nobody's time, and gives the way to ask that query."""
    release: Callable[[Answer], Awaitable[None]] | None = None
    """Lets go of what an answer holds (a copy of the workspace), once it has been judged; never raises."""
    converse: Converse | None = None
    """Asks sessions; None where whoever answers takes single questions only, or readies sessions first."""
    prepare_session: Callable[[Query], Awaitable[Callable[[str], Awaitable[Answer]]]] | None = None
    """As `prepare`, for a session: gives what answers its turns."""
