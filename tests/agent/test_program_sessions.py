"""Programs that are asked sessions: a process for each turn, one folder for all, and the turns before by either way."""

from __future__ import annotations

import sys
import tempfile
import textwrap
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from punie_trace.agent.aiohttp_transport import AiohttpTransport
from punie_trace.agent.asker import AgentSource
from punie_trace.agent.by_workspace import by_workspace
from punie_trace.agent.plain_transport import PlainTransport
from punie_trace.agent.program import ProgramPath, check_sessions, check_source
from punie_trace.agent.program_process import KeptOutputs
from punie_trace.agent.proxy import RecordingProxy
from punie_trace.analysis.ledger import close_ledger
from punie_trace.driver.limits import Failures, Limits
from punie_trace.driver.load import Driver
from punie_trace.driver.schedule import Planned
from punie_trace.driver.target import Target
from punie_trace.engine.experiment import Experiment
from punie_trace.errors import ConfigurationError
from punie_trace.records import Ledger, Outcome, Query, Turn, Verdict
from punie_trace.spans.clock import Clock
from punie_trace.spans.provider import make_tracer_provider
from punie_trace.spans.query_span import open_query
from punie_trace.spans.transport import TracedTransport
from punie_trace.suite.check import judge_by_facts
from punie_trace.testing import ScriptedServer, scripted_server
from tests.agent.test_program import ASK, SCRIPT

pytestmark = pytest.mark.anyio
TALK = Query(
    "talk",
    "One?\nTwo?",
    turns=(Turn("One?", answer_contains=("0",)), Turn("Two?", answer_contains=("One?", "before"))),
    copies_workspace=True,
)


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with scripted_server(SCRIPT) as made:
        yield made


