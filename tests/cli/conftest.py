"""Runs of the real command line against the scripted fake server, which is started as any other server is."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from punie_trace.cli.main import app
from punie_trace.testing import Reply, Rule, Script, Text, ToolCall

SUITE = {
    "name": "small",
    "cases": [
        {
            "name": "find-librarian",
            "inputs": "Where is IsLibrarian defined?",
            "metadata": {
                "expected": "tool",
                "tools": ["find_definition"],
                "arguments_contain": ["IsLibrarian"],
                "answer_contains": ["permissions.py"],
            },
        },
        {"name": "what-is-rest", "inputs": "What is REST?", "metadata": {"expected": "direct"}},
    ],
}
CALL = Reply(steps=(ToolCall(name="find_definition", arguments={"name": "IsLibrarian"}, delay_s=0.01),))
FOUND = Reply(steps=(Text(text="It is in "), Text(text="accounts/permissions.py.", delay_s=0.005)))
DIRECT = Reply(steps=(Text(text="A style of interfaces."),))
RULES = (
    Rule(contains="IsLibrarian", turn=0, reply=CALL),
    Rule(contains="IsLibrarian", turn=1, reply=FOUND),
    Rule(contains="REST", reply=DIRECT),
)
GOOD = Script(rules=RULES)


class Bench:
    """A folder with a suite, and the command line to run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = folder / "run"
        self.suite = folder / "small.json"
        self.suite.write_text(json.dumps(SUITE))

    def server(self, script: Script, name: str = "script") -> str:
        """The TOML lines of a configuration served by a fake that follows `script`."""
        file = self.folder / f"{name}.json"
        file.write_text(script.model_dump_json())
        command = [sys.executable, "-m", "punie_trace.testing", "--port", "{port}", "--script", str(file)]
        return f'kind = "command"\ncommand = {json.dumps(command)}\n'

    def config(self, text: str) -> Path:
        file = self.folder / "punie-trace.toml"
        file.write_text(text)
        return file

    def run(self, toml: str, *flags: str) -> Result:
        """`punie-trace run` with this configuration; the run folder is `out`."""
        return self.invoke(*self.flags(toml), "--rounds", "2", *flags)

    def flags(self, toml: str) -> list[str]:
        """The command line of a run with this configuration, without a number of rounds."""
        config, suite, out = str(self.config(toml)), str(self.suite), str(self.out)
        return ["run", "--config", config, "--suite", suite, "--out", out, "--otlp", "off"]

    def invoke(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def one_server(bench: Bench) -> Callable[[Script], str]:
    """TOML for a single configuration 'baseline' whose server follows a script."""
    return lambda script: f"[configurations.baseline]\n{bench.server(script)}"
