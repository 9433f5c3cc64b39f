"""Asks through a PydanticAI agent of the user's, as it is: only its model is another, and its spans are ours.

Model, settings, instrumentation and limits are given with each run, so that the object itself is never changed. Its
tools, toolsets, MCP servers, structured outputs, retries and capabilities work as they do elsewhere.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

from opentelemetry.trace import TracerProvider
from pydantic_ai import ModelSettings, RunContext, UnexpectedModelBehavior, UsageLimitExceeded, UsageLimits
from pydantic_ai.agent import AbstractAgent
from pydantic_ai.capabilities import AbstractCapability, Instrumentation
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models import Model, ModelRequestContext

from punie_trace.agent.asker import AskTurn
from punie_trace.agent.code_mode import code_capability
from punie_trace.agent.function_asker import answer_from
from punie_trace.agent.options import AskOptions
from punie_trace.agent.streaming import instrumentation, read_to_the_end
from punie_trace.errors import ConfigurationError
from punie_trace.records import Answer, Query


async def open_pydantic_asker(
    stack: AsyncExitStack,
    agent: AbstractAgent[Any, Any],
    model: Model,
    deps: object,
    options: AskOptions,
    tracer_provider: TracerProvider,
) -> PydanticAsker:
    """An asker whose agent's toolsets and MCP servers run from now until `stack` is closed.

    Raises `ConfigurationError` where they do not start.
    """
    try:
        with agent.override(model=model):  # else its own model would be opened as well, which may want a key
            await stack.enter_async_context(agent)
    except Exception as error:
        raise ConfigurationError(
            f"the toolsets of the agent {agent.name or ''} did not start: {type(error).__name__}: {error}"
        ) from error
    return PydanticAsker(agent, model, deps, options, tracer_provider)


class PydanticAsker:
    """Asks queries through `agent` for one configuration."""

    def __init__(
        self,
        agent: AbstractAgent[Any, Any],
        model: Model,
        deps: object,
        options: AskOptions,
        tracer_provider: TracerProvider,
    ) -> None:
        self._agent = agent
        self._model = model
        self._deps = deps
        # The agent's own settings stay unless the configuration sets them.
        self._settings = ModelSettings(extra_body=dict(options.request)) if options.request else ModelSettings()
        if "temperature" in options.configured:
            self._settings["temperature"] = options.temperature
        if "max_tokens" in options.configured:
            self._settings["max_tokens"] = options.max_tokens
        self._limits = UsageLimits(request_limit=options.max_requests)
        self._max_requests = options.max_requests
        self._outputs = _OutputNames()
        self._capabilities = [
            Instrumentation(instrumentation(tracer_provider)),
            self._outputs,
            *([code_capability()] if options.tools == "code" else []),
        ]
        self._handler = agent.event_stream_handler or read_to_the_end

    async def ask(self, query: Query) -> Answer:
        """The agent's output as text; an empty answer, with a reason, where its model came to none.

        Raises what the server, the agent or its tools did wrong.
        """
        return await self.converse(query)(query.text)

    def converse(self, _query: Query) -> AskTurn:
        """A conversation whose turns are asked as `ask` asks a query; the agent is given the messages before it."""
        history: list[ModelMessage] = []

        async def ask(text: str) -> Answer:
            nonlocal history
            try:
                result = await self._agent.run(
                    text,
                    message_history=history or None,
                    model=self._model,
                    deps=self._deps,
                    model_settings=self._settings,
                    usage_limits=self._limits,
                    event_stream_handler=self._handler,
                    capabilities=self._capabilities,
                )
            except UnexpectedModelBehavior as failure:
                return Answer("", reason=" ".join(str(failure).split()), output_calls=self._outputs.names)
            except UsageLimitExceeded as failure:
                return Answer("", error=f"{failure}; max_requests = {self._max_requests} allows no more")
            history = result.all_messages()
            return answer_from(result.output, output_calls=self._outputs.names)

        return ask


class _OutputNames(AbstractCapability[Any]):
    """Notes under which names the agent takes its output as a call: giving an answer is no tool call."""

    def __init__(self) -> None:
        self.names: frozenset[str] = frozenset()

    async def before_model_request(
        self,
        ctx: RunContext[Any],  # noqa: ARG002 - the base class names it
        request_context: ModelRequestContext,
    ) -> ModelRequestContext:
        """As the base class has it; changes nothing."""
        tools = request_context.model_request_parameters.output_tools
        if tools:
            self.names |= {tool.name for tool in tools}
        return request_context
