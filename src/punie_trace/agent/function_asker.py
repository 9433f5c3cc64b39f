"""Asks through a function of the user's: `ask(question, endpoint)` gives the answer, by whatever framework it likes.

One that takes a `conversation` too can be asked sessions: see `Conversation` for what it finds there.

Nothing of the framework is known here. Generations are seen because they go through the endpoint's client; tools by
the framework's own spans, or else by the messages in which their results are sent back.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Final, TypeAlias

from anyio import to_thread
from opentelemetry.trace import format_trace_id, get_current_span
from pydantic_core import to_json

from punie_trace.agent.asker import AskTurn
from punie_trace.agent.conversation import Conversation
from punie_trace.agent.endpoint import Endpoint
from punie_trace.records import Answer, Query
from punie_trace.spans.conventions import generations
from punie_trace.spans.families import answer_of
from punie_trace.spans.open_spans import OpenSpans

_NOTHING_ASKED: Final = (
    "the function asked nothing of the model through its endpoint, so that nothing of it was measured: give its client "
    "endpoint.base_url and endpoint.http_client (endpoint.sync_http_client where it blocks), or measure it as a program"
)
AskFunction: TypeAlias = Callable[..., Awaitable[object] | object]
"""(question, endpoint) or (question, endpoint, conversation) -> the answer, or what it is awaited from."""
CONVERSATION: Final = "conversation"
"""The name of the parameter by which a function says that it can be asked sessions."""


def takes_conversation(function: AskFunction) -> bool:
    """Whether the function can be asked sessions."""
    return CONVERSATION in inspect.signature(function).parameters


class FunctionAsker:
    """Asks queries of one configuration through `function`, which may be a coroutine function or a plain one.

    A plain one runs in a thread, which is given up when its query's time is over.
    """

    def __init__(self, function: AskFunction, endpoint: Endpoint, open_spans: OpenSpans) -> None:
        self._function = function
        self._endpoint = endpoint
        self._open_spans = open_spans
        self._converses = takes_conversation(function)

    async def ask(self, query: Query) -> Answer:
        """The answer as text: what is no text is shown as JSON. Raises what the function raises."""
        return await self.converse(query)(query.text)

    def converse(self, _query: Query) -> AskTurn:
        """A conversation whose turns are asked as `ask` asks a query; the function is given it where it takes one."""
        conversation = Conversation()
        more = {CONVERSATION: conversation} if self._converses else {}

        async def ask(text: str) -> Answer:
            work = partial(self._function, text, self._endpoint, **more)
            if inspect.iscoroutinefunction(inspect.unwrap(self._function)):
                result = work()
            else:
                result = await to_thread.run_sync(work, abandon_on_cancel=True)
            if inspect.isawaitable(result):
                result = await result
            answer = answer_from(result, tools_unseen=True)
            if answer.text.strip():
                conversation.add(text, answer.text)
            return answer if self._asked() else replace(answer, error=_NOTHING_ASKED)

        return ask

    def _asked(self) -> bool:
        """Whether a generation of the query that is under way was seen."""
        trace_id = format_trace_id(get_current_span().get_span_context().trace_id)
        return bool(generations(self._open_spans.finished(trace_id)) or self._open_spans.open_requests(trace_id))


def answer_from(output: object, *, tools_unseen: bool = False, output_calls: frozenset[str] = frozenset()) -> Answer:
    """An agent's output as an answer: its text, and the object itself for evaluators where it is none."""
    is_text = output is None or isinstance(output, str)
    return Answer(
        text_of(output),
        reason=None if is_text else f"the agent gives a {type(output).__name__}, which is looked at as JSON",
        tools_unseen=tools_unseen,
        output_calls=output_calls,
        output=None if is_text else output,
    )


def text_of(output: object) -> str:
    """An agent's output as the text that is judged: texts without their reasoning, anything else as JSON."""
    if output is None:
        return ""
    if isinstance(output, str):
        return answer_of(output)
    return to_json(output, fallback=str).decode()
