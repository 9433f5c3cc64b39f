"""The chat template of the demo models, and how a conversation becomes tokens: exactly what the server does.

Turns are Qwen style. Tools are told in one line each, so that they cost few tokens: the first of their description, and
in code mode the signatures of the functions that the code may call, out of 3,000 characters of instructions. A tool
call is rendered from its name and arguments to the very text that the model writes, so the next turn shares every token
with the cache. No data is made here, and nothing is trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from punie_trace.agent.prompt import SYSTEM_PROMPT
from punie_trace.agent.toolbox import Toolbox
from punie_trace.records import ToolMode

END_OF_TEXT, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPECIAL_TOKENS = (
    END_OF_TEXT, TURN_START, TURN_END, "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>",
)  # fmt: skip

CHAT_TEMPLATE = """\
{%- macro told(function) -%}
{{ '\\n- ' + function.name + '(' }}
{%- for name, value in function.parameters.properties.items() -%}
{{ name }}{% if value.default is defined %}={{ value.default | tojson }}{% endif %}{{ '' if loop.last else ', ' }}
{%- endfor -%}
{%- set lines = function.description.split('\\n') -%}
{{ '): ' + lines[0] }}
{%- for line in lines if line.startswith('async def ') -%}{{ '\\n' + line }}{%- endfor -%}
{%- endmacro -%}
{%- set first = messages[0].content if messages[0].role == 'system' else '' -%}
{%- if first or tools -%}
{{ '<|im_start|>system\\n' + first }}
{%- if tools -%}
{{ '\\n\\nTools:' }}
{%- for tool in tools -%}
{{ told(tool.function if tool.function is defined else tool) }}
{%- endfor -%}
{%- endif -%}
{{ '<|im_end|>\\n' }}
{%- endif -%}
{%- for message in messages -%}
{%- if message.role == 'user' or (message.role == 'system' and not loop.first) -%}
{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- elif message.role == 'assistant' -%}
{%- set said = (message.content or '').rstrip('\\n') if message.tool_calls else message.content or '' -%}
{{ '<|im_start|>assistant\\n' + said }}
{%- for call in message.tool_calls or [] -%}
{%- set tool_call = call.function if call.function is defined else call -%}
{{ '\\n' if said or not loop.first else '' }}
{{- '<tool_call>\\n{"name": ' }}{{ tool_call.name | tojson }}{{ ', "arguments": ' }}{{ tool_call.arguments | tojson }}
{{- '}\\n</tool_call>' }}
{%- endfor -%}
{{ '<|im_end|>\\n' }}
{%- elif message.role == 'tool' -%}
{{ '<|im_start|>user\\n' if loop.previtem.role != 'tool' else '\\n' }}
{{- '<tool_response>\\n' + message.content + '\\n</tool_response>' }}
{{- '<|im_end|>\\n' if loop.last or loop.nextitem.role != 'tool' else '' }}
{%- endif -%}
{%- endfor -%}
{{ '<|im_start|>assistant\\n' if add_generation_prompt else '' }}"""


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call: the tool's name and its arguments."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Turn:
    """What the assistant said: a call and what the tool answered, or (call is None) the final answer in `text`.

    `said` is what the assistant said before a call.
    """

    text: str
    call: Call | None = None
    said: str = ""


@dataclass(frozen=True, slots=True)
class Conversation:
    """A question and the assistant's turns, the last of which is an answer. `kind` names the generator.

    `mode` says what the model is offered: the tools themselves, or one that runs code.
    """

    question: str
    turns: tuple[Turn, ...]
    kind: str
    mode: ToolMode = "calls"


def messages(question: str, turns: tuple[Turn, ...] | list[Turn]) -> list[dict[str, Any]]:
    """The conversation as an OpenAI client sends it, arguments as a dict (as mlx-lm's server hands them on)."""
    sent: list[dict[str, Any]] = [{"role": "system", "content": SYSTEM_PROMPT}, {"role": "user", "content": question}]
    for number, turn in enumerate(turns):
        if turn.call is None:
            sent.append({"role": "assistant", "content": turn.text})
            continue
        identity = f"call_{number}"
        function = {"name": turn.call.name, "arguments": turn.call.arguments}
        sent.append(
            {
                "role": "assistant",
                "content": turn.said,
                "tool_calls": [{"id": identity, "type": "function", "function": function}],
            }
        )
        sent.append({"role": "tool", "tool_call_id": identity, "content": turn.text})
    return sent


def tool_schemas(toolbox: Toolbox) -> list[dict[str, Any]]:
    """The tools as pydantic-ai sends them to an OpenAI-compatible server."""
    from pydantic_ai import Tool

    told = [Tool(function).tool_def for function in toolbox.functions().values()]
    return [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description or "",
                "parameters": tool.parameters_json_schema,
            },
        }
        for tool in told
    ]
