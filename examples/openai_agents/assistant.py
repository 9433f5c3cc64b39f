"""The OpenAI Agents SDK, asked through a function: `ask(question, endpoint)`.

Its tools are Python functions over the sample workspace. All that it takes is a client on the endpoint's own HTTP
client, which times every generation.
"""

from __future__ import annotations

from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    RunConfig,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from openai import AsyncOpenAI

from punie_trace.agent.endpoint import Endpoint
from punie_trace.agent.prompt import SYSTEM_PROMPT
from punie_trace.agent.toolbox import Toolbox
from punie_trace.agent.workspace import Workspace
from punie_trace.suite.load import sample_workspace

set_tracing_disabled(True)  # else it would send its traces to OpenAI
_toolbox = Toolbox(Workspace(sample_workspace()), max_chars=600)
_tools = [function_tool(one, strict_mode=False) for one in _toolbox.functions().values()]


async def ask(question: str, endpoint: Endpoint) -> str:
    """The agent's answer by the model of `endpoint`."""
    client = AsyncOpenAI(
        base_url=endpoint.base_url, api_key=endpoint.api_key, http_client=endpoint.http_client, max_retries=0
    )
    agent = Agent(
        name="assistant",
        instructions=SYSTEM_PROMPT,
        tools=list(_tools),
        model=OpenAIChatCompletionsModel(model=endpoint.model, openai_client=client),
        model_settings=ModelSettings(temperature=0, max_tokens=480),
    )
    result = await Runner.run(agent, question, max_turns=8, run_config=RunConfig(tracing_disabled=True))
    return str(result.final_output)
