from __future__ import annotations

from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider

from punie_trace.agent.prompt import SYSTEM_PROMPT
from punie_trace.agent.toolbox import ERROR_PREFIX, Toolbox
from punie_trace.agent.turns import Complete, Message, ToolLoop, Turn, WrittenCall
from punie_trace.agent.workspace import Workspace
from punie_trace.records import Query, ToolCall

pytestmark = pytest.mark.anyio
QUERY = Query("q", "What is in a.py?")


@pytest.fixture
def loop(tmp_path: Path) -> ToolLoop:
    (tmp_path / "a.py").write_text("x = 1\n")
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")
    return ToolLoop(Toolbox(Workspace(tmp_path)), tracer, max_requests=3)


def model(*turns: Turn) -> tuple[Complete, list[list[Message]]]:
    """A model that gives these turns, and what it was asked with each time."""
    asked: list[list[Message]] = []
    left = list(turns)

    async def complete(messages: list[Message]) -> Turn:
        asked.append(list(messages))
        return left.pop(0)

    return complete, asked


async def test_calls_are_run_and_their_results_sent_back(loop: ToolLoop) -> None:
    call = WrittenCall("c1", "read_file", '{"path": "a.py"}')
    complete, asked = model(Turn("", (call,)), Turn("It sets x."))
    answer = await loop.ask(QUERY, complete, ())
    assert (answer.text, answer.error) == ("It sets x.", None)
    assert answer.tool_calls == (ToolCall("read_file", {"path": "a.py"}, True),)
    assert asked[0] == [{"role": "system", "content": SYSTEM_PROMPT}, {"role": "user", "content": QUERY.text}]
    assert asked[1][2:] == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "read_file", "arguments": '{"path": "a.py"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "a.py, 1 line\nx = 1"},
    ]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (WrittenCall("c", "rm", "{}"), "there is no tool 'rm'"),
        (WrittenCall("c", "read_file", "{oops"), "not JSON"),
        (WrittenCall("c", "read_file", '{"file": "a.py"}'), "called wrongly"),
        (WrittenCall("c", "read_file", '{"path": "../b.py"}'), "outside"),
    ],
)
async def test_what_is_wrong_with_a_call_goes_to_the_model(loop: ToolLoop, call: WrittenCall, says: str) -> None:
    complete, asked = model(Turn("", (call,)), Turn("sorry"))
    answer = await loop.ask(QUERY, complete, ())
    result = str(asked[1][-1]["content"])
    assert result.startswith(ERROR_PREFIX)
    assert says in result
    assert all(not c.ok for c in answer.tool_calls)


async def test_a_model_that_never_stops_calling_is_an_error(loop: ToolLoop) -> None:
    call = WrittenCall("c", "list_files", "{}")
    complete, asked = model(*[Turn("", (call,))] * 3)
    answer = await loop.ask(QUERY, complete, ())
    assert "after 3 generations" in str(answer.error)
    assert len(asked) == 3
    assert len(answer.tool_calls) == 3


async def test_named_failures_become_the_error_and_others_go_on(loop: ToolLoop) -> None:
    async def complete(messages: list[Message]) -> Turn:
        raise ConnectionError("gone") from OSError("cable")

    answer = await loop.ask(QUERY, complete, (ConnectionError,))
    assert answer.error == "ConnectionError: gone; caused by OSError: cable"
    with pytest.raises(ConnectionError):
        await loop.ask(QUERY, complete, (ValueError,))
