"""The scripted server in the form of OpenAI's responses API: OpenAI's own client reads it, and so do we."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import OpenAI
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseReasoningItem
from pydantic import JsonValue

from punie_trace.spans.responses_reader import ResponsesReader
from punie_trace.testing import Reasoning, Reply, Rule, Script, Step, Text, ToolCall, Usage, scripted_server
from punie_trace.testing.asked import Asked, rule_fits
from punie_trace.testing.responses_rendering import ResponsesRendering

STEPS: tuple[Step, ...] = (
    Reasoning(text="hm"),
    Text(text="He", delay_s=0.01),
    Text(text="llo"),
    ToolCall(name="find", arguments={"name": "UserSerializer"}, pieces=3),
    ToolCall(name="list"),
)
USAGE = Usage(prompt_tokens=7, completion_tokens=9, cached_tokens=3)
QUESTION: JsonValue = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Where is it?"}]}


def body_of(reply: Reply, *, stream: bool) -> bytes:
    asked = Asked("m", stream=stream, usage=True, messages=2, form="responses")
    pieces = ResponsesRendering(Script(), reply, asked).play().pieces
    return b"".join(piece.data for piece in pieces).partition(b"\r\n\r\n")[2]


def events(body: bytes) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in body.decode().splitlines() if line.startswith("data: ")]


def test_openais_client_reads_the_stream_and_the_whole_as_the_same_response() -> None:
    with scripted_server(Script(replies=(Reply(steps=STEPS, usage=USAGE),), keep_alive=True)) as server:
        client = OpenAI(base_url=server.base_url, api_key="none", max_retries=0)
        with client.responses.stream(model="m", input="Where is it?") as stream:  # it insists on sound events
            assert stream.get_final_response().output_text == "Hello"
        found = list(client.responses.create(model="m", input="Where is it?", stream=True))
        whole = client.responses.create(model="m", input="Where is it?")
    kinds, last = [event.type for event in found], found[-1]
    assert last.type == "response.completed"
    assert last.response.to_dict() == whole.to_dict()
    reasoning, message, first, second = whole.output
    assert isinstance(reasoning, ResponseReasoningItem)
    assert isinstance(message, ResponseOutputMessage)
    assert isinstance(first, ResponseFunctionToolCall)
    assert isinstance(second, ResponseFunctionToolCall)
    assert whole.output_text == "Hello"
    assert json.loads(first.arguments) == {"name": "UserSerializer"}
    assert first.call_id != second.call_id
    assert whole.usage is not None
    assert (whole.usage.input_tokens, whole.usage.input_tokens_details.cached_tokens) == (7, 3)
    assert kinds[:3] == ["response.created", "response.in_progress", "response.output_item.added"]
    assert kinds[-1] == "response.completed"
    assert [record.kind for record in server.requests] == ["tool"] * 3
    assert all(record.done_ns for record in server.requests)


def test_events_are_numbered_and_each_item_is_opened_and_closed_in_its_place() -> None:
    found = events(body_of(Reply(steps=STEPS), stream=True))
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    opened = [event["output_index"] for event in found if event["type"] == "response.output_item.added"]
    closed = [event["output_index"] for event in found if event["type"] == "response.output_item.done"]
    assert opened == closed == [0, 1, 2, 3]
    for number in opened:
        own = [event for event in found if event.get("output_index") == number]
        assert own[0]["type"] == "response.output_item.added"
        assert own[-1]["type"] == "response.output_item.done"
        deltas = "".join(event["delta"] for event in own if event["type"].endswith(".delta"))
        item = own[-1]["item"]
        assert deltas == (item["arguments"] if item["type"] == "function_call" else item["content"][0]["text"])
        assert item == found[-1]["response"]["output"][number]


@settings(max_examples=40)
@given(st.lists(st.sampled_from(STEPS), max_size=6), st.booleans())
def test_our_reader_finds_what_the_script_says(steps: list[Step], stream: bool) -> None:
    body = body_of(Reply(steps=tuple(steps), usage=USAGE), stream=stream)
    reader = ResponsesReader("events" if stream else "json")
    reader.feed(body, 1)
    reader.close(2)
    found = reader.completion()
    assert found.failure is None
    assert found.text == "".join(one.text for one in steps if isinstance(one, Text))
    assert [call.name for call in found.calls] == [one.name for one in steps if isinstance(one, ToolCall)]
    assert (found.input_tokens, found.output_tokens, found.cached_tokens) == (7, 9, 3)
    assert found.finish_reason == ("tool_calls" if found.calls else "stop")


def test_an_answer_that_ran_out_of_tokens_is_incomplete() -> None:
    body = body_of(Reply(steps=(Text(text="a"),), finish_reason="length"), stream=True)
    last = events(body)[-1]
    assert last["type"] == "response.incomplete"
    assert last["response"]["incomplete_details"] == {"reason": "max_output_tokens"}


@pytest.mark.parametrize(
    ("items", "turn"),
    [
        ("Where is it?", 0),
        ([QUESTION], 0),
        ([{"role": "user", "content": "Where is it?"}], 0),
        ([QUESTION, {"type": "reasoning"}, {"type": "function_call"}, {"type": "function_call"},
          {"type": "function_call_output"}, {"type": "function_call_output"}], 1),
        ([QUESTION, {"type": "function_call"}, {"type": "function_call_output"},
          {"type": "message", "role": "assistant", "content": []}, {"type": "function_call"},
          {"type": "function_call_output"}], 2),
        ([{"role": "user", "content": "Before?"}, {"role": "assistant", "content": "x"}, QUESTION], 0),
    ],
)  # fmt: skip
def test_a_rule_counts_the_rounds_of_tools_since_the_last_user_message(items: JsonValue, turn: int) -> None:
    fits = [rule_fits(Rule(contains="Where", turn=number, reply=Reply()), {"input": items}) for number in range(3)]
    assert fits == [number == turn for number in range(3)]
    assert not rule_fits(Rule(contains="Before", reply=Reply()), {"input": items})


def test_delays_are_before_the_first_piece_and_errors_are_as_in_the_other_form() -> None:
    script = Script(replies=(Reply(steps=(Text(text="a", delay_s=0.05),)), Reply(status=503, error="busy")))
    with scripted_server(script) as server, httpx2.Client(base_url=server.base_url, trust_env=False) as client:
        ask = {"model": "m", "input": "hi", "stream": True}
        assert client.post("/responses", json=ask).status_code == 200
        failed = client.post("/responses", json=ask)
    assert (failed.status_code, failed.json()) == (503, {"error": {"message": "busy"}})
    first = server.requests[0]
    assert first.written_ns[0] - first.body_ns >= 49_000_000
