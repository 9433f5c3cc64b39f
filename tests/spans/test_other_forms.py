"""Answers of OpenAI's responses API and of Anthropic's messages API, whole and streamed, give the same facts."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from punie_trace.spans import names
from punie_trace.spans.completion import Completion, CompletionReader
from punie_trace.spans.generation_forms import reader_of
from punie_trace.spans.messages_reader import MessagesReader
from punie_trace.spans.responses_reader import ResponsesReader
from punie_trace.spans.written_calls import WrittenCall

CALL = WrittenCall("call_1", "find", '{"name": "Loan"}')
RESPONSE: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "model": "m-1",
    "output": [
        {"type": "reasoning", "summary": []},
        {"type": "message", "content": [{"type": "output_text", "text": "Let me look."}]},
        {"type": "function_call", "call_id": "call_1", "name": "find", "arguments": '{"name": "Loan"}'},
    ],
    "usage": {"input_tokens": 30, "output_tokens": 9, "input_tokens_details": {"cached_tokens": 20}},
}
RESPONSE_EVENTS: list[dict[str, Any]] = [
    {"type": "response.created", "response": {"model": "m-1", "status": "in_progress", "output": [], "usage": None}},
    {"type": "response.reasoning_summary_text.delta", "delta": "hm"},
    {"type": "response.output_text.delta", "delta": "Let me"},
    {"type": "response.output_text.delta", "delta": " look."},
    {"type": "response.output_text.done", "text": "Let me look."},
    {"type": "response.output_item.added", "item": {"type": "function_call", "call_id": "call_1", "name": "find"}},
    {"type": "response.function_call_arguments.delta", "delta": '{"name": "Loan"}'},
    {"type": "response.output_item.done", "item": RESPONSE["output"][2]},
    {"type": "response.completed", "response": RESPONSE},
]
MESSAGE: dict[str, Any] = {
    "type": "message",
    "model": "m-1",
    "content": [
        {"type": "thinking", "thinking": "hm"},
        {"type": "text", "text": "Let me look."},
        {"type": "tool_use", "id": "call_1", "name": "find", "input": {"name": "Loan"}},
    ],
    "stop_reason": "tool_use",
    "usage": {"input_tokens": 8, "cache_read_input_tokens": 20, "cache_creation_input_tokens": 2, "output_tokens": 9},
}
MESSAGE_EVENTS: list[dict[str, Any]] = [
    {"type": "message_start", "message": {**MESSAGE, "content": [], "stop_reason": None}},
    {"type": "ping"},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Let me look."}},
    {"type": "content_block_start", "index": 2, "content_block": {"type": "tool_use", "id": "call_1", "name": "find"}},
    {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": '{"name": '}},
    {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": '"Loan"}'}},
    {"type": "content_block_stop", "index": 2},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}},
    {"type": "message_stop"},
]
FORMS = {
    "responses": (ResponsesReader, RESPONSE, RESPONSE_EVENTS),
    "messages": (MessagesReader, MESSAGE, MESSAGE_EVENTS),
}


def stream(events: Iterable[dict[str, Any]]) -> bytes:
    return b"".join(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n".encode() for one in events)


def read(reader: CompletionReader, pieces: Iterable[bytes]) -> Completion:
    now = 0
    for now, piece in enumerate(pieces, start=1):
        reader.feed(piece, now)
    reader.close(now + 1)
    return reader.completion()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("streamed", [True, False])
def test_text_calls_tokens_and_the_reason_of_the_end(form: str, streamed: bool) -> None:
    kind, whole, events = FORMS[form]
    reader = kind()
    found = read(reader, [stream([one]) for one in events] if streamed else [json.dumps(whole).encode()])
    assert (found.text, found.calls) == ("Let me look.", (CALL,))
    assert (found.input_tokens, found.output_tokens, found.cached_tokens) == (30, 9, 20)
    assert (found.finish_reason, found.served_model, found.failure) == ("tool_calls", "m-1", None)
    assert reader.done is streamed
    if streamed:
        first = next(n for n, one in enumerate(events, 1) if "delta" in str(one["type"]))
        assert reader.first_chunk_ns == first
        assert reader.last_chunk_ns == max(n for n, one in enumerate(events, 1) if one["type"] in (
            "response.function_call_arguments.delta", "content_block_delta"
        ))  # fmt: skip
        assert found.reasoning == "hm"
    else:
        assert reader.chunks == 0


@pytest.mark.parametrize("form", FORMS)
@settings(deadline=None)
@given(cuts=st.lists(st.integers(0, 5000), max_size=8))
def test_what_is_learnt_does_not_depend_on_how_the_bytes_were_cut(form: str, cuts: list[int]) -> None:
    kind, _, events = FORMS[form]
    data = stream(events)
    places = sorted({0, len(data), *(cut % len(data) for cut in cuts)})
    pieces = [data[start:end] for start, end in pairwise(places)]
    assert read(kind(), pieces) == read(kind(), [data])


CUT = {
    "responses": RESPONSE_EVENTS[:4],
    "messages": MESSAGE_EVENTS[:6],
}
ERRORS = {
    "responses": [{"type": "error", "message": "overloaded"}],
    "responses failed": [{"type": "response.failed", "response": {"error": {"message": "overloaded"}}}],
    "messages": [{"type": "error", "error": {"type": "overloaded_error", "message": "overloaded"}}],
}


@pytest.mark.parametrize("form", FORMS)
def test_a_stream_that_breaks_off_is_cut(form: str) -> None:
    failure = read(FORMS[form][0](), [stream(CUT[form])]).failure
    assert failure is not None
    assert failure[0] == names.ERROR_CUT_STREAM


@pytest.mark.parametrize("case", ERRORS)
def test_an_error_within_a_stream_is_the_servers_own(case: str) -> None:
    events: list[dict[str, Any]] = ERRORS[case]
    assert read(FORMS[case.split()[0]][0](), [stream(events)]).failure == (names.ERROR_IN_STREAM, "overloaded")


def test_an_answer_at_its_limit_says_so() -> None:
    cut = {**RESPONSE, "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    assert (
        read(ResponsesReader(), [stream([{"type": "response.incomplete", "response": cut}])]).finish_reason == "length"
    )
    message = {**MESSAGE, "stop_reason": "max_tokens"}
    assert read(MessagesReader(), [json.dumps(message).encode()]).finish_reason == "length"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(
        st.sampled_from(["type", "delta", "item", "response", "usage", "content", "message", "index", "error", "output",
                         "content_block", "input_tokens", "text", "call_id", "name", "arguments", "model"]),
        inner,
        max_size=4,
    ),
    max_leaves=10,
)  # fmt: skip
KINDS = st.sampled_from([str(one["type"]) for one in (*RESPONSE_EVENTS, *MESSAGE_EVENTS)])


@pytest.mark.parametrize("form", FORMS)
@settings(deadline=None)
@given(events=st.lists(st.dictionaries(st.text(max_size=3), VALUES).flatmap(lambda d: st.builds(lambda k, v: {
    **d, "type": k, **(v if isinstance(v, dict) else {})}, KINDS, VALUES)), max_size=4))  # fmt: skip
def test_nothing_that_a_server_sends_raises(form: str, events: list[dict[str, Any]]) -> None:
    read(FORMS[form][0](), [stream([{**one, "type": str(one.get("type"))} for one in events])])
    for one in events:
        read(FORMS[form][0](), [json.dumps(one).encode()])


def test_the_reader_is_known_by_the_requests_path() -> None:
    assert reader_of("POST", "/v1/responses") is ResponsesReader
    assert reader_of("POST", "/q/abc/v1/messages/") is MessagesReader
    assert reader_of("POST", "/v1/messages/count_tokens") is None
    assert reader_of("GET", "/v1/responses") is None
