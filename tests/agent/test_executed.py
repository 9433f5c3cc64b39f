from __future__ import annotations

import inspect
from pathlib import Path

import anyio
import pytest

from punie_trace.agent.executed import recorded_functions, recording
from punie_trace.agent.toolbox import Toolbox
from punie_trace.agent.workspace import Workspace
from punie_trace.records import ToolCall


@pytest.fixture
def toolbox(tmp_path: Path) -> Toolbox:
    (tmp_path / "a.py").write_text("x = 1\n")
    return Toolbox(Workspace(tmp_path))


def test_executed_calls_are_noted_with_their_success(toolbox: Toolbox) -> None:
    functions = recorded_functions(toolbox)
    with recording() as calls:
        functions["read_file"](path="a.py")
        functions["read_file"](path="b.py")
    functions["read_file"](path="a.py")
    assert calls == [ToolCall("read_file", {"path": "a.py"}, True), ToolCall("read_file", {"path": "b.py"}, False)]


def test_signatures_and_docstrings_stay(toolbox: Toolbox) -> None:
    for name, function in recorded_functions(toolbox).items():
        original = getattr(toolbox, name)
        assert inspect.signature(function) == inspect.signature(original)
        assert inspect.getdoc(function) == inspect.getdoc(original)


@pytest.mark.anyio
async def test_queries_at_once_do_not_mix_their_calls(toolbox: Toolbox) -> None:
    functions = recorded_functions(toolbox)
    seen: dict[str, list[ToolCall]] = {}

    async def query(name: str) -> None:
        with recording() as calls:
            for _ in range(3):
                await anyio.to_thread.run_sync(lambda: functions["search_code"](pattern=name))
            seen[name] = calls

    async with anyio.create_task_group() as group:
        for name in ("one", "two", "three"):
            group.start_soon(query, name)
    assert {name: [c.arguments["pattern"] for c in calls] for name, calls in seen.items()} == {
        name: [name] * 3 for name in ("one", "two", "three")
    }
