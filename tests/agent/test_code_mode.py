"""Code mode on a scripted server: what the model's code may do, what it may not, and what is said of it."""

from __future__ import annotations

import importlib
import sys

import pytest
from pydantic_ai import Agent

from punie_trace.agent.asker import AgentSource
from punie_trace.agent.code_mode import check_code_mode
from punie_trace.agent.options import AskOptions
from punie_trace.engine.askers import check_source
from punie_trace.errors import ConfigurationError
from punie_trace.records import Path as AskPath
from punie_trace.records import Query, Verdict
from punie_trace.records import ToolCall as Call
from punie_trace.testing import Reply, Rule, Script, Text, ToolCall
from tests.agent import theirs
from tests.agent.lab import THEIRS, lab

pytestmark = pytest.mark.anyio
CODE = AskOptions("fake-model", tools="code")
LOOKUP = Query("q", "Where is it?", "tool", ("find_definition",), ("IsLibrarian",), ("permissions",))
ANSWER = Text(text="In accounts/permissions.py.")
TWO_CALLS = """
found = await find_definition(name="IsLibrarian")
files = await list_files(path="accounts")
len(found) + len(files)
"""


def runs(code: str) -> ToolCall:
    return ToolCall(name="run_code", arguments={"code": code})


@pytest.mark.parametrize("missing", ["pydantic_ai_harness", "pydantic_monty"])
def test_without_the_extra_the_command_that_installs_it_is_named(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [missing, *(name for name in sys.modules if name.startswith(f"{missing}."))]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "pydantic_ai_harness.code_mode", raising=False)
    with pytest.raises(ConfigurationError, match=r"is not installed: pip install 'punie-trace\[code\]'") as caught:
        check_code_mode()
    assert missing in str(caught.value)


@pytest.mark.parametrize(
    ("path", "source", "why"),
    [
        ("http", AgentSource(), "the path 'http' has no agent"),
        ("inprocess", AgentSource(), "the path 'inprocess' has no agent"),
        ("program", AgentSource(program=(sys.executable, "{question}")), "a program runs its own tools"),
        ("imported", AgentSource(f"{THEIRS}:ask"), "a function that asks runs its own tools"),
    ],
)
def test_who_cannot_ask_in_code_mode_is_refused_by_name(path: AskPath, source: AgentSource, why: str) -> None:
    check_source(path, source)
    with pytest.raises(ConfigurationError, match=why):
        check_source(path, source, "code")


@pytest.fixture
def sandbox() -> None:
    pytest.importorskip("pydantic_ai_harness.code_mode", reason="needs punie-trace[code]")


@pytest.mark.usefixtures("sandbox")
async def test_calls_that_code_makes_are_judged_as_calls_are_and_its_time_is_split() -> None:
    for path, source in (
        ("agent", AgentSource()),
        ("imported", AgentSource(f"{THEIRS}:helper", deps=f"{THEIRS}:deps")),
    ):
        code = TWO_CALLS if path == "agent" else 'await find_definition(name="IsLibrarian")'
        async with lab((runs(code),), (ANSWER,)) as one:
            outcome, ledger = await one.ask(await one.asker(path, source, CODE), LOOKUP)
            offered = str(one.server.requests[0].body["tools"])
        assert offered.count("'function': {'name'") == offered.count("'name': 'run_code'") == 1
        assert outcome.verdict is Verdict.CORRECT, outcome
        assert outcome.generations == 2
        assert outcome.tool_calls[0] == Call("find_definition", {"name": "IsLibrarian"}, ok=True)
        assert "run_code" not in {call.name for call in outcome.tool_calls}
        assert 0 < ledger.sandbox_ns < ledger.tool_ns
        assert ledger.hidden_tool_ns == 0
        assert ledger.tool_work_ns <= ledger.tool_ns - ledger.sandbox_ns


