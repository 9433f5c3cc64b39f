"""The tools' definitions in the form that OpenAI-compatible servers take, made by pydantic-ai from the functions.

All paths, and the training data, use these, so that every prompt is the same to the token. Those of the shipped tools
are kept in a file beside this one, made by `python -m punie_trace.agent.definitions`: pydantic-ai takes a second to
load, which the `http` path need not wait for. A file of another version of pydantic-ai is passed over.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from punie_trace.records import JsonValue

if TYPE_CHECKING:
    from pydantic_ai import Tool

KEPT: Final = Path(__file__).with_name("definitions.json")
_MAKER: Final = "pydantic-ai-slim"


def build_tools(functions: Iterable[Callable[..., str | Awaitable[str]]]) -> list[Tool[None]]:
    """The functions as pydantic-ai tools."""
    from pydantic_ai import Tool

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


def definitions_of(functions: Mapping[str, Callable[..., str]]) -> list[dict[str, JsonValue]]:
    """`openai_definitions` of the shipped tools named in `functions`, from the file where that is this version's."""
    kept = _kept()
    if kept is None or not kept.keys() >= functions.keys():
        return openai_definitions(build_tools(functions.values()))
    return [kept[name] for name in functions]


def _kept() -> dict[str, dict[str, JsonValue]] | None:
    try:
        file = json.loads(KEPT.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return file["tools"] if file.get("made_by") == {_MAKER: version(_MAKER)} else None


def main() -> None:
    """Write the file anew, from the functions of the toolbox."""
    from punie_trace.agent.toolbox import Toolbox
    from punie_trace.agent.workspace import Workspace

    definitions = openai_definitions(build_tools(Toolbox(Workspace(Path())).functions().values()))
    tools: dict[str, JsonValue] = {}
    for definition in definitions:
        function = definition["function"]
        assert isinstance(function, dict)
        tools[str(function["name"])] = definition
    KEPT.write_text(json.dumps({"made_by": {_MAKER: version(_MAKER)}, "tools": tools}, indent=1) + "\n", "ascii")


if __name__ == "__main__":
    main()
