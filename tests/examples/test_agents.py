"""Each example of an agent runs by the command of its read-me: all answers right, and its ledger closes by hand."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
import yaml

from punie_trace.records import Verdict
from punie_trace.runs.reader import RunRecord, read_run
from tests.cli.test_ledger_from_spans import by_hand, traces

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
pytestmark = pytest.mark.timeout(300)


def command_of(name: str) -> list[str]:
    """The one command of the example's read-me, for this environment."""
    found = re.search(r"\A# .*?\n\n```\n(.*?)\n```\n", (EXAMPLES / name / "README.md").read_text())
    assert found is not None
    words = shlex.split(found[1])
    assert words[:2] == ["uv", "run"]
    at = words.index("punie-trace")
    assert set(words[2:at:2]) <= {"--with"}
    return [sys.executable, "-m", "punie_trace", *words[at + 1 :]]


def run(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def measured(name: str, out: Path, *flags: str) -> RunRecord:
    done = run([*command_of(name), "--out", str(out), "--otlp", "off", *flags])
    assert done.returncode == 0, done.stdout + done.stderr
    found = read_run(out)
    assert {one.verdict for one in found.outcomes} == {Verdict.CORRECT}, [(o.query, o.error) for o in found.outcomes]
    for spans in traces(out / "spans.jsonl").values():
        if any(span["name"].startswith("query ") for span in spans):
            ledger, recorded = by_hand(spans)
            assert ledger == recorded
    return found


def test_an_agent_with_dependencies_tools_and_a_structured_output(tmp_path: Path) -> None:
    found = measured("pydantic_agent", tmp_path / "run", "--rounds", "1")
    outcomes = {one.query: one for one in found.outcomes}
    assert {name: one.generations for name, one in outcomes.items()} == {
        "in-time": 2, "too-late": 3, "number-misread": 3
    }  # fmt: skip
    assert [call.ok for call in outcomes["number-misread"].tool_calls] == [False, True]
    for one in found.outcomes:
        assert {e.name: e.value for e in one.evaluations} == {"decision": True, "off_by_cents": 0, "IsInstance": True}


def test_an_mcp_server_over_stdio(tmp_path: Path) -> None:
    found = measured("mcp_server", tmp_path / "run", "--rounds", "1", "--only", "plain")
    assert {call.name for one in found.outcomes for call in one.tool_calls} >= {"find_definition"}


@pytest.mark.parametrize(
    ("name", "package"), [("openai_agents", "openai-agents"), ("langgraph_agent", "langchain-openai")]
)
def test_frameworks_by_a_function(name: str, package: str, tmp_path: Path) -> None:
    # By its distribution: what other tests imported as 'agents' is not it.
    try:
        version(package)
    except PackageNotFoundError:
        pytest.skip(f"{package} is not installed; the read-me's command brings it")
    found = measured(name, tmp_path / "run", "--only", "plain")
    assert {one.generations for one in found.outcomes} == {1, 2}


def test_a_program(tmp_path: Path) -> None:
    found = measured("program", tmp_path / "run", "--rounds", "1", "--only", "baseline")
    assert {one.generations for one in found.outcomes} == {1, 2}


def test_a_coding_task_judged_by_its_tests(tmp_path: Path) -> None:
    before = (EXAMPLES / "coding_task/workspace/years.py").read_text()
    found = measured("coding_task", tmp_path / "run", "--rounds", "1")
    assert [[(e.name, e.value) for e in one.evaluations] for one in found.outcomes] == [[("command", True)]]
    assert (EXAMPLES / "coding_task/workspace/years.py").read_text() == before


def test_the_workflow_of_a_pull_request_does_what_it_says(tmp_path: Path) -> None:
    workflow = yaml.safe_load((EXAMPLES / "pull_request/agent.yml").read_text())
    steps = [step["run"] for step in workflow["jobs"]["measure"]["steps"] if "run" in step]
    assert command_of("pull_request")[3:] == shlex.split(steps[0])[3:6]
    summary = tmp_path / "summary.md"
    for step in steps:
        here = step.replace("uv run punie-trace", f"{shlex.quote(sys.executable)} -m punie_trace")
        here = re.sub(r"\brun\b(?= --format|$)", str(tmp_path / "run"), here)
        done = run(["bash", "-ec", here], GITHUB_STEP_SUMMARY=str(summary))
        assert done.returncode == 0, done.stdout + done.stderr
    assert "candidate" in summary.read_text()
    failing = [*command_of("pull_request"), "--out", str(tmp_path / "other"), "--otlp", "off", "--rounds", "1"]
    config = (EXAMPLES / "pull_request/punie-trace.toml").read_text().replace("generations < 2.5", "generations < 1.2")
    (tmp_path / "failing.toml").write_text(config)
    failing[failing.index("examples/pull_request/punie-trace.toml")] = str(tmp_path / "failing.toml")
    done = run(failing)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "FAILED generations < 1.2" in done.stdout


def test_every_example_is_in_the_list_and_is_run_here_or_beside() -> None:
    listed = set(re.findall(r"\]\(([\w.]+)\)", (EXAMPLES / "README.md").read_text()))
    there = {path.name for path in EXAMPLES.iterdir() if path.is_dir() and not path.name.startswith(("__", "."))}
    assert there == listed - {"notebook.ipynb"}