STOPPED = {
    "an endless loop": ("while True:\n    pass", "over a limit: TimeoutError"),
    "a list of 10 GB": ("x = [0] * 10**10", "over a limit: MemoryError"),
    "a text that grows": ("x = 'ab'\nwhile True:\n    x = x + x", "over a limit: MemoryError"),
    "a number of 10^9 digits": ("10 ** 10**9", "over a limit: MemoryError"),
    "deep recursion": ("def f(n):\n    return f(n + 1)\n\nf(0)", "over a limit: RecursionError"),
    "a million calls": ("for i in range(10**6):\n    await list_files(path='accounts')", "over a limit: RuntimeError"),
    "a file": ("from pathlib import Path\nPath('/etc/passwd').read_text()", "not allowed: PermissionError"),
    "a file by open": ("open('/etc/passwd').read()", "unknown name: Name `open`"),
    "the environment": ("import os\nos.environ['HOME']", "not allowed: "),
    "the network": ("import socket\nsocket.create_connection(('127.0.0.1', 80))", "not allowed: "),
    "a process": ("import subprocess\nsubprocess.run(['true'])", "not allowed: "),
    "what does not parse": ("a = (", "does not parse: "),
    "an unknown name": ("await find_everything(name='x')", "unknown name: Name `find_everything`"),
    "a wrong type": ("await find_definition(name=3)", "wrong types: "),
    "an error of its own": ("[][1]", "raised an error: IndexError"),
}


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize(("code", "why"), STOPPED.values(), ids=STOPPED)
async def test_what_the_sandbox_stops_is_a_verdict_with_a_reason_and_the_next_query_is_unharmed(
    code: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("punie_trace.agent.code_mode.SNIPPET_LIMIT_S", 1.0)
    bad = Query("bad", "Do it badly.", "tool", ("find_definition",), ("IsLibrarian",), ("permissions",))
    rules = (
        Rule(contains="badly", turn=0, reply=Reply(steps=(runs(code),))),
        Rule(contains="badly", turn=1, reply=Reply(steps=(Text(text="I could not."),))),
        Rule(turn=0, reply=Reply(steps=(runs(TWO_CALLS),))),
        Rule(turn=1, reply=Reply(steps=(ANSWER,))),
    )
    async with lab(plays=Script(rules=rules)) as one:
        ask = await one.asker("agent", AgentSource(), CODE)
        outcome, _ = await one.ask(ask, bad, timeout_s=90)
        after, _ = await one.ask(ask, LOOKUP, timeout_s=90)
    assert outcome.verdict is Verdict.BAD_ARGUMENTS, outcome
    assert outcome.error is not None
    assert outcome.error.startswith(f"the code was stopped: {why}"), outcome.error
    assert outcome.generations == 2
    assert after.verdict is Verdict.CORRECT


@pytest.mark.usefixtures("sandbox")
async def test_a_model_that_never_mends_its_code_ends_as_a_verdict() -> None:
    rules = (Rule(reply=Reply(steps=(runs("a = ("),))),)
    async with lab(plays=Script(rules=rules)) as one:
        outcome, _ = await one.ask(await one.asker("agent", AgentSource(), CODE), LOOKUP)
    assert outcome.verdict is Verdict.BAD_ARGUMENTS
    assert outcome.error is not None
    assert "does not parse" in outcome.error
    assert outcome.generations == 4, "the first and three attempts to mend it"


@pytest.mark.usefixtures("sandbox")
async def test_code_without_a_tool_is_a_call_where_none_is_wanted() -> None:
    async with lab((runs("6 * 7"),), (Text(text="42"),)) as one:
        ask = await one.asker("agent", AgentSource(), CODE)
        outcome, ledger = await one.ask(ask, Query("direct", "What is 6 times 7?", "direct"))
    assert outcome.verdict is Verdict.SHOULD_NOT_HAVE_CALLED
    assert [call.name for call in outcome.tool_calls] == ["run_code"]
    assert ledger.tool_ns == ledger.sandbox_ns > 0


@pytest.mark.usefixtures("sandbox")
async def test_tools_that_run_while_the_code_is_still_written_are_hidden_behind_the_generation() -> None:
    harness = importlib.import_module("pydantic_ai_harness.code_mode")
    agent = Agent(tools=[theirs.slow], capabilities=[harness.CodeMode(eager=True)])
    code = "await slow(seconds=0.3)\n" + "\n".join(f"value_{n} = {n}" for n in range(60)) + "\nvalue_1"
    written = ToolCall(name="run_code", arguments={"code": code}, pieces=20, gap_s=0.05)
    async with lab((written,), (Text(text="waited"),)) as one:
        ask = await one.asker("imported", AgentSource(instance=agent))
        outcome, ledger = await one.ask(ask, Query("eager", "Wait.", "tool", ("slow",)), timeout_s=60)
    assert outcome.verdict is Verdict.CORRECT, outcome
    assert [call.name for call in outcome.tool_calls] == ["slow"]
    assert 0 < ledger.hidden_tool_ns <= ledger.generation_ns
    assert ledger.tool_work_ns - ledger.hidden_tool_ns <= ledger.tool_ns - ledger.sandbox_ns