def argv(code: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-c", textwrap.dedent(ASK) + textwrap.dedent(code), *arguments)


@dataclass
class Asked:
    path: ProgramPath
    driver: Driver
    outcomes: list[tuple[Outcome, Ledger]] = field(default_factory=list)

    async def ask(self, query: Query = TALK) -> Outcome:
        await self.driver.drive([Planned(len(self.outcomes), 1, "c", query)], Failures())
        return self.outcomes[-1][0]


@asynccontextmanager
async def asked(server: ScriptedServer, tmp_path: Path, limit_s: float = 30, **source: Any) -> AsyncGenerator[Asked]:
    clock = Clock.start()
    provider = make_tracer_provider(clock, "run")
    transport = TracedTransport(provider, clock, PlainTransport(AiohttpTransport()))
    proxy = RecordingProxy(transport, clock, server.base_url, model="fake-model")
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    outcomes: list[tuple[Outcome, Ledger]] = []
    async with proxy.listening():
        path = ProgramPath(AgentSource(**source), proxy, "fake-model", workspace, KeptOutputs(tmp_path / "outputs"))
        asker = by_workspace({"": path, "other": path})  # forwards as a run's does
        target = Target(
            "c", "program", path.ask, lambda one: None, lambda: None,
            prepare=path.prepare, prepare_session=asker.prepare_session, release=path.release,  # ty: ignore
        )  # fmt: skip
        driver = Driver(
            {"c": target},
            lambda arrival, kind, _: open_query(
                provider, clock, arrival=arrival, path=kind, run_span_context=None, close=close_ledger
            ),
            clock,
            judge_by_facts,
            Limits(limit_s),
            lambda outcome, ledger: outcomes.append((outcome, ledger)),
            lambda *_: None,
        )
        yield Asked(path, driver, outcomes)
    await transport.aclose()


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where queries have their folders, so that what is left of them can be seen."""
    made = tmp_path / "folders"
    made.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(made))
    return made


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_the_turns_before_are_told_as_messages(server: ScriptedServer, tmp_path: Path, folders: Path) -> None:
    code = """
        before = json.loads(sys.argv[2])
        ask(*before, {"role": "user", "content": sys.argv[1]})
        print(len(before), [one["content"] for one in before], "before")
    """
    async with asked(server, tmp_path, program=argv(code, "{question}", "{history}")) as one:
        outcome = await one.ask()
        ledger = one.outcomes[-1][1]
    assert [turn.answer for turn in outcome.turns] == ["0 [] before", "2 ['One?', '0 [] before'] before"]
    assert [turn.verdict for turn in outcome.turns] == [Verdict.CORRECT] * 2
    assert [turn.generations for turn in outcome.turns] == [1, 1]
    lines = ledger.client_queue_ns + ledger.generation_ns + ledger.tool_ns + ledger.framework_ns
    assert lines == ledger.wall_ns == outcome.wall_ns
    assert names_in(folders) == []
    assert names_in(tmp_path / "outputs") == [f"{outcome.trace_id}-2.txt", f"{outcome.trace_id}.txt"]


async def test_another_command_goes_on_in_the_same_folders(
    server: ScriptedServer, tmp_path: Path, folders: Path
) -> None:
    first = """
        ask({"role": "user", "content": sys.argv[1]})
        open("said", "w").write(sys.argv[1])
        open(sys.argv[2] + "/answer", "w").write("0")
    """
    later = """
        ask({"role": "user", "content": sys.argv[1]})
        assert not os.path.exists(sys.argv[2] + "/answer"), "the answer of the turn before is still there"
        open(sys.argv[2] + "/answer", "w").write(open("said").read() + " before")
    """
    source: dict[str, Any] = {
        "program": argv(first, "{question}", "{files}"),
        "next_program": argv(later, "{question}", "{files}"),
        "answer": "{files}/answer",
    }
    async with asked(server, tmp_path, **source) as one:
        for _ in range(2):  # each session begins anew
            outcome = await one.ask()
            assert [turn.answer for turn in outcome.turns] == ["0", "One? before"], outcome.error
            assert outcome.verdict is Verdict.CORRECT
    assert names_in(tmp_path / "workspace") == []
    assert names_in(folders) == []


@pytest.mark.parametrize(("code", "says"), [("sys.exit(3)", "exit code 3"), ("import time; time.sleep(60)", "within")])
async def test_a_turn_that_fails_ends_the_session_and_nothing_of_it_stays(
    server: ScriptedServer, tmp_path: Path, folders: Path, code: str, says: str
) -> None:
    first = f"""
        ask({{"role": "user", "content": sys.argv[1]}})
        print("0")
        open({str(tmp_path / "pid")!r}, "a").write(f"{{os.getpid()}} ")
        if sys.argv[1] == "Two?":
            {code}
    """
    limit_s = 6 if "sleep" in code else 30
    async with asked(server, tmp_path, limit_s, program=argv(first, "{question}", "{history}")) as one:
        outcome = await one.ask()
    assert says in str(outcome.error)
    assert outcome.turns[0].verdict is Verdict.CORRECT
    assert names_in(folders) == []
    assert [pid for pid in map(int, (tmp_path / "pid").read_text().split()) if psutil.pid_exists(pid)] == []


def test_a_program_that_would_know_nothing_of_the_turns_before_is_refused_with_what_to_give() -> None:
    with pytest.raises(ConfigurationError, match=r"'true' is started anew for each turn.*\{history\}.*'continue'"):
        check_sessions(AgentSource(program=("true", "{question}")))
    check_sessions(AgentSource(program=("true", "{question}"), next_program=("true", "-c", "{question}")))
    check_sessions(AgentSource(program=("true", "{question}"), files={"before.json": "{history}"}))
    with pytest.raises(ConfigurationError, match="continue is not told what to ask"):
        check_source(AgentSource(program=("true", "{question}"), next_program=("true", "-c")))
    with pytest.raises(ConfigurationError, match="'no-such-program' was not found"):
        check_source(AgentSource(program=("true", "{question}"), next_program=("no-such-program", "{question}")))


def test_it_is_continue_in_the_file_and_belongs_to_a_program() -> None:
    made = Experiment(agent={"program": ["true", "{question}"], "continue": ["true", "-c", "{question}"]})
    assert made.agent.source.next_program == ("true", "-c", "{question}")
    with pytest.raises(ConfigurationError, match="continue is set for a program, and there is none"):
        Experiment(agent={"continue": ["true", "-c", "{question}"]})
