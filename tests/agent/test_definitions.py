from __future__ import annotations

import json
from importlib.metadata import version

import pytest

from punie_trace.agent import definitions
from punie_trace.agent.definitions import KEPT, build_tools, definitions_of, openai_definitions
from punie_trace.agent.toolbox import Toolbox
from punie_trace.agent.workspace import Workspace
from punie_trace.suite.load import sample_workspace

FUNCTIONS = Toolbox(Workspace(sample_workspace())).functions()


def test_the_kept_definitions_are_what_pydantic_ai_makes() -> None:
    kept = json.loads(KEPT.read_text())
    if kept["made_by"] != {"pydantic-ai-slim": version("pydantic-ai-slim")}:
        pytest.skip("another pydantic-ai is installed, and the file is passed over")
    made = openai_definitions(build_tools(FUNCTIONS.values()))
    again = "run python -m punie_trace.agent.definitions"
    assert list(kept["tools"].values()) == made, again
    assert definitions_of(FUNCTIONS) == made


def test_a_file_that_does_not_fit_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    made = openai_definitions(build_tools(FUNCTIONS.values()))
    other = KEPT.with_name("no-such-file.json")
    monkeypatch.setattr(definitions, "KEPT", other)
    assert definitions_of(FUNCTIONS) == made


def test_tools_that_are_not_kept_are_made() -> None:
    def find_nothing(name: str) -> str:
        """Find nothing.

        Args:
            name: What not to find.
        """
        return name

    (made,) = definitions_of({"find_nothing": find_nothing})
    assert made == openai_definitions(build_tools([find_nothing]))[0]
