"""Checks and runs the calls of the built-in tools: arguments first, then the tool in a thread that can be given up.

What does not fit is told to the model in the words that PydanticAI has for it, so that the paths with and without it
send the same messages. A tool has a time limit of its own; the thread of one that is given up ends at its own next look
at the time. Nothing is imported of PydanticAI here: it takes a second to load.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

import anyio
from anyio import to_thread
from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from pydantic_core import to_json

from punie_trace.agent.toolbox import Toolbox
from punie_trace.records import JsonValue
from punie_trace.spans.activity import ERROR_PREFIX, Defaults
from punie_trace.spans.written_calls import WrittenCall, parse_arguments

TOOL_LIMIT_S: Final = 30.0
"""The longest that a tool may take before it is given up."""


@dataclass(frozen=True, slots=True)
class CheckedCall:
    """A call that fits: the tool's name and all its arguments."""

    name: str
    arguments: dict[str, str]


@dataclass(frozen=True, slots=True)
class RefusedCall:
    """A call that cannot be run: what to tell the model, and why in short."""

    answer: str
    reason: str


class ToolRunner:
    """The tools of one toolbox. `limit_s` bounds each call."""

    def __init__(self, toolbox: Toolbox, limit_s: float = TOOL_LIMIT_S) -> None:
        self.functions = toolbox.functions()
        self._limit_s = limit_s
        self._models = {name: _arguments_model(name, function) for name, function in self.functions.items()}

    def check(self, call: WrittenCall) -> CheckedCall | RefusedCall:
        """Whether the tool exists and the arguments fit it."""
        model = self._models.get(call.name)
        if model is None:
            known = ", ".join(map(repr, sorted(self.functions)))
            answer = f"Unknown tool name: {call.name!r}. Available tools: {known}"
            return RefusedCall(_error(answer), f"there is no tool {call.name!r}")
        try:
            fitting = model.model_validate_json(call.arguments or "{}")
        except ValidationError as error:
            details = error.errors(include_url=False, include_context=False)
            _, problem = parse_arguments(call.arguments)
            reason = problem or "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in details)
            return RefusedCall(_error(details), reason)
        return CheckedCall(call.name, {name: getattr(fitting, name) for name in model.model_fields})

    async def run(self, call: CheckedCall) -> str:
        """What the tool returns, or that it took too long."""
        return await self._run(call.name, self.functions[call.name], call.arguments)

    def async_functions(self) -> list[Callable[..., Awaitable[str]]]:
        """Each tool as a coroutine function with the name, signature and docstring of the tool."""
        return [self._as_async(name, function) for name, function in self.functions.items()]

    def _as_async(self, name: str, function: Callable[..., str]) -> Callable[..., Awaitable[str]]:
        @functools.wraps(function)
        async def run(**arguments: str) -> str:
            return await self._run(name, function, arguments)

        return run

    async def _run(self, name: str, function: Callable[..., str], arguments: Mapping[str, str]) -> str:
        with anyio.move_on_after(self._limit_s):
            return await to_thread.run_sync(functools.partial(function, **arguments), abandon_on_cancel=True)
        return f"{ERROR_PREFIX}{name} took longer than {self._limit_s:g} s and was given up"


def argument_defaults(toolbox: Toolbox) -> Defaults:
    """What each tool's arguments are where a call leaves them out."""
    found: dict[str, Mapping[str, JsonValue]] = {}
    for name, function in toolbox.functions().items():
        parameters = inspect.signature(function).parameters.values()
        found[name] = {one.name: one.default for one in parameters if one.default is not one.empty}
    return found


def _arguments_model(name: str, function: Callable[..., str]) -> type[BaseModel]:
    """What a call's arguments must be: all the built-in tools take texts."""
    fields = {
        one.name: (str, ... if one.default is one.empty else one.default)
        for one in inspect.signature(function).parameters.values()
    }
    return create_model(name, __config__=ConfigDict(extra="forbid"), **fields)  # ty: ignore[no-matching-overload]


def _error(value: object) -> str:
    return to_json({"error": value}).decode()
