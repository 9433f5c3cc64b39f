"""The `agent` path: a real PydanticAI agent over OpenAI-compatible HTTP, streaming, with real tools.

It opens no span itself: pydantic-ai opens `invoke_agent`, `chat` and `execute_tool`, the transport opens `POST`.
"""

from __future__ import annotations

from dataclasses import replace

import httpx2
from openai import AsyncOpenAI
from opentelemetry.trace import TracerProvider
from pydantic_ai import Agent, ModelSettings, UnexpectedModelBehavior, UsageLimits
from pydantic_ai.capabilities import ProcessHistory
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers.openai import OpenAIProvider

from punie_trace.agent.asker import AskTurn
from punie_trace.agent.code_mode import code_capability
from punie_trace.agent.definitions import build_tools
from punie_trace.agent.options import AskOptions
from punie_trace.agent.prompt import SYSTEM_PROMPT
from punie_trace.agent.streaming import instrumentation, read_to_the_end
from punie_trace.agent.tool_runner import ToolRunner
from punie_trace.agent.toolbox import Toolbox
from punie_trace.records import Answer, Query
from punie_trace.spans.families import answer_of


def openai_client(base_url: str, http_client: httpx2.AsyncClient, api_key: str, read_timeout_s: float) -> AsyncOpenAI:
    """An OpenAI client that never retries by itself: a retry would hide inside one `chat` span."""
    return AsyncOpenAI(
        base_url=base_url,
        api_key=api_key,
        http_client=http_client,
        max_retries=0,
        timeout=httpx2.Timeout(read_timeout_s, connect=10.0),
    )


def chat_model(client: AsyncOpenAI, model: str) -> OpenAIChatModel:
    """The model of the endpoint behind `client`, asked in the way that any OpenAI-compatible server takes.

    Schemas carry no `strict`, which local servers would write into the prompt, and reasoning is not sent back.
    """
    profile = OpenAIModelProfile(
        openai_supports_strict_tool_definition=False, openai_chat_send_back_thinking_parts=False
    )
    return OpenAIChatModel(model, provider=OpenAIProvider(openai_client=client), profile=profile)


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
            chat_model(client, options.model),
            name="punie_trace",
            instructions=SYSTEM_PROMPT,
            tools=build_tools(ToolRunner(toolbox).async_functions()),
            model_settings=settings,
            retries=2,
            capabilities=[
                ProcessHistory(_without_reasoning),
                *([code_capability()] if options.tools == "code" else []),
            ],
        )
        self._agent.instrument = False if tracer_provider is None else instrumentation(tracer_provider)
        self._limits = UsageLimits(request_limit=options.max_requests)

    async def ask(self, query: Query) -> Answer:
        """The agent's answer; an empty one, with a reason, where the model came to none.

        Raises what the server, the connection, or the agent did wrong.
        """
        return await self.converse(query)(query.text)

    def converse(self, _query: Query) -> AskTurn:
        """A conversation whose turns are asked as `ask` asks a query."""
        history: list[ModelMessage] = []

        async def ask(text: str) -> Answer:
            nonlocal history
            try:
                result = await self._agent.run(
                    text,
                    message_history=history or None,
                    usage_limits=self._limits,
                    event_stream_handler=read_to_the_end,
                )
            except UnexpectedModelBehavior as failure:
                return Answer("", reason=" ".join(str(failure).split()))
            history = result.all_messages()
            return Answer(answer_of(result.output))

        return ask


async def _without_reasoning(messages: list[ModelMessage]) -> list[ModelMessage]:
    """The conversation without what a model thought aloud between tags in its text: it is not sent back."""
    return [_plain(message) if isinstance(message, ModelResponse) else message for message in messages]


def _plain(message: ModelResponse) -> ModelResponse:
    texts = [part.content for part in message.parts if isinstance(part, TextPart)]
    if all(answer_of(text) == text for text in texts):
        return message
    parts = [replace(p, content=answer_of(p.content)) if isinstance(p, TextPart) else p for p in message.parts]
    return replace(message, parts=[part for part in parts if not isinstance(part, TextPart) or part.content])
