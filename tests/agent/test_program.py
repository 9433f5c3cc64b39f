"""Programs as askers: what they are given, what becomes of what they do wrong, and that nothing of them stays."""

from __future__ import annotations

import sys
import textwrap
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest
from opentelemetry.trace import get_current_span

from punie_trace.agent import program_process
from punie_trace.agent.aiohttp_transport import AiohttpTransport
from punie_trace.agent.asker import AgentSource
from punie_trace.agent.plain_transport import PlainTransport
from punie_trace.agent.program import ProgramPath, check_source
from punie_trace.agent.program_process import KeptOutputs
from punie_trace.agent.proxy import RecordingProxy
from punie_trace.analysis.ledger import close_ledger
from punie_trace.driver.limits import Failures, Limits
from punie_trace.driver.load import Driver
from punie_trace.driver.schedule import Planned
from punie_trace.driver.target import Target
from punie_trace.errors import ConfigurationError
from punie_trace.records import Answer, Arrival, Outcome, Query, ToolCall, Verdict
from punie_trace.spans import names
from punie_trace.spans.clock import Clock
from punie_trace.spans.provider import make_tracer_provider
from punie_trace.spans.query_span import QuerySpan, open_query
from punie_trace.spans.transport import TracedTransport
from punie_trace.suite.check import judge_by_facts
from punie_trace.testing import Reply, Rule, Script, ScriptedServer, Text, scripted_server
from punie_trace.testing import ToolCall as CallStep

pytestmark = pytest.mark.anyio
QUERY = Query("q", "What is {model}?")
ASK = """
    import json, os, sys, urllib.request
    def ask(*messages):
        url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
        body = json.dumps({"model": os.environ["OPENAI_MODEL"], "messages": messages}).encode()
        request = urllib.request.Request(url, body, {"content-type": "application/json"})
        return json.load(urllib.request.urlopen(request))["choices"][0]["message"]
"""
SCRIPT = Script(
    rules=(
        Rule(contains="look", turn=0, reply=Reply(steps=(CallStep(name="grep", arguments={"text": "x"}),))),
        Rule(reply=Reply(steps=(Text(text="It is so."),))),
    )
)


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with scripted_server(SCRIPT) as made:
        yield made


def python(code: str, **changes: Any) -> AgentSource:
    return AgentSource(
        program=(sys.executable, "-c", textwrap.dedent(ASK) + textwrap.dedent(code), "{question}"), **changes
    )


@asynccontextmanager
async def asking(
    server: ScriptedServer, source: AgentSource, workspace: Path
) -> AsyncGenerator[tuple[ProgramPath, QuerySpan]]:
    clock = Clock.start()
    provider = make_tracer_provider(clock, "run")
    transport = TracedTransport(provider, clock, PlainTransport(AiohttpTransport()))
    proxy = RecordingProxy(transport, clock, server.base_url, model="fake-model")
    arrival = Arrival(0, clock.now_ns(), 0, "c", QUERY)
    opened = open_query(provider, clock, arrival=arrival, path="program", run_span_context=None, close=close_ledger)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(transport.aclose)
        await stack.enter_async_context(proxy.listening())
        span = stack.enter_context(opened)
        span.mark_sent()
        path = ProgramPath(source, proxy, "fake-model", workspace, KeptOutputs(workspace.parent / "outputs"))
        stack.push_async_callback(path.close)
        yield path, span


async def answer_of(server: ScriptedServer, source: AgentSource, workspace: Path, query: Query = QUERY) -> Answer:
    async with asking(server, source, workspace) as (path, _):
        answer = await path.ask(query)
        await path.release(answer)
        return replace(answer, held=None)


async def test_it_is_told_the_question_and_where_to_ask(server: ScriptedServer, tmp_path: Path) -> None:
    code = (
        'print(ask({"role": "user", "content": sys.argv[1]})["content"], sys.argv[1], os.getcwd(), os.environ["PWD"])'
    )
    async with asking(server, python(code), tmp_path) as (path, span):
        answer = await path.ask(QUERY)
        (generation,) = span.generations
    assert answer.text == f"It is so. What is {{model}}? {tmp_path} {tmp_path}"
    assert (generation.output_tokens is not None, generation.finish_reason) == (True, "stop")


async def test_calls_are_read_from_its_own_messages(server: ScriptedServer, tmp_path: Path) -> None:
    code = """
        user = {"role": "user", "content": "look"}
        call = ask(user)
        result = {"role": "tool", "tool_call_id": call["tool_calls"][0]["id"], "content": "found"}
        print(ask(user, call, result)["content"])
    """
    async with asking(server, python(code), tmp_path) as (path, span):
        answer = await path.ask(QUERY)
        ledger = span.finish()
        calls = span.tool_calls(by_messages=answer.tools_unseen)
    assert answer.text == "It is so."
    assert calls == [ToolCall("grep", {"text": "x"}, ok=True)]
    assert len(span.generations) == 2
    assert (ledger.tool_ns, ledger.tool_work_ns) == (0, 0)
    assert ledger.generation_ns + ledger.framework_ns + ledger.client_queue_ns == ledger.wall_ns


