"""The tools' definitions in the form that OpenAI-compatible servers take, made by pydantic-ai from the functions.

All paths, and the training data, use these, so that every prompt is the same to the token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pydantic_ai import Tool

from punie_trace.records import JsonValue


def build_tools(functions: Iterable[Callable[..., str]]) -> list[Tool[None]]:
    """The functions as pydantic-ai tools."""
    return [Tool[None](function, takes_ctx=False) for function in functions]


def openai_definitions(tools: Iterable[Tool[None]]) -> list[dict[str, JsonValue]]:
    """The `tools` of a chat completion request, as pydantic-ai's OpenAI model sends them."""
    return [
        {
            "type": "function",
            "function": {
                "name": tool.tool_def.name,
                "description": tool.tool_def.description or "",
                "parameters": tool.tool_def.parameters_json_schema,
            },
        }
        for tool in tools
    ]
