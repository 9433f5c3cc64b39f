"""What turns a query into an answer, and what it is given of the configuration that it asks.

An asker of one path stands in a module of its own, which has three functions: `check_source(source)` raises
`ConfigurationError` for an agent that cannot be used, before anything is started, `check_sessions(source)` for one that
cannot be asked several turns, and `open_asker(stack, context)` gives the asker of one configuration, whose resources
end with `stack`. Nothing is asked here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import httpx2

from punie_trace.agent.options import AskOptions
from punie_trace.agent.program_process import KeptOutputs
from punie_trace.agent.toolbox import Toolbox
from punie_trace.records import Answer, Query
from punie_trace.spans.clock import Clock
from punie_trace.spans.provider import ClockTracerProvider

AskTurn: TypeAlias = Callable[[str], Awaitable[Answer]]
"""Answers the next turn of one conversation, and knows those before it that were answered."""


class Asker(Protocol):
    """Asks one configuration. Several queries may be under way at once."""

    async def ask(self, query: Query) -> Answer:
        """The answer. Whatever it raises is that query's error and nobody else's."""
        ...

    # An asker may also have `async def release(self, answer: Answer) -> None`, which is called once it is judged, and
    # `async def prepare(self, query: Query) -> Ask`, which readies what one query needs before its time begins, and
    # `def converse(self, query: Query) -> AskTurn`, which begins the conversation of a session, or `async def
    # prepare_session(self, query: Query) -> AskTurn`, which readies it first: without either, it takes single questions
    # only.


@dataclass(frozen=True, slots=True)
class AgentSource:
    """Whose agent asks: the built-in one where nothing is given; else an imported one, or a program."""

    reference: str | None = None
    """An object by name: 'package.module:name' or 'path/file.py:name'."""
    instance: object | None = None
    """The object itself, where the experiment is written in Python."""
    deps: object | None = None
    """What makes the agent's dependencies: a name as `reference` has it, or the callable itself."""
    program: tuple[str, ...] = ()
    """A program's argv; '{question}' stands for the question."""
    next_program: tuple[str, ...] = ()
    """The argv of a session's turns after the first; empty for the same one."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Set for the program; '{base_url}', '{model}' and '{api_key}' stand for those of the configuration."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Written for the program into a folder of each query's own, by their names; what stands in braces is filled in."""
    answer: str | None = None
    """The file that holds the program's answer; None for what it prints."""
    copies_workspace: bool = False
    """Whether the program works in a copy of the workspace, a new one for each query."""

    @property
    def shown(self) -> str | None:
        """The agent in a word, for the header of a run; None for the built-in one."""
        if self.program:
            return self.program[0]
        if self.reference is not None or self.instance is None:
            return self.reference
        return f"{type(self.instance).__module__}.{type(self.instance).__qualname__}"


@dataclass(frozen=True, slots=True)
class AskerContext:
    """What an asker is given of one configuration.

    `client` times every request that goes through it as a generation of the query that is under way; its base URL is
    `base_url`, which ends with a slash, and it carries the key.
    """

    base_url: str
    api_key: str
    client: httpx2.AsyncClient
    options: AskOptions
    toolbox: Toolbox
    provider: ClockTracerProvider
    clock: Clock
    source: AgentSource = AgentSource()
    outputs: KeptOutputs | None = None
    """Keeps what a program prints; None keeps nothing."""
