"""The user's own agents, of every form, against a scripted server: verdicts, calls, errors, a ledger that closes."""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from fastmcp.client.transports import StdioTransport
from pydantic_ai import Agent
from pydantic_ai.mcp import MCPToolset

from punie_trace.agent.asker import AgentSource
from punie_trace.agent.conversation import Conversation
from punie_trace.agent.endpoint import Endpoint
from punie_trace.agent.imported import check_sessions, check_source, kind_of, open_asker
from punie_trace.agent.options import AskOptions
from punie_trace.engine.askers import open_asker as open_asker_of
from punie_trace.errors import ConfigurationError
from punie_trace.records import Outcome, Query, Turn, Verdict
from punie_trace.records import Path as AskPath
from punie_trace.spans.clock import Clock
from punie_trace.spans.provider import make_tracer_provider
from punie_trace.testing import Hang, Reply, Rule, Script, Text, ToolCall, scripted_server
from tests.agent import theirs
from tests.agent.lab import ANSWER, FIND, THEIRS, Lab, lab, source

pytestmark = pytest.mark.anyio
HERE = Path(__file__).parent


async def test_the_same_agent_built_in_imported_and_by_a_function_has_the_same_verdict_and_calls() -> None:
    outcomes: dict[str, Outcome] = {}
    for name, path, agent in (
        ("built-in", "agent", AgentSource()),
        ("http", "http", AgentSource()),
        ("imported", "imported", source("helper", deps=f"{THEIRS}:deps")),
        ("function", "imported", source("ask")),
    ):
        async with lab((FIND,), (ANSWER,)) as one:
            outcomes[name], ledger = await one.ask(await one.asker(path, agent))
            assert outcomes[name].generations == 2, (name, outcomes[name].error, outcomes[name].verdict)
            assert (ledger.tool_ns > 0) == (name != "function"), "whose tools make no spans"
    assert {outcome.verdict for outcome in outcomes.values()} == {Verdict.CORRECT}, outcomes
    assert len({outcome.answer for outcome in outcomes.values()}) == 1
    assert len({repr(outcome.tool_calls) for outcome in outcomes.values()}) == 1
    assert {outcome.input_tokens is None for outcome in outcomes.values()} == {False}


async def test_an_imported_agent_keeps_its_own_settings_and_is_not_changed() -> None:
    agent = Agent(model_settings={"temperature": 0.7, "max_tokens": 99})
    before = vars(agent).copy()
    async with lab((ANSWER,)) as one:
        await one.ask(await one.asker("imported", AgentSource(instance=agent)))
        options = AskOptions("fake-model", temperature=0.1, configured=frozenset({"temperature"}))
        await one.ask(await one.asker("imported", AgentSource(instance=agent), options))
        sent = [(r.body["temperature"], r.body["max_completion_tokens"]) for r in one.server.requests]
    assert sent == [(0.7, 99), (0.1, 99)]
    assert agent.model is None
    assert {k: v for k, v in vars(agent).items() if k in before and k.startswith("model")} == {
        k: v for k, v in before.items() if k.startswith("model")
    }


async def test_tools_side_by_side_count_once_in_the_ledger() -> None:
    calls = (ToolCall(name="slow", arguments={"seconds": 0.2}), ToolCall(name="slow", arguments={"seconds": 0.2}))
    async with lab(calls, (ANSWER,)) as one:
        ask = await one.asker("imported", source("helper", deps=f"{THEIRS}:deps"))
        outcome, ledger = await one.ask(ask, Query("q", "?", "tool", ("slow",)))
    assert outcome.verdict is Verdict.CORRECT
    assert [call.arguments for call in outcome.tool_calls] == [{"seconds": 0.2}] * 2
    assert 0.2e9 <= ledger.tool_ns < 0.35e9 < ledger.tool_work_ns


