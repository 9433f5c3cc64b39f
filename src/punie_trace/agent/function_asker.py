"""Asks through a function of the user's: `ask(question, endpoint)` gives the answer, by whatever framework it likes.

Nothing of the framework is known here. Generations are seen because they go through the endpoint's client; tools by
the framework's own spans, or else by the messages in which their results are sent back.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeAlias

from anyio import to_thread
from pydantic_core import to_json

from punie_trace.agent.endpoint import Endpoint
from punie_trace.records import Answer, Query
from punie_trace.spans.families import answer_of

AskFunction: TypeAlias = Callable[[str, Endpoint], Awaitable[object] | object]


class FunctionAsker:
    """Asks queries of one configuration through `function`, which may be a coroutine function or a plain one.

    A plain one runs in a thread, which is given up when its query's time is over.
    """

    def __init__(self, function: AskFunction, endpoint: Endpoint) -> None:
        self._function = function
        self._endpoint = endpoint

    async def ask(self, query: Query) -> Answer:
        """The answer as text: what is no text is shown as JSON. Raises what the function raises."""
        if inspect.iscoroutinefunction(inspect.unwrap(self._function)):
            result = self._function(query.text, self._endpoint)
        else:
            work = partial(self._function, query.text, self._endpoint)
            result = await to_thread.run_sync(work, abandon_on_cancel=True)
        if inspect.isawaitable(result):
            result = await result
        return Answer(text_of(result), tools_unseen=True)


def text_of(output: object) -> str:
    """An agent's output as the text that is judged: texts without their reasoning, anything else as JSON."""
    if output is None:
        return ""
    if isinstance(output, str):
        return answer_of(output)
    return to_json(output, fallback=str).decode()
