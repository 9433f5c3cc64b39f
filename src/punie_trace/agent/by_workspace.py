"""One asker for questions about several code bases: each goes to the asker whose tools read the one it names."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from punie_trace.agent.asker import Asker, AskTurn
from punie_trace.records import Answer, Query


def by_workspace(askers: Mapping[str, Asker]) -> Asker:
    """The asker itself where there is but one code base. It takes sessions where they do."""
    first = next(iter(askers.values()))
    if len(askers) == 1:
        return first
    if hasattr(first, "prepare"):
        return _PreparingByWorkspace(askers)
    return _ConversingByWorkspace(askers) if hasattr(first, "converse") else _ByWorkspace(askers)


class _ByWorkspace:
    """Asks the one asker that a query's `workspace` names."""

    def __init__(self, askers: Mapping[str, Asker]) -> None:
        self._askers = askers

    async def ask(self, query: Query) -> Answer:
        """The answer. Raises `KeyError` for a code base that no asker was made for."""
        return await self._askers[query.workspace].ask(query)

    async def release(self, answer: Answer) -> None:
        """Whichever asker made what an answer left behind, all remove it alike."""
        release = getattr(next(iter(self._askers.values())), "release", None)
        if release is not None:
            await release(answer)


class _ConversingByWorkspace(_ByWorkspace):
    """The same for askers that take sessions."""

    def converse(self, query: Query) -> AskTurn:
        """Begins the conversation of a session."""
        return self._askers[query.workspace].converse(query)  # ty: ignore[missing-attribute]


class _PreparingByWorkspace(_ByWorkspace):
    """The same for askers that ready what a query needs."""

    async def prepare(self, query: Query) -> Callable[[Query], Awaitable[Answer]]:
        """Readies what one query needs, before its time begins."""
        return await self._askers[query.workspace].prepare(query)  # ty: ignore[missing-attribute]

    async def prepare_session(self, query: Query) -> AskTurn:
        """The same for a session, with whose conversation it begins."""
        return await self._askers[query.workspace].prepare_session(query)  # ty: ignore[missing-attribute]