async def test_a_call_whose_result_never_comes_is_not_said_to_be_good(server: ScriptedServer, tmp_path: Path) -> None:
    async with asking(server, python('ask({"role": "user", "content": "look"}); print(1)'), tmp_path) as (path, span):
        answer = await path.ask(QUERY)
        assert span.tool_calls(by_messages=answer.tools_unseen) == [ToolCall("grep", {"text": "x"}, ok=False)]


async def test_files_and_environment_are_filled_in(server: ScriptedServer, tmp_path: Path) -> None:
    code = """
        ask({"role": "user", "content": "x"})
        open(os.environ["MY_FOLDER"] + "/answer.txt", "w").write(open(os.environ["MY_FOLDER"] + "/sub/c.json").read())
        root = os.environ["ANTHROPIC_BASE_URL"]
        print("OPENAI_API_BASE" in os.environ, root + "/v1" == os.environ["OPENAI_BASE_URL"])
    """
    source = python(
        code,
        environment={"MY_FOLDER": "{files}", "OPENAI_API_BASE": ""},
        files={"sub/c.json": '{"url": "{base_url}", "model": "{model}", "other": "{that}"}'},
    )
    assert (await answer_of(server, source, tmp_path)).text == "False True"
    written = (await answer_of(server, replace(source, answer="{files}/answer.txt"), tmp_path)).text
    assert written.startswith('{"url": "http://127.0.0.1:')
    assert written.endswith('"model": "fake-model", "other": "{that}"}')


@pytest.mark.parametrize("by_case", [True, False])
async def test_it_works_in_a_copy_where_that_is_asked_for(
    server: ScriptedServer, tmp_path: Path, by_case: bool
) -> None:
    (tmp_path / "there.txt").write_text("old")
    code = 'ask({"role": "user", "content": "x"}); open("there.txt", "w").write("new"); print("done")'
    query = Query("q", "x", copies_workspace=by_case)
    async with asking(server, python(code, copies_workspace=not by_case), tmp_path) as (path, _):
        answer = await path.ask(query)
        assert answer.workspace is not None
        assert (Path(answer.workspace) / "there.txt").read_text() == "new"
        assert (tmp_path / "there.txt").read_text() == "old"
        await path.release(answer)
        assert not Path(answer.workspace).parent.exists()


async def test_nothing_is_left_on_disk_without_a_copy(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(program_process.tempfile, "tempdir", str(folder))
    await answer_of(server, python('ask({"role": "user", "content": "x"}); print(1)'), tmp_path)
    assert list(folder.iterdir()) == []


WRONG = {
    "a code": ("sys.stderr.write('no such option\\n'); sys.exit(3)", "ended with exit code 3: no such option"),
    "a signal": ("os.kill(os.getpid(), 9)", "was ended by signal 9"),
    "another address": ("print('I asked somebody else')", "takes no notice of OPENAI_BASE_URL"),
}


@pytest.mark.parametrize(("code", "says"), WRONG.values(), ids=WRONG.keys())
async def test_what_it_does_wrong_is_said(server: ScriptedServer, tmp_path: Path, code: str, says: str) -> None:
    answer = await answer_of(server, python(code), tmp_path)
    assert answer.error is not None
    assert says in answer.error


async def test_a_program_that_prints_nothing_gives_no_answer(server: ScriptedServer, tmp_path: Path) -> None:
    answer = await answer_of(server, python('ask({"role": "user", "content": "x"})'), tmp_path)
    assert answer == Answer("", reason="the program gave no answer: it printed nothing", tools_unseen=True)


async def test_a_program_that_vanished_is_named(server: ScriptedServer, tmp_path: Path) -> None:
    answer = await answer_of(server, AgentSource(program=("no-such-program", "{question}")), tmp_path)
    assert answer.error is not None
    assert answer.error.startswith("the program 'no-such-program' cannot be run: cannot run")


async def test_output_without_end_ends_it(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program_process, "MOST_OUTPUT_BYTES", 2**20)
    answer = await answer_of(server, python("while True: print('x' * 1000)"), tmp_path)
    assert answer.error == "the program printed more than 1 MiB and was ended"


async def test_what_colours_an_answer_is_no_part_of_it(server: ScriptedServer, tmp_path: Path) -> None:
    code = 'ask({"role": "user", "content": "x"}); print("\\x1b[1;32mgreen\\x1b[0m \\x1b]0;title\\x07tea")'
    assert (await answer_of(server, python(code), tmp_path)).text == "green tea"


async def test_children_that_it_leaves_are_named_and_ended_after_its_time(
    server: ScriptedServer, tmp_path: Path
) -> None:
    stubborn = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    code = f"""
        import subprocess, time
        ask({{"role": "user", "content": "x"}})
        argv = [sys.executable, "-c", {stubborn!r}]
        child = subprocess.Popen(argv, start_new_session=True, stdout=subprocess.PIPE)
        child.stdout.readline()
        print(child.pid, time.monotonic())
    """
    async with asking(server, python(code), tmp_path) as (path, span):
        answer = await path.ask(QUERY)
        answered = time.monotonic()
        await path.release(answer)
        released = time.monotonic()
        left = get_current_span().attributes[names.LEFT_PROCESSES]  # ty: ignore[missing-attribute]
    pid, ended = answer.text.split()
    assert not psutil.pid_exists(int(pid))
    assert [name.startswith("python") for name in left] == [True]
    assert answered - float(ended) < released - answered, "to end it took longer than to see the program's own end"
    assert span.trace_id


async def test_what_it_printed_is_kept_with_the_run(server: ScriptedServer, tmp_path: Path) -> None:
    code = 'ask({"role": "user", "content": "x"}); print("an answer"); sys.stderr.write("a warning")'
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    async with asking(server, python(code), workspace) as (path, span):
        await path.release(await path.ask(QUERY))
        kept = (tmp_path / "outputs" / f"{span.trace_id}.txt").read_text()
    assert kept == "--- printed ---\nan answer\n--- errors ---\na warning\n"


def test_what_must_be_hidden_is_not_kept(tmp_path: Path) -> None:
    folder = program_process.ProgramFolder(tmp_path, tmp_path)
    folder.out.write_text("my key is sk-0123456789\n")
    KeptOutputs(tmp_path / "outputs", lambda text: text.replace("sk-0123456789", "***")).keep("one", folder)
    assert (tmp_path / "outputs" / "one.txt").read_text() == "--- printed ---\nmy key is ***\n"


def test_what_is_kept_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program_process, "MOST_KEPT_CHARS", 10)
    monkeypatch.setattr(program_process, "MOST_KEPT_BYTES", 40)
    folder = program_process.ProgramFolder.make(tmp_path, copy=False)
    folder.out.write_text("x" * 100 + "the end")
    kept = program_process.KeptOutputs(tmp_path / "kept")
    for number in range(4):
        kept.keep(str(number), folder)
    folder.remove()
    assert [one.read_text() for one in sorted((tmp_path / "kept").iterdir())] == ["--- printed ---\nxxxthe end\n"] * 2


