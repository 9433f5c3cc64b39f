"""The tool loop without an agent, for the `http` and `inprocess` paths: generate, run the calls, generate again.

It mirrors what the agent sends, message for message, so that the paths differ only in what carries the requests.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from anyio import to_thread
from opentelemetry.trace import SpanKind, Tracer

from punie_trace.agent.definitions import definitions_of
from punie_trace.agent.executed import recorded_functions, recording
from punie_trace.agent.failures import describe_failure
from punie_trace.agent.prompt import SYSTEM_PROMPT
from punie_trace.agent.toolbox import ERROR_PREFIX, Toolbox
from punie_trace.records import Answer, JsonValue, Query
from punie_trace.spans import names
from punie_trace.spans.generation_log import finished_generations

Message = dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class WrittenCall:
    """A call as the model wrote it: its id, the tool's name, the arguments as JSON text."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Turn:
    """One generation's text and calls."""

    text: str
    calls: tuple[WrittenCall, ...] = ()


Complete = Callable[[list[Message]], Awaitable[Turn]]


class ToolLoop:
    """The loop over one configuration's tools. `definitions` is the `tools` of each request."""

    def __init__(self, toolbox: Toolbox, tracer: Tracer, max_requests: int) -> None:
        self._functions = recorded_functions(toolbox)
        self._tracer = tracer
        self._max_requests = max_requests
        self.definitions = definitions_of(self._functions)

    async def ask(self, query: Query, complete: Complete, failures: tuple[type[Exception], ...]) -> Answer:
        """The answer that `complete` and the tools come to. Exceptions among `failures` become `Answer.error`."""
        text, error = "", None
        with recording() as calls:
            try:
                text, error = await self._converse(query.text, complete)
            except failures as failure:
                error = describe_failure(failure)
        return Answer(text, tuple(calls), finished_generations(), error)

    async def _converse(self, text: str, complete: Complete) -> tuple[str, str | None]:
        messages: list[Message] = [{"role": "system", "content": SYSTEM_PROMPT}, {"role": "user", "content": text}]
        for _ in range(self._max_requests):
            turn = await complete(messages)
            if not turn.calls:
                return turn.text, None
            messages.append(_assistant(turn))
            for call in turn.calls:
                result = await _execute(call, self._functions, self._tracer)
                messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
        return "", f"the model still called tools after {self._max_requests} generations (max_requests)"


def _assistant(turn: Turn) -> Message:
    calls: list[JsonValue] = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in turn.calls
    ]
    return {"role": "assistant", "content": turn.text or None, "tool_calls": calls}


async def _execute(call: WrittenCall, functions: dict[str, Callable[..., str]], tracer: Tracer) -> str:
    """What the tool returned, or what was wrong with the call, in words for the model."""
    function = functions.get(call.name)
    if function is None:
        return f"{ERROR_PREFIX}there is no tool {call.name!r}; there are {', '.join(functions)}"
    try:
        arguments = json.loads(call.arguments or "{}")
    except ValueError as error:
        return f"{ERROR_PREFIX}the arguments are not JSON: {error}"
    attributes = {
        names.GEN_AI_OPERATION: names.OPERATION_EXECUTE_TOOL,
        names.GEN_AI_TOOL_NAME: call.name,
        names.GEN_AI_TOOL_ARGUMENTS: call.arguments,
    }
    name = f"{names.OPERATION_EXECUTE_TOOL} {call.name}"
    with tracer.start_as_current_span(name, kind=SpanKind.INTERNAL, attributes=attributes) as span:
        try:
            result = await to_thread.run_sync(lambda: function(**arguments))
        except TypeError as error:
            result = f"{ERROR_PREFIX}{call.name} was called wrongly: {error}"
        span.set_attribute(names.GEN_AI_TOOL_RESULT, result)
    return result
