"""From a configuration and its running server to what the driver asks: the path, its HTTP client, its checks."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AsyncExitStack

import anyio
import httpx2
from opentelemetry.trace import TracerProvider

from punie_trace.agent.agent_path import AgentPath, openai_client
from punie_trace.agent.http_path import HttpPath
from punie_trace.agent.inprocess import InprocessModel, InprocessPath
from punie_trace.agent.options import AskOptions
from punie_trace.agent.toolbox import Toolbox
from punie_trace.cli.plan import Configuration
from punie_trace.driver.target import Target
from punie_trace.errors import ConfigurationError
from punie_trace.records import Generation
from punie_trace.servers.open import Server
from punie_trace.telemetry.clock import Clock
from punie_trace.telemetry.transport import TracedTransport

NO_KEY = "not-needed"  # the openai client insists on a key; local servers ignore it


def ask_options(configuration: Configuration, model: str, max_tokens: int, max_requests: int) -> AskOptions:
    """The options of the configuration's requests; what has an argument of its own leaves the request's body."""
    server = configuration.server
    body = {k: v for k, v in configuration.request.items() if k not in ("temperature", "max_tokens")}
    return AskOptions(
        model=model,
        max_tokens=server.max_tokens or max_tokens,
        max_requests=max_requests,
        temperature=server.temp or 0.0,
        request=body,
    )


async def http_target(
    stack: AsyncExitStack,
    configuration: Configuration,
    server: Server,
    toolbox: Toolbox,
    options: AskOptions,
    provider: TracerProvider,
    clock: Clock,
) -> Target:
    """A target for the paths `agent` and `http`; its connections are closed with `stack`."""
    key = _api_key(configuration)
    transport = TracedTransport(clock=clock, tracer_provider=provider)
    base_url = f"{server.base_url.rstrip('/')}/"
    client = await stack.enter_async_context(
        httpx2.AsyncClient(transport=transport, base_url=base_url, headers={"Authorization": f"Bearer {key}"})
    )
    if configuration.path == "agent":
        ask = AgentPath(openai_client(base_url, client, key, options.read_timeout_s), toolbox, options, provider).ask
    else:
        ask = HttpPath(client, toolbox, options, provider.get_tracer("punie_trace")).ask
    return Target(configuration.name, configuration.path, ask, server.verify, server.check_alive, server.identity.model)


async def inprocess_target(
    stack: AsyncExitStack,
    configuration: Configuration,
    toolbox: Toolbox,
    options: AskOptions,
    provider: TracerProvider,
    clock: Clock,
) -> Target:
    """A target for the path `inprocess`; the model is let go with `stack`. Raises `ModelError`."""
    server = configuration.server

    def load() -> InprocessModel:
        return InprocessModel(options.model, server.draft_model, server.adapter_path)

    model = await anyio.to_thread.run_sync(load)
    stack.callback(model.close)
    ask = InprocessPath(model, toolbox, options, provider.get_tracer("punie_trace"), clock).ask
    return Target(configuration.name, configuration.path, ask, _nothing_to_verify, _always_alive, model.name)


def _nothing_to_verify(generation: Generation) -> None:
    """In this process nobody else can have answered."""


_always_alive: Callable[[], None] = lambda: None  # noqa: E731


def _api_key(configuration: Configuration) -> str:
    name = configuration.server.api_key_env
    if name is None:
        return NO_KEY
    key = os.environ.get(name)
    if not key:
        raise ConfigurationError(
            f"configuration {configuration.name!r}: the environment variable {name} is not set; it must hold the API key"
        )
    return key
