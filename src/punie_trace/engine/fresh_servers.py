"""Servers that are ended and started anew between rounds, where a configuration asks for it (`fresh = "restart"`).

A server of another kind than ours cannot be told to forget; a new process of it knows nothing. They are brought up
after all others and go down together, so that what is opened last is closed first. Nothing is asked here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack

from punie_trace.driver.target import Target
from punie_trace.engine.bring_up import ServerGroups
from punie_trace.engine.plan import Plan
from punie_trace.records import Query


def is_renewed(plan: Plan, group: str) -> bool:
    """Whether the server of `group` is a new one in each round."""
    return plan.of_group(group)[0].server.fresh == "restart"


class FreshServers:
    """Those server groups of a batch that are new in each round."""

    def __init__(self, groups: ServerGroups, batch: Sequence[str]) -> None:
        self._groups = groups
        self._batch = tuple(batch)
        self._own = AsyncExitStack()

    async def enter(self, stack: AsyncExitStack) -> Mapping[str, Target]:
        """Bring all up for the first time; what is up when `stack` ends, ends with it."""
        await stack.enter_async_context(self._own)
        return await self.renew()

    async def renew(self) -> Mapping[str, Target]:
        """End those that are up, and bring all up again. A group that does not come up is missing, as it failed."""
        await self._own.aclose()
        plan, writer = self._groups.plan, self._groups.writer
        targets = await self._groups.bring_up(self._own, [group for group in self._batch if is_renewed(plan, group)])
        writer.in_order([c.name for c in plan.configurations], self._batch)  # those that stayed up included
        return targets


def turned(queries: Sequence[Query], number: int) -> tuple[Query, ...]:
    """The queries as round `number` (from 1) warms up with them: each round begins with another.

    What a server was warmed up with it was asked before, so that a question which warmed up each round would never be
    asked first.
    """
    first = (number - 1) % max(1, len(queries))
    return (*queries[first:], *queries[:first])
