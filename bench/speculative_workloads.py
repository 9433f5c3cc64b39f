"""Prompts of the shipped suite, as the agent sends them: tool calls, answers that quote what a tool returned, prose."""

from __future__ import annotations

import random
from dataclasses import dataclass

import mlx.nn as nn
from mlx_lm.generate import stream_generate

from punie_trace.agent.definitions import build_tools, openai_definitions
from punie_trace.agent.prompt import SYSTEM_PROMPT
from punie_trace.agent.toolbox import Toolbox
from punie_trace.agent.workspace import Workspace
from punie_trace.suite.load import load_suite, sample_workspace


@dataclass(frozen=True)
class Prompt:
    """Tokens to go on from, and the most tokens to answer with."""

    kind: str
    tokens: list[int]
    most: int


def workloads(model: nn.Module, tokenizer, count: int, most: int = 96) -> list[Prompt]:
    """About `count` prompts, a third of each kind. The calls are those that the model writes itself."""
    toolbox = Toolbox(Workspace(sample_workspace()))
    functions = toolbox.functions()
    definitions = openai_definitions(build_tools(functions.values()))
    queries = list(load_suite("discrimination-40").queries)
    random.Random(0).shuffle(queries)
    prompts: list[Prompt] = []
    each = max(1, count // 3)

    def rendered(messages: list[dict]) -> list[int]:
        return tokenizer.apply_chat_template(messages, tools=definitions, add_generation_prompt=True, tokenize=True)

    def add(kind: str, tokens: list[int]) -> None:
        if sum(p.kind == kind for p in prompts) < each:
            prompts.append(Prompt(kind, tokens, most))

    for query in queries:
        if len(prompts) == 3 * each:
            break
        messages = [{"role": "system", "content": SYSTEM_PROMPT}, {"role": "user", "content": query.text}]
        tokens = rendered(messages)
        if query.expected == "direct":
            add("prose", tokens)
            continue
        add("tool", tokens)
        if sum(p.kind == "quote" for p in prompts) >= each:
            continue
        text = "".join(r.text for r in stream_generate(model, tokenizer, tokens, max_tokens=128))
        call = written_call(text, tokenizer)
        if call is None or call["name"] not in functions:
            continue
        try:
            result = functions[call["name"]](**call["arguments"])
        except TypeError:
            continue
        messages.append(
            {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": call}]},
        )
        messages.append({"role": "tool", "content": result})
        tokens = rendered(messages)
        if len(tokens) < 3000:
            add("quote", tokens)
    return prompts


def written_call(text: str, tokenizer) -> dict | None:
    """The first tool call in a text that parses."""
    start, end = tokenizer.tool_call_start, tokenizer.tool_call_end
    if not start or start not in text:
        return None
    try:
        parsed = tokenizer.tool_parser(text.split(start)[1].split(end)[0], None)
    except (ValueError, KeyError, TypeError):
        return None
    call = parsed[0] if isinstance(parsed, list) else parsed
    return call if isinstance(call.get("arguments"), dict) else None
