from __future__ import annotations

from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider

from punie_trace.agent.prompt import SYSTEM_PROMPT
from punie_trace.agent.toolbox import Toolbox
from punie_trace.agent.turns import Complete, Message, ToolLoop
from punie_trace.agent.workspace import Workspace
from punie_trace.records import Query, ToolCall
from punie_trace.spans.activity import calls_of
from punie_trace.spans.codec import from_sdk
from punie_trace.spans.completion import Completion
from punie_trace.spans.written_calls import WrittenCall

pytestmark = pytest.mark.anyio
QUERY = Query("q", "What is in a.py?")


class Kept(SpanProcessor):
    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)

    @property
    def calls(self) -> list[ToolCall]:
        return calls_of([from_sdk(span) for span in self.spans])


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def loop(tmp_path: Path, kept: Kept) -> ToolLoop:
    (tmp_path / "a.py").write_text("x = 1\n")
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(kept)
    return ToolLoop(Toolbox(Workspace(tmp_path)), provider.get_tracer("test"), max_requests=3)


def model(*turns: Completion) -> tuple[Complete, list[list[Message]]]:
    """A model that gives these turns, and what it was asked with each time."""
    asked: list[list[Message]] = []
    left = list(turns)

    async def complete(messages: list[Message]) -> Completion:
        asked.append(list(messages))
        return left.pop(0)

    return complete, asked


async def test_calls_are_run_and_their_results_sent_back(loop: ToolLoop, kept: Kept) -> None:
    call = WrittenCall("c1", "read_file", '{"path": "a.py"}')
    complete, asked = model(Completion(calls=(call,)), Completion("It sets x."))
    answer = await loop.converse(complete)(QUERY.text)
    assert (answer.text, answer.error) == ("It sets x.", None)
    assert kept.calls == [ToolCall("read_file", {"path": "a.py"}, True)]
    assert asked[0] == [{"role": "system", "content": SYSTEM_PROMPT}, {"role": "user", "content": QUERY.text}]
    assert asked[1][2:] == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "read_file", "arguments": '{"path":"a.py"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "a.py, 1 line\nx = 1"},
    ]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (WrittenCall("c", "rm", "{}"), "Unknown tool name: 'rm'"),
        (WrittenCall("c", "read_file", "{oops"), "Invalid JSON"),
        (WrittenCall("c", "read_file", '{"file": "a.py"}'), "Field required"),
        (WrittenCall("c", "read_file", '{"path": 42}'), "should be a valid string"),
        (WrittenCall("c", "read_file", ""), "Field required"),
        (WrittenCall("c", "read_file", "[" * 5000), "Invalid JSON"),
        (WrittenCall("c", "read_file", '{"path": "../b.py"}'), "outside"),
    ],
)
async def test_what_is_wrong_with_a_call_goes_to_the_model(
    loop: ToolLoop, kept: Kept, call: WrittenCall, says: str
) -> None:
    complete, asked = model(Completion(calls=(call,)), Completion("sorry"))
    await loop.converse(complete)(QUERY.text)
    assert says in str(asked[1][-1]["content"])
    (made,) = kept.calls
    assert not made.ok
    assert (made.refused is None) is (says == "outside"), "what was run is told from what was not"


async def test_a_model_that_never_stops_calling_is_an_error(loop: ToolLoop, kept: Kept) -> None:
    call = WrittenCall("c", "list_files", "{}")
    complete, asked = model(*[Completion(calls=(call,))] * 3)
    answer = await loop.converse(complete)(QUERY.text)
    assert "after 3 generations" in str(answer.error)
    assert len(asked) == 3
    assert len(kept.calls) == 3


async def test_an_answer_without_a_word_says_how_the_model_ended(loop: ToolLoop) -> None:
    complete, _ = model(Completion("", "hm", finish_reason="length"))
    answer = await loop.converse(complete)(QUERY.text)
    assert (answer.text, answer.error) == ("", None), "it is the model's, and is judged"
    assert answer.reason == "the model thought and ended (length) without an answer"
