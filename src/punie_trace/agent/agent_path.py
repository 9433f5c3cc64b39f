"""The `agent` path: a real PydanticAI agent over OpenAI-compatible HTTP, streaming, with real tools.

It opens no span itself: pydantic-ai opens `invoke_agent`, `chat` and `execute_tool`, the transport opens `POST`.
"""

from __future__ import annotations

from collections.abc import AsyncIterable

import httpx2
from openai import APIError, AsyncOpenAI
from opentelemetry.trace import TracerProvider
from pydantic_ai import Agent, AgentRunError, ModelSettings, RunContext, UsageLimits
from pydantic_ai.messages import AgentStreamEvent
from pydantic_ai.models.instrumented import InstrumentationSettings
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from punie_trace.agent.definitions import build_tools
from punie_trace.agent.executed import recorded_functions, recording
from punie_trace.agent.failures import describe_failure, generation_failure
from punie_trace.agent.options import AskOptions
from punie_trace.agent.prompt import SYSTEM_PROMPT
from punie_trace.agent.toolbox import Toolbox
from punie_trace.records import Answer, Query
from punie_trace.spans.generation_log import finished_generations


def openai_client(base_url: str, http_client: httpx2.AsyncClient, api_key: str, read_timeout_s: float) -> AsyncOpenAI:
    """An OpenAI client that never retries by itself: a retry would hide inside one `chat` span."""
    return AsyncOpenAI(
        base_url=base_url,
        api_key=api_key,
        http_client=http_client,
        max_retries=0,
        timeout=httpx2.Timeout(read_timeout_s, connect=10.0),
    )


class AgentPath:
    """Asks queries through one agent for one configuration."""

    def __init__(
        self,
        client: AsyncOpenAI,
        toolbox: Toolbox,
        options: AskOptions,
        tracer_provider: TracerProvider | None,
    ) -> None:
        settings = ModelSettings(
            temperature=options.temperature, max_tokens=options.max_tokens, extra_body=dict(options.request)
        )
        self._agent = Agent(
            OpenAIChatModel(options.model, provider=OpenAIProvider(openai_client=client)),
            name="punie_trace",
            instructions=SYSTEM_PROMPT,
            tools=build_tools(recorded_functions(toolbox).values()),
            model_settings=settings,
            retries=2,
        )
        if tracer_provider is None:
            self._agent.instrument = False
        else:
            self._agent.instrument = InstrumentationSettings(
                tracer_provider=tracer_provider, include_content=True, include_model_request_parameters=False
            )
        self._limits = UsageLimits(request_limit=options.max_requests)

    async def ask(self, query: Query) -> Answer:
        """The agent's answer. What the model, the server or the connection did wrong is in `Answer.error`."""
        text, error = "", None
        with recording() as calls:
            try:
                result = await self._agent.run(
                    query.text, usage_limits=self._limits, event_stream_handler=_read_to_the_end
                )
                text = result.output
            except (AgentRunError, APIError, httpx2.HTTPError) as failure:
                error = describe_failure(failure)
            except UnicodeEncodeError:
                error = "the conversation holds half of a surrogate pair, which the openai client cannot send"
        generations = finished_generations()
        return Answer(text, tuple(calls), generations, error or generation_failure(generations))


async def _read_to_the_end(_context: RunContext[object], events: AsyncIterable[AgentStreamEvent]) -> None:
    """A handler is what makes pydantic-ai stream; the events themselves are the transport's concern."""
    async for _ in events:
        pass