async def test_a_tool_that_raises_is_the_querys_error_with_its_words() -> None:
    async with lab((ToolCall(name="broken"),), (ANSWER,)) as one:
        outcome, _ = await one.ask(await one.asker("imported", source("helper", deps=f"{THEIRS}:deps")))
        again, _ = await one.ask(await one.asker("imported", source("raises")))
    assert outcome.verdict is Verdict.ERROR
    assert "ZeroDivisionError: nothing to divide" in str(outcome.error)
    assert "theirs" in str(outcome.error)
    assert again.error is not None
    assert again.error.startswith("LookupError: no such page (in ")


async def test_a_tool_that_hangs_ends_with_the_querys_deadline() -> None:
    async with lab((ToolCall(name="slow", arguments={"seconds": 60}),), (ANSWER,)) as one:
        ask = await one.asker("imported", source("helper", deps=f"{THEIRS}:deps"))
        outcome, ledger = await one.ask(ask, timeout_s=0.5)
    assert outcome.verdict is Verdict.TIMEOUT
    assert ledger.tool_ns > 0
    assert [call.name for call in outcome.tool_calls] == ["slow"]


async def test_a_server_that_hangs_ends_with_the_querys_deadline() -> None:
    async with lab((Text(text="I"), Hang())) as one:
        outcome, _ = await one.ask(await one.asker("imported", source("structured")), timeout_s=0.5)
    assert outcome.verdict is Verdict.TIMEOUT


async def test_a_tool_may_want_its_call_again() -> None:
    calls = [(ToolCall(name="moody", arguments={"name": name}),) for name in ("now", "please")]
    async with lab(*calls, (ANSWER,)) as one:
        ask = await one.asker("imported", source("helper", deps=f"{THEIRS}:deps"))
        outcome, _ = await one.ask(ask, Query("q", "?", "tool", ("moody",), ("please",)))
    assert outcome.verdict is Verdict.CORRECT
    assert [call.ok for call in outcome.tool_calls] == [False, True]


async def test_a_structured_output_is_asked_for_again_and_is_no_tool_call() -> None:
    bad = ToolCall(name="final_result", arguments={"file": "a.py", "line": "nowhere"})
    good = ToolCall(name="final_result", arguments={"file": "a.py", "line": 7})
    async with lab((bad,), (good,)) as one:
        outcome, _ = await one.ask(
            await one.asker("imported", source("structured")), Query("q", "?", "direct", (), (), ('"line":7',))
        )
    assert (outcome.verdict, outcome.answer) == (Verdict.CORRECT, '{"file":"a.py","line":7}')
    assert outcome.generations == 2
    assert outcome.tool_calls == ()


async def test_a_structured_output_that_never_fits_is_a_wrong_answer_with_the_reason() -> None:
    bad = ToolCall(name="final_result", arguments={"file": "a.py"})
    async with lab((bad,), (bad,), (bad,), (bad,)) as one:
        outcome, _ = await one.ask(
            await one.asker("imported", source("structured")), Query("q", "?", "direct", (), (), ("line",))
        )
    assert outcome.verdict is Verdict.WRONG_ANSWER
    assert "retries" in str(outcome.error)


async def test_an_agent_within_a_tool_is_asked_by_the_same_endpoint() -> None:
    rules = (
        Rule(contains="inner question", reply=Reply(steps=(Text(text="inner answer"),))),
        Rule(turn=0, reply=Reply(steps=(ToolCall(name="ask_inner", arguments={"question": "inner question"}),))),
        Rule(turn=1, reply=Reply(steps=(Text(text="outer answer"),))),
    )
    clock = Clock.start()
    provider = make_tracer_provider(clock, "test-run")
    async with scripted_server(Script(rules=rules)) as server, AsyncExitStack() as stack:
        one = Lab(server, provider, clock, stack)
        outcome, ledger = await one.ask(
            await one.asker("imported", source("with_helper")), Query("q", "outer question", "tool", ("ask_inner",))
        )
    assert (outcome.verdict, outcome.answer, outcome.generations) == (Verdict.CORRECT, "outer answer", 3), outcome.error
    assert ledger.tool_work_ns > ledger.tool_ns, "what the tool waited for a generation is the generation's"
    provider.shutdown()


