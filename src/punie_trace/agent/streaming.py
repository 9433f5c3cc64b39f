"""How pydantic-ai is made to stream and to trace, for the built-in agent and for users' own. It asks nothing."""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import Any

from opentelemetry.trace import TracerProvider
from pydantic_ai import RunContext
from pydantic_ai.messages import AgentStreamEvent
from pydantic_ai.models.instrumented import InstrumentationSettings


async def read_to_the_end(_context: RunContext[Any], events: AsyncIterable[AgentStreamEvent]) -> None:
    """A handler is what makes pydantic-ai stream; the events themselves are the transport's concern."""
    async for _ in events:
        pass


def instrumentation(tracer_provider: TracerProvider) -> InstrumentationSettings:
    """Spans with messages, and without the parameters of each request, which repeat every tool's schema."""
    return InstrumentationSettings(
        tracer_provider=tracer_provider, include_content=True, include_model_request_parameters=False
    )
