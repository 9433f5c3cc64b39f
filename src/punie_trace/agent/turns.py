"""The tool loop without an agent, for the `http` and `inprocess` paths: generate, run the calls, generate again.

It mirrors what the agent sends, message for message, so that the paths differ only in what carries the requests.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from opentelemetry.trace import SpanKind, StatusCode, Tracer
from pydantic_core import to_json

from punie_trace.agent.asker import AskTurn
from punie_trace.agent.definitions import definitions_of
from punie_trace.agent.prompt import SYSTEM_PROMPT
from punie_trace.agent.tool_runner import RefusedCall, ToolRunner
from punie_trace.agent.toolbox import Toolbox
from punie_trace.records import Answer, JsonValue
from punie_trace.spans import names
from punie_trace.spans.completion import Completion
from punie_trace.spans.written_calls import WrittenCall, parse_arguments

Message = dict[str, JsonValue]
Complete = Callable[[list[Message]], Awaitable[Completion]]
_INVALID: Final = "INVALID_JSON"
"""The key under which PydanticAI sends back arguments that are no object, as servers insist on one."""


class ToolLoop:
    """The loop over one configuration's tools. `definitions` is the `tools` of each request."""

    def __init__(self, toolbox: Toolbox, tracer: Tracer, max_requests: int) -> None:
        self._tools = ToolRunner(toolbox)
        self._tracer = tracer
        self._max_requests = max_requests
        self.definitions = definitions_of(self._tools.functions)

    def converse(self, complete: Complete) -> AskTurn:
        """A conversation: each turn is answered by what `complete` and the tools come to. It raises what they raise."""
        history: list[Message] = [{"role": "system", "content": SYSTEM_PROMPT}]

        async def ask(text: str) -> Answer:
            nonlocal history
            question: Message = {"role": "user", "content": text}
            messages: list[Message] = [*history, question]
            answer = await self._answer(messages, complete)
            if answer.text.strip():
                messages.append({"role": "assistant", "content": answer.text})
                history = messages
            return answer

        return ask

    async def _answer(self, messages: list[Message], complete: Complete) -> Answer:
        """The answer to the last of `messages`, to which calls and their results are added."""
        for _ in range(self._max_requests):
            completion = await complete(messages)
            if not completion.calls:
                return Answer(completion.text, reason=_why_empty(completion))
            messages.append(_assistant(completion))
            for call in completion.calls:
                result = await self._execute(call)
                messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
        return Answer("", error=f"the model still called tools after {self._max_requests} generations (max_requests)")

    async def _execute(self, call: WrittenCall) -> str:
        """What the tool returned, or what was wrong with the call, in words for the model."""
        checked = self._tools.check(call)
        attributes = {
            names.GEN_AI_OPERATION: names.OPERATION_EXECUTE_TOOL,
            names.GEN_AI_TOOL_NAME: call.name,
            names.GEN_AI_TOOL_CALL_ID: call.id,
            names.GEN_AI_TOOL_ARGUMENTS: call.arguments,
        }
        name = f"{names.OPERATION_EXECUTE_TOOL} {call.name}"
        with self._tracer.start_as_current_span(name, kind=SpanKind.INTERNAL, attributes=attributes) as span:
            if isinstance(checked, RefusedCall):
                span.set_attribute(names.TOOL_REFUSED, checked.reason)
                span.set_status(StatusCode.ERROR, checked.reason)
                result = checked.answer
            else:
                result = await self._tools.run(checked)
            span.set_attribute(names.GEN_AI_TOOL_RESULT, result)
        return result


def _assistant(completion: Completion) -> Message:
    calls: list[JsonValue] = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": _sent_back(call.arguments)}}
        for call in completion.calls
    ]
    return {"role": "assistant", "content": completion.text or None, "tool_calls": calls}


def _sent_back(arguments: str) -> str:
    """The arguments as PydanticAI writes them: compact, and always an object."""
    value, _ = parse_arguments(arguments)
    return to_json({_INVALID: arguments} if value is None else value).decode()


def _why_empty(completion: Completion) -> str | None:
    if completion.text.strip():
        return None
    ended = completion.finish_reason or "no reason"
    thought = "thought and " if completion.reasoning.strip() else ""
    return f"the model {thought}ended ({ended}) without an answer"
