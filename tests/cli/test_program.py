"""A program as the agent, from the configuration to the report: its calls, its ledger, its work judged by a command."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from punie_trace.records import ToolCall, Verdict
from punie_trace.runs.reader import read_run
from punie_trace.testing import Reply, Rule, Script, Text
from punie_trace.testing import ToolCall as CallStep
from tests.cli.conftest import Bench

CODER = """
import json, os, sys, urllib.request

def ask(*messages):
    body = json.dumps({"model": "a name of its own", "messages": messages}).encode()
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(os.environ["OPENAI_BASE_URL"] + "/chat/completions", body, headers)
    return json.load(urllib.request.urlopen(request))["choices"][0]["message"]

said = [{"role": "user", "content": sys.argv[1]}]
while calls := (answer := ask(*said)).get("tool_calls"):
    said.append(answer)
    for call in calls:
        arguments = json.loads(call["function"]["arguments"])
        open(arguments["path"], "w").write(arguments["text"])
        said.append({"role": "tool", "tool_call_id": call["id"], "content": "written"})
print(answer["content"])
"""
WRITE = Reply(steps=(CallStep(name="write", arguments={"path": "answer.txt", "text": "42"}),))
SCRIPT = Script(
    rules=(Rule(contains="42", turn=0, reply=WRITE), Rule(contains="", reply=Reply(steps=(Text(text="Done."),))))
)


def configured(bench: Bench, program: list[str], more: str = "") -> str:
    (bench.folder / "workspace").mkdir()
    (bench.folder / "coder.py").write_text(CODER)
    bench.suite.write_text(json.dumps({"cases": [{
        "name": "write",
        "inputs": "Write 42 into answer.txt",
        "metadata": {"workspace": "copy", "tools": ["write"], "arguments_contain": ["42"]},
        "evaluators": [{"command": "grep -qx 42 answer.txt"}],
    }]}))  # fmt: skip
    return (
        f"workspace = {json.dumps(str(bench.folder / 'workspace'))}\nwarm_up = 0\n[agent]\n"
        f"program = {json.dumps(program)}\n{more}\n[configurations.baseline]\n{bench.server(SCRIPT)}"
    )


def test_a_programs_work_is_timed_read_and_judged(bench: Bench) -> None:
    result = bench.run(configured(bench, [sys.executable, str(bench.folder / "coder.py"), "{question}"]))
    assert result.exit_code == 0, result.output
    run = read_run(bench.out)
    assert [(one.verdict, one.path, one.answer) for one in run.outcomes] == [(Verdict.CORRECT, "program", "Done.")] * 2
    for outcome in run.outcomes:
        assert outcome.tool_calls == (ToolCall("write", {"path": "answer.txt", "text": "42"}, ok=True),)
        assert outcome.generations == 2
        assert outcome.output_tokens is not None
        assert [(one.name, one.value) for one in outcome.evaluations] == [("command", True)]
    assert list((bench.folder / "workspace").iterdir()) == []
    summary = json.loads((bench.out / "summary.json").read_text())
    figures = summary["configurations"]["baseline"]
    assert figures["ledger_ms"]["tool"] == 0
    assert figures["generation_split_ms"]["connect"]["n"] == 4
    assert summary["slowest"]["parts"][0]["name"] == "between generations, and queue"
    assert "(between)" in bench.invoke("report", str(bench.out), "--format", "markdown", "--full").output or (
        "(between)" in result.output
    )


def test_a_program_that_asks_elsewhere_is_told_what_to_set(bench: Bench) -> None:
    program = [sys.executable, "-c", "print('here')", "{question}"]
    result = bench.run(configured(bench, program))
    run = read_run(bench.out)
    assert {one.verdict for one in run.outcomes} == {Verdict.ERROR}
    assert all("put {base_url} among its arguments" in (one.error or "") for one in run.outcomes)
    assert result.exit_code != 0


def test_a_program_that_is_not_there_ends_it_before_anything_is_started(bench: Bench) -> None:
    result = bench.run(configured(bench, ["no-such-program", "{question}"]))
    assert result.exit_code == 2, result.output
    assert "'no-such-program' was not found" in result.output
    assert not bench.out.exists()


def test_settings_of_a_program_without_one_are_refused(bench: Bench) -> None:
    toml = configured(bench, ["true", "{question}"]).replace('program = ["true", "{question}"]', 'answer = "x"')
    result = bench.run(toml)
    assert result.exit_code == 2, result.output
    assert "answer is set for a program" in " ".join(result.output.split())
    assert not Path(bench.out).exists()
