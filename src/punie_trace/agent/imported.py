"""The `imported` path: the user's own agent, by name or as an object, in whatever form it comes.

Taken are a `pydantic_ai.Agent`; a factory of one, that takes nothing, `model`, or `endpoint`; and a function
`ask(question, endpoint)`, or `ask(question, endpoint, conversation)`, which can be asked sessions. Which it is, is told
before anything is started; a factory is called once a configuration.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any, Final, Literal, TypeAlias

from punie_trace.agent.asker import AgentSource, Asker, AskerContext
from punie_trace.agent.elsewhere import watching
from punie_trace.agent.endpoint import Endpoint
from punie_trace.agent.function_asker import CONVERSATION, FunctionAsker, takes_conversation
from punie_trace.agent.sync_client import sync_client
from punie_trace.errors import ConfigurationError
from punie_trace.user_code import load_object

Kind: TypeAlias = Literal["agent", "factory", "function"]

_FACTORY_TAKES: Final = ("model", "endpoint")
_WANTED: Final = (
    "a pydantic_ai.Agent, a function that makes one (taking nothing, 'model' or 'endpoint'), or a function "
    "ask(question, endpoint), with a third parameter 'conversation' where it can be asked sessions"
)


def check_source(source: AgentSource) -> Kind:
    """Import what the source names, and say what it is.

    Raises `ConfigurationError` where it is not there or nothing that can be asked.
    """
    kind = kind_of(_loaded(source), _shown(source))
    deps = _loaded_deps(source)
    if source.deps is not None and not callable(deps):
        raise ConfigurationError(f"deps {_name(source.deps)} is a {type(deps).__name__}: it must be a callable")
    return kind


def check_sessions(source: AgentSource) -> None:
    """Raises `ConfigurationError` for a function that takes single questions only."""
    found = _loaded(source)
    if kind_of(found, _shown(source)) == "function" and not takes_conversation(found):
        raise ConfigurationError(
            f"{_shown(source)} is asked single questions, and the suite has sessions (lists of texts): give it a third "
            f"parameter, '{CONVERSATION}', in which it finds the turns before"
        )


async def open_asker(stack: AsyncExitStack, context: AskerContext) -> Asker:
    """The asker of one configuration. What the agent holds open (MCP servers) is started now and ends with `stack`."""
    source = context.source
    found = _loaded(source)
    stack.enter_context(watching(context.provider))
    blocking = stack.enter_context(sync_client(context.client))
    endpoint = Endpoint(
        context.base_url.rstrip("/"), context.options.model, context.api_key, context.client, blocking, context.provider
    )
    kind = kind_of(found, _shown(source))
    if kind == "function":
        return FunctionAsker(found, endpoint, context.provider.open_spans)
    # Loaded here because a function needs none of it.
    from punie_trace.agent.agent_path import chat_model, openai_client
    from punie_trace.agent.pydantic_asker import open_pydantic_asker

    options = context.options
    client = openai_client(context.base_url, context.client, context.api_key, options.read_timeout_s)
    model = chat_model(client, options.model)
    given: dict[str, object] = {"model": model, "endpoint": endpoint}
    agent = await _called(found, given, _shown(source)) if kind == "factory" else found
    if not _is_agent(agent):
        raise ConfigurationError(f"{_shown(source)} made a {type(agent).__name__}; wanted is a pydantic_ai.Agent")
    deps = _loaded_deps(source)
    own_deps = await _called(deps, given, f"deps {_name(source.deps)}") if callable(deps) else None
    return await open_pydantic_asker(stack, agent, model, own_deps, options, context.provider)


def kind_of(found: object, shown: str) -> Kind:
    """What the object is. Raises `ConfigurationError` where it is nothing of what can be asked."""
    if _is_agent(found):
        return "agent"
    if not callable(found) or inspect.isclass(found):
        raise ConfigurationError(f"{shown} is a {_kind_name(found)}; wanted is {_WANTED}")
    try:
        parameters = list(inspect.signature(found).parameters.values())
    except (TypeError, ValueError):
        raise ConfigurationError(f"{shown} does not say what it takes; wanted is {_WANTED}") from None
    needed = [
        one.name
        for one in parameters
        if one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    ]
    if all(name in _FACTORY_TAKES for name in needed):
        return "factory"
    asked = [one for one in parameters if one.name != CONVERSATION]
    positional = [one for one in asked if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    wanted = [name for name in needed if name != CONVERSATION]
    if len(positional) >= 2 and len(wanted) <= 2 and all(one.kind is not one.KEYWORD_ONLY for one in asked):
        return "function"
    raise ConfigurationError(f"{shown} takes ({', '.join(needed)}); wanted is {_WANTED}")


async def _called(function: Callable[..., Any], given: dict[str, object], shown: str) -> Any:
    """What a factory gives, sync or async, with those of `given` that it takes."""
    takes = inspect.signature(function).parameters
    try:
        result = function(**{name: value for name, value in given.items() if name in takes})
        return await result if inspect.isawaitable(result) else result
    except (Exception, SystemExit) as error:
        raise ConfigurationError(f"{shown} raised {type(error).__name__}: {error}") from error


def _loaded(source: AgentSource) -> Any:
    if source.instance is not None:
        return source.instance
    return load_object(source.reference or "", "agent", ConfigurationError)


def _loaded_deps(source: AgentSource) -> object:
    return load_object(source.deps, "deps", ConfigurationError) if isinstance(source.deps, str) else source.deps


def _is_agent(found: object) -> bool:
    """Whether it is an agent of PydanticAI, without loading that where nobody has."""
    return any(kind.__module__.startswith("pydantic_ai.") and kind.__name__ == "AbstractAgent"
               for kind in type(found).__mro__)  # fmt: skip


def _shown(source: AgentSource) -> str:
    return repr(source.reference) if source.reference is not None else f"the agent {source.shown}"


def _name(deps: object) -> str:
    return repr(deps) if isinstance(deps, str) else getattr(deps, "__qualname__", type(deps).__name__)


def _kind_name(found: object) -> str:
    return f"class {found.__name__}" if inspect.isclass(found) else type(found).__name__
