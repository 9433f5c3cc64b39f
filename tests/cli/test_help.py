"""`--help` teaches: examples, the flags that people use, and no more. The others work, and stand in docs/load.md."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from punie_trace.cli.main import app

DOCS = Path(__file__).parents[2] / "docs" / "load.md"
SHOWN = {
    "--config",
    "--suite",
    "--workspace",
    "--model",
    "--draft-model",
    "--memory",
    "--url",
    "--agent",
    "--only",
    "--quick",
    "--rounds",
    "--until",
    "--concurrency",
    "--path",
    "--out",
    "--otlp",
    "--plain",
    "--full",
    "--help",
}


def shown(*arguments: str) -> str:
    return CliRunner().invoke(app, [*arguments, "--help"], catch_exceptions=False).output


def hidden_flags() -> set[str]:
    command: Any = get_command(app)
    run = command.commands["run"]
    return {flag for one in run.params if getattr(one, "hidden", False) for flag in (*one.opts, *one.secondary_opts)}


def test_run_shows_the_flags_that_people_use_and_no_other() -> None:
    assert set(re.findall(r"^\s+(?:-\w, )?(--[\w-]+)", shown("run"), flags=re.MULTILINE)) == SHOWN


def test_every_hidden_flag_stands_in_the_docs() -> None:
    documented = DOCS.read_text()
    missing = {flag for flag in hidden_flags() if f"`{flag}" not in documented}
    assert hidden_flags()
    assert not missing


@pytest.mark.parametrize("command", [(), ("run",)])
def test_the_help_has_examples_one_a_line(command: tuple[str, ...]) -> None:
    text = shown(*command)
    examples = text[text.index("Examples:") :].splitlines()
    assert sum(line.startswith("    punie-trace ") for line in examples) >= 3
