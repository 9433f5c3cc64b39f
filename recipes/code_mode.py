"""Training conversations in code mode: one run of code whose program answers the question, and its result copied.

What the model is sent in code mode comes from the agent itself (`code_schemas`). A program is put together from the
task's kind and names, which stand in it as they do in the question: a small model copies best word by word. What it
prints is worked out from what the tools return, and a test runs programs in the real sandbox to hold the two together.
The tasks are those of `chains`; questions of one call and of none are here too.
"""

from __future__ import annotations

import asyncio
import random
import re
from typing import Any, Final

from punie_trace.agent.code_mode import code_capability
from punie_trace.agent.toolbox import Toolbox
from punie_trace.suite.fresh.tasks import TIMES, WORDS, Task, listed
from recipes.chains import PHRASINGS, worked_out
from recipes.chat import Call, Conversation, Turn

R = random.Random
NOTHING: Final = "{}"
"""What a run of code returns that has no result."""
_STEP: Final = {
    "serializer": "name = text.split('serializer_class = ')[1].split('\\n')[0]",
    "model": "name = text.split(' model = ')[1].split('\\n')[0]",
    "related": "name = re.findall(r'(?:Key|OneField|ManyField)\\(\\s*(\\w+)', text)[0]",
}
_RESULT_WORDS: Final = """
    models.ForeignKey models.OneToOneField models.ManyToManyField class Meta: model = serializer_class = settings. async
    def total: longest: most so far. is the last. After more: of defined in lines line (more
"""
_FIND: Final = "text = await find_definition(name=name)"


def code_schemas(toolbox: Toolbox) -> list[dict[str, Any]]:
    """The one tool of code mode as pydantic-ai sends it to an OpenAI-compatible server."""
    from pydantic_ai import Agent, ModelResponse, TextPart
    from pydantic_ai.models.function import AgentInfo, FunctionModel

    offered: list[dict[str, Any]] = []

    def look(_messages: Any, info: AgentInfo) -> ModelResponse:
        for tool in info.function_tools:
            function = {
                "name": tool.name,
                "description": tool.description or "",
                "parameters": tool.parameters_json_schema,
            }
            offered.append({"type": "function", "function": function})
        return ModelResponse(parts=[TextPart("seen")])

    functions: Any = list(toolbox.functions().values())
    asyncio.run(Agent(FunctionModel(look), tools=functions, capabilities=[code_capability()]).run("look"))
    return offered


def program(task: Task) -> str:
    """The Python that carries out a task."""
    if task.kind in ("serializer", "model", "related"):
        lines = ["import re"] if task.kind == "related" else []
        lines += [f"text = await find_definition(name='{task.about[0]}')", _STEP["serializer"], _FIND]
        if task.kind != "serializer":
            lines += [_STEP["model"], _FIND]
        if task.relations:
            lines += [f"for step in range({task.relations}):", f"    {_STEP['related']}", f"    {_FIND}"]
        return "\n".join((*lines, "f'{name}, defined in ' + text.split(':')[0]"))
    if task.kind == "settings":
        return "\n".join(
            (
                "import re",
                f"text = await find_definition(name='{task.about[0]}')",
                "lines = []",
                "for name in dict.fromkeys(re.findall(r'settings.([A-Z_]+)', text)):",
                "    text = await search_code(pattern=name + ' =')",
                "    lines.append(text.split(': ')[1].split('\\n')[0])",
                "'\\n'.join(lines)",
            )
        )
    names = f"'{listed(task.about)}'.replace(' and ', ', ').split(', ')"
    if task.kind == "docstrings":
        return "\n".join(
            (
                "lines = []",
                f"for name in {names}:",
                f"    {_FIND}",
                "    lines.append(name + ': ' + text.split('\"\"\"')[1].split('\\n')[0])",
                "'\\n'.join(lines)",
            )
        )
    if task.kind == "methods":
        count = ("total = 0", f"for name in {names}:", f"    {_FIND}", "    total += text.count(' def ')")
        return "\n".join((*count, "f'total: {total}'"))
    lines = [f"for path in {names}:", "    text = await read_file(path=path)"]
    number = "int(text.split(', ')[1].split(' ')[0])"
    if task.kind == "lines":
        return "\n".join(("total = 0", *lines, f"    total += {number}", "f'total: {total}'"))
    compare = (f"    lines = {number}", "    if lines > most:", "        most = lines", "        longest = path")
    return "\n".join(("most = 0", "longest = ''", *lines, *compare, "f'longest: {longest}'"))


def kept_words() -> list[str]:
    """The words that say what to do, in questions, programs, results and between calls: no names among them."""
    tasks = [
        Task(kind, ("_", "_"), relations, ()) for kind in PHRASINGS for relations in range(1 + 3 * (kind == "related"))
    ]
    asked = [phrasing for phrasings in PHRASINGS.values() for phrasing in phrasings]
    return [*map(program, tasks), *WORDS.values(), *asked, *TIMES, _RESULT_WORDS]


def coded(asked: str, task: Task, tools: Toolbox) -> Conversation | None:
    """The task by one run of code; None where a result is cut before what the program reads in it."""
    functions = tools.functions()
    results = [functions[tool](argument) for tool, argument in task.calls]
    work = worked_out(task, results)
    if work is None:
        return None
    turns = (Turn(work.result, Call("run_code", {"code": program(task)})), Turn(work.result))
    return Conversation(asked, turns, f"code {task.kind}", mode="code")


def one_call(conversation: Conversation) -> Conversation | None:
    """A conversation of one call and an answer that quotes the result, as a run of code; None for any other."""
    if len(conversation.turns) != 2 or (call := conversation.turns[0].call) is None:
        return None
    result, answer = conversation.turns[0].text, conversation.turns[1].text
    if not answer.endswith(result) or not all(re.fullmatch(r"[\w./|-]+", str(a)) for a in call.arguments.values()):
        return None
    arguments = ", ".join(f"{name}='{value}'" for name, value in call.arguments.items())
    run = Call("run_code", {"code": f"await {call.name}({arguments})"})
    return Conversation(
        conversation.question, (Turn(result, run), Turn(answer)), f"code {conversation.kind}", mode="code"
    )
