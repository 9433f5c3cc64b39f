"""Agents as users have them, for the tests of the `imported` path: imported by name, never run by pytest."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic_ai import Agent, ModelRetry, RunContext

from punie_trace.agent.endpoint import Endpoint
from punie_trace.agent.toolbox import Toolbox
from punie_trace.agent.workspace import Workspace
from punie_trace.suite.load import sample_workspace

TOOLBOX = Toolbox(Workspace(sample_workspace()))


@dataclass
class Deps:
    """What the agent's tools work with."""

    toolbox: Toolbox


async def deps() -> Deps:
    return Deps(TOOLBOX)


helper: Agent[Deps, str] = Agent(
    "openai:not-this-one", deps_type=Deps, instructions="Look it up.", defer_model_check=True
)


@helper.tool
def find_definition(ctx: RunContext[Deps], name: str) -> str:
    """Show the source of a class or function."""
    return ctx.deps.toolbox.find_definition(name)


@helper.tool_plain
async def slow(seconds: float) -> str:
    """Wait."""
    await asyncio.sleep(seconds)
    return f"waited {seconds:g}"


@helper.tool_plain
def broken() -> str:
    """Break."""
    raise ZeroDivisionError("nothing to divide")


@helper.tool_plain
def moody(name: str) -> str:
    """Want another name."""
    if name != "please":
        raise ModelRetry("say please")
    return "thank you"


class Place(BaseModel):
    """Where something is."""

    file: str
    line: int


structured: Agent[None, Place] = Agent(output_type=Place)


def with_helper(model: Any) -> Agent[None, str]:
    """An agent whose tool asks an agent of its own, both of the configuration's model."""
    inner: Agent[None, str] = Agent(model, instructions="You are the inner one.")
    outer: Agent[None, str] = Agent(model, instructions="You are the outer one.")

    @outer.tool_plain
    async def ask_inner(question: str) -> str:
        """Ask the inner agent."""
        return (await inner.run(question)).output

    return outer


async def made(endpoint: Endpoint) -> Agent[None, str]:
    """An agent that is made for one endpoint."""
    assert endpoint.base_url.endswith("/v1")
    return Agent(instructions=f"You are {endpoint.model}.")


async def ask(question: str, endpoint: Endpoint) -> str:
    """Forty lines of somebody's own loop, with tools that make no spans."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": question}]
    for _ in range(4):
        response = await endpoint.http_client.post(
            f"{endpoint.base_url}/chat/completions", json={"model": endpoint.model, "messages": messages}
        )
        message = response.json()["choices"][0]["message"]
        messages.append(message)
        if not message.get("tool_calls"):
            return message["content"]
        for call in message["tool_calls"]:
            arguments = json.loads(call["function"]["arguments"])
            result = TOOLBOX.functions()[call["function"]["name"]](**arguments)
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})
    return ""


def ask_plainly(question: str, endpoint: Endpoint) -> Place:
    """A plain function, whose answer is an object."""
    return Place(file=question, line=len(endpoint.model))


def raises(question: str, endpoint: Endpoint) -> str:
    """Somebody's mistake."""
    raise LookupError("no such page")


not_an_agent = {"name": "helper"}


def takes_too_much(one: int, two: int, three: int) -> None:
    """Nothing that could be asked."""
