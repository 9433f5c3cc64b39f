"""What a program sends, in all three forms: which calls it answers, its model's name, its token counts."""

from __future__ import annotations

import json

import pytest

from punie_trace.agent.program_requests import ProgramRequest, read_request, without_usage_event

CHAT = {
    "model": "m",
    "messages": [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "tool_calls": [{"id": "a"}]},
        {"role": "tool", "tool_call_id": "a", "content": "done"},
    ],
}
RESPONSES = {
    "model": "m",
    "input": [
        {"type": "function_call", "call_id": "a", "name": "f"},
        {"type": "function_call_output", "call_id": "a", "output": "done"},
        {"type": "custom_tool_call_output", "call_id": "b", "output": "done"},
    ],
}
MESSAGES = {
    "model": "m",
    "messages": [
        {"role": "user", "content": "hi"},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "a"},
            {"type": "text", "text": "and"},
            {"type": "tool_result", "tool_use_id": "b", "is_error": True},
        ]},
    ],
}  # fmt: skip
GOOD_A = {"id": "a", "ok": True}


@pytest.mark.parametrize(
    ("request_body", "answered"),
    [
        (CHAT, (GOOD_A,)),
        (RESPONSES, (GOOD_A, {"id": "b", "ok": True})),
        (MESSAGES, (GOOD_A, {"id": "b", "ok": False})),
        ({"model": "m", "input": "a text"}, ()),
    ],
)
def test_the_calls_that_a_request_answers(request_body: dict[str, object], answered: tuple[object, ...]) -> None:
    body = json.dumps(request_body).encode()
    assert read_request(body, "m", chat=False) == ProgramRequest(body, answered)  # ty: ignore[invalid-argument-type]


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"\xff", b"null", b'{"messages": 3}', b'{"messages": [3, {}]}'])
def test_what_cannot_be_read_goes_on_as_it_is(body: bytes) -> None:
    assert read_request(body, "m", chat=True) == ProgramRequest(body)


def test_another_name_for_the_model_is_replaced_and_told() -> None:
    read = read_request(json.dumps({**CHAT, "model": "gpt-5"}).encode(), "m", chat=True)
    assert json.loads(read.body) == CHAT
    assert read.own_model == "gpt-5"
    assert read_request(json.dumps(CHAT).encode(), None, chat=True).own_model is None


def test_a_stream_of_chat_completions_is_asked_for_its_token_counts() -> None:
    read = read_request(json.dumps({**CHAT, "stream": True, "stream_options": {"x": 1}}).encode(), "m", chat=True)
    assert json.loads(read.body)["stream_options"] == {"x": 1, "include_usage": True}
    assert read.hides_usage


@pytest.mark.parametrize(
    ("changes", "chat"),
    [({"stream": True, "stream_options": {"include_usage": False}}, True), ({"stream": False}, True),
     ({"stream": True, "stream_options": {"include_usage": True}}, True), ({"stream": True}, False)],
)  # fmt: skip
def test_who_asked_or_does_not_stream_is_left_alone(changes: dict[str, object], chat: bool) -> None:
    body = json.dumps({**CHAT, **changes}).encode()
    read = read_request(body, "m", chat=chat)
    assert read.body == body
    assert not read.hides_usage


TEXT = b'data: {"choices": [{"delta": {"content": "\\"usage\\" \\"choices\\": []"}}]}\n\n'
USAGE = b'data: {"choices": [], "usage": {"prompt_tokens": 1}}\n\n'


def test_only_the_event_with_the_counts_is_withheld() -> None:
    assert without_usage_event(TEXT + USAGE + b"data: [DONE]\n\n") == TEXT + b"data: [DONE]\n\n"
    assert without_usage_event(TEXT) == TEXT
    assert without_usage_event(b'data: {"choices": []}\n\n') == b'data: {"choices": []}\n\n'
    assert without_usage_event(USAGE.replace(b"\n", b"\r\n")) == b""
