"""Which tool calls were really executed, for one query at a time.

A call counts when its function was entered: calls that the model wrote but that failed validation, or validator
retries, do not appear here. Works across threads that inherit the context (anyio and pydantic-ai both do).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import cast

from punie_trace.agent.toolbox import ERROR_PREFIX, Toolbox
from punie_trace.records import JsonValue, ToolCall

_executed: ContextVar[list[ToolCall] | None] = ContextVar("punie_trace_executed", default=None)


@contextmanager
def recording() -> Generator[list[ToolCall]]:
    """Collects the calls executed within this context, in the order in which they ended."""
    calls: list[ToolCall] = []
    token = _executed.set(calls)
    try:
        yield calls
    finally:
        _executed.reset(token)


def recorded_functions(toolbox: Toolbox) -> dict[str, Callable[..., str]]:
    """The toolbox's functions, each of which notes its execution; names, signatures and docstrings stay."""
    return {name: _recorded(name, function) for name, function in toolbox.functions().items()}


def _recorded(name: str, function: Callable[..., str]) -> Callable[..., str]:
    @functools.wraps(function)
    def run(**arguments: object) -> str:
        ok = False
        try:
            result = function(**arguments)
            ok = not result.startswith(ERROR_PREFIX)
            return result
        finally:
            calls = _executed.get()
            if calls is not None:
                calls.append(ToolCall(name, cast("dict[str, JsonValue]", dict(arguments)), ok))

    return run