async def test_a_factory_and_a_plain_function_are_taken() -> None:
    async with lab((ANSWER,)) as one:
        outcome, _ = await one.ask(await one.asker("imported", source("made")), Query("q", "?", "direct"))
        assert outcome.answer == ANSWER.text
        assert "You are fake-model." in str(one.server.requests[0].body["messages"])
        plain, _ = await one.ask(await one.asker("imported", source("ask_plainly")), Query("q", "a.py"))
    assert plain.answer == '{"file":"a.py","line":10}'


async def test_an_mcp_server_starts_once_and_may_die(tmp_path: Path) -> None:
    program = tmp_path / "server.py"
    starts = tmp_path / "starts"
    program.write_text(
        "import os\nfrom mcp.server.mcpserver import MCPServer\n"
        f"open({str(starts)!r}, 'a').write('x')\n"
        "server = MCPServer('ours')\n\n\n@server.tool()\ndef add(a: int, b: int) -> int:\n    return a + b\n\n\n"
        "@server.tool()\ndef die() -> int:\n    os._exit(3)\n\n\nserver.run()\n"
    )
    agent = Agent(
        toolsets=[MCPToolset(StdioTransport(sys.executable, [str(program)], keep_alive=False), init_timeout=60)]
    )
    add = (ToolCall(name="add", arguments={"a": 2, "b": 3}),)
    query = Query("q", "?", "tool", ("add",))
    async with lab(add, (ANSWER,)) as one:
        ask = await one.asker("imported", AgentSource(instance=agent))
        first, _ = await one.ask(ask, query)
        second, _ = await one.ask(ask, query)
        assert [first.verdict, second.verdict] == [Verdict.CORRECT] * 2
        assert starts.read_text() == "x"
    async with lab((ToolCall(name="die"),), (ANSWER,)) as one:
        ask = await one.asker("imported", AgentSource(instance=agent))
        outcomes = [(await one.ask(ask, query, timeout_s=10))[0] for _ in range(2)]
    for outcome in outcomes:  # the second finds the server dead
        assert outcome.verdict in (Verdict.ERROR, Verdict.WRONG_TOOL)
        assert [(call.name, call.ok) for call in outcome.tool_calls] in ([("die", False)], [])
        assert outcome.error or outcome.tool_calls


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("tests.agent.nowhere:helper", "no module 'tests.agent.nowhere'"),
        (f"{THEIRS}:helpr", "did you mean 'helper'?"),
        (f"{THEIRS}:not_an_agent", "is a dict; wanted is a pydantic_ai.Agent"),
        (f"{THEIRS}:Place", "is a class Place; wanted is"),
        (f"{THEIRS}:takes_too_much", "takes (one, two, three); wanted is"),
        ("helper", "write it as 'package.module:Name' or 'path/file.py:Name'"),
        (f"{HERE}/nowhere.py:helper", "there is no file"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_what_would_do(reference: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        check_source(AgentSource(reference))
    assert says in str(refused.value)


def test_a_module_that_raises_is_refused_in_its_words(tmp_path: Path) -> None:
    (tmp_path / "raises_on_import.py").write_text("raise RuntimeError('not today')\n")
    with pytest.raises(ConfigurationError, match="RuntimeError: not today"):
        check_source(AgentSource(str(tmp_path / "raises_on_import.py:agent")))


async def test_a_factory_that_fails_says_so() -> None:
    def factory() -> object:
        raise KeyError("TOKEN")

    def other() -> int:
        return 3

    async with lab((ANSWER,)) as one:
        for instance, says in ((factory, "raised KeyError: 'TOKEN'"), (other, "made a int; wanted is")):
            with pytest.raises(ConfigurationError, match=says):
                await one.asker("imported", AgentSource(instance=instance))


async def test_nothing_is_added_to_what_a_function_asks_and_missing_counts_stay_unknown() -> None:
    async with lab((ANSWER,)) as one:
        outcome, _ = await one.ask(await one.asker("imported", source("streams")), Query("q", "Where is it?"))
        body = one.server.requests[0].body
    assert set(body) == {"model", "messages", "stream"}
    assert outcome.answer == ANSWER.text
    assert (outcome.generations, outcome.input_tokens, outcome.output_tokens) == (1, None, None)


def test_what_an_object_is_is_told_by_what_it_takes() -> None:
    assert kind_of(theirs.helper, "x") == "agent"
    assert kind_of(theirs.with_helper, "x") == kind_of(theirs.made, "x") == kind_of(lambda: None, "x") == "factory"
    assert kind_of(theirs.ask, "x") == kind_of(lambda q, e: q, "x") == kind_of(lambda q, endpoint=None: q, "x")
    assert open_asker is not open_asker_of


TALK = Query(
    "talk", "Where is it?\nAnd what is it?", turns=(Turn("Where is it?", "tool"), Turn("And what is it?", "direct"))
)


@pytest.mark.parametrize(("path", "agent"), [("imported", source("helper", deps=f"{THEIRS}:deps")), ("agent", None)])
async def test_a_session_carries_the_agents_own_messages_on(path: AskPath, agent: AgentSource | None) -> None:
    turns = Script(
        rules=(
            Rule(contains="Where", turn=0, reply=Reply(steps=(FIND,))),
            Rule(contains="Where", turn=1, reply=Reply(steps=(ANSWER,))),
            Rule(contains="what", reply=Reply(steps=(Text(text="A permission."),))),
        )
    )
    async with lab(plays=turns) as one:
        asker = await one.opened(path, agent or AgentSource())
        outcome, _ = await one.ask(asker.ask, TALK, converse=asker.converse)
        bodies: list[Any] = [request.body for request in one.server.requests]
        sent = [[message["role"] for message in body["messages"]] for body in bodies]
    assert [turn.answer for turn in outcome.turns] == ["In accounts/permissions.py.", "A permission."]
    assert (outcome.verdict, [turn.verdict for turn in outcome.turns]) == (Verdict.CORRECT, [Verdict.CORRECT] * 2)
    assert [len(turn.tool_calls) for turn in outcome.turns] == [1, 0]
    assert sent[0] == ["system", "user"]
    assert sent[2] == ["system", "user", "assistant", "tool", "assistant", "user"]
    assert outcome.generations == 3


async def test_each_session_begins_anew_and_a_function_keeps_what_it_likes() -> None:
    async def ask(question: str, endpoint: Endpoint, conversation: Conversation) -> str:
        body = {"model": endpoint.model, "messages": [{"role": "user", "content": question}]}
        await endpoint.http_client.post(f"{endpoint.base_url}/chat/completions", json=body)
        heard = conversation.state["heard"] = [*conversation.state.get("heard", []), question]
        return f"{len(conversation.messages)} {heard}"

    async with lab((ANSWER,)) as one:
        asker = await one.opened("imported", AgentSource(instance=ask))
        for _ in range(2):
            outcome, _ = await one.ask(asker.ask, TALK, converse=asker.converse)
            assert [turn.answer for turn in outcome.turns] == [
                "0 ['Where is it?']",
                "2 ['Where is it?', 'And what is it?']",
            ]
        single, _ = await one.ask(asker.ask)
    assert single.answer == "0 ['Where is it?']"


def test_who_can_be_asked_sessions_is_told_before_anything_is_started() -> None:
    check_sessions(source("helper"))
    check_sessions(AgentSource(instance=lambda question, endpoint, conversation: ""))
    check_sessions(AgentSource(instance=lambda question, endpoint, *, conversation=None: ""))
    with pytest.raises(ConfigurationError, match=r"theirs\.py:ask' is asked single questions.*'conversation'"):
        check_sessions(source("ask"))
