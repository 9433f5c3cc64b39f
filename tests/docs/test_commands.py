"""Every command and every piece of Python in README and docs is run, but for what says why it cannot be run here.

What is not run stands in a comment before its block, which no reader of the site sees:

    <!-- not run: docker compose: there is no daemon on a bare machine -->

names the beginning of the commands ('all' for the whole block) and the reason. The rest is run as it stands, in a
folder with what the docs speak of: questions, an agent, runs, and a server on the address that they name, which
answers from a script. So the command line, the files and the library are tried here, and not how fast a model is.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner, Result

from punie_trace.cli.main import app
from punie_trace.testing import Reply, Rule, Script, Text, ToolCall, scripted_server
from tests.docs.test_pages import PAGES, ROOT

if TYPE_CHECKING:
    from tests.receiver import Receiver

# The first of them makes what all share, and imports all that there is.
pytestmark = pytest.mark.timeout(300)

NOT_RUN = re.compile(r"<!-- not run: (?P<prefix>[^:]+): (?P<why>.+?) -->\n", re.DOTALL)
BLOCK = re.compile(
    r"(?P<marks>(?:<!-- not run: .+? -->\n)*)```(?P<language>sh|python)\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL
)
OURS = (["punie-trace"], ["uv", "run", "punie-trace"], ["uv", "run", "python", "-m", "punie_trace"])
CONFIGURATIONS = ("baseline", "speculative-3", "adaptive")
AGENT = """
from pydantic_ai import Agent

helper = Agent(instructions="Answer in a sentence.")

@helper.tool_plain
def find_definition(name: str) -> str:
    return f"{name} is in accounts/permissions.py"
"""


@dataclass(frozen=True)
class Written:
    """A block of a page, and what of it is not run."""

    where: str
    language: str
    text: str
    left_out: tuple[str, ...]

    @property
    def commands(self) -> list[list[str]]:
        lines = self.text.replace("\\\n", " ").splitlines()
        words = [shlex.split(line, comments=True) for line in lines]
        return [one for one in words if one and not any(self._is(one, left) for left in self.left_out)]

    @staticmethod
    def _is(words: list[str], left: str) -> bool:
        return left == "all" or words[: len(left.split())] == left.split()


def written(language: str) -> list[Written]:
    found = []
    for page in PAGES:
        for number, block in enumerate(BLOCK.finditer(page.read_text(encoding="utf-8"))):
            left_out = tuple(mark["prefix"].strip() for mark in NOT_RUN.finditer(block["marks"]))
            if block["language"] == language:
                where = f"{page.relative_to(ROOT)}#{number}"
                found.append(Written(where, language, block["text"], left_out))
    return found


SH = [one for one in written("sh") if one.commands]
PYTHON = [one for one in written("python") if "all" not in one.left_out]


@dataclass(frozen=True)
class Desk:
    """Where the docs' commands are run: a folder with what they name, and the address of a server."""

    folder: Path
    url: str
    ended: dict[tuple[str, ...], Result] = field(default_factory=dict)
    """What was run here by now, by its words: pages repeat commands, and differ in ports alone."""

    def fill(self, word: str) -> str:
        """What stands for something of the reader's, as it is here."""
        word = "runs/A" if word == "RUN" else word.replace("runs/<id>", "runs/A").replace("~/src/my-project", "project")
        return re.sub(r"http://127\.0\.0\.1:\d+/v1", self.url, word)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """The server answers a question with a call and then in words, but one of them at once."""
    folder = tmp_path_factory.mktemp("desk")
    page = (ROOT / "docs" / "own-suite.md").read_text(encoding="utf-8")
    (folder / "my-questions.yaml").write_text(re.findall(r"```yaml\n(name: my-questions.*?)```", page, re.DOTALL)[0])
    for file in ("my_package/agents.py", "path/to/agents.py"):
        (folder / file).parent.mkdir(parents=True)
        (folder / file).write_text(AGENT)
    (folder / "my_package" / "__init__.py").write_text("")
    (folder / "project").mkdir()
    (folder / "project" / "permissions.py").write_text("class IsLibrarian:\n    pass\n")
    call = Reply(steps=(ToolCall(name="find_definition", arguments={"name": "IsLibrarian"}),))
    rules = (
        Rule(contains="REST", reply=Reply(steps=(Text(text="A style of interfaces."),))),
        Rule(turn=0, reply=call),
        Rule(turn=1, reply=Reply(steps=(Text(text="It is in accounts/permissions.py."),))),
    )
    with scripted_server(Script(rules=rules)) as server:
        kinds = (f'[configurations.{name}]\nkind = "url"\nurl = "{server.base_url}"\n' for name in CONFIGURATIONS)
        (folder / "here.toml").write_text('suite = "my-questions.yaml"\nrounds = 1\n' + "".join(kinds))
        made = Desk(folder, server.base_url)
        for name in ("A", "B"):
            result = invoke(made, ["punie-trace", "run", "--out", f"runs/{name}", "--otlp", "off"])
            assert result.exit_code == 0, result.output
        yield made


def invoke(desk: Desk, command: list[str]) -> Result:
    """Run a command of ours as it stands, once; a run that names no server asks the scripted one."""
    words = tuple(desk.fill(word) for word in command)
    if words not in desk.ended:
        desk.ended[words] = _invoke(desk, list(words))
    return desk.ended[words]


def _invoke(desk: Desk, words: list[str]) -> Result:
    name, *rest = next(words[len(ours) :] for ours in OURS if words[: len(ours)] == ours)
    if name == "run" and not {"--config", "--url"} & set(rest):
        rest = ["--config", "here.toml", *rest]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(desk.folder)
        patch.syspath_prepend(str(desk.folder))
        return CliRunner().invoke(app, [name, *rest], catch_exceptions=False)


@pytest.mark.parametrize("block", SH, ids=[one.where for one in SH])
def test_commands_run_as_they_stand(
    block: Written, desk: Desk, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
    for command in block.commands:
        shown = shlex.join(command)
        ours = any(command[: len(one)] == one for one in OURS)
        assert ours, f"{block.where}: {shown}: nothing here runs it; say so: <!-- not run: PREFIX: REASON -->"
        result = invoke(desk, command)
        # A gate may fail on the scripted server, and the doctor may miss something here: both are answers.
        fine = (0, 1) if "--gate" in command or "doctor" in command else (0,)
        assert result.exit_code in fine, f"{block.where}: {shown}: exit code {result.exit_code}\n{result.output}"
        assert "error:" not in result.output, f"{block.where}: {shown}\n{result.output}"


@pytest.mark.parametrize("block", PYTHON, ids=[one.where for one in PYTHON])
def test_python_runs_as_it_stands(block: Written, tmp_path: Path) -> None:
    """In a process of its own: what it registers is nobody else's."""
    command = [sys.executable, "-c", block.text]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, f"{block.where}\n{done.stderr}"


def test_what_is_not_run_is_really_there() -> None:
    for one in (*written("sh"), *written("python")):
        for left in one.left_out:
            there = left == "all" or re.search(rf"^\s*{re.escape(left)}\b", one.text, re.MULTILINE)
            assert there, f"{one.where}: there is no {left!r}"
    assert SH
    assert PYTHON
