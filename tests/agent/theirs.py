"""Agents as users have them, for the tests of the `imported` path: imported by name, never run by pytest."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass
from typing import Any

import httpx2
from openai import OpenAI
from pydantic import BaseModel
from pydantic_ai import Agent, ModelRetry, RunContext
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

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


def delegates_elsewhere(endpoint: Endpoint) -> Agent[None, str]:
    """An agent whose tool asks an agent with a model of its own, on another server."""
    other = OpenAIChatModel("their-model", provider=OpenAIProvider(base_url=os.environ["THEIR_SERVER"], api_key="x"))
    inner: Agent[None, str] = Agent(other)
    outer: Agent[None, str] = Agent()

    @outer.tool_plain
    async def ask_inner(question: str) -> str:
        """Ask the inner agent."""
        return (await inner.run(question)).output

    return outer


async def asks_elsewhere_too(question: str, endpoint: Endpoint) -> str:
    """A function that uses the endpoint's client for another server as well."""
    for base_url in (os.environ["THEIR_SERVER"], endpoint.base_url):
        body = {"model": endpoint.model, "messages": [{"role": "user", "content": question}]}
        response = await endpoint.http_client.post(f"{base_url}/chat/completions", json=body)
    return response.json()["choices"][0]["message"]["content"]


def asks_past_the_client(question: str, endpoint: Endpoint) -> str:
    """A function that takes the endpoint's address and no client of it."""
    body = {"model": endpoint.model, "messages": [{"role": "user", "content": question}]}
    response = httpx2.post(f"{endpoint.base_url}/chat/completions", json=body, timeout=10)
    return response.json()["choices"][0]["message"]["content"]


def blocks(question: str, endpoint: Endpoint) -> str:
    """A plain function around a client that knows no event loop, streamed."""
    client = OpenAI(base_url=endpoint.base_url, api_key=endpoint.api_key, http_client=endpoint.sync_http_client)
    stream = client.chat.completions.create(
        model=endpoint.model, messages=[{"role": "user", "content": question}], stream=True
    )
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


async def blocks_the_loop(question: str, endpoint: Endpoint) -> str:
    """A coroutine that uses the blocking client."""
    return endpoint.sync_http_client.get("models").text


async def streams(question: str, endpoint: Endpoint) -> str:
    """Streams, and does not ask for token counts."""
    asked = {"model": endpoint.model, "messages": [{"role": "user", "content": question}], "stream": True}
    async with endpoint.http_client.stream("POST", f"{endpoint.base_url}/chat/completions", json=asked) as response:
        lines = [line async for line in response.aiter_lines() if line.startswith("data: {")]
    return "".join(json.loads(line[6:])["choices"][0]["delta"].get("content", "") for line in lines)
