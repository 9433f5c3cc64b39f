"""Training conversations in code mode: prompts as the agent sends them, and programs that do what they are said to."""

from __future__ import annotations

import json
from typing import Any

import pytest

from punie_trace.agent.asker import AgentSource
from punie_trace.agent.code_mode import code_capability
from punie_trace.agent.options import AskOptions
from punie_trace.agent.toolbox import Toolbox
from punie_trace.agent.workspace import Workspace
from punie_trace.models import shipped_model
from punie_trace.suite.fresh.tasks import WORDS, Task
from punie_trace.suite.load import sample_workspace
from punie_trace.testing import ToolCall
from recipes.chat import CHAT_TEMPLATE, Call, Conversation, Turn, messages
from recipes.code_mode import code_schemas, coded, one_call
from recipes.dataset import load_tokenizer
from tests.agent.lab import ANSWER, LOOKUP, lab
from tests.recipes.test_chains import tasks

pytest.importorskip("pydantic_ai_harness.code_mode", reason="needs punie-trace[code]")
pytestmark = pytest.mark.anyio
TOOLS = Toolbox(Workspace(sample_workspace()), max_chars=600)
TASKS = tasks(sample_workspace())


@pytest.fixture(scope="module")
def schemas() -> list[dict[str, Any]]:
    return code_schemas(TOOLS)


async def run_in_the_sandbox(code: str) -> str:
    """What a run of code returns to the model."""
    from pydantic_ai import Agent, ModelResponse, TextPart, ToolCallPart
    from pydantic_ai.models.function import FunctionModel

    def reply(sent: Any, _info: Any) -> ModelResponse:
        if len(sent) > 1:
            return ModelResponse(parts=[TextPart(sent[-1].parts[0].content)])
        return ModelResponse(parts=[ToolCallPart("run_code", {"code": code})])

    functions: Any = list(TOOLS.functions().values())
    agent = Agent(FunctionModel(reply), tools=functions, capabilities=[code_capability()])
    return str((await agent.run("?")).output)


async def test_a_training_prompt_is_what_the_agent_sends_in_code_mode_to_the_letter(
    schemas: list[dict[str, Any]],
) -> None:
    code = "text = await find_definition(name='IsLibrarian')\ntext.split('\"\"\"')[1]"
    async with lab((ToolCall(name="run_code", arguments={"code": code}),), (ANSWER,)) as one:
        await one.ask(await one.asker("agent", AgentSource(), AskOptions("fake-model", tools="code")), LOOKUP)
        sent: Any = one.server.requests[1].body
    for message in sent["messages"]:
        for call in message.get("tool_calls", ()):
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])  # as the server hands it on
    result = sent["messages"][-1]["content"]
    assert result == "Only the staff of the library."
    trained = messages(LOOKUP.text, (Turn(result, Call("run_code", {"code": code})),))
    render: Any = load_tokenizer(shipped_model()[0]).apply_chat_template
    assert render(trained, tools=schemas, chat_template=CHAT_TEMPLATE, tokenize=False) == render(
        sent["messages"], tools=sent["tools"], chat_template=CHAT_TEMPLATE, tokenize=False
    )


@pytest.mark.parametrize("kind", sorted(WORDS))
async def test_a_program_returns_in_the_sandbox_what_its_conversation_says(kind: str) -> None:
    made = coded("?", TASKS[kind], TOOLS)
    assert made is not None
    call = made.turns[0].call
    assert call is not None
    assert await run_in_the_sandbox(call.arguments["code"]) == made.turns[0].text == made.turns[1].text


async def test_a_question_of_one_call_is_one_line_of_code() -> None:
    found = TOOLS.find_definition("IsLibrarian")
    quoted = Conversation(
        "Show it.",
        (Turn(found, Call("find_definition", {"name": "IsLibrarian"})), Turn(f"Here:\n{found}")),
        "definition",
    )
    made = one_call(quoted)
    assert made is not None
    assert made.mode == "code"
    assert made.turns[0].call == Call("run_code", {"code": "await find_definition(name='IsLibrarian')"})
    assert await run_in_the_sandbox("await find_definition(name='IsLibrarian')") == found
    assert one_call(Conversation("What is it?", (Turn("A thing."),), "concept")) is None
    assert coded("?", Task("serializer", ("IsLibrarian",), 0, (("find_definition", "Nothing"),)), TOOLS) is None
