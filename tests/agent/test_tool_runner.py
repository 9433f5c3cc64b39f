"""Calls are checked as PydanticAI checks them, and no tool keeps its query longer than it may."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import anyio
import pytest

from punie_trace.agent.tool_runner import CheckedCall, RefusedCall, ToolRunner, argument_defaults
from punie_trace.agent.toolbox import Toolbox
from punie_trace.agent.workspace import Workspace
from punie_trace.spans.written_calls import WrittenCall

pytestmark = pytest.mark.anyio


class Slow(Toolbox):
    """A toolbox whose listing takes until it is let go."""

    go = threading.Event()

    def list_files(self, path: str = ".") -> str:
        """List."""
        self.go.wait(20)
        return path


@pytest.fixture
def toolbox(tmp_path: Path) -> Toolbox:
    (tmp_path / "a.py").write_text("x = 1\n")
    return Toolbox(Workspace(tmp_path))


async def test_what_a_call_leaves_out_has_its_default(toolbox: Toolbox) -> None:
    runner = ToolRunner(toolbox)
    call = runner.check(WrittenCall("c", "search_code", '{"pattern": "x"}'))
    assert call == CheckedCall("search_code", {"pattern": "x", "path": "."})
    assert "1 match in 1 file" in await runner.run(call)
    assert argument_defaults(toolbox)["search_code"] == {"path": "."}


def test_a_refusal_says_why(toolbox: Toolbox) -> None:
    refused = ToolRunner(toolbox).check(WrittenCall("c", "read_file", '{"path": null, "more": 1}'))
    assert isinstance(refused, RefusedCall)
    assert refused.reason == "path: Input should be a valid string; more: Extra inputs are not permitted"


async def test_a_tool_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    runner = ToolRunner(Slow(Workspace(tmp_path)), limit_s=0.1)
    began = time.monotonic()
    try:
        assert "list_files took longer than 0.1 s" in await runner.run(CheckedCall("list_files", {"path": "."}))
        assert time.monotonic() - began < 5
        with anyio.move_on_after(0.05) as scope:
            await ToolRunner(Slow(Workspace(tmp_path))).run(CheckedCall("list_files", {"path": "."}))
        assert scope.cancelled_caught, "a deadline holds although the thread goes on"
    finally:
        Slow.go.set()