async def test_copying_the_workspace_takes_none_of_the_querys_time(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copytree = program_process.shutil.copytree

    def slow(*given: Any, **others: Any) -> Any:
        time.sleep(3.0)
        return copytree(*given, **others)

    monkeypatch.setattr(program_process.shutil, "copytree", slow)
    source = python('ask({"role": "user", "content": "x"}); print("so")', copies_workspace=True)
    clock = Clock.start()
    provider = make_tracer_provider(clock, "run")
    outcomes: list[Outcome] = []
    transport = TracedTransport(provider, clock, PlainTransport(AiohttpTransport()))
    proxy = RecordingProxy(transport, clock, server.base_url, model="fake-model")
    async with proxy.listening():
        path = ProgramPath(source, proxy, "fake-model", tmp_path, None)
        target = Target(
            "c", "program", path.ask, lambda one: None, lambda: None, prepare=path.prepare, release=path.release
        )
        driver = Driver(
            {"c": target},
            lambda arrival, kind, _: open_query(
                provider, clock, arrival=arrival, path=kind, run_span_context=None, close=close_ledger
            ),
            clock,
            judge_by_facts,
            Limits(20.0),
            lambda outcome, _: outcomes.append(outcome),
            lambda *_: None,
        )
        before = clock.now_ns()
        await driver.drive([Planned(0, 1, "c", QUERY)], Failures())
        assert clock.now_ns() - before > outcomes[0].wall_ns + 3.0e9
        monkeypatch.setattr(program_process.shutil, "copytree", lambda *_, **__: 1 / 0)
        await driver.drive([Planned(1, 1, "c", QUERY)], Failures())
    await transport.aclose()
    assert (outcomes[0].answer, outcomes[0].verdict) == ("so", Verdict.NOT_JUDGED)
    assert "ZeroDivisionError" in str(outcomes[1].error)


async def test_it_is_ended_with_its_query(server: ScriptedServer, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = f"""
        import subprocess, time
        child = subprocess.Popen(["sleep", "60"])
        open({str(pids)!r}, "w").write(f"{{os.getpid()}} {{child.pid}}")
        time.sleep(60)
    """
    async with asking(server, python(code), tmp_path) as (path, _):
        with anyio.move_on_after(2.0) as scope:
            await path.ask(QUERY)
    assert scope.cancelled_caught
    assert [pid for pid in map(int, pids.read_text().split()) if psutil.pid_exists(pid)] == []


UNUSABLE = {
    "nothing": (AgentSource(program=("",)), "program is empty"),
    "no question": (AgentSource(program=("true", "run")), "put '{question}' among its arguments"),
    "not there": (AgentSource(program=("no-such-program", "{question}")), "'no-such-program' was not found"),
    "a file elsewhere": (
        AgentSource(program=("true", "{question}"), files={"../x": ""}),
        "must lie in the query's own",
    ),
}


@pytest.mark.parametrize(("source", "says"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_what_cannot_be_run_is_said_before_anything_is_started(source: AgentSource, says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_source(source)
    assert says in str(caught.value)
