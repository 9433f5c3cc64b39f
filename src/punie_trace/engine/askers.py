"""Which asker each path has: the built-in ones, and those of an imported agent and of a program.

Each is loaded when it is first needed: PydanticAI alone takes more than a second, which the other paths need not wait
for.
"""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Final, TypeAlias

from punie_trace.agent.asker import AgentSource, Asker, AskerContext
from punie_trace.agent.code_mode import check_code_mode
from punie_trace.errors import ConfigurationError
from punie_trace.records import Path as AskPath
from punie_trace.records import ToolMode

Opener: TypeAlias = Callable[[AsyncExitStack, AskerContext], Awaitable[Asker]]

_MODULES: Final = {"imported": "punie_trace.agent.imported", "program": "punie_trace.agent.program"}
"""Where `check_source`, `check_sessions` and `open_asker` of each path stand.

The first may say what kind of asker it found.
"""


_LOADED: Final[Mapping[AskPath, Sequence[str]]] = {
    "agent": ("punie_trace.agent.agent_path",),
    "http": ("punie_trace.agent.http_path", "punie_trace.agent.aiohttp_transport"),
}
_WITHOUT_CODE: Final = {
    "program": "a program runs its own tools, which cannot be put into a sandbox from here",
    "http": "the path 'http' has no agent that could run code",
    "inprocess": "the path 'inprocess' has no agent that could run code",
    "function": "a function that asks runs its own tools: use its framework's own code mode",
}


def check_source(path: AskPath, source: AgentSource, tools: ToolMode = "calls") -> None:
    """Raises `ConfigurationError` for an agent that cannot be used on `path`, or not with `tools`.

    The built-in one always can, but for code where the sandbox is not installed.
    """
    kind: str = path
    if path in _MODULES:
        kind = importlib.import_module(_MODULES[path]).check_source(source) or path
    if tools == "calls":
        return
    if kind in _WITHOUT_CODE:
        raise ConfigurationError(
            f"tools = 'code' takes the built-in agent or an imported PydanticAI agent, and {_WITHOUT_CODE[kind]}"
        )
    check_code_mode()


def check_sessions(path: AskPath, source: AgentSource) -> None:
    """Raises `ConfigurationError` for an agent on `path` that cannot be asked several turns of one conversation."""
    if path in _MODULES:
        importlib.import_module(_MODULES[path]).check_sessions(source)


def load_askers(paths: Iterable[AskPath]) -> None:
    """Import what the askers of these paths need, while something else is waited for. PydanticAI takes seconds."""
    for path in paths:
        for module in _LOADED.get(path, ()):
            importlib.import_module(module)


async def open_asker(path: AskPath, stack: AsyncExitStack, context: AskerContext) -> Asker:
    """The asker of one configuration on one of the paths that ask a server; what it holds ends with `stack`."""
    opener: Opener
    if path == "agent":
        opener = _built_in_agent
    elif path == "http":
        opener = _http
    else:
        opener = importlib.import_module(_MODULES[path]).open_asker
    return await opener(stack, context)


async def _built_in_agent(_stack: AsyncExitStack, context: AskerContext) -> Asker:
    from punie_trace.agent.agent_path import AgentPath, openai_client

    options = context.options
    client = openai_client(context.base_url, context.client, context.api_key, options.read_timeout_s)
    return AgentPath(client, context.toolbox, options, context.provider)


async def _http(_stack: AsyncExitStack, context: AskerContext) -> Asker:
    from punie_trace.agent.http_path import HttpPath

    return HttpPath(context.client, context.toolbox, context.options, context.provider.get_tracer("punie_trace"))
